from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from replica_parts import register, write_model

from treadle.deploy import Deployments, ReplicaReport
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.events import timeline
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace


@pytest.fixture
def workspace(project: Path, clock: ManualClock, metadata_url: str) -> Iterator[Workspace]:
    """On each kind of metadata store."""
    toml = project / "treadle.toml"
    toml.write_text(f'{toml.read_text()}\n[store]\nmetadata = "{metadata_url}"\n')
    opened = Workspace.open(project, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def deployments(workspace: Workspace, tmp_path: Path) -> Deployments:
    """Three registered versions of ``toy``, none deployed."""
    for number in (1, 2, 3):
        folder = write_model(tmp_path / f"m{number}", scale=float(number))
        assert register(workspace, folder, f"run_{number}") == number
    return Deployments(workspace)


def deploy(deployments: Deployments, version: int, key: str | None = None):
    return deployments.deploy("toy", version, "me", "better", key or f"k{version}")


def report(
    revision: int | None = None, failed: int | None = None, replica: str = "a", **more
) -> ReplicaReport:
    return ReplicaReport(
        replica=replica, model="toy", url="http://x", revision=revision, failed=failed, **more
    )


def told(workspace: Workspace) -> list[Event]:
    return [e for e in timeline(workspace.database, "model:toy") if e.kind != "registered"]


def kinds(workspace: Workspace) -> list[str]:
    return [event.kind for event in told(workspace)]


def test_asking_twice_under_one_key_is_asking_once(deployments, workspace):
    first = deploy(deployments, 1)
    deployments.report(report(1))
    again = deploy(deployments, 1)
    assert (first.revision, first.state) == (1, "pending")
    assert (again.revision, again.state) == (1, "serving")
    assert deploy(deployments, 1, "other").revision == 2
    assert kinds(workspace) == ["deployed", "serving", "deployed"]


def test_an_unknown_version_is_refused_and_nothing_is_written(deployments, workspace):
    with pytest.raises(NotFound):
        deploy(deployments, 9)
    assert deployments.history("toy") == []
    assert kinds(workspace) == []


def test_a_replica_is_told_the_files_and_which_inputs_name_a_row(deployments, workspace):
    assert deployments.desired("toy") is None
    assert deployments.report(report()) is None
    deploy(deployments, 2)
    wanted = deployments.report(report())
    assert wanted == deployments.desired("toy")
    assert (wanted.revision, wanted.version, wanted.key, wanted.time) == (1, 2, "id", "at")
    assert set(wanted.files) == {"model.onnx", "signature.json", "example.json"}
    assert all(workspace.blobs.has(digest) for digest in wanted.files.values())


def test_what_fails_to_load_is_rolled_back_with_its_reason(deployments, workspace):
    deploy(deployments, 1)
    deployments.report(report(1))
    deploy(deployments, 2)
    wanted = deployments.report(report(1, failed=2, error="model.onnx: no ONNX"))
    assert (wanted.revision, wanted.version) == (1, 1)
    first, second = deployments.history("toy")
    assert (first.state, second.state, second.error) == ("serving", "failed", "model.onnx: no ONNX")
    event = told(workspace)[-1]
    assert event.kind == "rolled_back"
    assert event.message == "version 2 could not be loaded (model.onnx: no ONNX); back to version 1"
    assert event.facts["error"] == "model.onnx: no ONNX"
    # The replica goes on telling that revision 2 failed; it is told once.
    deployments.report(report(1, failed=2, error="model.onnx: no ONNX"))
    assert kinds(workspace)[-1:] == ["rolled_back"]
    assert kinds(workspace).count("rolled_back") == 1


def test_a_first_revision_that_fails_leaves_nothing_to_serve(deployments, workspace):
    deploy(deployments, 1)
    assert deployments.report(report(failed=1, error="broken")) is None
    assert kinds(workspace)[-1] == "deploy_failed"


def test_waiting_ends_at_once_when_no_replica_listens(deployments):
    revision = deploy(deployments, 1)
    started = time.monotonic()
    assert deployments.wait("toy", revision.revision, timeout=30).state == "pending"
    long_ago = datetime.now(UTC) - timedelta(seconds=11)
    deployments.report(report(), long_ago)
    assert deployments.wait("toy", revision.revision, timeout=30).state == "pending"
    assert time.monotonic() - started < 5


def test_waiting_ends_when_a_replica_serves_it(deployments):
    deploy(deployments, 1)
    deployments.report(report())
    timer = threading.Timer(0.3, deployments.report, [report(1)])
    timer.start()
    assert deployments.wait("toy", 1, timeout=30).state == "serving"
    timer.join()


def test_waiting_ends_at_the_timeout(deployments):
    deploy(deployments, 1)
    deployments.report(report())
    assert deployments.wait("toy", 1, timeout=0.2).state == "pending"
    with pytest.raises(NotFound):
        deployments.wait("toy", 2, timeout=1)


def test_status_shows_replicas_of_the_last_30_seconds_by_the_machines_clock(deployments):
    now = datetime.now(UTC)
    deployments.report(report(replica="gone", rows=5), now - timedelta(seconds=31))
    deployments.report(report(replica="here", rows=7, p99_ms=1.5), now - timedelta(seconds=29))
    found = deployments.status("toy", now)
    assert [(r.replica, r.rows, r.p99_ms) for r in found.replicas] == [("here", 7, 1.5)]
    assert found.desired is found.serving is None
    deployments.report(report(replica="here", rows=9), now)
    assert [r.rows for r in deployments.status("toy", now).replicas] == [9]


def test_times_are_the_workspaces_own(deployments, workspace, clock):
    deploy(deployments, 1)
    deployments.report(report(1))
    revision = deployments.history("toy")[0]
    assert revision.at == revision.served_at == clock.at


def test_many_at_once_get_one_revision_each_and_one_is_desired(deployments):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: deploy(deployments, 1 + i % 3, f"key{i % 12}"), range(24)))
    history = deployments.history("toy")
    assert [r.revision for r in history] == list(range(1, 13))
    assert len({r.revision for r in made}) == 12
    assert [r.state for r in history] == ["superseded"] * 11 + ["pending"]


