"""Requests and responses of another server: paired whatever their order, logged once, whoever dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from killing import sweep
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import InvalidInput, NotFound, StorageError, Unavailable
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.monitor import InferenceEvent, Monitors, Payloads, PredictionLog, Unpaired
from treadle.monitor.payloads import service, store

START = datetime(2026, 1, 1, tzinfo=UTC)
SOON = timedelta(milliseconds=40)


@pytest.fixture(autouse=True)
def no_profile(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at profiles here, and making them takes longer than the tests."""
    monkeypatch.setattr(world, "profile", lambda **_: b"none")


@pytest.fixture
def on_each(metadata_url: str, world: Any) -> Iterator[Workspace]:
    """The world's project on each metadata store, with a version in production."""
    root = world.workspace.root
    config = root / "treadle.toml"
    config.write_text(config.read_text() + f'\n[store]\nmetadata = "{metadata_url}"\n')
    world.workspace = Workspace.open(root, world.workspace.clock, world.workspace.ids)
    world.register()
    yield world.workspace
    world.workspace.close()


@pytest.fixture
def workspace_(world: Any) -> Workspace:
    world.register()
    return world.workspace


def asked(id_: str, hours: list[float], at: datetime = START, **more: Any) -> InferenceEvent:
    rows = len(hours)
    inputs = [
        {"name": "hour", "shape": [rows], "datatype": "FP64", "data": hours},
        {"name": "carrier", "shape": [rows, 1], "datatype": "BYTES", "data": ["AA"] * rows},
    ]
    body = json.dumps({"id": id_, "inputs": inputs}).encode()
    return InferenceEvent(id=id_, side="request", body=body, at=at, service="flights", **more)


def answered(
    id_: str, values: list[float], at: datetime = START + SOON, version: Any = None, **more: Any
) -> InferenceEvent:
    tensor = {"name": "output-0", "shape": [len(values)], "datatype": "FP64", "data": values}
    told = {"model_name": "flights", "model_version": version, "id": id_, "outputs": [tensor]}
    body = json.dumps(told).encode()
    return InferenceEvent(id=id_, side="response", body=body, at=at, service="flights", **more)


def logged(workspace: Workspace) -> list[tuple[Any, ...]]:
    found = PredictionLog(workspace).scan(
        "toy",
        'SELECT prediction_id, epoch("at"), version, latency_ms, output, input_hour, input_carrier FROM log '
        "ORDER BY prediction_id",
        since=START,
        until=START + timedelta(days=5),
    )
    return list(zip(*(np.ma.asarray(column).tolist() for column in found.values()), strict=True))


def physical(workspace: Workspace) -> int:
    """Rows as they lie, however often one prediction is there."""
    source = PredictionLog(workspace)._table("predictions", "toy").read(START.date(), START.date())
    if source is None:
        return 0
    return int(workspace.engine.rows("SELECT count(*) FROM rows_", (), {"rows_": source})[0][0])


def waiting(workspace: Workspace) -> int:
    with workspace.database.read() as connection:
        return store.waiting(connection)[0]


def test_either_order_twice_or_never(on_each: Workspace) -> None:
    payloads = Payloads(on_each)
    payloads.take("toy", asked("a", [6.0]))
    payloads.take("toy", asked("a", [6.0]))
    assert payloads.settle() == 0
    payloads.take("toy", answered("a", [0.25]))
    late = START + timedelta(minutes=9)
    payloads.take("toy", answered("b", [0.5, 0.75], late))
    payloads.take("toy", asked("b", [7.0, 8.0], late - SOON))
    payloads.take("toy", asked("lone", [9.0]))
    assert payloads.settle() == 3
    at = START.timestamp()
    assert logged(on_each) == [
        ("a", at, 1, pytest.approx(40), 0.25, 6.0, "AA"),
        ("b:0", at + 539.96, 1, pytest.approx(40), 0.5, 7.0, "AA"),
        ("b:1", at + 539.96, 1, pytest.approx(40), 0.75, 8.0, "AA"),
    ]
    assert waiting(on_each) == 1
    # Both sides once more, after they were logged: seen once.
    payloads.take("toy", answered("a", [0.25]))
    payloads.take("toy", asked("a", [6.0]))
    assert payloads.settle() == 1
    assert [row[0] for row in logged(on_each)] == ["a", "b:0", "b:1"]
    assert PredictionLog(on_each).count("toy") == 3


def test_clocks_that_disagree_make_no_negative_latency(workspace_: Workspace) -> None:
    payloads = Payloads(workspace_)
    payloads.take("toy", asked("a", [6.0]))
    payloads.take("toy", answered("a", [0.25], START - SOON))
    payloads.settle()
    assert logged(workspace_)[0][3] == 0


