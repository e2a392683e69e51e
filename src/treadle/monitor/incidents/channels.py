"""The ways by which people are told: webhooks, Slack's, e-mail, and Prometheus' Alertmanager."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, get_args

import msgspec

from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.config.notify import EmailConfig, NotifyConfig
from treadle.kernel.errors import ConfigError, Unavailable
from treadle.monitor.incidents.posting import Deadline, check_address, distrust, post
from treadle.monitor.incidents.types import Notice
from treadle.monitor.types import Severity

if TYPE_CHECKING:
    import smtplib

_MAIL_TIMEOUT = 20.0
"""So many seconds a mail server may be silent: some let callers wait before they greet."""

_MAIL_DEADLINE = 60.0
_CHECK_MAIL = "check [monitor.notify.email]"

_TEST_STANDS = timedelta(minutes=5)

_STANDS = timedelta(days=30)
"""Alertmanager forgets an alert that nobody repeats; ours stand until they are resolved, or so long."""

ALERTS = "alerts"
"""The way by which ``[monitor] webhook`` gets every alert."""

_TITLES = {
    "opened": "",
    "worse": "Worse: ",
    "escalated": "Nobody has answered: ",
    "resolved": "Resolved: ",
    "test": "Test: ",
    "alert": "",
}

Json: TypeAlias = str | Mapping[str, "Json"] | list["Json"]


class Channel(Protocol):
    """Takes notices to where somebody looks. Sending one twice must be as sending it once."""

    def send(self, notice: Notice) -> None:
        """Hands a notice over; raises Unavailable if it wasn't taken."""


def ways(config: NotifyConfig) -> tuple[str, ...]:
    """By which channels people are told of incidents; needs no secret."""
    declared = {
        "webhook": config.webhook,
        "slack": config.slack_env,
        "email": config.email,
        "alertmanager": config.alertmanager,
    }
    return tuple(name for name, value in declared.items() if value)


def channels(monitor: MonitorConfig) -> dict[str, Channel]:
    """The channels of ``[monitor.notify]``, by name, and ``[monitor] webhook``.

    Raises:
        ConfigError: If an address is none, or the environment variable that holds it isn't set.
    """
    found: dict[str, Channel] = {}
    config = monitor.notify
    if monitor.webhook:
        found[ALERTS] = Alerts(check_address(monitor.webhook, "treadle.toml [monitor] webhook"))
    if config.webhook:
        found["webhook"] = Webhook(_address("webhook", config.webhook))
    if config.slack_env:
        found["slack"] = Slack(_address("slack_env", _secret("slack_env", config.slack_env)), config.page)
    if config.email:
        found["email"] = Email(config.email, config.page)
    if config.alertmanager:
        found["alertmanager"] = Alertmanager(_address("alertmanager", config.alertmanager), config.page)
    return found


def headline(notice: Notice) -> str:
    """A notice in a line: what happened, or what has become worse of it."""
    one = notice.incident
    what = notice.sentence if notice.occasion == "worse" else one.title
    return f"{_TITLES[notice.occasion]}[{one.severity}] {one.model}/{one.version}: {what}"


def text(notice: Notice, page: str = "") -> str:
    """A notice in words: what changed, since when, for whom, why, and the commands to go on with.

    Args:
        notice: The notice.
        page: Of the platform, for a link to the incident's pictures; none when empty.
    """
    one = notice.incident
    lines = [
        notice.sentence,
        "",
        f"incident  {one.id}, {one.severity}, {one.state}",
        f"model     {one.model}/{one.version}",
        f"since     {one.since:%Y-%m-%d %H:%M} UTC",
        f"concerns  {', '.join(one.subjects)}",
    ]
    if notice.affected:
        lines.append(f"affects   {notice.affected}")
    if page and notice.occasion != "test":
        lines.append(f"pictures  {_link(page, one.id)}")
    if len(notice.causes) > 1:
        lines += ["", "what changed, the likeliest cause first:"]
        lines += [f"{place}. {sentence}" for place, sentence in enumerate(notice.causes, 1)]
    if notice.occasion not in {"resolved", "test"}:
        lines += ["", f"next: treadle incidents show {one.id}", f"      treadle incidents ack {one.id}"]
    return "\n".join(lines)


