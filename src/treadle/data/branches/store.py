"""The tables of datasets, branches and tags."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from treadle.data.branches.types import Dataset, Ref, RefKind, RefSettings
from treadle.data.staging.store import drop_below
from treadle.kernel.database import Instant, Json, insert_once, schema, take_turn

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


def hold_dataset(connection: sa.Connection, dataset: Dataset) -> None:
    """Has a dataset be there until the transaction ends; adds it where it isn't, or is being forgotten."""
    this = sa.select(datasets.c.name).where(datasets.c.name == dataset.name)
    while connection.execute(this.with_for_update(read=True, key_share=True)).first() is None:
        insert_dataset(connection, dataset)


def lock_dataset(connection: sa.Connection, dataset: str) -> None:
    """Lets nobody else hold a dataset until the transaction ends."""
    connection.execute(sa.select(datasets.c.name).where(datasets.c.name == dataset).with_for_update())


def all_datasets(connection: sa.Connection) -> list[Dataset]:
    """Every dataset, by name."""
    columns = (datasets.c.name, datasets.c.created_at, datasets.c.actor)
    found = connection.execute(sa.select(*columns).order_by(datasets.c.name)).mappings()
    return [Dataset(**row) for row in found]


def insert_ref(connection: sa.Connection, ref: Ref) -> bool:
    """Adds a branch or a tag; returns whether it wasn't there."""
    return insert_once(connection, refs, msgspec.structs.asdict(ref))


def taken(connection: sa.Connection, ref: Ref) -> RefKind | None:
    """What has the name that a new branch or tag is to have; nobody else gives it away from here on."""
    take_turn(connection, "refs", ref.dataset, ref.name)
    kinds = sa.select(refs.c.kind).where(refs.c.dataset == ref.dataset, refs.c.name == ref.name)
    found: RefKind | None = connection.execute(kinds).scalar()
    return found


def find_ref(
    connection: sa.Connection, dataset: str, kind: RefKind, name: str, *, lock: bool = False
) -> Ref | None:
    """A branch or a tag; locked until the transaction ends if that is asked for."""
    query = sa.select(refs).where(_is(dataset, kind, name))
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
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


def set_settings(connection: sa.Connection, ref: Ref, settings: RefSettings) -> bool:
    """Changes how a branch is protected; returns whether it is there."""
    change = refs.update().where(_is(ref.dataset, ref.kind, ref.name))
    return connection.execute(change.values(settings=settings)).rowcount == 1


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
