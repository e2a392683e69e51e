"""Every way of telling, against servers that really answer."""

from __future__ import annotations

import contextlib
import email
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.config.notify import EmailConfig, NotifyConfig
from treadle.kernel.errors import ConfigError, Unavailable
from treadle.monitor import Alert, WindowResult
from treadle.monitor.incidents import posting, rules
from treadle.monitor.incidents.channels import Alertmanager, Alerts, Email, Slack, Webhook, channels
from treadle.monitor.incidents.types import Notice

START = datetime(2026, 3, 1, tzinfo=UTC)
ALERT = Alert(
    id="toy-performance-1",
    model="toy",
    kind="performance",
    at=START,
    subjects=("roc_auc",),
    sentence="It is worse & <bad>.",
    version=3,
)
INCIDENT = rules.opened(ALERT, 7, "critical", START - timedelta(days=7))
NOTICE = rules.notice(INCIDENT, "opened", START, ALERT.sentence)


class Receiver(HTTPServer):
    """Keeps what it is sent, and answers with the status that it is given."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.got: list[tuple[str, Any, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, body, self.headers["Idempotency-Key"]))
        self.send_response(self.server.status)
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


def test_a_webhook_gets_the_notice_and_its_identity(receiver: Receiver) -> None:
    Webhook(f"{receiver.url}/hook").send(NOTICE)
    [(path, body, key)] = receiver.got
    assert (path, key) == ("/hook", NOTICE.id)
    assert msgspec.convert(body, Notice) == NOTICE


def test_slack_gets_texts_in_which_nothing_is_a_link(receiver: Receiver) -> None:
    Slack(receiver.url).send(NOTICE)
    [(_, body, _)] = receiver.got
    assert body["text"] == "[critical] toy/3: It is worse &amp; &lt;bad&gt;."
    assert all(block["type"] == "section" for block in body["blocks"])
    assert "treadle incidents show toy-7" in body["blocks"][1]["text"]["text"]


def test_slack_s_address_is_in_no_error(receiver: Receiver) -> None:
    receiver.status = 403
    with pytest.raises(Unavailable) as refused:
        Slack(f"{receiver.url}/secret").send(NOTICE)
    assert "403" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("status", [302, 400, 500])
def test_what_is_not_taken_is_told(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Unavailable, match=str(status)):
        Webhook(receiver.url).send(NOTICE)
    assert len(receiver.got) == 1, "the outbox tries again, not the channel"


def test_an_alert_is_handed_on_as_it_is(receiver: Receiver) -> None:
    Alerts(f"{receiver.url}/hook").send(rules.alert_notice(INCIDENT, ALERT))
    [(path, body, key)] = receiver.got
    assert (path, key) == ("/hook", ALERT.id)
    assert msgspec.convert(body, Alert) == msgspec.structs.replace(ALERT, delivered=True)


@pytest.mark.parametrize("url", ["example.org/hook", "ftp://example.org"])
def test_what_is_no_address_for_alerts_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"\[monitor\] webhook"):
        channels(MonitorConfig(webhook=url))


def test_what_a_receiver_says_of_its_refusal_is_told() -> None:
    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\nno_service"
    with answering(refusal) as url, pytest.raises(Unavailable, match="it answered 404: no_service"):
        Slack(url).send(NOTICE)


def test_a_receiver_that_never_ends_its_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is no silence; the caller goes on all the same."""
    monkeypatch.setattr(posting.exchange, "__defaults__", (posting.TIMEOUT, 0.3))
    endless, late = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000, r"took more than 0\.3 seconds"
    with answering(endless, pause=0.02) as url, pytest.raises(Unavailable, match=late):
        Webhook(url).send(NOTICE)


@contextlib.contextmanager
def answering(answer: bytes, pause: float = 0.0) -> Iterator[str]:
    """Answers one request so, byte by byte with a pause between them if that is asked for."""

    def answer_one() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            while not connection.recv(1 << 16).endswith(b"}"):
                pass
            for piece in [answer[i : i + 1] for i in range(len(answer))] if pause else [answer]:
                connection.sendall(piece)
                time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_one)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        thread.join()


def test_alertmanager_gets_alerts_that_stand_until_resolved(receiver: Receiver) -> None:
    manager = Alertmanager(f"{receiver.url}/", "https://treadle.example.com")
    manager.send(NOTICE)
    worse = msgspec.structs.replace(INCIDENT, severity="critical", escalated_at=START + timedelta(hours=1))
    manager.send(rules.notice(worse, "escalated", START + timedelta(hours=1), "nobody"))
    over = msgspec.structs.replace(worse, state="resolved", resolved_at=START + timedelta(hours=2))
    manager.send(rules.notice(over, "resolved", START + timedelta(hours=2), "over"))
    (path, [first], _), (_, second, _), (_, third, _) = receiver.got
    assert path == "/api/v2/alerts"
    assert first["labels"] == {
        "alertname": "TreadleIncident", "model": "toy", "incident": "toy-7", "severity": "critical"
    }  # fmt: skip
    assert (first["startsAt"], first["endsAt"]) == ("2026-03-01T00:00:00Z", "2026-03-31T00:00:00Z")
    assert first["generatorURL"] == "https://treadle.example.com/v1/incidents/toy-7/page"
    assert [one["labels"]["severity"] for one in second] == ["critical", "info", "warning"]
    assert {one["endsAt"] for one in second[1:]} == {"2026-03-01T01:00:00Z"}
    assert {one["endsAt"] for one in third} == {"2026-03-01T02:00:00Z"}


