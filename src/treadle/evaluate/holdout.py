"""The rows that a model is judged on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.kernel.config import Config
from treadle.kernel.engine import Engine, quote
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean

Column = npt.NDArray[Any]

MISSING = "(missing)"
_TIMES = ("DATE", "TIMESTAMP")
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")


class Holdout(msgspec.Struct, frozen=True, kw_only=True):
    """Held-out rows in columns of equal length.

    Attributes:
        labels: The truth.
        inputs: The features, as a model takes them; missing values are masked.
        groups: The columns of ``[checks.groups]`` as text, ``(missing)`` where empty.
        columns: The columns of ``[checks.bias]`` as text, ``(missing)`` where empty.
        clusters: The number of each row's cluster; None when rows are independent.
        unit: What is sampled: ``rows``, ``days``, or the cluster column's values.
    """

    labels: Column
    inputs: Mapping[str, Column]
    groups: Mapping[str, Column] = {}
    columns: Mapping[str, Column] = {}
    clusters: Column | None = None
    unit: str = "rows"


def column_types(engine: Engine, data: Path | list[Path]) -> dict[str, str]:
    """The SQL type of each column of Parquet files."""
    described = engine.rows("SELECT column_name, column_type FROM (DESCRIBE t)", tables={"t": data})
    return dict(described)


def is_number(kind: str) -> bool:
    """Whether an SQL type holds numbers."""
    return kind.removeprefix("U").startswith(_NUMBERS)


def require(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuses a name that the data doesn't have.

    Raises:
        InvalidInput: Naming the nearest column that there is.
    """
    for name in names:
        if name not in known:
            raise InvalidInput(f"the data has no column {name!r}", where=where, fix=did_you_mean(name, known))


def require_checked(config: Config, known: Iterable[str]) -> None:
    """Refuses a group or cluster column that the data doesn't have.

    Raises:
        InvalidInput: Naming the table of ``treadle.toml`` and the nearest column that there is.
    """
    require(config.checks.groups.by, known, "treadle.toml [checks.groups] by")
    require(config.checks.groups.columns, known, "treadle.toml [checks.groups] intersections")
    require(config.checks.bias.columns, known, "treadle.toml [checks.bias]")
    cluster = config.checks.performance.cluster
    require([cluster] if cluster else [], known, "treadle.toml [checks.performance] cluster")


def load(engine: Engine, config: Config, data: Path) -> Holdout:
    """Reads what judging needs from a Parquet file, in one query, in the file's order.

    A cluster column that holds dates or times counts by the day (UTC): rows of one day stand
    or fall together.

    Raises:
        InvalidInput: If a column isn't there, the label is no number or boolean, there are
            no rows, or a row has no label or cluster.
        CorruptData: If the file can't be read.
    """
    train, dataset = config.training
    label, cluster = str(dataset.label), config.checks.performance.cluster
    types = column_types(engine, data)
    require([label, *train.features], types, str(data))
    require_checked(config, types)
    if types[label] != "BOOLEAN" and not is_number(types[label]):
        raise InvalidInput(f"label {label!r} is {types[label]}, neither number nor boolean", where=str(data))
    daily = cluster is not None and types[cluster].startswith(_TIMES)
    parts = [f"CAST({quote(label)} AS DOUBLE) AS y"]
    parts += [f"{quote(name)} AS x{i}" for i, name in enumerate(train.features)]
    named = list(dict.fromkeys([*config.checks.groups.columns, *config.checks.bias.columns]))
    parts += [
        f"coalesce(CAST({quote(name)} AS VARCHAR), '{MISSING}') AS g{i}" for i, name in enumerate(named)
    ]
    if cluster is not None:
        column = quote(cluster)
        parts.append(f"{f'floor(epoch({column}) / 86400)' if daily else f'CAST({column} AS VARCHAR)'} AS c")
    found = engine.columns(f"SELECT {', '.join(parts)} FROM t", tables={"t": data})  # noqa: S608 - quoted
    _complete(found["y"], f"column {label!r}", "label")
    return Holdout(
        labels=np.asarray(found["y"]),
        inputs={name: found[f"x{i}"] for i, name in enumerate(train.features)},
        groups={name: found[f"g{named.index(name)}"] for name in config.checks.groups.columns},
        columns={name: found[f"g{named.index(name)}"] for name in config.checks.bias.columns},
        clusters=_codes(found["c"], f"column {cluster!r}") if cluster else None,
        unit="rows" if cluster is None else "days" if daily else f"values of {cluster}",
    )


def _complete(values: Column, where: str, what: str) -> None:
    if not len(values):
        raise InvalidInput("there are no held-out rows", where=where)
    missing = int(np.ma.getmaskarray(values).sum())
    if missing:
        raise InvalidInput(
            f"{missing:,} of {len(values):,} held-out rows have no {what}",
            where=where,
            fix="leave those rows out, or fill the column",
        )


def _codes(values: Column, where: str) -> Column:
    _complete(values, where, "cluster")
    return np.unique(np.asarray(values), return_inverse=True)[1]
