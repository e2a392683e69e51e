"""The tables of datasets, branches and tags."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.data.branches.types import Dataset, Ref, RefKind, RefSettings
from treadle.data.staging.store import drop_below
from treadle.kernel.database import Instant, Json, insert_once, schema

datasets = sa.Table(
    "data_sets",
    schema,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False, default="{}"),
)
refs = sa.Table(
    "data_refs",
    schema,
    sa.Column("dataset", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=True),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("settings", Json(RefSettings), nullable=False),
)


def insert_dataset(connection: sa.Connection, dataset: Dataset) -> bool:
    """Adds a dataset; returns whether it wasn't there."""
    return insert_once(connection, datasets, {**msgspec.structs.asdict(dataset), "settings": "{}"})


def all_datasets(connection: sa.Connection) -> list[Dataset]:
    """Every dataset, by name."""
    columns = (datasets.c.name, datasets.c.created_at, datasets.c.actor)
    found = connection.execute(sa.select(*columns).order_by(datasets.c.name)).mappings()
    return [Dataset(**row) for row in found]


def insert_ref(connection: sa.Connection, ref: Ref) -> bool:
    """Adds a branch or a tag; returns whether it wasn't there."""
    return insert_once(connection, refs, msgspec.structs.asdict(ref))


def find_ref(connection: sa.Connection, dataset: str, kind: RefKind, name: str) -> Ref | None:
    """A branch or a tag."""
    query = sa.select(refs).where(_is(dataset, kind, name))
    row = connection.execute(query).mappings().one_or_none()
    return Ref(**row) if row else None


def refs_of(connection: sa.Connection, dataset: str, kind: RefKind) -> list[Ref]:
    """The branches or the tags of a dataset, by name."""
    query = sa.select(refs).where(refs.c.dataset == dataset, refs.c.kind == kind).order_by(refs.c.name)
    return [Ref(**row) for row in connection.execute(query).mappings()]


def move_ref(connection: sa.Connection, ref: Ref, expected: int | None, at: datetime, actor: str) -> bool:
    """Moves a branch if it still stands where it was expected; returns whether it was moved.

    Args:
        connection: A transaction.
        ref: The branch, with the number that it shall have.
        expected: The number that it must have before.
        at: When.
        actor: Who.
    """
    stands = refs.c.number.is_(None) if expected is None else refs.c.number == expected
    change = (
        refs.update()
        .where(_is(ref.dataset, ref.kind, ref.name), stands)
        .values(number=ref.number, changed_at=at, actor=actor)
    )
    return connection.execute(change).rowcount == 1


def set_settings(connection: sa.Connection, ref: Ref, settings: RefSettings) -> None:
    """Changes how a branch is protected."""
    change = refs.update().where(_is(ref.dataset, ref.kind, ref.name))
    connection.execute(change.values(settings=settings))


def delete_ref(connection: sa.Connection, dataset: str, kind: RefKind, name: str) -> bool:
    """Removes a branch or a tag; returns whether it was there."""
    return connection.execute(refs.delete().where(_is(dataset, kind, name))).rowcount == 1


def drop_at(connection: sa.Connection, dataset: str, numbers: Collection[int]) -> None:
    """Removes the branches and tags that stand at some versions, with what is staged on them."""
    these = sa.and_(refs.c.dataset == dataset, refs.c.number.in_(numbers))
    for kind, name in connection.execute(sa.select(refs.c.kind, refs.c.name).where(these)).all():
        delete_ref(connection, dataset, kind, name)
        if kind == "branch":
            drop_below(connection, dataset, name)


def any_of(connection: sa.Connection, dataset: str) -> bool:
    """Whether a dataset has a branch or a tag."""
    query = sa.select(refs.c.name).where(refs.c.dataset == dataset).limit(1)
    return connection.execute(query).first() is not None


def delete_dataset(connection: sa.Connection, dataset: str) -> None:
    """Forgets a dataset, whose name is free then."""
    connection.execute(datasets.delete().where(datasets.c.name == dataset))


def _is(dataset: str, kind: RefKind, name: str) -> Any:
    return sa.and_(refs.c.dataset == dataset, refs.c.kind == kind, refs.c.name == name)
