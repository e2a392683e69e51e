"""The tables of what came of requests, which service levels are computed from: by the minute, and finer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from treadle.deploy.falling import LOOKS_BACK, STRETCH
from treadle.deploy.types import Counts, Moment, ReplicaReport
from treadle.kernel.database import Instant, schema

KEPT = timedelta(days=31)

_COUNTS = ("requests", "errors", "slow")


def _table(name: str, moment: str) -> sa.Table:
    return sa.Table(
        name,
        schema,
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column(moment, Instant, primary_key=True),
        *(sa.Column(count, sa.BigInteger, nullable=False) for count in _COUNTS),
    )


minutes = _table("service_minutes", "minute")
moments = _table("service_moments", "moment")


def since(before: ReplicaReport | None, report: ReplicaReport) -> Counts:
    """What a replica counted since its report before. Pure.

    A process that is heard of for the first time may have counted for long: it says from where on it
    counts. One in the place of another has counted since it started, which was a moment ago.
    """
    if before is None:
        return Counts()
    counts = [getattr(report, name) for name in _COUNTS]
    known = [getattr(before, name) for name in _COUNTS]
    if before.process == report.process and all(a >= b for a, b in zip(counts, known, strict=True)):
        counts = [a - b for a, b in zip(counts, known, strict=True)]
    return Counts(*counts)


def add(connection: sa.Connection, model: str, now: datetime, counts: Counts, environment: str = "") -> None:
    """Adds to the counts of a minute and of a stretch; forgets old ones when new ones begin."""
    if not counts.requests:
        return
    mine = {"model": model, "environment": environment}
    minute = now.replace(second=0, microsecond=0)
    _add(connection, minutes, mine | {"minute": minute}, counts, minute - KEPT)
    moment = minute + (now - minute) // STRETCH * STRETCH
    _add(connection, moments, mine | {"moment": moment}, counts, moment - 2 * LOOKS_BACK)


def _add(
    connection: sa.Connection, table: sa.Table, key: Mapping[str, Any], counts: Counts, kept: datetime
) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(table).values(**key, **{name: getattr(counts, name) for name in _COUNTS})
    more = {name: table.c[name] + insert.excluded[name] for name in _COUNTS}
    keys = list(table.primary_key)
    asked = insert.on_conflict_do_update(index_elements=keys, set_=more).returning(table.c.requests)
    if connection.execute(asked).scalar_one() == counts.requests:
        old = keys[-1] < kept
        connection.execute(table.delete().where(table.c.model == key["model"], old))


def recent(connection: sa.Connection, model: str, now: datetime, environment: str = "") -> list[Moment]:
    """What came of a model's requests in each stretch of the last minutes that had any, oldest first."""
    mine = (moments.c.model == model) & (moments.c.environment == environment)
    late = (moments.c.moment > now - LOOKS_BACK) & (moments.c.moment <= now)
    query = sa.select(moments.c.moment, *(moments.c[name] for name in _COUNTS)).where(mine, late)
    rows = connection.execute(query.order_by(moments.c.moment)).all()
    return [Moment(moment.timestamp(), Counts(*counts)) for moment, *counts in rows]


def totals(
    connection: sa.Connection,
    model: str,
    now: datetime,
    spans: Sequence[timedelta],
    environment: str = "",
) -> dict[timedelta, Counts]:
    """What came of a model's requests in the time before a moment, for each length of it.

    The minute that has begun counts as one: five minutes are the last four and what there is of this one.
    """
    return {span: _sum(connection, model, environment, now - span, now) for span in spans}


def within(
    connection: sa.Connection, model: str, since: datetime, until: datetime, environment: str = ""
) -> Counts:
    """What came of a model's requests in the whole minutes between two moments."""
    # A minute is named by its beginning: the one that ends at or before `until` is the last whole one.
    least, minute = since - timedelta(microseconds=1), timedelta(minutes=1)
    return _sum(connection, model, environment, least, until - minute)


def _sum(connection: sa.Connection, model: str, environment: str, after: datetime, until: datetime) -> Counts:
    columns = [sa.func.coalesce(sa.func.sum(minutes.c[name]), 0) for name in _COUNTS]
    mine = (minutes.c.model == model) & (minutes.c.environment == environment)
    query = sa.select(*columns).where(mine, minutes.c.minute > after, minutes.c.minute <= until)
    return Counts(*(int(count) for count in connection.execute(query).one()))