def test_which_version_answered(world: Any) -> None:
    world.register()  # version 1 goes into production a day before the start
    world.register(run="run_2", promote=False)
    payloads = Payloads(world.workspace)
    for id_, told, url in (
        ("a", "2", None),
        ("b", "9", None),
        ("c", "v2", None),
        ("d", "1", 2),
        ("e", 2, None),
    ):
        payloads.take("toy", asked(id_, [6.0], version=url))
        payloads.take("toy", answered(id_, [0.25], version=told))
    payloads.settle()
    assert [(row[0], row[2]) for row in logged(world.workspace)] == [
        ("a", 2), ("b", 1), ("c", 1), ("d", 2), ("e", 2),
    ]  # fmt: skip
    # Production is what it was when it was asked, not what it is now.
    world.workspace.clock.at = START + timedelta(days=2)
    world.register(run="run_3")
    for id_, day in (("f", 0), ("g", 3)):
        at = START + timedelta(days=day)
        payloads.take("toy", asked(id_, [6.0], at))
        payloads.take("toy", answered(id_, [0.25], at))
    payloads.settle()
    assert [(row[0], row[2]) for row in logged(world.workspace)][-2:] == [("f", 1), ("g", 3)]


def test_what_cannot_be_used_is_refused_whole(workspace_: Workspace) -> None:
    payloads = Payloads(workspace_)
    with pytest.raises(NotFound):
        payloads.take("toi", asked("a", [6.0]))
    for bad in ("", "x" * 481, "a\nb", "a\0"):
        with pytest.raises(InvalidInput, match="named by 1 to 480"):
            payloads.take("toy", asked(bad, [6.0]))
    first = b'{"instances": [[1]]}', b'{"predictions": [0.5]}'
    for side, body in zip(("request", "response"), first, strict=True):
        with pytest.raises(InvalidInput, match=r"(?s)(in|out)puts.*version 1.*protocolVersion: v2"):
            payloads.take("toy", InferenceEvent(id="a", side=side, body=body))
    with pytest.raises(InvalidInput, match="not valid JSON"):
        payloads.take("toy", InferenceEvent(id="a", side="response", body=b"\xff"))
    assert waiting(workspace_) == 0

    payloads.take("toy", asked("sizes", [6.0, 7.0]))
    with pytest.raises(InvalidInput, match="the request has 2 rows and the response 3"):
        payloads.take("toy", answered("sizes", [0.1, 0.2, 0.3]))
    payloads.take("toy", answered("range", [1.5]))
    with pytest.raises(InvalidInput, match="is no probability"):
        payloads.take("toy", asked("range", [6.0]))
    hour = {"name": "hour", "shape": [1], "datatype": "FP64", "data": [6.0]}
    payloads.take("toy", answered("columns", [0.5]))
    body = json.dumps({"inputs": [hour]}).encode()
    with pytest.raises(InvalidInput, match="input 'carrier' is missing"):
        payloads.take("toy", InferenceEvent(id="columns", side="request", body=body))
    payloads.take("toy", asked("version", [6.0], version=7))
    with pytest.raises(NotFound):
        payloads.take("toy", answered("version", [0.5]))
    payloads.take("toy", asked("early", [6.0], START - timedelta(days=9)))
    with pytest.raises(InvalidInput, match="none was in production then"):
        payloads.take("toy", answered("early", [0.5]))
    # The first side of each still waits for one that fits.
    assert (waiting(workspace_), payloads.settle()) == (5, 0)
    payloads.take("toy", answered("sizes", [0.1, 0.2]))
    assert payloads.settle() == 2


def test_a_pair_that_slipped_by_unchecked_does_not_hold_up_the_others(workspace_: Workspace) -> None:
    """Both sides may arrive at one moment, so that neither sees the other."""
    payloads = Payloads(workspace_)
    with workspace_.database.write() as connection:
        for event in (
            asked("bad", [6.0]),
            answered("bad", [0.1, 0.2]),
            asked("ok", [6.0]),
            answered("ok", [0.3]),
        ):
            store.keep(connection, "toy", event, START)
    assert payloads.settle() == 1
    assert [row[0] for row in logged(workspace_)] == ["ok"]
    assert waiting(workspace_) == 0
    (told,) = [one for one in timeline(workspace_.database, "model:toy") if one.kind == "payloads_refused"]
    assert "1 inference that another server logged can't be kept: id bad: the request has 1" in told.message


def test_what_waits_in_vain_is_removed_and_counted(on_each: Workspace) -> None:
    clock = ManualClock(START)
    payloads = Payloads(on_each, clock)
    for name in ("a", "b"):
        payloads.take("toy", asked(name, [6.0]))
    payloads.take("toy", answered("c", [0.25]))
    clock.at = START + timedelta(minutes=90)
    payloads.take("toy", asked("d", [6.0]))
    payloads.settle()
    assert waiting(on_each) == 4
    assert payloads.unpaired("toy") == Unpaired(requests=3, responses=1, since=START)
    clock.at = START + timedelta(hours=2)
    payloads.take("toy", answered("b", [0.5]))  # late, and still in time
    assert payloads.settle() == 1
    assert waiting(on_each) == 1
    assert payloads.unpaired("toy") == Unpaired(requests=1, since=START + timedelta(minutes=90))
    (told,) = [one for one in timeline(on_each.database, "model:toy") if one.kind == "payloads_expired"]
    assert told.message.startswith("1 request and 1 response of other servers waited an hour")
    assert told.facts == {"request": "1", "response": "1"}


