"""The table of dataset versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.data.types import Column, DatasetVersion, FileEntry, Source
from treadle.kernel.database import Instant, Json, schema

versions = sa.Table(
    "dataset_versions",
    schema,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("columns", Json(tuple[Column, ...]), nullable=False),
    sa.Column("files", Json(tuple[FileEntry, ...]), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("commit_id", sa.Text, nullable=False, server_default=""),
    sa.Column("tree", sa.Text, nullable=False, server_default=""),
    sa.Column("count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("branch", sa.Text, nullable=False, server_default=""),
    sa.Column("parents", Json(tuple[str, ...]), nullable=False, server_default="[]"),
    sa.Column("message", sa.Text, nullable=False, server_default=""),
    sa.Column("origin", Json(tuple[Source, ...]), nullable=False, server_default="[]"),
    sa.Column("deleted_at", Instant, nullable=True),
    sa.Column("deleted_by", sa.Text, nullable=False, server_default=""),
    sa.Column("deleted_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("freed_at", Instant, nullable=True),
    sa.Index("dataset_versions_by_digest", "dataset", "digest"),
    sa.Index("dataset_versions_by_commit", "commit_id"),
)

LIVE = versions.c.deleted_at.is_(None)
"""What isn't deleted."""


def insert(connection: sa.Connection, version: DatasetVersion) -> None:
    """Adds a version; its number must be free."""
    connection.execute(versions.insert().values(**msgspec.structs.asdict(version)))


def newest_first(connection: sa.Connection, dataset: str) -> list[DatasetVersion]:
    """Every version of a dataset."""
    return _select(connection, _of(dataset))


def latest(connection: sa.Connection, dataset: str) -> DatasetVersion | None:
    """The newest version of a dataset that isn't deleted."""
    return next(iter(_select(connection, _of(dataset).where(LIVE).limit(1))), None)


def by_digest(
    connection: sa.Connection, dataset: str, digest: str, *, deleted: bool = False
) -> DatasetVersion | None:
    """The newest version of a dataset that has this content, and isn't deleted unless that was asked for."""
    query = _of(dataset).where(versions.c.digest == digest).limit(1)
    return next(iter(_select(connection, query if deleted else query.where(LIVE))), None)


def by_number(connection: sa.Connection, dataset: str, number: int) -> DatasetVersion | None:
    """A version by its number."""
    return next(iter(_select(connection, _of(dataset).where(versions.c.number == number))), None)


def by_commit(connection: sa.Connection, dataset: str, prefix: str) -> list[DatasetVersion]:
    """The versions of a dataset whose commit's identifier begins like that; two at most."""
    end = prefix + "g"  # sorts after every hexadecimal digit
    query = _of(dataset).where(versions.c.commit_id >= prefix, versions.c.commit_id < end)
    return _select(connection, query.limit(2))


def next_number(connection: sa.Connection, dataset: str) -> int:
    """The number that the next version of a dataset has."""
    query = sa.select(sa.func.max(versions.c.number)).where(versions.c.dataset == dataset)
    return (connection.execute(query).scalar() or 0) + 1


def lineage(connection: sa.Connection, dataset: str) -> list[tuple[int, str, tuple[str, ...]]]:
    """Number, commit and parents of every version of a dataset."""
    columns = (versions.c.number, versions.c.commit_id, versions.c.parents)
    rows = connection.execute(sa.select(*columns).where(versions.c.dataset == dataset))
    return [(number, commit, tuple(parents)) for number, commit, parents in rows]


def made_of(connection: sa.Connection, kind: str, name: str) -> list[DatasetVersion]:
    """The versions whose origin names something, the oldest first."""
    told = sa.type_coerce(versions.c.origin, sa.Text)
    query = sa.select(versions).where(told.contains(msgspec.json.encode(name).decode(), autoescape=True))
    found = _select(connection, query.order_by(versions.c.created_at, versions.c.dataset, versions.c.number))
    return [one for one in found if any((it.kind, it.id) == (kind, name) for it in one.origin)]


def by_numbers(connection: sa.Connection, dataset: str, numbers: Sequence[int]) -> list[DatasetVersion]:
    """Versions by their numbers, the newest first."""
    return _select(connection, _of(dataset).where(versions.c.number.in_(numbers)))


def without_commit(connection: sa.Connection, dataset: str) -> list[DatasetVersion]:
    """The versions of a dataset that older Treadles made, the oldest first."""
    query = sa.select(versions).where(versions.c.dataset == dataset, versions.c.commit_id == "")
    return _select(connection, query.order_by(versions.c.number))


