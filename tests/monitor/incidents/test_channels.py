"""Every way of telling, against servers that really answer."""

from __future__ import annotations

import email
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest

from treadle.kernel.config.notify import EmailConfig, NotifyConfig
from treadle.kernel.errors import ConfigError, Unavailable
from treadle.monitor import Alert
from treadle.monitor.incidents import rules
from treadle.monitor.incidents.channels import Alertmanager, Email, Slack, Webhook, channels
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


class Mailbox(threading.Thread):
    """An SMTP server (RFC 5321) that takes mail, but for those whose receivers it doesn't know."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.mails: list[bytes] = []
        self.unknown: set[str] = set()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection:
                self.serve(connection)

    def serve(self, connection: socket.socket) -> None:
        file = connection.makefile("rwb")

        def say(line: str) -> None:
            file.write(f"{line}\r\n".encode())
            file.flush()

        say("220 mailbox")
        while line := file.readline():
            verb = line.decode().strip()
            if verb.upper().startswith("RCPT") and any(name in verb for name in self.unknown):
                say("550 no such mailbox")
            elif verb.upper() == "DATA":
                say("354 go on")
                lines = []
                while (part := file.readline()) != b".\r\n":
                    lines.append(part)
                self.mails.append(b"".join(lines))
                say("250 taken")
            elif verb.upper() == "QUIT":
                say("221 bye")
                return
            else:
                say("250 mailbox")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    server = Mailbox()
    server.start()
    yield server
    server.listening.close()


def mail(port: int, *to: str) -> Email:
    return Email(EmailConfig(to=list(to), sender="treadle@example.com", host="127.0.0.1", port=port))


def test_a_mail_says_what_happened(mailbox: Mailbox) -> None:
    mail(mailbox.port, "ann@example.com", "bob@example.com").send(NOTICE)
    [raw] = mailbox.mails
    message = email.message_from_bytes(raw, policy=policy.default)
    assert message["Subject"] == "[critical] toy/3: It is worse & <bad>."
    assert message["To"] == "ann@example.com, bob@example.com"
    assert message["Message-ID"] == f"<{NOTICE.id}@treadle>"
    body = message.get_content()
    assert "since     2026-02-22 00:00 UTC" in body
    assert "treadle incidents ack toy-7" in body


def test_a_sentence_can_not_add_headers(mailbox: Mailbox) -> None:
    split = msgspec.structs.replace(INCIDENT, title="one\r\nBcc: eve@example.com")
    mail(mailbox.port, "ann@example.com").send(rules.notice(split, "opened", START, "x"))
    message = email.message_from_bytes(mailbox.mails[0], policy=policy.default)
    assert message["Bcc"] is None
    assert message["Subject"].endswith("one Bcc: eve@example.com")


def test_a_mail_that_one_receiver_does_not_get_is_not_taken(mailbox: Mailbox) -> None:
    mailbox.unknown.add("bob")
    with pytest.raises(Unavailable, match=r"bob@example\.com"):
        mail(mailbox.port, "ann@example.com", "bob@example.com").send(NOTICE)


def test_a_mail_server_that_is_away_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unavailable, match="mail server"):
        mail(port, "ann@example.com").send(NOTICE)


def test_channels_are_those_that_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example.com/x")
    config = NotifyConfig(
        webhook="http://127.0.0.1/hook",
        slack_env="HOOK",
        alertmanager="http://127.0.0.1:9093",
        email=EmailConfig(to=["ann@example.com"], sender="t@example.com"),
    )
    assert set(channels(config)) == {"webhook", "slack", "alertmanager", "email"}
    assert channels(NotifyConfig()) == {}


@pytest.mark.parametrize(
    ("config", "where"),
    [
        (NotifyConfig(webhook="hooks.example.com"), "webhook"),
        (NotifyConfig(slack_env="NO_SUCH_VARIABLE"), "slack_env"),
        (NotifyConfig(email=EmailConfig(to=["a"], sender="b", password_env="NO_SUCH_VARIABLE")), "email"),
    ],
)
def test_what_can_not_work_is_refused(config: NotifyConfig, where: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[monitor.notify\] {where}"):
        channels(config)
