"""Runs, experiments and logged models that were deleted, taken away for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from treadle.experiment.logged_store import logged_models, model_metrics, model_params, model_tags, run_models
from treadle.experiment.store import pieces
from treadle.experiment.tables import (
    artifacts,
    chunks,
    experiments,
    imports,
    inputs,
    media,
    metrics,
    params,
    provenance,
    runs,
    tags,
)
from treadle.experiment.types import DEFAULT_ID

_BESIDE_RUNS = (metrics, params, tags, chunks, inputs, provenance, media, run_models)
_BESIDE_MODELS = (model_metrics, model_params, model_tags)


class Deleted(msgspec.Struct, frozen=True):
    """Something that was deleted.

    Attributes:
        id: Its identifier.
        name: Its name.
        experiment: The identifier of its experiment.
        at: When it was deleted; None if it wasn't, but its experiment was.
    """

    id: str
    name: str
    experiment: str
    at: datetime | None


def deleted_experiments(connection: sa.Connection, before: datetime) -> list[Deleted]:
    """The experiments that were deleted before a moment."""
    table = experiments
    query = sa.select(table.c.id, table.c.name, table.c.id, table.c.deleted_at).where(_old(table, before))
    return [Deleted(*row) for row in connection.execute(query.order_by(table.c.deleted_at))]


def deleted_runs(connection: sa.Connection, before: datetime) -> list[Deleted]:
    """The runs that were deleted before a moment, the one deleted first first."""
    table = runs
    query = sa.select(table.c.id, table.c.name, table.c.experiment, table.c.deleted_at)
    query = query.where(_old(table, before)).order_by(table.c.deleted_at, table.c.id)
    return [Deleted(*row) for row in connection.execute(query)]


def deleted_models(connection: sa.Connection, before: datetime, homes: Iterable[str]) -> list[Deleted]:
    """The logged models that were deleted before a moment, and all of some experiments."""
    table = logged_models
    query = sa.select(table.c.id, table.c.name, table.c.experiment, table.c.deleted_at)
    of_homes = table.c.experiment.in_(sorted(homes))
    query = query.where(sa.or_(_old(table, before), of_homes)).order_by(table.c.deleted_at, table.c.id)
    return [Deleted(*row) for row in connection.execute(query)]


def _old(table: sa.Table, before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.lifecycle == "deleted", table.c.deleted_at <= before)


def inside(connection: sa.Connection, experiment: str) -> set[str]:
    """The runs and logged models of an experiment."""
    found: set[str] = set()
    for table in (runs, logged_models):
        found.update(
            connection.execute(sa.select(table.c.id).where(table.c.experiment == experiment)).scalars()
        )
    return found


def count_beside(
    connection: sa.Connection, run_ids: Sequence[str], model_ids: Sequence[str]
) -> tuple[int, int]:
    """How many rows belong to runs and logged models, and how many of them are files."""
    rows = files = 0
    for ids, key, tables in ((run_ids, "run", _BESIDE_RUNS), (model_ids, "model", _BESIDE_MODELS)):
        for piece in pieces(ids):
            for table in tables:
                counted = sa.select(sa.func.count()).select_from(table).where(table.c[key].in_(piece))
                rows += int(connection.execute(counted).scalar_one())
            counted = sa.select(sa.func.count()).select_from(artifacts).where(artifacts.c.owner.in_(piece))
            files += int(connection.execute(counted).scalar_one())
    return rows + files, files


def erase_runs(connection: sa.Connection, ids: Sequence[str], before: datetime) -> list[str]:
    """Erases those of some runs that are still deleted, and were before a moment; returns them."""
    query = sa.select(runs.c.id).where(runs.c.id.in_(ids), _old(runs, before)).with_for_update()
    still = list(connection.execute(query).scalars())
    _erase_beside(connection, "run", still)
    connection.execute(runs.delete().where(runs.c.id.in_(still)))
    return still


def erase_models(
    connection: sa.Connection, ids: Sequence[str], before: datetime, homes: Iterable[str]
) -> list[str]:
    """Erases those of some logged models that are still deleted, or whose experiment is; returns them."""
    table = logged_models
    gone = sa.select(experiments.c.id).where(experiments.c.id.in_(sorted(homes)), _old(experiments, before))
    query = sa.select(table.c.id).where(table.c.id.in_(ids))
    query = query.where(sa.or_(_old(table, before), table.c.experiment.in_(gone))).with_for_update()
    still = list(connection.execute(query).scalars())
    _erase_beside(connection, "model", still)
    connection.execute(table.delete().where(table.c.id.in_(still)))
    return still


def erase_experiment(connection: sa.Connection, number: str, before: datetime) -> bool:
    """Erases an experiment that is still deleted, and has neither runs nor logged models any more."""
    this = sa.and_(experiments.c.id == number, _old(experiments, before))
    found = connection.execute(sa.select(experiments.c.id).where(this).with_for_update()).first()
    # Looked at once nothing can be added to it any more.
    if number == DEFAULT_ID or found is None or _has_any(connection, number):
        return False
    connection.execute(experiments.delete().where(this))
    return True


def _has_any(connection: sa.Connection, experiment: str) -> bool:
    """Whether an experiment has runs or logged models."""
    return any(
        connection.execute(sa.select(table.c.id).where(table.c.experiment == experiment).limit(1)).first()
        for table in (runs, logged_models)
    )


def _erase_beside(connection: sa.Connection, kind: str, ids: Sequence[str]) -> None:
    """What no foreign key takes along: files, and that it came from elsewhere."""
    connection.execute(artifacts.delete().where(artifacts.c.owner.in_(ids)))
    connection.execute(imports.delete().where(imports.c.kind == kind, imports.c.id.in_(ids)))
