"""Searching logged models: each comparison is a look-up beside the models of some experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from treadle.experiment.grammar.sql import holds, measured
from treadle.experiment.grammar.types import Comparison, OrderKey
from treadle.experiment.logged_store import (
    COLUMNS,
    complete,
    logged_models,
    model_metrics,
    model_params,
    model_tags,
)
from treadle.experiment.logged_types import DatasetFilter, LoggedModelPage
from treadle.kernel.paging import SortKey, by_code_point, page

_US_PER_MS = 1000
_FURTHEST = 2**63 - 1
_TIMES = {
    "creation_timestamp": logged_models.c.created_at,
    "last_updated_timestamp": logged_models.c.updated_at,
}
_TEXTS: dict[str, sa.ColumnElement[str]] = {
    "name": logged_models.c.name,
    "model_id": logged_models.c.id,
    "source_run_id": logged_models.c.run,
    "status": sa.func.upper(logged_models.c.status, type_=sa.Text),
    "model_type": logged_models.c.model_type,
    "experiment_id": logged_models.c.experiment,
    "artifact_location": logged_models.c.artifacts,
    "lifecycle_stage": logged_models.c.lifecycle,
    "status_message": logged_models.c.message,
}


def search(
    connection: sa.Connection,
    experiments: Sequence[str],
    *,
    filters: Sequence[Comparison],
    datasets: Sequence[DatasetFilter],
    order: Sequence[OrderKey],
    limit: int,
    token: str | None,
) -> LoggedModelPage:
    """A page of the logged models of some experiments that aren't deleted.

    Args:
        connection: Where to ask.
        experiments: Their identifiers.
        filters: What must all hold.
        datasets: A metric counts only on one of these; without a filter by a metric, a model
            counts only if it has any metric on one. No datasets stand for any.
        order: The whole order, ties included.
        limit: How many to give.
        token: What came with the page before.

    Raises:
        InvalidInput: If the token is none, or another search's.
    """
    query = sa.select(*COLUMNS).where(
        logged_models.c.experiment.in_(set(experiments)),
        logged_models.c.lifecycle == "active",
        *(_condition(one, datasets) for one in filters),
    )
    if datasets and not any(one.entity == "metric" for one in filters):
        query = query.where(_beside(model_metrics, _on(datasets)))
    keys = [_key(connection, one) for one in order]
    asked = (sorted(set(experiments)), filters, datasets, order)
    rows, after = page(connection, query, keys, limit=limit, token=token, asked=asked)
    return LoggedModelPage(complete(connection, rows), after)


def _condition(one: Comparison, datasets: Sequence[DatasetFilter]) -> sa.ColumnElement[bool]:
    if one.entity == "metric":
        named = model_metrics.c.name == one.key
        found = _beside(model_metrics, named, measured(model_metrics.c.value, one), _on(datasets))
    elif one.entity in {"param", "tag"}:
        table = model_params if one.entity == "param" else model_tags
        found = _beside(table, table.c.name == one.key, holds(table.c.value, one.op, one.value))
    elif one.key in _TIMES:
        assert isinstance(one.value, int | float)  # noqa: S101 - the grammar sees to that
        found = holds(
            _number(_TIMES[one.key]), one.op, max(-_FURTHEST, min(one.value * _US_PER_MS, _FURTHEST))
        )
    else:
        found = holds(_present(one.key), one.op, one.value)
    return found


def _present(key: str) -> sa.ColumnElement[str]:
    """A text, or nothing where it is empty."""
    return (
        sa.func.nullif(_TEXTS[key], "", type_=sa.Text)
        if key in {"source_run_id", "model_type"}
        else _TEXTS[key]
    )


def _number(column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    return sa.type_coerce(column, sa.BigInteger)


def _beside(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(table.c.model == logged_models.c.id, *conditions)


def _on(datasets: Sequence[DatasetFilter]) -> sa.ColumnElement[bool]:
    conditions = []
    for one in datasets:
        named = model_metrics.c.dataset_name == one.name
        conditions.append(named & (model_metrics.c.dataset_digest == one.digest) if one.digest else named)
    return sa.or_(*conditions) if conditions else sa.true()


def _key(connection: sa.Connection, one: OrderKey) -> SortKey:
    if one.entity == "metric":
        return _metric_key(one)
    if one.key in _TIMES:
        return SortKey(_number(_TIMES[one.key]), one.ascending)
    text = _present(one.key)
    rank = None if one.key == "model_id" else sa.case((text.is_(None), 2), else_=0)
    return SortKey(by_code_point(connection, text), one.ascending, rank)


def _metric_key(one: OrderKey) -> SortKey:
    """By the latest value of a metric: NaN after the numbers, and no value at all after that."""
    table = model_metrics
    latest = sa.select(table.c.value).where(table.c.model == logged_models.c.id, table.c.name == one.key)
    if one.dataset_name:
        latest = latest.where(table.c.dataset_name == one.dataset_name)
    if one.dataset_digest:
        latest = latest.where(table.c.dataset_digest == one.dataset_digest)
    last = (table.c.at.desc(), table.c.step.desc(), table.c.run, table.c.dataset_name, table.c.dataset_digest)
    value = latest.order_by(*last).limit(1).correlate(logged_models)
    rank = sa.case(
        (sa.type_coerce(value.scalar_subquery(), sa.Double).is_not(None), 0), (latest.exists(), 1), else_=2
    )
    return SortKey(sa.type_coerce(value.scalar_subquery(), sa.Double), one.ascending, rank)
