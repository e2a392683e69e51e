"""The table of what came of requests, minute by minute: what service levels are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from treadle.deploy.types import Counts, ReplicaReport
from treadle.kernel.database import Instant, schema

KEPT = timedelta(days=31)

minutes = sa.Table(
    "service_minutes",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("minute", Instant, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("slow", sa.BigInteger, nullable=False),
)
_COUNTS = ("requests", "errors", "slow")


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
    """Adds to a minute's counts; forgets those of more than 31 days ago when a new minute begins."""
    if not counts.requests:
        return
    minute = now.replace(second=0, microsecond=0)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {"model": model, "environment": environment, "minute": minute}
    row |= {name: getattr(counts, name) for name in _COUNTS}
    insert = dialect.insert(minutes).values(row)
    more = {name: minutes.c[name] + insert.excluded[name] for name in _COUNTS}
    keys = list(minutes.primary_key)
    asked = insert.on_conflict_do_update(index_elements=keys, set_=more).returning(minutes.c.requests)
    if connection.execute(asked).scalar_one() == counts.requests:
        old = minutes.c.minute < minute - KEPT
        connection.execute(minutes.delete().where(minutes.c.model == model, old))


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
