"""What a list of runs is sorted by."""

from __future__ import annotations

import sqlalchemy as sa

from treadle.experiment.columns import number_of
from treadle.experiment.grammar import OrderKey
from treadle.experiment.tables import metrics, params, tags
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import unknown

_ATTRIBUTES = {
    "started_at": "start_time",
    "ended_at": "end_time",
    "duration": "duration",
    "name": "run_name",
    "status": "status",
    "user": "user_id",
    "id": "run_id",
}
_LOOKED_AT = 1000


def order_of(connection: sa.Connection, sort: str) -> OrderKey:
    """What runs are ordered by. A parameter's values are numbers if those looked at all are.

    Raises:
        InvalidInput: If ``sort`` is nothing to sort by.
        NotFound: If no run has it.
    """
    key = sort.removeprefix("-")
    entity, dot, name = key.partition(".")
    if key in _ATTRIBUTES:
        return OrderKey("attribute", _ATTRIBUTES[key], ascending=key == sort)
    if not dot or not name or entity not in {"metrics", "params", "tags"}:
        raise InvalidInput(
            f"runs can't be sorted by {sort!r}",
            fix=f"use {', '.join(_ATTRIBUTES)}, metrics.NAME, params.NAME or tags.NAME",
        )
    if entity == "metrics":
        _check_metric(connection, name)
        return OrderKey("metric", name, ascending=key == sort)
    table = params if entity == "params" else tags
    query = sa.select(table.c.value).where(table.c.name == name).limit(_LOOKED_AT)
    values = connection.execute(query).scalars().all()
    if not values:
        known = connection.execute(sa.select(table.c.name).distinct().limit(_LOOKED_AT)).scalars()
        raise unknown(entity.removesuffix("s"), name, known)
    if entity == "tags":
        return OrderKey("tag", name, ascending=key == sort)
    numeric = all(number_of(value) is not None for value in values)
    return OrderKey("param", name, ascending=key == sort, numeric=numeric)


def _check_metric(connection: sa.Connection, name: str) -> None:
    if not connection.execute(sa.select(metrics.c.run).where(metrics.c.name == name).limit(1)).first():
        known = connection.execute(sa.select(metrics.c.name).distinct().limit(1000))
        raise unknown("metric", name, known.scalars())
