"""Load tests of real versions: on a replica of their own, on what runs, and before a deployment."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from msgspec.structs import replace
from replica_parts import ServicesPlatform, inbox_rows, options, register, running, wait_for, write_model

from treadle.deploy import Deployments, LoadTests, NewLoadTest
from treadle.deploy.loadtest import candidate, service
from treadle.kernel.errors import Busy, Conflict, InvalidInput, JobFailed, NotFound, Refused
from treadle.kernel.events import timeline
from treadle.kernel.lock import Holder, exclusive
from treadle.kernel.workspace import Workspace
from treadle.registry import ModelFile, Registry
from treadle.retrain.publish import publish

SHORT = {"rate": 400.0, "seconds": 1.0, "arrivals": "constant"}


def opened(project: Path, clock, objective: str) -> Workspace:
    text = (project / "treadle.toml").read_text().partition("\n[serve.objective]")[0]
    (project / "treadle.toml").write_text(f"{text}\n[serve.objective]\n{objective}\n")
    return Workspace.open(project, clock=clock)


@pytest.fixture
def toy(project: Path, clock, tmp_path: Path):
    """Opens the workspace of a registered version with an objective."""
    with contextlib.ExitStack() as stack:

        def open_it(objective: str) -> Workspace:
            workspace = stack.enter_context(contextlib.closing(opened(project, clock, objective)))
            if not Registry(workspace).list():
                register(workspace, write_model(tmp_path / "m1"), "run_1")
            return workspace

        yield open_it


def test_a_version_that_holds_its_objective_may_be_deployed_and_one_that_does_not_may_not(toy) -> None:
    workspace = toy("p99_ms = 2000\navailability = 50\nrate = 400\n[deploy]\nloadtest = true")
    tests = LoadTests(workspace)
    found = tests.run("toy", NewLoadTest(version=1, **SHORT), "eve")
    by_check = {one.check: one for one in found.verdicts}
    assert (by_check["availability"].outcome, found.failed, found.requests) == ("pass", 0, 400)
    assert found.revision is None
    assert tests.list("toy") == [found] == tests.list("toy", 1)
    assert tests.list("toy", 2) == []
    event = timeline(workspace.database, "model:toy")[-1]
    assert (event.kind, event.actor, event.facts["outcome"]) == ("load_tested", "eve", found.outcome)
    assert not (workspace.state / "loadtest").exists()
    # On a machine that is busy the generator may have been late: then nothing is shown.
    if found.outcome == "pass":
        assert tests.require("toy/1", "eve") == found
        assert (
            publish(workspace, Registry(workspace).get("toy/1"), "eve", "go", "k1", "pass").state == "pending"
        )

    strict = toy("p99_ms = 0.001\nrate = 400\n[deploy]\nloadtest = true")
    before = Deployments(strict).history("toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "NewLoadTest", lambda **given: NewLoadTest(**{**SHORT, **given}))
        with pytest.raises(Refused, match="requests a second came out") as caught:
            publish(strict, Registry(strict).get("toy/1"), "eve", "go", "k2", "pass")
    assert "treadle deploy loadtest toy --version 1" in (caught.value.fix or "")
    assert Deployments(strict).history("toy") == before


def test_the_example_that_mlflow_logged_is_asked(toy, tmp_path) -> None:
    workspace = toy("availability = 50")
    version = Registry(workspace).get("toy/1")
    split = b'{"columns": ["carrier", "hour"], "data": [["AA", 1.5], [NaN, 2.0]]}'
    file = ModelFile("input_example.json", workspace.blobs.put(split), len(split))
    theirs = replace(version, files=(*version.files, file), example="input_example.json")
    expected = [{"hour": 1.5, "carrier": "AA"}, {"hour": 2.0, "carrier": None}]
    assert LoadTests(workspace)._example(theirs) == expected
    assert len(LoadTests(workspace)._example(version)) > 0
    assert LoadTests(workspace)._example(replace(version, files=())) == []


def test_a_version_that_cant_be_loaded_is_told_at_once(toy, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(candidate, "_START", 600.0)
    workspace = toy("availability = 50\nrate = 400")
    broken = write_model(tmp_path / "m2")
    (broken / "model.onnx").write_bytes(b"no model")
    number = register(workspace, broken, "run_2")
    with pytest.raises(JobFailed, match=r"did not become ready: .*can't be loaded"):
        LoadTests(workspace).run("toy", NewLoadTest(version=number, **SHORT), "eve")


def test_what_runs_is_tested_and_neither_logged_nor_counted(toy, tmp_path) -> None:
    workspace = toy("availability = 50")
    platform = ServicesPlatform(workspace, tmp_path / "inbox")
    tests = LoadTests(workspace)
    with pytest.raises(Conflict, match="nothing serves toy just now"):
        tests.run("toy", NewLoadTest(**SHORT), "eve")
    platform.deployments.deploy("toy", 1, "me", "first", "k1")
    with running(options(tmp_path / "state"), platform):
        wait_for(lambda: platform.deployments.status("toy").serving)
        found = tests.run("toy", NewLoadTest(**SHORT), "eve")
        assert (found.revision, found.version, found.failed, found.requests) == (1, 1, 0, 400)
        assert platform.deployments.status("toy").replicas[0].requests == 0
    assert inbox_rows(platform.inbox) == []


def test_what_can_not_be_tested_says_why(toy) -> None:
    tests = LoadTests(toy("rate = 10"))
    with pytest.raises(InvalidInput, match="no service level objective is declared"):
        tests.run("toy", NewLoadTest(version=1), "eve")
    workspace = toy("p99_ms = 50")
    tests = LoadTests(workspace)
    with pytest.raises(InvalidInput, match="no rate is declared"):
        tests.run("toy", NewLoadTest(version=1), "eve")
    with pytest.raises(InvalidInput, match="9,000,000 requests are too many"):
        tests.run("toy", NewLoadTest(version=1, rate=30_000, seconds=300), "eve")
    with pytest.raises(NotFound):
        tests.run("toy", NewLoadTest(version=9, rate=10), "eve")
    with pytest.raises(InvalidInput, match="it has no 'carrier'"):
        tests.run("toy", NewLoadTest(version=1, rate=10, rows=({"hour": 1.0},)), "eve")
    doing = Holder(1, "another", None)
    with (
        exclusive(workspace.state / "loadtest.lock", doing),
        pytest.raises(Busy),
    ):
        tests.run("toy", NewLoadTest(version=1, rate=10), "eve")


def test_rows_that_the_server_refuses_are_the_askers_fault_and_nothing_is_kept(toy) -> None:
    tests = LoadTests(toy("availability = 50"))
    rows = ({"hour": "noon", "carrier": "AA"},)
    with pytest.raises(InvalidInput, match="the server finds a request wrong, 400"):
        tests.run("toy", NewLoadTest(version=1, rows=rows, **SHORT), "eve")
    assert tests.list("toy") == []
