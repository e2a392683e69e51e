"""Lineage told to a collector: in OpenLineage's words, each thing once it is so, nothing lost on the way."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openlineage.client import event_v2
from openlineage.client.facet_v2 import (
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    processing_engine_run,
)
from openlineage.client.serde import Serde

from live import until
from treadle.api.rooms import Rooms
from treadle.api.server import _lineage
from treadle.experiment import Experiments, Finish, JournalBatch, NewRun
from treadle.kernel.errors import Refused, Unavailable
from treadle.kernel.workspace import Workspace
from treadle.registry import Backoff, OpenLineage, Registry
from treadle.registry.openlineage import events, store
from treadle.registry.openlineage.sinks import HttpSink
from treadle.registry.openlineage.types import RunEvent

NOW = datetime.now(UTC)


class Kept:
    """Keeps events; fails where it is told to."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []
        self.failures: list[Exception | None] = []

    def send(self, event: RunEvent) -> None:
        error = self.failures.pop(0) if self.failures else None
        if error is not None:
            raise error
        self.events.append(event)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one.run.run_id, one.event_type) for one in self.events]


@pytest.fixture
def sink() -> Kept:
    return Kept()


@pytest.fixture
def teller(workspace: Workspace, sink: Kept) -> OpenLineage:
    """Who tells, from now on."""
    made = OpenLineage(workspace, sink)
    assert made.deliver() == 0
    return made


def run(workspace: Workspace, name: str, end: str | None = None, at: datetime = NOW) -> str:
    runs = Experiments(workspace)
    runs.create(NewRun(id=name, name=name, experiment="search", started_at=at))
    if end:
        finish(workspace, name, end)
    return events.run_uuid(name)


def finish(workspace: Workspace, name: str, end: Any) -> None:
    later = (datetime.now(UTC) + timedelta(seconds=1)).timestamp()
    Experiments(workspace).apply(
        name, JournalBatch(0, [Finish(later, end, "it broke" if end == "failed" else None)])
    )


# ── the words ────────────────────────────────────────────────────────────


def test_a_failure_is_what_openlineages_own_client_writes(
    workspace: Workspace, sink: Kept, teller: OpenLineage
) -> None:
    identity = run(workspace, "a", "failed")
    teller.deliver()
    start, end = sink.events
    by = {"producer": events.PRODUCER}
    engine = processing_engine_run.ProcessingEngineRunFacet(version=events.TREADLE, name="Treadle", **by)
    broken = error_message_run.ErrorMessageRunFacet(message="it broke", programmingLanguage="Python", **by)
    kind = job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="TREADLE", jobType="TRAINING", **by
    )
    expected = event_v2.RunEvent(
        eventType=event_v2.RunState.FAIL,
        eventTime=end.event_time,
        run=event_v2.Run(runId=identity, facets={"processing_engine": engine, "errorMessage": broken}),
        job=event_v2.Job(namespace="treadle://toy", name="search", facets={"jobType": kind}),
        producer=events.PRODUCER,
    )
    assert _full(end) == _plain(Serde.to_dict(expected))
    assert (start.event_type, start.event_time) == ("START", NOW.isoformat())


def _full(event: RunEvent) -> dict[str, Any]:
    return _plain(json.loads(msgspec.json.encode(event)))


