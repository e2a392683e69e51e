"""The table of dataset versions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.data.types import Column, DatasetVersion, FileEntry, Source
from treadle.kernel.database import Instant, Json, schema

_PIECE = 1000

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


def known(connection: sa.Connection, dataset: str) -> list[tuple[int, str, bool]]:
    """Number, content and whether it isn't deleted, of every version of a dataset."""
    query = sa.select(versions.c.number, versions.c.digest, LIVE).where(versions.c.dataset == dataset)
    return [(number, digest, bool(live)) for number, digest, live in connection.execute(query)]


def made_of(connection: sa.Connection, kind: str, name: str) -> list[DatasetVersion]:
    """The versions whose origin names something, the oldest first."""
    told = sa.type_coerce(versions.c.origin, sa.Text)
    query = sa.select(versions).where(told.contains(msgspec.json.encode(name).decode(), autoescape=True))
    found = _select(connection, query.order_by(versions.c.created_at, versions.c.dataset, versions.c.number))
    return [one for one in found if any((it.kind, it.id) == (kind, name) for it in one.origin)]


def by_numbers(connection: sa.Connection, dataset: str, numbers: Collection[int]) -> list[DatasetVersion]:
    """Versions by their numbers, the newest first."""
    found = [
        one for these in _pieces(dataset, numbers) for one in _select(connection, _of(dataset).where(these))
    ]
    return sorted(found, key=lambda one: -one.number)


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
    found: list[DatasetVersion] = []
    for these in _pieces(dataset, numbers):
        held = versions.update().where(these, LIVE).values(deleted_by=versions.c.deleted_by)
        if connection.execute(held).rowcount < len(numbers):
            found += _select(connection, sa.select(versions).where(these, ~LIVE))
    return found


def is_deleted(connection: sa.Connection, version: DatasetVersion) -> bool:
    """Whether a version is deleted by now."""
    this = sa.and_(versions.c.dataset == version.dataset, versions.c.number == version.number, ~LIVE)
    return connection.execute(sa.select(versions.c.number).where(this)).first() is not None


def mark_deleted(
    connection: sa.Connection, dataset: str, numbers: Collection[int], at: datetime, by: str, reason: str
) -> int:
    """Deletes those of some versions that aren't deleted; returns how many.

    Who comes to need one of them (:func:`hold`) waits until the transaction has ended.
    """
    values = {"deleted_at": at, "deleted_by": by, "deleted_reason": reason}
    return _change(connection, dataset, numbers, values, LIVE)


def mark_live(connection: sa.Connection, dataset: str, numbers: Collection[int]) -> int:
    """Restores those of some versions whose contents aren't given up; returns how many."""
    return _change(connection, dataset, numbers, _AS_NEW, sa.and_(~LIVE, versions.c.freed_at.is_(None)))


def mark_back(connection: sa.Connection, dataset: str, numbers: Collection[int]) -> int:
    """Restores those of some versions that are deleted, for what they have is here again."""
    return _change(connection, dataset, numbers, _AS_NEW, ~LIVE)


_AS_NEW: Mapping[str, Any] = {"deleted_at": None, "deleted_by": "", "deleted_reason": "", "freed_at": None}


def mark_freed(
    connection: sa.Connection, dataset: str, numbers: Collection[int], before: datetime, at: datetime
) -> list[int]:
    """Gives up what versions have that were deleted before a moment and still are; returns their numbers."""
    found: list[int] = []
    for these in _pieces(dataset, numbers):
        query = sa.select(versions.c.number).where(these, _waiting(before)).with_for_update()
        found += connection.execute(query).scalars()
    _change(connection, dataset, found, {"freed_at": at})
    return found


def take_back(connection: sa.Connection, dataset: str, numbers: Collection[int]) -> None:
    """Doesn't give versions up after all; they stay deleted."""
    _change(connection, dataset, numbers, {"freed_at": None})


def any_left(connection: sa.Connection, dataset: str) -> bool:
    """Whether a dataset has a version that wasn't given up."""
    these = sa.and_(versions.c.dataset == dataset, versions.c.freed_at.is_(None))
    return connection.execute(sa.select(versions.c.number).where(these).limit(1)).first() is not None


def waiting(connection: sa.Connection, before: datetime) -> list[DatasetVersion]:
    """The versions that were deleted before a moment and have what they had, the one deleted first first."""
    order = (versions.c.deleted_at, versions.c.dataset, versions.c.number)
    return _select(connection, sa.select(versions).where(_waiting(before)).order_by(*order))


def any_freed(connection: sa.Connection, dataset: str) -> bool:
    """Whether what versions of a dataset had was ever given up."""
    these = sa.and_(versions.c.dataset == dataset, versions.c.freed_at.is_not(None))
    return connection.execute(sa.select(versions.c.number).where(these).limit(1)).first() is not None


def _change(
    connection: sa.Connection,
    dataset: str,
    numbers: Collection[int],
    values: Mapping[str, Any],
    *where: sa.ColumnElement[bool],
) -> int:
    changes = [versions.update().where(these, *where).values(values) for these in _pieces(dataset, numbers)]
    return sum(connection.execute(change).rowcount for change in changes)


def _pieces(dataset: str, numbers: Collection[int]) -> Iterator[sa.ColumnElement[bool]]:
    """The versions of some numbers, so many at once as a statement can name."""
    every = sorted(set(numbers))
    for start in range(0, len(every), _PIECE):
        yield sa.and_(versions.c.dataset == dataset, versions.c.number.in_(every[start : start + _PIECE]))


def _waiting(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(~LIVE, versions.c.freed_at.is_(None), versions.c.deleted_at <= before)


def _of(dataset: str) -> sa.Select[Any]:
    return sa.select(versions).where(versions.c.dataset == dataset).order_by(versions.c.number.desc())


def _select(connection: sa.Connection, query: sa.Select[Any]) -> list[DatasetVersion]:
    return [DatasetVersion(**row) for row in connection.execute(query).mappings()]
