"""What the monitors found and raised, kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.kernel.database import Database, Instant, Json, schema, take_turn
from treadle.monitor.types import Alert, MonitorKind, WindowResult

windows = sa.Table(
    "windows",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("statistic", sa.Text, primary_key=True),
    sa.Column("until", Instant, primary_key=True),
    sa.Column("since", Instant, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("base_rate", sa.Float),
    sa.Column("mean_prediction", sa.Float),
    sa.Column("severity", sa.Text),
    sa.Column("threshold", sa.Float),
    sa.Column("chance", sa.Float),
    sa.Column("p_value", sa.Float),
    sa.Column("e_value", sa.Float),
    sa.Column("importance", sa.Float),
    sa.Column("explained_by", sa.Text, nullable=False),
    sa.Index("windows_by_time", "model", "until"),
)

alerts = sa.Table(
    "alerts",
    schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("subjects", Json(tuple[str, ...]), nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("delivered", sa.Boolean, nullable=False),
    sa.Column("cycle", sa.Text),
    sa.Index("alerts_by_time", "model", "at"),
)

monitored = sa.Table(
    "monitored",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("until", Instant, nullable=False),
)
"""Up to when each model's windows have been computed."""


@contextmanager
def changing(database: Database, model: str) -> Iterator[sa.Connection]:
    """A transaction in which nobody else changes a model's windows, alerts and incidents."""
    with database.write() as connection:
        take_turn(connection, "monitors", model)
        yield connection


def monitored_until(connection: sa.Connection, model: str) -> datetime | None:
    """Up to when the windows have been computed; None before the first."""
    found: datetime | None = connection.execute(_progress(model)).scalar()
    return found


def _progress(model: str) -> sa.Select[Any]:
    return sa.select(monitored.c.until).where(monitored.c.model == model)


def move_on(connection: sa.Connection, model: str, before: datetime | None, until: datetime) -> bool:
    """Takes the next window, unless somebody else has.

    Args:
        connection: As of :func:`changing`.
        model: The model.
        before: What :func:`monitored_until` was when the window was chosen.
        until: The window's end.
    """
    if monitored_until(connection, model) != before:
        return False
    if before is None:
        connection.execute(monitored.insert().values(model=model, until=until))
    else:
        connection.execute(monitored.update().where(monitored.c.model == model).values(until=until))
    return True


def add_windows(connection: sa.Connection, results: Sequence[WindowResult]) -> None:
    """Adds the results of one window."""
    if results:
        connection.execute(windows.insert(), [msgspec.structs.asdict(result) for result in results])


def replace_windows(
    connection: sa.Connection, model: str, until: datetime, results: Sequence[WindowResult]
) -> None:
    """Puts a window's results in the place of those that are kept of it."""
    connection.execute(windows.delete().where(windows.c.model == model, windows.c.until == until))
    add_windows(connection, results)


def read_windows(
    connection: sa.Connection,
    model: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    kind: MonitorKind | None = None,
    version: int | None = None,
    evidence: bool = False,
) -> list[WindowResult]:
    """Results of windows that ended after ``since``, or exactly at ``until``, oldest first.

    Of one kind of monitor, of one version, or of those that have an e-value, if these are given.
    """
    query = (
        sa.select(windows)
        .where(windows.c.model == model)
        .order_by(windows.c.until, windows.c.kind, windows.c.subject, windows.c.segment, windows.c.statistic)
    )
    if since is not None:
        query = query.where(windows.c.until > since)
    if until is not None:
        query = query.where(windows.c.until == until)
    if kind is not None:
        query = query.where(windows.c.kind == kind)
    if version is not None:
        query = query.where(windows.c.version == version)
    if evidence:
        query = query.where(windows.c.e_value.is_not(None))
    return [WindowResult(**row) for row in connection.execute(query).mappings()]


def count_windows(
    connection: sa.Connection, model: str, version: int, limit: int
) -> list[tuple[datetime, datetime, int, int]]:
    """A version's windows, the latest first: start, end, how many results, and how many are alerts."""
    over = sa.func.sum(sa.case((windows.c.state == "alert", 1), else_=0))
    query = (
        sa.select(windows.c.since, windows.c.until, sa.func.count(), over)
        .where(windows.c.model == model, windows.c.version == version)
        .group_by(windows.c.since, windows.c.until)
        .order_by(windows.c.until.desc(), windows.c.since)
        .limit(limit)
    )
    return [(since, until, count, int(alerts)) for since, until, count, alerts in connection.execute(query)]


def last_window(connection: sa.Connection, model: str) -> datetime | None:
    """When the last window with results ended."""
    query = sa.select(sa.func.max(windows.c.until, type_=Instant)).where(windows.c.model == model)
    found: datetime | None = connection.execute(query).scalar()
    return found


def subjects(connection: sa.Connection, model: str) -> set[str]:
    """What windows and alerts of a model were about."""
    query = sa.select(windows.c.subject).where(windows.c.model == model).distinct()
    told = connection.execute(sa.select(alerts.c.subjects).where(alerts.c.model == model)).scalars()
    return set(connection.execute(query).scalars()).union(*told)


def add_alert(connection: sa.Connection, alert: Alert) -> None:
    """Adds an alert."""
    connection.execute(alerts.insert().values(**msgspec.structs.asdict(alert)))


def read_alerts(
    connection: sa.Connection,
    model: str,
    kind: MonitorKind | None = None,
    delivered: bool | None = None,
) -> list[Alert]:
    """Alerts, oldest first."""
    query = sa.select(alerts).where(alerts.c.model == model).order_by(alerts.c.at, alerts.c.id)
    if kind is not None:
        query = query.where(alerts.c.kind == kind)
    if delivered is not None:
        query = query.where(alerts.c.delivered == delivered)
    return [Alert(**row) for row in connection.execute(query).mappings()]


def find_alert(connection: sa.Connection, alert_id: str) -> Alert | None:
    """An alert by its identity."""
    query = sa.select(alerts).where(alerts.c.id == alert_id).with_for_update()
    row = connection.execute(query).mappings().first()
    return Alert(**row) if row else None


def set_delivered(connection: sa.Connection, alert_id: str) -> None:
    """Notes that an alert was taken."""
    connection.execute(alerts.update().where(alerts.c.id == alert_id).values(delivered=True))


def set_cycle(connection: sa.Connection, alert_id: str, cycle: str) -> None:
    """Notes which cycle an alert started."""
    connection.execute(alerts.update().where(alerts.c.id == alert_id).values(cycle=cycle))
