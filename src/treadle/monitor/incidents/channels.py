"""The ways by which people are told: a webhook, Slack's, e-mail, and Prometheus' Alertmanager."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias, get_args

import msgspec

from treadle.kernel.config.notify import EmailConfig, NotifyConfig
from treadle.kernel.errors import ConfigError, Unavailable
from treadle.monitor.incidents.types import Notice
from treadle.monitor.types import Severity

TIMEOUT = 5.0
"""So many seconds a receiver has to answer."""

_STANDS = timedelta(days=30)
"""Alertmanager forgets an alert that nobody repeats; ours stand until they are resolved, or so long."""

_TITLES = {"opened": "", "worse": "Worse: ", "escalated": "Nobody has answered: ", "resolved": "Resolved: "}

Json: TypeAlias = str | Mapping[str, "Json"] | list["Json"]


class Channel(Protocol):
    """Takes notices to where somebody looks. Sending one twice must be as sending it once."""

    def send(self, notice: Notice) -> None:
        """Hands a notice over; raises Unavailable if it wasn't taken."""


def channels(config: NotifyConfig) -> dict[str, Channel]:
    """The channels of ``[monitor.notify]``, by name.

    Raises:
        ConfigError: If an address is none, or the environment variable that holds it isn't set.
    """
    found: dict[str, Channel] = {}
    if config.webhook:
        found["webhook"] = Webhook(_address("webhook", config.webhook))
    if config.slack_env:
        found["slack"] = Slack(_address("slack_env", _secret("slack_env", config.slack_env)))
    if config.email:
        found["email"] = Email(config.email)
    if config.alertmanager:
        found["alertmanager"] = Alertmanager(_address("alertmanager", config.alertmanager), config.page)
    return found


def headline(notice: Notice) -> str:
    """A notice in a line."""
    one = notice.incident
    return f"{_TITLES[notice.occasion]}[{one.severity}] {one.model}/{one.version}: {one.title}"


def text(notice: Notice) -> str:
    """A notice in words, with the commands to go on with."""
    one = notice.incident
    lines = [
        notice.sentence,
        "",
        f"incident  {one.id}, {one.severity}, {one.state}",
        f"model     {one.model}/{one.version}",
        f"since     {one.since:%Y-%m-%d %H:%M} UTC",
        f"concerns  {', '.join(one.subjects)}",
    ]
    if notice.occasion != "resolved":
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


class Slack:
    """Posts notices as Slack's incoming webhooks, and those of others like them, take them.

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

    Args:
        url: The webhook, which is a secret.
    """

    def __init__(self, url: str) -> None:
        self._url = url

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
                    "text": {"type": "mrkdwn", "text": f"```{escaped(text(notice)[:2900])}```"},
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

    Raises:
        ConfigError: If a password is asked for that the environment doesn't have.
    """

    def __init__(self, config: EmailConfig) -> None:
        self._config = config
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
        message.set_content(text(notice))
        try:
            with smtplib.SMTP(config.host, config.port, timeout=TIMEOUT) as server:
                if config.starttls:
                    server.starttls(context=ssl.create_default_context())
                if config.user:
                    server.login(config.user, self._password)
                refused = server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise self._refused(str(error)) from error
        if refused:
            raise self._refused(f"it refused {', '.join(refused)}")

    def _refused(self, why: str) -> Unavailable:
        return Unavailable(
            f"the mail server didn't take the notice: {why}",
            where=f"{self._config.host}:{self._config.port}",
            fix="it is tried again; check [monitor.notify.email]",
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
        alerts = [self._alert(notice, one.severity, notice.at if resolved else notice.at + _STANDS)]
        if notice.occasion != "opened":
            # Labels are an alert's identity, and what it is routed by: what was less severe before ends.
            others = [how for how in get_args(Severity) if how != one.severity]
            alerts += [self._alert(notice, how, notice.at) for how in others]
        post(self._url, msgspec.json.encode(alerts), {})

    def _alert(self, notice: Notice, severity: Severity, ends: datetime) -> Json:
        one = notice.incident
        alert: dict[str, Json] = {
            "labels": {
                "alertname": "TreadleIncident",
                "model": one.model,
                "incident": one.id,
                "severity": severity,
            },
            "annotations": {"summary": one.title, "description": text(notice)},
            "startsAt": _stamp(min(one.opened_at, ends)),
            "endsAt": _stamp(ends),
        }
        if self._page:
            alert["generatorURL"] = f"{self._page.rstrip('/')}/v1/incidents/{one.id}/page"
        return alert


def post(url: str, body: bytes, headers: Mapping[str, str], shown: str = "") -> None:
    """Posts JSON once.

    Args:
        url: Where.
        body: The JSON.
        headers: More headers.
        shown: What errors call the address; the address itself when empty.

    Raises:
        Unavailable: If it wasn't answered with a status below 300.
    """
    import urllib3

    where = shown or url
    try:
        with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=TIMEOUT)) as pool:
            answer = pool.request(
                "POST",
                url,
                body=body,
                headers={"Content-Type": "application/json", **headers},
                redirect=False,
            )
    except urllib3.exceptions.HTTPError as error:
        why = type(error).__name__ if shown else str(error)
        raise Unavailable(f"the notice wasn't taken: {why}", where=where, fix="it is tried again") from error
    if answer.status >= 300:
        raise Unavailable(
            f"the notice wasn't taken: it answered {answer.status}", where=where, fix="it is tried again"
        )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _address(key: str, url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(
            "this is no address that can be posted to",
            where=f"treadle.toml [monitor.notify] {key}",
            fix="write it with http:// or https://",
        )
    return url


def _secret(key: str, name: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise ConfigError(
            f"the environment variable {name} isn't set",
            where=f"treadle.toml [monitor.notify] {key}",
            fix=f"set {name} for the process that runs `treadle up`",
        )
    return found