class Webhook:
    """Posts notices as JSON; their identity is the ``Idempotency-Key``.

    Args:
        url: Where.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, notice: Notice) -> None:
        """Posts a notice.

        Raises:
            Unavailable: If it wasn't answered with a status below 300.
        """
        post(self._url, msgspec.json.encode(notice), {"Idempotency-Key": notice.id})


class Alerts:
    """Posts the alerts of notices as JSON; an alert's own identity is the ``Idempotency-Key``.

    Args:
        url: Where.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, notice: Notice) -> None:
        """Posts a notice's alert.

        Raises:
            Unavailable: If it wasn't answered with a status below 300.
        """
        if notice.alert is not msgspec.UNSET:
            post(self._url, msgspec.json.encode(notice.alert), {"Idempotency-Key": notice.alert.id})


class Slack:
    """Posts notices as Slack's incoming webhooks, and those of others like them, take them.

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

    Args:
        url: The webhook, which is a secret.
        page: Of the platform, which the notice links to; none when empty.
    """

    def __init__(self, url: str, page: str = "") -> None:
        self._url = url
        self._page = page

    def send(self, notice: Notice) -> None:
        """Posts a notice.

        Raises:
            Unavailable: If it wasn't answered with a status below 300; without the address.
        """
        body: Json = {
            "text": escaped(headline(notice)),
            "blocks": [
                {
                    "type": "section",
                    "text": {"type": "mrkdwn", "text": f"*{escaped(headline(notice)[:2900])}*"},
                },
                {
                    "type": "section",
                    "text": {"type": "mrkdwn", "text": f"```{escaped(text(notice, self._page)[:2900])}```"},
                },
            ],
        }
        post(self._url, msgspec.json.encode(body), {}, shown="the Slack webhook")


def escaped(line: str) -> str:
    """A text in which nothing is a mention or a link of Slack's."""
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Email:
    """Sends notices by SMTP. A notice always has the same Message-ID, by which mail programs drop doubles.

    Args:
        config: ``[monitor.notify.email]``.
        page: Of the platform, which the notice links to; none when empty.

    Raises:
        ConfigError: If it is contradictory, or the environment doesn't have the password.
    """

    def __init__(self, config: EmailConfig, page: str = "") -> None:
        self._config = config
        self._page = page
        _check_mail(config)
        self._password = _secret("email password_env", config.password_env) if config.password_env else ""

    def send(self, notice: Notice) -> None:
        """Sends a notice to all receivers at once.

        Raises:
            Unavailable: If the server didn't take it for all of them.
        """
        import smtplib
        import ssl
        from email.message import EmailMessage

        config, message = self._config, EmailMessage()
        message["Subject"] = " ".join(headline(notice).split())[:200]
        message["From"], message["To"] = config.sender, ", ".join(config.to)
        message["Message-ID"] = f"<{notice.id}@treadle>"
        message["Date"] = notice.at
        message.set_content(text(notice, self._page))
        began: list[smtplib.SMTP] = []
        greeted = False
        deadline = Deadline(_MAIL_DEADLINE, lambda: began[0].sock if began else None)
        try:
            with deadline, self._connected(began.append) as server:
                greeted = True
                if config.starttls:
                    server.starttls(context=ssl.create_default_context())
                if config.user:
                    server.login(config.user, self._password)
                refused = server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            if deadline.passed:
                raise self._refused(f"it took more than {_MAIL_DEADLINE:g} seconds") from error
            raise self._refused(*self._told(error, greeted=greeted)) from error
        if refused:
            raise self._refused(f"it refused {', '.join(refused)}")

    def _connected(self, begins: Callable[[smtplib.SMTP], None]) -> smtplib.SMTP:
        """A server that has greeted; who is to end it if it never does is told of it before."""
        import smtplib
        import ssl

        class Plain(smtplib.SMTP):
            def connect(self, *args: Any, **options: Any) -> tuple[int, bytes]:
                begins(self)
                return super().connect(*args, **options)

        class Encrypted(Plain, smtplib.SMTP_SSL):
            pass

        host, port = self._config.host, self._config.port
        if self._config.tls:
            return Encrypted(host, port, timeout=_MAIL_TIMEOUT, context=ssl.create_default_context())
        return Plain(host, port, timeout=_MAIL_TIMEOUT)

    def _told(self, error: Exception, *, greeted: bool) -> tuple[str, str]:
        """Why a server can't be spoken to, and what to do."""
        import smtplib
        import ssl

        if isinstance(error, ssl.SSLCertVerificationError):
            mend = "set `host` to a name in it, or SSL_CERT_FILE to its authority's certificates"
            return distrust(error), mend
        if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
            mend = "say `starttls` for `tls`, or the `port` that is encrypted so, most often 465"
            return "it isn't encrypted from the first byte on", mend
        silent = isinstance(error, TimeoutError | smtplib.SMTPServerDisconnected) and not greeted
        if silent and not self._config.tls:
            mend = "say `tls = true` if its port is encrypted from the first byte on, as 465 most often is"
            return f"it didn't greet ({error})", mend
        return str(error), _CHECK_MAIL

    def _refused(self, why: str, fix: str = _CHECK_MAIL) -> Unavailable:
        return Unavailable(
            f"the mail server didn't take the notice: {why}",
            where=f"{self._config.host}:{self._config.port}",
            fix=f"it is tried again; {fix}",
        )