def test_a_replica_of_several_models_is_heard_as_if_it_told_of_each(deployments, workspace):
    """Reports that say nothing new are noted at once; all others go the way of one by one."""
    began = datetime.now(UTC)

    def of(model: str, **more) -> ReplicaReport:
        return ReplicaReport(replica="a", model=model, url="http://x", **more)

    def heard(seconds: int, *reports: ReplicaReport) -> list[int | None]:
        wanted = deployments.report_all(reports, began + timedelta(seconds=seconds))
        return [None if one is None else one.revision for one in wanted]

    assert heard(0, of("toy"), of("idle")) == [None, None]
    deploy(deployments, 1)
    assert heard(1, of("toy"), of("idle")) == [1, None]
    assert deployments.status("toy").serving is None
    assert heard(2, of("toy", revision=1), of("idle")) == [1, None]
    assert deployments.status("toy").serving.revision == 1
    for seconds in (3, 4):
        assert heard(seconds, of("toy", revision=1), of("idle")) == [1, None]
    times = [one.heard_at for one in deployments.status("toy").replicas]
    assert times == [began + timedelta(seconds=4)]
    assert heard(5, of("toy", revision=1, requests=7), of("idle")) == [1, None]
    assert deployments.status("toy").replicas[0].requests == 7

    deploy(deployments, 2)
    assert heard(6, of("toy", revision=1, requests=7), of("idle")) == [2, None]
    broken = of("toy", revision=1, requests=7, failed=2, error="no such op")
    assert heard(7, broken, of("idle")) == [1, None]
    assert [one.state for one in deployments.history("toy")] == ["serving", "failed"]
    assert heard(8, broken, of("idle")) == [1, None]
    assert kinds(workspace) == ["deployed", "serving", "deployed", "rolled_back"]
    with pytest.raises(InvalidInput, match="two reports of 'toy'"):
        heard(9, of("toy"), of("toy"))
    with pytest.raises(InvalidInput, match="several replicas"):
        heard(9, of("toy"), ReplicaReport(replica="b", model="idle", url="http://x"))