def _plain(value: Any) -> Any:
    """Without what is empty, and which a consumer reads alike."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if one not in (None, [], {})}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def test_a_cycle_tells_what_went_in_and_what_came_out(judged: Workspace, sink: Kept) -> None:
    with judged.database.write() as connection:
        store.begin(connection, datetime(2025, 1, 1, tzinfo=UTC))
    OpenLineage(judged, sink).deliver()
    version = Registry(judged).get("toy/1")
    told = [_full(one) for one in sink.events]
    mine = [one for one in told if one["run"]["runId"] == events.run_uuid(version.run)]
    assert [one["eventType"] for one in mine] == ["START", "COMPLETE", "OTHER"]
    [rows] = mine[1]["inputs"]
    assert (rows["name"], rows["facets"]["version"]["datasetVersion"]) == ("data/rows", "v1")
    for one in mine[1:]:
        [made] = one["outputs"]
        assert (made["name"], made["facets"]["version"]["datasetVersion"]) == ("models/toy", "1")
        facet = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion="1")
        assert made["facets"]["version"]["_schemaURL"] == facet._get_schema()


# ── what is told when ────────────────────────────────────────────────────


def test_a_run_is_told_once_when_it_begins_and_once_when_it_ends(
    workspace: Workspace, sink: Kept, teller: OpenLineage
) -> None:
    one, two = run(workspace, "a"), run(workspace, "b", "finished", NOW + timedelta(seconds=1))
    assert teller.deliver() == 3
    assert teller.deliver() == 0
    finish(workspace, "a", "finished")
    assert teller.deliver() == 1
    assert sink.told == [(one, "START"), (two, "START"), (two, "COMPLETE"), (one, "COMPLETE")]


def test_what_had_ended_before_anybody_asked_is_not_told(workspace: Workspace, sink: Kept) -> None:
    past = NOW - timedelta(days=9)
    run(workspace, "old", at=past)
    Experiments(workspace).apply("old", JournalBatch(0, [Finish(past.timestamp(), "finished")]))
    going_on = run(workspace, "b", at=past)
    OpenLineage(workspace, sink).deliver()
    OpenLineage(workspace, sink).deliver()
    assert sink.told == [(going_on, "START")]


def test_nothing_is_lost_while_the_collector_is_away_and_over_a_restart(
    workspace: Workspace, sink: Kept, teller: OpenLineage
) -> None:
    names = [run(workspace, f"r{i}", "finished", NOW + timedelta(seconds=i)) for i in range(5)]
    for fails in (0, 3, 1, 0):
        sink.failures = [None] * fails + [Unavailable("away")]
        with pytest.raises(Unavailable):
            OpenLineage(workspace, sink).deliver()  # a new one, as after a restart
    OpenLineage(workspace, sink).deliver()
    assert sink.told == [(name, kind) for name in names for kind in ("START", "COMPLETE")]


def test_an_event_that_is_refused_holds_nothing_up(
    workspace: Workspace, sink: Kept, teller: OpenLineage, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = run(workspace, "a", "finished"), run(workspace, "b", None, NOW + timedelta(seconds=1))
    sink.failures = [Refused("it answered 422 to an event")]
    teller.deliver()
    assert teller.deliver() == 0
    assert sink.told == [(one, "COMPLETE"), (two, "START")]
    assert "START of a is left out" in caplog.text


# ── over the wire ────────────────────────────────────────────────────────


class Collector(HTTPServer):
    """Answers with the statuses that it is given, then 201, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.got: list[tuple[str, str | None, dict[str, Any]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/api/v1/lineage"


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_events_are_posted_with_the_key_and_answers_are_understood(
    workspace: Workspace, teller: OpenLineage, collector: Collector
) -> None:
    identity = run(workspace, "a", "finished")
    by_http = OpenLineage(workspace, HttpSink(collector.url, "s3cret"))
    collector.statuses = [503]
    with pytest.raises(Unavailable, match="answered 503"):
        by_http.deliver()
    collector.statuses = [401]
    with pytest.raises(Unavailable, match="answered 401"):
        by_http.deliver()
    collector.statuses = [422]
    assert by_http.deliver() == 2
    assert [(path, key) for path, key, _ in collector.got] == [("/api/v1/lineage", "Bearer s3cret")] * 4
    assert [body["eventType"] for *_, body in collector.got] == ["START", "START", "START", "COMPLETE"]
    assert {body["run"]["runId"] for *_, body in collector.got} == {identity}


def test_who_is_away_is_asked_ever_more_seldom() -> None:
    failing = [True] * 9 + [False, True]

    def do() -> None:
        if failing.pop(0):
            raise Unavailable("away")

    pace = Backoff()
    assert [pace.after(do) for _ in range(11)] == [10, 20, 40, 80, 160, 300, 300, 300, 300, 5, 10]


def test_who_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no answer"):
        HttpSink("http://127.0.0.1:9/api").send(
            RunEvent(
                event_time="",
                event_type="START",
                producer="",
                schema_url="",
                run=events.EventRun(run_id=""),
                job=events.Job(namespace="", name=""),
            )
        )


def test_a_server_tells_by_itself_into_a_file(tmp_path: Path) -> None:
    lineage = '[lineage]\nopenlineage = "lineage/told.jsonl"\nnamespace = "https://ml.example.com"\n'
    (tmp_path / "treadle.toml").write_text(f'[project]\nname = "x"\n{lineage}')
    rooms, told = Rooms(tmp_path, "a test", None), tmp_path / "lineage" / "told.jsonl"
    OpenLineage(rooms.workspace).deliver()
    run(rooms.workspace, "a", "finished")
    with _lineage(rooms):
        until(lambda: told.exists() and told.read_bytes().count(b"\n") == 2)
    rooms.close()
    found = [json.loads(line) for line in told.read_text().splitlines()]
    assert [one["eventType"] for one in found] == ["START", "COMPLETE"]
    assert {one["job"]["namespace"] for one in found} == {"https://ml.example.com"}
