"""The webhook, against a real HTTP server."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from treadle.kernel.errors import ConfigError, Unavailable
from treadle.monitor import Alert, WebhookNotifier

ALERT = Alert(
    id="toy-performance-20260301T000000",
    model="toy",
    kind="performance",
    at=datetime(2026, 3, 1, tzinfo=UTC),
    subjects=("roc_auc",),
    sentence="It is worse.",
    version=3,
)


class Receiver(HTTPServer):
    """Answers with the statuses that it is given, then 204, and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.slow = 0.0
        self.got: list[tuple[dict[str, Any], str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((body, self.headers["Idempotency-Key"]))
        time.sleep(self.server.slow)
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        self.send_response(status)
        if status in {302, 307}:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alert_is_posted_as_json_with_its_identity(receiver: Receiver) -> None:
    WebhookNotifier(receiver.url).notify(ALERT)
    [(body, key)] = receiver.got
    assert key == body["id"] == ALERT.id
    assert (body["sentence"], body["subjects"], body["at"]) == (
        "It is worse.",
        ["roc_auc"],
        "2026-03-01T00:00:00Z",
    )


def test_a_slow_receiver_is_waited_for_and_asked_once(receiver: Receiver) -> None:
    receiver.slow = 1.2
    WebhookNotifier(receiver.url).notify(ALERT)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("statuses", [[500, 503], [429, 502, 500]])
def test_a_webhook_that_fails_at_first_is_tried_again(receiver: Receiver, statuses: list[int]) -> None:
    receiver.statuses = list(statuses)
    WebhookNotifier(receiver.url).notify(ALERT)
    assert [key for _, key in receiver.got] == [ALERT.id] * (len(statuses) + 1)


@pytest.mark.parametrize(("status", "tries"), [(500, 4), (404, 1), (302, 1), (307, 1)])
def test_a_webhook_that_does_not_take_it_is_told(receiver: Receiver, status: int, tries: int) -> None:
    receiver.statuses = [status] * 10
    with pytest.raises(Unavailable, match=f"answered {status}"):
        WebhookNotifier(receiver.url).notify(ALERT)
    assert len(receiver.got) == tries


def test_nobody_there_and_nobody_answering_end_within_five_seconds() -> None:
    with socket.socket() as taken:  # listens and never answers
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for url in (f"http://127.0.0.1:{taken.getsockname()[1]}/", "http://127.0.0.1:1/"):
            start = time.monotonic()
            with pytest.raises(Unavailable, match="didn't take the alert"):
                WebhookNotifier(url).notify(ALERT)
            assert time.monotonic() - start < 5.5


def test_what_is_no_address_is_refused() -> None:
    for url in ("", "example.org/hook", "ftp://example.org"):
        with pytest.raises(ConfigError, match=r"\[monitor\] webhook"):
            WebhookNotifier(url)