def test_no_more_wait_than_there_is_room_for(workspace_: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_WAITING", 3)
    payloads = Payloads(workspace_)
    for number in range(3):
        payloads.take("toy", asked(f"p{number}", [6.0]))
    with pytest.raises(Unavailable, match="3 requests and responses"):
        payloads.take("toy", asked("p3", [6.0]))
    assert waiting(workspace_) == 3
    monkeypatch.setattr(service, "MOST_WAITING", 100)
    monkeypatch.setattr(service, "MOST_BYTES", 300)
    with pytest.raises(Unavailable):
        Payloads(workspace_).take("toy", asked("p4", [6.0]))


def test_refusals_are_told_now_and_then(workspace_: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock(START)
    payloads = Payloads(workspace_, clock)
    for seconds in (0, 1, 9, 10, 12):
        clock.at = START + timedelta(seconds=seconds)
        payloads.tell_refused("toy", InvalidInput(f"wrong {seconds}", where="ce-id"))
    told = [one.getMessage() for one in caplog.records]
    assert told == [f"an inference event of 'toy' was refused: ce-id: wrong {n}" for n in (0, 10)]


def test_many_pairs_are_few_batches(workspace_: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_AT_ONCE", 4)
    payloads = Payloads(workspace_)
    for number in range(10):
        payloads.take("toy", asked(f"p{number}", [6.0]))
        payloads.take("toy", answered(f"p{number}", [0.25]))
    assert payloads.settle() == 10
    table = PredictionLog(workspace_)._table("predictions", "toy")
    assert table.version().endswith("@3")  # made, and three batches
    monkeypatch.setattr(service, "_BYTES_AT_ONCE", 1)
    for number in range(10, 12):
        payloads.take("toy", asked(f"p{number}", [6.0]))
        payloads.take("toy", answered(f"p{number}", [0.25]))
    assert payloads.settle() == 2
    assert len(logged(workspace_)) == physical(workspace_) == 12


def test_both_sides_at_one_moment(on_each: Workspace) -> None:
    """Loggers have several workers, and the platform several threads."""
    payloads = Payloads(on_each)
    events = [make(f"p{n}", [0.5]) for n in range(12) for make in (asked, answered, asked)]
    with ThreadPoolExecutor(8) as pool:
        taken = [pool.submit(payloads.take, "toy", event) for event in events]
        settled = [pool.submit(payloads.settle) for _ in range(3)]
        assert [one.result() for one in taken] == [None] * 36
        counts = [one.result() for one in settled]
    counts.append(payloads.settle())
    assert [row[0] for row in logged(on_each)] == sorted(f"p{n}" for n in range(12))
    assert sum(counts) >= 12


@pytest.mark.parametrize("where", ["claim", "forget_batch"])
def test_a_process_that_dies_in_between_appends_once(
    workspace_: Workspace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    payloads = Payloads(workspace_)
    for number in range(3):
        payloads.take("toy", asked(f"p{number}", [6.0]))
        payloads.take("toy", answered(f"p{number}", [0.25]))
    with monkeypatch.context() as patch:

        def dies(*_: Any) -> None:
            raise StorageError("gone")

        patch.setattr(store, where, dies)
        with pytest.raises(StorageError):
            payloads.settle()
    assert physical(workspace_) == (3 if where == "forget_batch" else 0)
    payloads.take("toy", asked("more", [6.0]))
    payloads.take("toy", answered("more", [0.25]))
    Payloads(workspace_).settle()
    assert physical(workspace_) == 4
    assert waiting(workspace_) == 0


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.soak)])
def test_killed_here_and_there(tmp_path: Path, every: int) -> None:
    assert sweep("payload_actions", "log", tmp_path, every) >= 2


def test_a_look_takes_them_in(workspace_: Workspace) -> None:
    payloads = Payloads(workspace_)
    payloads.take("toy", asked("a", [6.0]))
    payloads.take("toy", answered("a", [0.25]))
    Monitors(workspace_).evaluate("toy", START + timedelta(hours=1))
    assert [row[0] for row in logged(workspace_)] == ["a"]


def test_inputs_are_concealed_as_everywhere(world: Any) -> None:
    world.register()
    path = world.workspace.root / "treadle.toml"
    path.write_text(f'{path.read_text()}\n[monitor.columns.carrier]\nkeep = "nothing"\n')
    opened = Workspace.open(world.workspace.root, clock=world.workspace.clock)
    payloads = Payloads(opened)
    payloads.take("toy", asked("a", [6.0]))
    payloads.take("toy", answered("a", [0.25]))
    payloads.settle()
    assert logged(opened)[0][-1] is None
    opened.close()
