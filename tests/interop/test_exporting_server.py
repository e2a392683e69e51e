"""What is sent to a running server is there as it was here, under other identifiers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlflow_parts import serve
from mlflow_stores import counts, everything, make_home, over_http, take
from treadle.client import Client, HttpTransport
from treadle.client.transport import Answer
from treadle.experiment import LogMetrics, NewRun
from treadle.experiment.types import JournalBatch
from treadle.interop import HttpSource, ImportReport, Trouble, export_server
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import NotFound, Unavailable


@pytest.fixture
def full(filestore: Path, client: Client) -> Client:
    """A client of a project that has what the store had."""
    take(filestore, client)
    return client


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Client]:
    """A client of a project that has nothing."""
    with Client.in_process(make_home(tmp_path / "other")) as opened:
        yield opened


def send(client: Client, transport: Any) -> ImportReport:
    source, troubles = over_http(client)
    return export_server(source, transport, "http://other.test", troubles)


def all_runs(client: Client) -> list[dict[str, Any]]:
    """The runs there, deleted ones too, as MLflow's clients see them."""
    source, _ = over_http(client)
    wire = source._wire
    ids = [one.id for one in source.experiments()]
    asked = {"experiment_ids": ids, "run_view_type": "ALL", "max_results": 1000}
    return wire.ask("POST", "/runs/search", asked)["runs"]


def tags_of(found: Mapping[str, Any]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in found["data"].get("tags", ())}


def as_the_protocol_has_it(curves: dict[str, Any]) -> dict[str, Any]:
    """Infinities are the largest numbers to who logs by it."""
    most = "1.7976931348623157e+308"
    return {
        name: [(at, step, value.replace("inf", most)) for at, step, value in points]
        for name, points in curves.items()
    }


def named(found: dict[str, Any], names: Mapping[str, str]) -> dict[Any, Any]:
    """What a source has, by names that both servers know."""
    told: dict[Any, Any] = {}
    for key, value in found.items():
        if key[0] == "run":
            tags = {k: v for k, v in value[7].items() if not k.startswith(("treadle.", "mlflow.user"))}
            tags["mlflow.parentRunId"] = names.get(tags.get("mlflow.parentRunId", ""), "")
            tags.pop("mlflow.runName", None)
            models = sorted((names[one.model], one.kind, one.step) for one in value[9])
            told["run", names[key[1]]] = (
                *value[:7], tags, value[8], models, as_the_protocol_has_it(value[10]), value[11],
            )  # fmt: skip
        elif key[0] == "model":
            tags = {k: v for k, v in value[4].items() if not k.startswith("treadle.")}
            told["model", names[key[1]]] = (*value[:2], names.get(value[2]), value[3], tags, value[6])
        elif key[0] == "registered":
            told[key] = value[:3]
        elif key[0] == "version":
            tags = {k: v for k, v in value[4].items() if k != "treadle.version"}
            told[key] = (*value[:2], names.get(value[2]), names.get(value[3]), tags)
        else:
            told[key] = value[1:]
    return told


def test_a_treadle_has_all_of_it_under_other_identifiers(full: Client, other: Client) -> None:
    report = send(full, other.transport)
    assert (report.troubles, report.differing, report.added, report.before) == ([], [], 9, 0)
    assert all(there == here > 0 for there, here in counts(report).values())

    back = {found["info"]["run_id"]: tags_of(found)["treadle.run"] for found in all_runs(other)}
    assert not set(back) & set(back.values())
    first, last = everything(over_http(full)[0]), everything(over_http(other)[0])
    originals = {value[0]: key[1] for key, value in first.items() if key[0] == "model"}
    back |= {key[1]: originals[value[0]] for key, value in last.items() if key[0] == "model"}
    assert named(last, back) == named(first, {one: one for one in back.values()})
    # A version's files are found through the server, where they are now.
    for key, value in last.items():
        if key[0] == "version":
            assert not any(original in value[5] for original in back.values())


def test_what_was_sent_is_not_sent_again(full: Client, other: Client) -> None:
    send(full, other.transport)
    before = all_runs(other)
    again = send(full, other.transport)
    assert (again.troubles, again.differing, again.added, again.before) == ([], [], 0, 9)
    assert all(there == here > 0 for there, here in counts(again).values())
    assert all_runs(other) == before