class Mailbox:
    """Takes what a mail server is given, but for receivers that it doesn't know."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.unknown: set[str] = set()

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.unknown:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the library's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        found = email.message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 taken"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def serve(mailbox: Mailbox) -> Iterator[Callable[..., int]]:
    """Starts mail servers that take mail into the mailbox; returns their port."""
    running: list[Controller] = []

    def start(port: int = 0, kind: type[Controller] = Controller, **options: Any) -> int:
        port = port or free_port()
        server = kind(mailbox, hostname="127.0.0.1", port=port, **options)
        server.start()
        running.append(server)
        return port

    yield start
    for server in running:
        server.stop(no_assert=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def mail(port: int, *to: str) -> Email:
    return Email(EmailConfig(to=list(to), sender="treadle@example.com", host="127.0.0.1", port=port))


def test_a_mail_says_what_happened(mailbox: Mailbox, serve: Callable[..., int]) -> None:
    mail(serve(), "ann@example.com", "bob@example.com").send(NOTICE)
    [message] = mailbox.mails
    assert message["Subject"] == "[critical] toy/3: It is worse & <bad>."
    assert message["To"] == "ann@example.com, bob@example.com"
    assert message["Message-ID"] == f"<{NOTICE.id}@treadle>"
    body = message.get_content()
    assert "since     2026-02-22 00:00 UTC" in body
    assert "treadle incidents ack toy-7" in body


def test_a_notice_says_for_whom_and_why(mailbox: Mailbox, serve: Callable[..., int]) -> None:
    found = [
        WindowResult(
            model="toy", version=3, since=START - timedelta(days=7), until=START, kind=kind, subject=subject,
            statistic="psi", value=value, limit=0.1, n=900, state=state, sentence=f"{subject} is {state}",
        )
        for kind, subject, value, state in [
            ("prediction", "prediction", 0.2, "alert"), ("input", "mild", 0.2, "alert"),
            ("input", "wild", 2.0, "alert"), ("input", "calm", 0.0, "ok"),
            ("quality", "broken", 0.5, "alert"),
        ]
    ]  # fmt: skip
    notice = rules.notice(INCIDENT, "opened", START, ALERT.sentence, found)
    config = EmailConfig(to=["ann@example.com"], sender="t@example.com", host="127.0.0.1", port=serve())
    Email(config, "https://treadle.example.com/").send(notice)
    body = mailbox.mails[0].get_content().replace("\r\n", "\n")
    assert "affects   all rows of toy/3" in body
    assert "1. broken is alert\n2. wild is alert\n3. mild is alert\n4. prediction is alert\n" in body
    assert "pictures  https://treadle.example.com/v1/incidents/toy-7/page" in body


@pytest.mark.parametrize("words", [b"2", b"220 hello\r\n2"])
def test_a_mail_server_that_never_ends_a_line_is_left(words: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.monitor.incidents.channels._MAIL_DEADLINE", 0.4)

    def drip() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(words)
            for _ in range(100):
                connection.sendall(b"2")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(Unavailable, match=r"took more than 0\.4 seconds"):
            mail(server.getsockname()[1], "ann@example.com").send(NOTICE)
        thread.join()


def test_a_sentence_can_not_add_headers(mailbox: Mailbox, serve: Callable[..., int]) -> None:
    split = msgspec.structs.replace(INCIDENT, title="one\r\nBcc: eve@example.com")
    mail(serve(), "ann@example.com").send(rules.notice(split, "opened", START, "x"))
    [message] = mailbox.mails
    assert message["Bcc"] is None
    assert message["Subject"].endswith("one Bcc: eve@example.com")


def test_channels_are_those_that_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example.com/x")
    config = NotifyConfig(
        webhook="http://127.0.0.1/hook",
        slack_env="HOOK",
        alertmanager="http://127.0.0.1:9093",
        email=EmailConfig(to=["ann@example.com"], sender="t@example.com"),
    )
    found = channels(MonitorConfig(webhook="http://127.0.0.1/alerts", notify=config))
    assert set(found) == {"alerts", "webhook", "slack", "alertmanager", "email"}
    assert channels(MonitorConfig()) == {}


@pytest.mark.parametrize(
    ("config", "where"),
    [
        (NotifyConfig(webhook="hooks.example.com"), "webhook"),
        (NotifyConfig(slack_env="NO_SUCH_VARIABLE"), "slack_env"),
        (
            NotifyConfig(email=EmailConfig(to=["a"], sender="b", user="c", password_env="NO_SUCH_VARIABLE")),
            "email",
        ),
        (NotifyConfig(webhook="http://"), "webhook"),
        (NotifyConfig(webhook="http://host:port/"), "webhook"),
        (NotifyConfig(email=EmailConfig(to=["a"], sender="b", user="c")), "email"),
        (NotifyConfig(email=EmailConfig(to=["a"], sender="b", password_env="PATH")), "email"),
        (NotifyConfig(email=EmailConfig(to=["a"], sender="b", tls=True, starttls=True)), "email"),
    ],
)
def test_what_can_not_work_is_refused(config: NotifyConfig, where: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[monitor.notify[\].]+ ?{where}"):
        channels(MonitorConfig(notify=config))
