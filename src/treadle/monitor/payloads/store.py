"""Requests and responses that wait for each other, kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from treadle.kernel.database import Instant, insert_once, schema
from treadle.monitor.payloads.types import InferenceEvent, Pair, Side, Unpaired

payloads = sa.Table(
    "payloads",
    schema,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("side", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("asked", sa.Integer),
    sa.Column("output", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("batch", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Index("payloads_by_batch", "batch", "side", "received_at", "size"),
)
"""``asked`` is the version that the sender named, ``version`` the one that the pair is logged by: known once
a side came that was checked together with the other."""

_WAITING = payloads.c.batch.is_(None)


class Whole(NamedTuple):
    """A pair that is whole; without a version if its sides came at one moment and nobody checked them."""

    model: str
    event: str
    version: int | None


class Claimed(NamedTuple):
    """Pairs that are appended to the log at once."""

    batch: str
    model: str
    version: int


class Lone(NamedTuple):
    """How many of a model's events of one side waited in vain."""

    model: str
    side: Side
    events: int


def keep(
    connection: sa.Connection,
    model: str,
    event: InferenceEvent,
    received_at: datetime,
    version: int | None = None,
) -> None:
    """Keeps an event unless it is here already.

    Args:
        connection: A write transaction.
        model: The model.
        event: A request or a response that has a time.
        received_at: When it arrived.
        version: The version that answered, if the event was checked together with its other side.
    """
    values = {
        "model": model,
        "event": event.id,
        "side": event.side,
        "at": event.at,
        "received_at": received_at,
        "service": event.service,
        "asked": event.version,
        "output": event.output,
        "body": event.body,
        "size": len(event.body),
        "version": version,
    }
    insert_once(connection, payloads, values)


def find(connection: sa.Connection, model: str, event: str, side: Side) -> InferenceEvent | None:
    """One side of an inference, if it is here."""
    same = (payloads.c.model == model, payloads.c.event == event, payloads.c.side == side)
    row = connection.execute(sa.select(payloads).where(*same)).mappings().first()
    return _event(row) if row else None


def waiting(connection: sa.Connection) -> tuple[int, int]:
    """How many events wait, and their bytes."""
    columns = sa.func.count(), sa.func.coalesce(sa.func.sum(payloads.c.size), 0)
    count, size = connection.execute(sa.select(*columns).where(_WAITING)).one()
    return int(count), int(size)


def whole_pairs(connection: sa.Connection, most: int, size: int) -> list[Whole]:
    """Pairs that nobody has claimed, those that have waited longest first.

    Args:
        connection: A transaction.
        most: How many, at most.
        size: Of how many bytes; one pair may have more.
    """
    asked = payloads.alias("asked")
    same = (asked.c.model == payloads.c.model, asked.c.event == payloads.c.event, asked.c.side == "request")
    version = sa.func.coalesce(payloads.c.version, asked.c.version)
    query = (
        sa.select(payloads.c.model, payloads.c.event, version, payloads.c.size + asked.c.size)
        .join(asked, sa.and_(*same))
        .where(_WAITING, payloads.c.side == "response")
        .order_by(payloads.c.received_at)
        .limit(most)
    )
    found: list[Whole] = []
    total = 0
    for model, event, known, bytes_ in connection.execute(query):
        total += bytes_
        if total > size and found:
            break
        found.append(Whole(model, event, known))
    return found


def find_pair(connection: sa.Connection, model: str, event: str) -> Pair | None:
    """Both sides of an inference, if they are here."""
    return next(iter(_pairs(connection, payloads.c.model == model, payloads.c.event == event)), None)


def claim(connection: sa.Connection, one: Claimed, events: Sequence[str]) -> None:
    """Makes a batch of pairs; those that another process has claimed aren't part of it."""
    mine = (payloads.c.model == one.model, payloads.c.event.in_(events), _WAITING)
    connection.execute(payloads.update().where(*mine).values(batch=one.batch, version=one.version))


def claimed(connection: sa.Connection) -> list[Claimed]:
    """Batches that were claimed and are not known to be in the log."""
    columns = payloads.c.batch, payloads.c.model, payloads.c.version
    query = sa.select(*columns).where(payloads.c.batch.is_not(None)).distinct().order_by(payloads.c.batch)
    return [Claimed(*row) for row in connection.execute(query)]


def pairs_of(connection: sa.Connection, batch: str) -> list[Pair]:
    """The pairs of a batch; none if another process is done with it."""
    return _pairs(connection, payloads.c.batch == batch)


def forget_batch(connection: sa.Connection, batch: str) -> None:
    """Removes what is in the log."""
    connection.execute(payloads.delete().where(payloads.c.batch == batch))


def forget(connection: sa.Connection, model: str, events: Sequence[str]) -> None:
    """Removes pairs that nobody has claimed."""
    mine = (payloads.c.model == model, payloads.c.event.in_(events), _WAITING)
    connection.execute(payloads.delete().where(*mine))


def oldest(connection: sa.Connection) -> datetime | None:
    """When the event that has waited longest arrived."""
    found: datetime | None = connection.execute(
        sa.select(sa.func.min(payloads.c.received_at)).where(_WAITING)
    ).scalar()
    return found


def unpaired(connection: sa.Connection, model: str) -> Unpaired:
    """How many of a model's events wait for their other side."""
    other = payloads.alias("other")
    same = (other.c.model == payloads.c.model, other.c.event == payloads.c.event)
    whole = sa.exists().where(*same, other.c.side != payloads.c.side)
    columns = payloads.c.side, sa.func.count(), sa.func.min(payloads.c.received_at)
    query = sa.select(*columns).where(_WAITING, payloads.c.model == model, ~whole).group_by(payloads.c.side)
    found = {side: (int(count), first) for side, count, first in connection.execute(query)}
    return Unpaired(
        requests=found.get("request", (0, None))[0],
        responses=found.get("response", (0, None))[0],
        since=min((first for _, first in found.values()), default=None),
    )


def expire(connection: sa.Connection, before: datetime) -> list[Lone]:
    """Removes events that arrived before a moment and whose other side never did.

    Returns:
        How many, by model and side.
    """
    other = payloads.alias("other")
    same = (other.c.model == payloads.c.model, other.c.event == payloads.c.event)
    whole = sa.exists().where(*same, other.c.side != payloads.c.side)
    gone = (_WAITING, payloads.c.received_at < before, ~whole)
    columns = payloads.c.model, payloads.c.side
    query = sa.select(*columns, sa.func.count()).where(*gone).group_by(*columns).order_by(*columns)
    found = [Lone(*row) for row in connection.execute(query)]
    connection.execute(payloads.delete().where(*gone))
    return found


def _pairs(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Pair]:
    query = sa.select(payloads).where(*conditions).order_by(payloads.c.model, payloads.c.event)
    return list(_joined(connection.execute(query).mappings().all()))


def _joined(rows: Sequence[Any]) -> Iterable[Pair]:
    sides: dict[tuple[str, str], dict[str, InferenceEvent]] = {}
    for row in rows:
        sides.setdefault((row["model"], row["event"]), {})[row["side"]] = _event(row)
    for (model, _), both in sides.items():
        if len(both) == 2:
            yield Pair(model, both["request"], both["response"])


def _event(row: Any) -> InferenceEvent:
    return InferenceEvent(
        id=row["event"],
        side=row["side"],
        body=bytes(row["body"]),
        at=row["at"],
        service=row["service"],
        version=row["asked"],
        output=row["output"],
    )
