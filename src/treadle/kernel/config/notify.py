"""``[monitor.notify]``: who is told of incidents, and how."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from treadle.kernel.config.base import Duration, Table

Port = Annotated[int, Meta(ge=1, le=65_535)]


class EmailConfig(Table, frozen=True):
    """``[monitor.notify.email]``

    Attributes:
        to: Who gets it.
        sender: Whom it is from.
        host: The SMTP server.
        port: Its port.
        starttls: Whether the connection is encrypted before anything is said, mostly at port 587.
        tls: Whether it is encrypted from the first byte on instead, mostly at port 465.
        user: Who logs in; nobody when left out.
        password_env: The environment variable that holds the password, which is written down nowhere.
    """

    to: Annotated[list[str], Meta(min_length=1)]
    sender: str
    host: str = "localhost"
    port: Port = 25
    starttls: bool = False
    tls: bool = False
    user: str | None = None
    password_env: str | None = None


class NotifyConfig(Table, frozen=True):
    """``[monitor.notify]``

    Attributes:
        webhook: Where notices are posted as JSON.
        slack_env: The environment variable that holds the address of a Slack-compatible webhook.
        email: By which mail server, and to whom.
        alertmanager: The address of a Prometheus Alertmanager.
        page: Where people reach this platform, for links.
        together: Alerts that come within this time of each other are one incident.
        worse_after: People are told that an incident has grown at most so often.
        escalate_after: An incident that nobody has taken for so long becomes more severe, and is told again.
    """

    webhook: str | None = None
    slack_env: str | None = None
    email: EmailConfig | None = None
    alertmanager: str | None = None
    page: str = ""
    together: Duration = "14d"
    worse_after: Duration = "1d"
    escalate_after: Duration = "1d"
