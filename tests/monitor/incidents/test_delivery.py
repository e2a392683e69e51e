"""Notices delivered for real: by a mail server, and by Prometheus' Alertmanager that tells somebody else.

Both are away at first, come back, are told again what they know, and are told when it is over.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from monitor.incidents.test_channels import (  # noqa: F401
    Mailbox,
    Receiver,
    free_port,
    mailbox,
    receiver,
    serve,
)
from servers import program
from treadle.kernel.clock import ManualClock
from treadle.kernel.config.notify import EmailConfig
from treadle.kernel.errors import Unavailable
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert
from treadle.monitor.incidents import rules, store
from treadle.monitor.incidents.channels import Alertmanager, Channel, Email
from treadle.monitor.incidents.outbox import Outbox
from treadle.monitor.incidents.types import Delivery, Incident, Occasion

NOW = datetime.now(UTC).replace(microsecond=0)
ALERT = Alert(
    id="toy-performance-1",
    model="toy",
    kind="performance",
    at=NOW,
    subjects=("roc_auc",),
    sentence="roc_auc 0.61 is worse than 0.74 at registration",
    version=3,
)
OPEN = rules.opened(ALERT, 7, "warning", NOW - timedelta(days=7))
WORSE = msgspec.structs.replace(OPEN, severity="critical", escalated_at=NOW)
OVER = msgspec.structs.replace(WORSE, state="resolved", resolved_at=NOW, resolved_by="monitor")


class Sender:
    """An outbox of one channel, with a clock of its own."""

    def __init__(self, workspace: Workspace, name: str, channel: Channel) -> None:
        self._ws, self._name = workspace, name
        self.clock = ManualClock(NOW)
        self.outbox = Outbox(workspace, {name: channel}, self.clock)

    def write(self, incident: Incident, occasion: Occasion, at: datetime = NOW, again: int = 0) -> None:
        notice = rules.notice(incident, occasion, at, f"{incident.id} {occasion}")
        notice = msgspec.structs.replace(notice, again=again)
        with self._ws.database.write() as connection:
            store.add_delivery(connection, notice, self._name, self.clock.now())

    def again(self) -> int:
        """Delivers once whatever has failed is tried again."""
        self.clock.at += timedelta(hours=2)
        return self.outbox.deliver()

    def kept(self) -> list[Delivery]:
        with self._ws.database.read() as connection:
            return store.read_deliveries(connection, OPEN.id)

    def forget(self) -> None:
        """As a process does that is killed after the receiver took a notice, and before it says so."""
        with self._ws.database.write() as connection:
            store.settle(connection, self.kept()[-1], next_at=self.clock.now())


# ── mail ─────────────────────────────────────────────────────────────────


def test_mail_waits_for_its_server_and_comes_once(
    workspace: Workspace,
    mailbox: Mailbox,  # noqa: F811
    serve: Callable[..., int],  # noqa: F811
) -> None:
    config = EmailConfig(
        to=["ann@example.com", "bob@example.com"],
        sender="treadle@example.com",
        host="127.0.0.1",
        port=free_port(),
    )
    sender = Sender(workspace, "email", Email(config))
    sender.write(OPEN, "opened")
    assert sender.outbox.deliver() == 0
    [waiting] = sender.kept()
    assert (waiting.attempts, waiting.delivered_at) == (1, None)
    assert "mail server didn't take the notice" in waiting.error
    serve(config.port)
    assert sender.outbox.deliver() == 0, "it waits before it tries again"
    assert sender.again() == 1
    assert sender.again() == 0

    # A receiver that one mailbox is missing of has not taken it.
    mailbox.unknown.add("bob@example.com")
    sender.write(WORSE, "worse")
    assert sender.again() == 0
    assert "bob@example.com" in sender.kept()[-1].error
    mailbox.unknown.clear()
    assert sender.again() == 1
    sender.write(OVER, "resolved")
    assert sender.again() == 1

    subjects = [mail["Subject"].strip() for mail in mailbox.mails]
    assert subjects[0] == "[warning] toy/3: roc_auc 0.61 is worse than 0.74 at registration"
    assert subjects[1] == subjects[2], "ann has it twice"
    assert (subjects[2][:6], subjects[3][:9]) == ("Worse:", "Resolved:")
    names = [mail["Message-ID"] for mail in mailbox.mails]
    assert names[1] == names[2], "by which her mail program can tell"
    assert len(set(names)) == 3
    assert "treadle incidents ack toy-7" in mailbox.mails[0].get_content()


Certificate = tuple[Path, ssl.SSLContext]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """A server's own certificate, of the name localhost."""
    key, found = tmp_path / "key.pem", tmp_path / "cert.pem"
    openssl = program("openssl", package="openssl")
    made = f"{openssl} req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    asked = [*made.split(), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*asked, "-keyout", str(key), "-out", str(found)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found, key)
    return found, context


def login(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"treadle", b"secret"), handled=False)


class Encrypted(Controller):
    """A mail server that is encrypted from the first byte on."""

    def _trigger_server(self) -> None:
        """Waits until it listens; the library's own would check a certificate that nobody trusts."""
        socket.create_connection((self.hostname, self.port), timeout=10).close()


