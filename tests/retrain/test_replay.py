"""A past replayed through a real inference server, until the wheel turns by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from projects import START, rows
from retrain.traffic import Services
from retrain.wheel import make, opened, turn, wait_for
from treadle.data import Datasets
from treadle.deploy import Deployments, ReplicaOptions
from treadle.deploy.replica import ReplicaServer
from treadle.kernel.errors import Conflict, InvalidInput, Unavailable
from treadle.kernel.workspace import Workspace
from treadle.monitor import Monitors, PredictionLog
from treadle.retrain import Cycles, Loop, Replays, Worker
from treadle.retrain.report import render_report
from treadle.retrain.traffic import Traffic, requests

DAY = timedelta(days=1)


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Workspace]:
    """A project whose pattern turns on the 70th day, open without a clock of its own."""
    with opened(make(tmp_path / "past", rows(120, 60, turn=70))) as workspace:
        yield workspace


@pytest.fixture
def replays(past: Workspace) -> Iterator[Replays]:
    worker = Worker(past, "a test")
    yield Replays(past, Loop(past, worker))
    worker.close()


@contextmanager
def serving(workspace: Workspace) -> Iterator[str]:
    """A replica of ``toy``, ready."""
    options = ReplicaOptions(
        models=("toy",), state=str(workspace.state / "replica"), port=0, poll=0.02, flush=0.05
    )
    server = ReplicaServer(options, Services(workspace))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: any(r.revision for r in Deployments(workspace).status("toy").replicas))
        yield server.url
    finally:
        server.stop()
        thread.join(20)


def test_of_two_that_begin_at_once_one_is_told(past, replays, monkeypatch):
    bounds, at = replays._bounds, START + 60 * DAY

    def meanwhile() -> tuple[datetime, datetime]:
        monkeypatch.setattr(replays, "_bounds", bounds)
        replays.start(at)
        return bounds()

    monkeypatch.setattr(replays, "_bounds", meanwhile)
    with pytest.raises(Conflict, match="a replay is under way"):
        replays.start(at)


def test_a_past_is_replayed_until_the_wheel_turns(past: Workspace, replays: Replays) -> None:
    began = START + 50 * DAY
    state = replays.start(began)
    assert (state.since, state.at) == (began, began)
    assert past.clock.now() == began
    assert turn(past).state == "promoted"
    with serving(past):
        steps = [replays.step(began + 7 * DAY)]
        quiet = steps[0]
        # Every row of the week was asked for, in one request an hour; labels of its last hours come later.
        assert (quiet.failed, quiet.rows) == (0, 7 * 60)
        assert quiet.rows - 30 < quiet.labels < quiet.rows
        assert PredictionLog(past).count("toy") == quiet.rows
        assert quiet.tick.cycle is None
        while steps[-1].tick.cycle is None:
            steps.append(replays.step(steps[-1].until + 7 * DAY))
        assert sum(step.failed for step in steps) == 0
        started = Cycles(past).get(steps[-1].tick.cycle or "")
        assert started.trigger.kind == "alert"
        # Traffic flows on while it runs; the last requests wait for its end.
        after = replays.step(steps[-1].until + 3 * DAY)
        ended = Cycles(past).get(started.id)
        assert ended.state == "refused"  # it had learned from the time before
        assert after.failed == 0
    assert steps[-1].until == began + 28 * DAY  # the pattern turned on the 20th day
    performance = [w for w in Monitors(past).windows("toy") if w.kind == "performance"]
    assert [w.state == "alert" for w in performance] == [False, False, False, True]
    found = replays.state()
    assert found is not None
    assert found.at == after.until
    assert "<svg" in render_report(past, "toy")
    replays.stop()
    assert replays.state() is None
    assert abs(past.clock.now() - datetime.now(UTC)) < DAY
    with pytest.raises(Conflict, match="has predictions already"):
        replays.start(began)


def test_a_replay_begins_once_and_within_the_data(replays: Replays) -> None:
    with pytest.raises(Conflict, match="no replay is under way"):
        replays.step(START + DAY)
    for outside in (START - DAY, START + 400 * DAY):
        with pytest.raises(InvalidInput, match="covers 2025-12-01 to 2026-03-30"):
            replays.start(outside)
    replays.start(START + 50 * DAY)
    with pytest.raises(Conflict, match="a replay is under way"):
        replays.start(START + 51 * DAY)
    with pytest.raises(InvalidInput, match="is at 2026-01-20 00:00 already"):
        replays.step(START + 50 * DAY)


def test_without_a_server_nothing_is_replayed(past: Workspace, replays: Replays) -> None:
    began = START + 50 * DAY
    replays.start(began)
    with pytest.raises(Conflict, match="nothing serves toy"):
        replays.step(began + DAY)
    state = replays.state()
    assert state is not None
    assert state.at == began
    assert PredictionLog(past).count("toy") == 0


def test_rows_become_requests_by_the_hour(past: Workspace) -> None:
    version = Datasets(past).snapshot("rows", "a test")
    bodies = [msgspec.json.decode(body) for body in requests(past, version, START, START + DAY)]
    shapes = [body["inputs"][0]["shape"] for body in bodies]
    assert sum(rows for rows, _ in shapes) == 60
    assert len(bodies) <= 24
    for body in bodies:
        by_name = {tensor["name"]: tensor for tensor in body["inputs"]}
        assert {name: tensor["datatype"] for name, tensor in by_name.items()} == {
            "at": "INT64", "id": "BYTES", "hour": "FP64", "carrier": "BYTES",
        }  # fmt: skip
        assert len({moment // 3600 for moment in by_name["at"]["data"]}) == 1
        assert by_name["at"]["data"] == sorted(by_name["at"]["data"])


def test_no_request_is_larger_than_the_server_takes(past: Workspace) -> None:
    file = past.root / "treadle.toml"
    file.write_text(file.read_text().replace("port = 0", "port = 0\nmax_rows = 2"))
    with opened(past.root) as small:
        version = Datasets(small).snapshot("rows", "a test")
        shapes = [
            msgspec.json.decode(body)["inputs"][0]["shape"][0]
            for body in requests(small, version, START, START + DAY)
        ]
    assert max(shapes) == 2
    assert sum(shapes) == 60


def test_what_is_not_answered_with_predictions_has_failed(past: Workspace, replays: Replays) -> None:
    replays.start(START + 50 * DAY)
    turn(past)
    with serving(past) as url:
        traffic = Traffic(url, "toy")
        traffic.send(b"rubbish")
        version = Datasets(past).snapshot("rows", "a test")
        good = requests(past, version, START, START + DAY)[0]
        traffic.send(good)
        Traffic(url, "other").send(good)
        traffic.flush()
    assert (traffic.requests, traffic.failed) == (2, 1)
    assert traffic.rows == msgspec.json.decode(good)["inputs"][0]["shape"][0]
    traffic.send(good)  # nobody there any more
    assert (traffic.requests, traffic.failed) == (3, 2)
    with pytest.raises(Unavailable, match="went away"):
        traffic.flush()
