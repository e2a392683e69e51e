"""Searching the catalogue: by name, tags and origin, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from treadle.experiment.grammar import Comparison, OrderKey, holds
from treadle.kernel.paging import SortKey, by_code_point, page
from treadle.registry.catalog_rules import PROMPT
from treadle.registry.catalog_store import (
    complete_models,
    complete_versions,
    model_tags,
    models,
    version_tags,
    versions,
)
from treadle.registry.catalog_types import CatalogModelPage, CatalogVersionPage

_MODELS: dict[str, sa.ColumnElement[Any]] = {
    "name": models.c.name,
    "last_updated_timestamp": sa.type_coerce(models.c.updated_at, sa.BigInteger),
}
_VERSIONS: dict[str, sa.ColumnElement[Any]] = {
    "name": versions.c.model,
    "version_number": versions.c.number,
    "run_id": sa.func.nullif(versions.c.run, "", type_=sa.Text),
    "source_path": versions.c.source,
    "creation_timestamp": sa.type_coerce(versions.c.created_at, sa.BigInteger),
    "last_updated_timestamp": sa.type_coerce(versions.c.updated_at, sa.BigInteger),
}


def search_models(
    connection: sa.Connection,
    filters: Sequence[Comparison],
    order: Sequence[OrderKey],
    limit: int,
    token: str | None,
) -> CatalogModelPage:
    """A page of the registered models that fulfil all filters, in a whole order.

    Raises:
        InvalidInput: If the token is none, or another search's.
    """
    beside = model_tags.c.model == models.c.name
    query = sa.select(models).where(*_conditions(filters, _MODELS, model_tags, beside))
    keys = [_key(connection, one, _MODELS) for one in order]
    rows, after = page(connection, query, keys, limit=limit, token=token, asked=("models", filters, order))
    return CatalogModelPage(complete_models(connection, rows), after)


def search_versions(
    connection: sa.Connection,
    filters: Sequence[Comparison],
    order: Sequence[OrderKey],
    limit: int,
    token: str | None,
) -> CatalogVersionPage:
    """A page of the versions that fulfil all filters, in a whole order.

    Raises:
        InvalidInput: If the token is none, or another search's.
    """
    beside = sa.and_(version_tags.c.model == versions.c.model, version_tags.c.number == versions.c.number)
    query = sa.select(versions).where(*_conditions(filters, _VERSIONS, version_tags, beside))
    keys = [_key(connection, one, _VERSIONS) for one in order]
    rows, after = page(connection, query, keys, limit=limit, token=token, asked=("versions", filters, order))
    return CatalogVersionPage(complete_versions(connection, rows), after)


def _conditions(
    filters: Sequence[Comparison],
    columns: dict[str, sa.ColumnElement[Any]],
    tags: sa.Table,
    beside: sa.ColumnElement[bool],
) -> list[sa.ColumnElement[bool]]:
    found = []
    for one in filters:
        if one.entity == "attribute":
            found.append(holds(columns[one.key], one.op, one.value))
        elif one.key == PROMPT:
            # Clients add this one to tell models from prompts, of which there are none here.
            if (one.op, str(one.value).lower()) in {("=", "true"), ("!=", "false")}:
                found.append(sa.false())
        else:
            condition = holds(tags.c.value, one.op, one.value)
            found.append(sa.exists().where(beside, tags.c.name == one.key, condition))
    return found


def _key(connection: sa.Connection, one: OrderKey, columns: dict[str, sa.ColumnElement[Any]]) -> SortKey:
    column = columns[one.key]
    return SortKey(by_code_point(connection, column) if one.key == "name" else column, one.ascending)