@pytest.mark.parametrize("way", ["starttls", "tls"])
def test_mail_is_encrypted_and_logged_in_for(
    way: str,
    workspace: Workspace,
    mailbox: Mailbox,  # noqa: F811
    serve: Callable[..., int],  # noqa: F811
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trusted, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setenv("MAIL_PASSWORD", "secret")
    kinds: dict[str, dict[str, Any]] = {
        "starttls": {"tls_context": context, "require_starttls": True, "auth_required": True},
        "tls": {"ssl_context": context, "kind": Encrypted, "auth_require_tls": False},  # it means STARTTLS
    }
    port = serve(authenticator=login, **kinds[way])
    config = EmailConfig(
        to=["ann@example.com"],
        sender="treadle@example.com",
        port=port,
        starttls=way == "starttls",
        tls=way == "tls",
        user="treadle",
        password_env="MAIL_PASSWORD",
    )
    Email(config).send(rules.notice(OPEN, "opened", NOW, "x"))
    assert len(mailbox.mails) == 1
    monkeypatch.setenv("MAIL_PASSWORD", "guessed")
    sender = Sender(workspace, "email", Email(config))
    sender.write(OPEN, "opened")
    assert sender.outbox.deliver() == 0
    assert "535" in sender.kept()[0].error
    assert "guessed" not in sender.kept()[0].error

    def again(declared: EmailConfig) -> int:
        later = Sender(workspace, "email", Email(declared))
        sender.clock.at += timedelta(hours=2)
        later.clock.at = sender.clock.at
        return later.outbox.deliver()

    monkeypatch.setenv("MAIL_PASSWORD", "secret")
    other = msgspec.structs.replace(config, host="127.0.0.1")  # for which there is no certificate
    assert again(other) == 0
    assert "its certificate isn't trusted: IP address mismatch" in sender.kept()[0].error
    monkeypatch.delenv("SSL_CERT_FILE")
    assert again(config) == 0
    assert "its certificate isn't trusted: self-signed certificate" in sender.kept()[0].error
    assert "SSL_CERT_FILE" in sender.kept()[0].error
    assert len(mailbox.mails) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    assert again(config) == 1, "mended, and told after all"


def test_mail_that_is_encrypted_at_the_wrong_moment_is_told(
    serve: Callable[..., int],  # noqa: F811
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trusted, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setattr("treadle.monitor.incidents.channels._MAIL_TIMEOUT", 0.3)
    config = EmailConfig(to=["ann@example.com"], sender="treadle@example.com", port=serve(), tls=True)
    notice = rules.notice(OPEN, "opened", NOW, "x")
    with pytest.raises(Unavailable, match="isn't encrypted from the first byte") as told:
        Email(config).send(notice)
    assert "`starttls`" in str(told.value)
    secret = serve(ssl_context=context, kind=Encrypted)
    for starttls in (False, True):
        plain = msgspec.structs.replace(config, port=secret, tls=False, starttls=starttls)
        with pytest.raises(Unavailable, match="didn't greet") as told:
            Email(plain).send(notice)
        assert "`tls = true`" in str(told.value)


# ── Alertmanager ─────────────────────────────────────────────────────────


class Manager:
    """A real Alertmanager, which tells a webhook of what it is told."""

    def __init__(self, folder: Path, tells: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        config = {
            "route": {
                "receiver": "hook",
                "group_by": ["incident"],
                "group_wait": "0s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [
                {"name": "hook", "webhook_configs": [{"url": f"{tells}/told", "send_resolved": True}]}
            ],
        }
        (folder / "alertmanager.yml").write_text(json.dumps(config))  # JSON is YAML

    def start(self) -> None:
        command = [
            program("prometheus-alertmanager", "alertmanager", package="prometheus-alertmanager"),
            f"--config.file={self._folder / 'alertmanager.yml'}",
            f"--storage.path={self._folder / 'kept'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._ready)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def active(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts?active=true", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
            return found


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def manager(tmp_path: Path, receiver: Receiver) -> Iterator[Manager]:  # noqa: F811
    made = Manager(tmp_path, receiver.url)
    yield made
    made.stop()


def test_alertmanager_tells_once_of_each_change(
    workspace: Workspace,
    manager: Manager,
    receiver: Receiver,  # noqa: F811
) -> None:
    def told() -> list[tuple[str, str]]:
        """What it told: of each notification whether it fires, and the severities that do."""
        return [
            (body["status"], "+".join(sorted(one["labels"]["severity"] for one in body["alerts"]
                                             if one["status"] == "firing")))
            for _, body, _ in receiver.got
        ]  # fmt: skip

    sender = Sender(workspace, "alertmanager", Alertmanager(manager.url, "https://treadle.example.com"))
    sender.write(OPEN, "opened")
    assert sender.outbox.deliver() == 0
    assert "wasn't taken" in sender.kept()[0].error
    manager.start()
    assert sender.again() == 1
    wait_for(lambda: told() == [("firing", "warning")])
    [stands] = manager.active()
    assert stands["labels"]["incident"] == "toy-7"
    assert stands["generatorURL"] == "https://treadle.example.com/v1/incidents/toy-7/page"
    assert stands["annotations"]["summary"] == ALERT.sentence

    sender.forget()
    assert sender.again() == 1, "sent a second time, as after a crash"
    assert len(manager.active()) == 1
    manager.stop()
    sender.write(WORSE, "worse")
    assert sender.again() == 0
    manager.start()  # it has kept what it was told
    assert sender.again() == 1
    wait_for(lambda: [one["labels"]["severity"] for one in manager.active()] == ["critical"])
    wait_for(lambda: told()[-1:] == [("firing", "critical")])
    sender.write(WORSE, "worse", NOW + timedelta(seconds=1), again=1)  # as severe as before, of another kind
    before = len(told())
    assert sender.again() == 1
    wait_for(lambda: ("firing", "critical") in told()[before:])
    assert [one["labels"].get("again") for one in manager.active()] == ["1"]
    sender.write(OVER, "resolved", NOW + timedelta(seconds=2), again=1)
    assert sender.again() == 1
    wait_for(lambda: told()[-1:] == [("resolved", "")])
    assert manager.active() == []
    assert [status for status, _ in told()].count("resolved") == 1
    assert told().count(("firing", "warning")) == 1, "what came twice was told once"
