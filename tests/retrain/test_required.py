"""The load test before an approval: it is followed, it is stopped, and then nothing was approved."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from replica_parts import register, wait_for, write_model

from treadle.client import Client
from treadle.deploy import Deployments, LoadProgress, LoadTestJob, LoadTests, NewLoadTest
from treadle.deploy.loadtest import service
from treadle.deploy.loadtest.watching import Watch
from treadle.evaluate import Evaluation, Evaluations
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, Refused
from treadle.kernel.lock import holder
from treadle.kernel.workspace import Workspace
from treadle.registry import Approvals, Registry
from treadle.retrain import load_test_before_approval, load_test_before_deployment
from treadle.retrain.publish import publish

NEEDED = """
[serve.objective]
availability = 50
rate = 400
[deploy]
loadtest = true
[registry]
approval = "manual"
"""


@pytest.fixture
def held(project: Path, tmp_path: Path) -> Iterator[Workspace]:
    """A version that waits for an approval, and must pass a load test."""
    file = project / "treadle.toml"
    file.write_text(file.read_text() + NEEDED)
    with contextlib.closing(Workspace.open(project)) as workspace:
        register(workspace, write_model(tmp_path / "m1"), "run_1")
        at = workspace.clock.now()
        passed = Evaluation(id="ev_1", kind="model", at=at, outcome="pass", verdicts=(), subject="run_1")
        Evaluations(workspace).keep(passed)
        yield workspace


def nothing_came_of_it(workspace: Workspace) -> bool:
    standing = Approvals(workspace).standing("toy/1")
    return (standing.approvals, Deployments(workspace).history("toy")) == ((), [])


def test_it_is_followed_and_whoever_stops_it_has_approved_nothing(held: Workspace) -> None:
    seen: list[LoadTestJob] = []

    def interrupted(job: LoadTestJob) -> None:
        seen.append(job)
        if job.state == "running" and job.progress.answered > 20:
            raise KeyboardInterrupt

    with Client.in_process(held.root) as client:

        def stopped_by_another(job: LoadTestJob) -> None:
            if job.state == "running":
                client.cancel_load_test(job.id)

        with pytest.raises(KeyboardInterrupt):
            client.approve("toy/1", "looks good", follow=interrupted)
        assert (seen[-1].state, seen[-1].asked.version, seen[-1].asked.rate) == ("cancelled", 1, 400)
        assert seen[-2].progress.answered > 20
        assert nothing_came_of_it(held)
        wait_for(lambda: holder(held.state / "loadtest.lock") is None)
        with pytest.raises(Refused, match="was stopped, and nothing was judged") as caught:
            client.approve("toy/1", "looks good", follow=stopped_by_another)
        assert "treadle deploy loadtest toy --version 1" in (caught.value.fix or "")
        assert nothing_came_of_it(held)

        with pytest.MonkeyPatch.context() as patch:
            brief = {"seconds": 1.0, "arrivals": "constant"}
            patch.setattr(service, "NewLoadTest", lambda **given: NewLoadTest(**{**brief, **given}))
            try:
                client.approve("toy/1", "looks good", follow=seen.append)
            except Refused:  # on a machine that is busy the generator may have been late
                assert nothing_came_of_it(held)
                with pytest.raises(Refused, match="came out inconclusive"):
                    seen[-1].result.check_held()
            else:
                assert client.required_load_test("toy/1", "deployment") is None  # it was passed
                assert [one.version for one in Deployments(held).history("toy")] == [1]
    ended = seen[-1]
    assert (ended.state, ended.progress.failed) == ("done", 0)
    assert [one.cancelled != "" for one in LoadTests(held).list("toy")] == [False, True, True]


def test_whoever_waits_within_a_cycle_is_told_how_far_it_is(
    held: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(tests: LoadTests, model: str, new: NewLoadTest, actor: str, watch: Watch) -> SimpleNamespace:
        watch.tell(LoadProgress())
        watch.tell(LoadProgress(step="sending", due=1200, sent=300, p99_ms=2.5, left=9.0))
        return SimpleNamespace(check_held=lambda: None)

    monkeypatch.setattr(LoadTests, "run", run)
    lines: list[str] = []
    publish(held, Registry(held).get("toy/1"), "ada", "why", "k", "pass", told=lines.append)
    assert lines == [
        "load test: starting the version",
        "load test: sent 300 of 1,200 requests, p99 2.5 ms, 9 s left",
    ]
    assert [one.version for one in Deployments(held).history("toy")] == [1]


def test_none_begins_for_what_would_be_refused_or_needs_none(held: Workspace) -> None:
    with pytest.raises(NotFound):
        load_test_before_approval(held, "toy/9", "ada")
    with pytest.raises(Conflict, match="never been in production"):
        load_test_before_deployment(held, "toy/1", "ada")
    asked = load_test_before_approval(held, "toy/1", "ada")
    assert asked is not None
    assert (asked.version, asked.rate) == (1, 400)
    with Client.in_process(held.root) as client, pytest.raises(InvalidInput, match="say approval or"):
        client.required_load_test("toy/1", "fun")  # type: ignore[arg-type]

    file = held.root / "treadle.toml"
    several = file.read_text() + "[registry.stages.production]\napprovals = 2\n"
    for text in (several, file.read_text().replace("loadtest = true", "loadtest = false")):
        file.write_text(text)
        with contextlib.closing(Workspace.open(held.root)) as workspace:
            assert load_test_before_approval(workspace, "toy/1", "ada") is None
            Approvals(workspace).add("toy/1", "ada", "fine", "pass")
            if text == several:
                assert load_test_before_approval(workspace, "toy/1", "ada") is None
                assert load_test_before_approval(workspace, "toy/1", "ben") is not None