class Alertmanager:
    """Posts incidents as alerts to ``/api/v2/alerts``; what is resolved ends there too.

    https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml

    Args:
        url: Of the Alertmanager.
        page: Of the platform, which the alert links to; none when empty.
    """

    def __init__(self, url: str, page: str = "") -> None:
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._page = page

    def send(self, notice: Notice) -> None:
        """Posts an incident's state.

        Raises:
            Unavailable: If it wasn't answered with a status below 300.
        """
        one = notice.incident
        resolved = one.state == "resolved" and one.resolved_at is not None
        stands = _TEST_STANDS if notice.occasion == "test" else _STANDS
        now = one.severity, notice.again
        alerts = [self._alert(notice, *now, notice.at if resolved else notice.at + stands)]
        if notice.occasion not in {"opened", "test"}:
            # Labels are an alert's identity, and what it is routed by: what was less severe, or was told less
            # often, ends. Nobody is told of an alert again whose labels haven't changed.
            every = [(how, again) for again in range(notice.again + 1) for how in get_args(Severity)]
            alerts += [self._alert(notice, *before, notice.at) for before in every if before != now]
        post(self._url, msgspec.json.encode(alerts), {})

    def _alert(self, notice: Notice, severity: Severity, again: int, ends: datetime) -> Json:
        one = notice.incident
        summary = notice.sentence if notice.occasion == "worse" else one.title
        alert: dict[str, Json] = {
            "labels": {
                "alertname": "TreadleIncident",
                "model": one.model,
                "incident": one.id,
                "severity": severity,
                **({"again": str(again)} if again else {}),
            },
            "annotations": {"summary": summary, "description": text(notice)},
            "startsAt": _stamp(min(one.opened_at, ends)),
            "endsAt": _stamp(ends),
        }
        if self._page:
            alert["generatorURL"] = _link(self._page, one.id)
        return alert


def _link(page: str, incident: str) -> str:
    return f"{page.rstrip('/')}/v1/incidents/{incident}/page"


def _check_mail(config: EmailConfig) -> None:
    """Refuses what can't be meant."""
    where = "treadle.toml [monitor.notify.email]"
    if config.tls and config.starttls:
        raise ConfigError(
            "the connection can't be encrypted from the start and then again",
            where=where,
            fix="use `tls` (most often port 465) or `starttls` (most often port 587)",
        )
    if bool(config.user) != bool(config.password_env):
        raise ConfigError(
            "who logs in needs both a name and a password",
            where=where,
            fix="set both `user` and `password_env`, or neither",
        )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _address(key: str, url: str) -> str:
    return check_address(url, f"treadle.toml [monitor.notify] {key}")


def _secret(key: str, name: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise ConfigError(
            f"the environment variable {name} isn't set",
            where=f"treadle.toml [monitor.notify] {key}",
            fix=f"set {name} for the process that runs `treadle up`",
        )
    return found