def test_a_run_that_went_on_is_sent_anew(full: Client, other: Client) -> None:
    full.create_run(NewRun(id="going-on", name="going on", started_at=SystemClock().now(), experiment="e"))
    full.append_journal("going-on", JournalBatch(0, [LogMetrics(1.0, {"loss": 1.0})]))
    assert send(full, other.transport).added == 10
    full.append_journal("going-on", JournalBatch(1, [LogMetrics(2.0, {"loss": float("nan")})]))
    again = send(full, other.transport)
    assert (again.troubles, again.differing, again.added, again.before) == ([], [], 1, 9)
    mine = [found for found in all_runs(other) if tags_of(found)["treadle.run"] == "going-on"]
    assert sorted(found["info"]["lifecycle_stage"] for found in mine) == ["active", "deleted"]
    # The deleted one has the tag of a whole one too, and must not be taken for it.
    for _ in range(2):
        again = send(full, other.transport)
        assert (again.troubles, again.differing, again.added, again.before) == ([], [], 0, 10)


class _Cut:
    """A connection that breaks after so many requests."""

    def __init__(self, transport: Any, most: int) -> None:
        self.name = transport.name
        self.most = most
        self._transport = transport

    def send(self, method: str, target: str, body: Any = b"", headers: Mapping[str, str] = {}) -> Answer:
        self.most -= 1
        if self.most < 0:
            raise Unavailable("cut off", where=self.name)
        return self._transport.send(method, target, body, headers)

    def close(self) -> None:
        pass


def test_an_export_that_was_cut_off_anywhere_goes_on(full: Client, other: Client) -> None:
    """Cut off again and again, each time a little later, until it comes through; nothing is doubled."""
    cuts = 0
    for most in range(12, 2000, 17):
        try:
            report = send(full, _Cut(other.transport, most))
            break
        except Unavailable:
            cuts += 1
    assert cuts > 3
    assert (report.troubles, report.differing) == ([], [])
    assert all(there == here > 0 for there, here in counts(report).values())
    whole = [
        tags_of(found)["treadle.run"] for found in all_runs(other) if "treadle.exported" in tags_of(found)
    ]
    assert len(whole) == len(set(whole)) == 9
    half = [found for found in all_runs(other) if "treadle.exported" not in tags_of(found)]
    assert {found["info"]["lifecycle_stage"] for found in half} <= {"deleted"}


def test_a_server_is_not_filled_from_itself(full: Client) -> None:
    before = len(all_runs(full))
    report = send(full, full.transport)
    assert (report.troubles, report.differing, report.added, report.before) == ([], [], 0, 9)
    assert len(all_runs(full)) == before


def test_a_run_that_the_server_refuses_is_told_and_the_others_go_on(full: Client, other: Client) -> None:
    class Refusing(_Cut):
        def send(self, method: str, target: str, body: Any = b"", headers: Mapping[str, str] = {}) -> Answer:
            if target.endswith("/runs/log-batch") and b'"nan"' in body:
                text = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "not that"}'
                return Answer(400, iter([text]))
            return self._transport.send(method, target, body, headers)

    report = send(full, Refusing(other.transport, 0))
    assert {trouble.reason for trouble in report.troubles if trouble.where.startswith("run ")} >= {"not that"}
    found = counts(report)["runs"]
    assert 0 < found[1] < found[0] == 9
    refused = [trouble.where for trouble in report.troubles if trouble.reason == "not that"]
    assert all(
        found["info"]["lifecycle_stage"] == "deleted"
        for found in all_runs(other)
        if f"run {tags_of(found).get('treadle.run')}" in refused
    )


@contextmanager
def serving(status: int, body: bytes) -> Iterator[str]:
    """A web server that isn't what it is taken for."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the names that the library calls

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"<html>"), (200, b"<html>"), (200, b"[]"), (405, b"no"), (400, b'{"a": 1}')]
)
def test_what_is_no_tracking_server_is_refused(client: Client, status: int, body: bytes) -> None:
    with serving(status, body) as url:
        transport = HttpTransport(url)
        with pytest.raises(NotFound, match="no tracking server"):
            send(client, transport)
        transport.close()
    with pytest.raises(Unavailable):
        send(client, HttpTransport(url, timeout=1.0))


def test_over_the_network(full: Client, tmp_path: Path) -> None:
    home = make_home(tmp_path / "other")
    with contextmanager(serve)(home) as running:
        transport = HttpTransport(running.url)
        report = send(full, transport)
        assert (report.troubles, report.differing, report.added) == ([], [], 9)
        assert all(there == here > 0 for there, here in counts(report).values())
        troubles: list[Trouble] = []
        again = HttpSource(transport, running.url, troubles.append)
        assert sum(1 for key in everything(again) if key[0] == "run") == 9
        transport.close()