def adopt(connection: sa.Connection, version: DatasetVersion) -> bool:
    """Writes down the commit of a version that had none; returns whether it had none."""
    change = versions.update().where(
        versions.c.dataset == version.dataset,
        versions.c.number == version.number,
        versions.c.commit_id == "",
    )
    names = ("commit_id", "tree", "count", "branch", "parents")
    return connection.execute(change.values({name: getattr(version, name) for name in names})).rowcount == 1


def latest_of_each(connection: sa.Connection) -> list[DatasetVersion]:
    """The newest version of every dataset that isn't deleted, by name."""
    newest = sa.select(versions.c.dataset, sa.func.max(versions.c.number)).where(LIVE)
    newest = newest.group_by(versions.c.dataset)
    query = sa.select(versions).where(sa.tuple_(versions.c.dataset, versions.c.number).in_(newest))
    return _select(connection, query.order_by(versions.c.dataset))


# ── deleting ─────────────────────────────────────────────────────────────


def hold(connection: sa.Connection, dataset: str, numbers: Collection[int]) -> list[DatasetVersion]:
    """Keeps versions from being deleted until the transaction ends; returns those that are already."""
    these = sa.and_(versions.c.dataset == dataset, versions.c.number.in_(numbers))
    connection.execute(versions.update().where(these, LIVE).values(deleted_by=versions.c.deleted_by))
    return _select(connection, sa.select(versions).where(these, ~LIVE))


def is_deleted(connection: sa.Connection, version: DatasetVersion) -> bool:
    """Whether a version was deleted since it was read."""
    this = sa.and_(versions.c.dataset == version.dataset, versions.c.number == version.number, ~LIVE)
    return connection.execute(sa.select(versions.c.number).where(this)).first() is not None


def mark_deleted(
    connection: sa.Connection, dataset: str, numbers: Collection[int], at: datetime, by: str, reason: str
) -> int:
    """Deletes versions that aren't deleted; nobody comes to use them until the transaction ends."""
    these = sa.and_(versions.c.dataset == dataset, versions.c.number.in_(numbers), LIVE)
    values = {"deleted_at": at, "deleted_by": by, "deleted_reason": reason}
    return connection.execute(versions.update().where(these).values(values)).rowcount


def mark_live(
    connection: sa.Connection, dataset: str, numbers: Collection[int], *, freed: bool = False
) -> int:
    """Restores versions whose contents aren't given up, or are here again (``freed``)."""
    these = sa.and_(versions.c.dataset == dataset, versions.c.number.in_(numbers), ~LIVE)
    kept = sa.true() if freed else versions.c.freed_at.is_(None)
    values = {"deleted_at": None, "deleted_by": "", "deleted_reason": "", "freed_at": None}
    return connection.execute(versions.update().where(these, kept).values(values)).rowcount


def mark_freed(
    connection: sa.Connection, dataset: str, numbers: Collection[int], before: datetime, at: datetime
) -> list[int]:
    """Gives up what versions have that were deleted before a moment and still are; returns their numbers."""
    these = sa.and_(versions.c.dataset == dataset, versions.c.number.in_(numbers), _waiting(before))
    found = connection.execute(sa.select(versions.c.number).where(these).with_for_update()).scalars().all()
    still = sa.and_(versions.c.dataset == dataset, versions.c.number.in_(found))
    connection.execute(versions.update().where(still).values(freed_at=at))
    return list(found)


def waiting(connection: sa.Connection, before: datetime) -> list[DatasetVersion]:
    """The versions that were deleted before a moment and have what they had, the one deleted first first."""
    order = (versions.c.deleted_at, versions.c.dataset, versions.c.number)
    return _select(connection, sa.select(versions).where(_waiting(before)).order_by(*order))


def any_freed(connection: sa.Connection, dataset: str) -> bool:
    """Whether what versions of a dataset had was ever given up."""
    these = sa.and_(versions.c.dataset == dataset, versions.c.freed_at.is_not(None))
    return connection.execute(sa.select(versions.c.number).where(these).limit(1)).first() is not None


def _waiting(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(~LIVE, versions.c.freed_at.is_(None), versions.c.deleted_at <= before)


def _of(dataset: str) -> sa.Select[Any]:
    return sa.select(versions).where(versions.c.dataset == dataset).order_by(versions.c.number.desc())


def _select(connection: sa.Connection, query: sa.Select[Any]) -> list[DatasetVersion]:
    return [DatasetVersion(**row) for row in connection.execute(query).mappings()]
