"""Profiles: how columns are distributed, at training and in a window of live traffic, by one query each."""

# ruff: noqa: S608 - the SQL is made of quoted names, quoted texts and numbers
from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import BINS, MAX_VALUES, bin_edges
from treadle.kernel.engine import Engine, quote, text
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.monitor.types import CategoryProfile, NumericProfile, Profile

Shape: TypeAlias = NumericProfile | CategoryProfile

_NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|BOOLEAN|DECIMAL\(.*")
_LEVELS = [i / BINS for i in range(1, BINS)]


def build_profile(
    engine: Engine,
    train: Path,
    features: Sequence[str],
    predictions: npt.NDArray[np.float64],
    metric: str,
    value: float,
) -> Profile:
    """The profile of a model's training data and of its predictions, to be kept with its version.

    Numbers have ten bins between quantiles, or a bin a value where there are at most 50;
    texts have their 50 most frequent values and the rest. Missing values are counted apart.

    Args:
        engine: Runs the queries.
        train: The training rows, as Parquet.
        features: The model's inputs.
        predictions: Its predictions on held-out data.
        metric: The metric that it is judged by.
        value: The metric's value on held-out data.

    Raises:
        InvalidInput: If a feature isn't in the file, or there are no rows or predictions.
    """
    types = dict(_describe(engine, train))
    for name in features:
        if name not in types:
            raise InvalidInput(
                "the training data has no such column",
                where=f"column {name!r}",
                fix=did_you_mean(name, types),
            )
    numeric = {name: bool(_NUMERIC.fullmatch(types[name])) for name in features}
    columns = {name: _column(name, numeric=numeric[name]) for name in features}
    shapes = _shapes(engine, train, columns, numeric)
    sql = histogram_sql([(shapes[name], columns[name]) for name in features])
    counted = count(list(shapes.values()), engine.columns(sql, (), {"log": [train]}))
    rows = sum(counts(counted[0])) if counted else 0
    if not rows:
        raise InvalidInput("there are no rows to profile", where=str(train))
    return Profile(
        rows=rows,
        inputs=dict(zip(features, counted, strict=True)),
        prediction=_of_array(predictions),
        metric=metric,
        value=value,
    )


def counts(shape: Shape) -> list[int]:
    """A profile as one histogram: its bins or categories, the rest, and missing values."""
    if isinstance(shape, NumericProfile):
        return [*shape.counts, shape.nulls]
    return [*shape.counts.values(), shape.other, shape.nulls]


def histogram_sql(columns: Sequence[tuple[Shape, str]]) -> str:
    """One query for the histograms of many columns of the relation ``log``.

    Args:
        columns: For each, the profile whose bins to count in and the column's SQL.
    """
    return " UNION ALL ".join(_branch(i, shape, sql) for i, (shape, sql) in enumerate(columns))


def count(shapes: Sequence[Shape], found: Mapping[str, Any]) -> list[Shape]:
    """What :func:`histogram_sql` found, as profiles with the bins of the given ones."""
    tallies = [[0] * len(counts(shape)) for shape in shapes]
    totals = [0.0] * len(shapes)
    for i, place, n, total in zip(found["col"], found["bin"], found["n"], found["total"], strict=True):
        tallies[int(i)][int(place)] += int(n)  # missing values have place -1, the last
        totals[int(i)] += 0.0 if np.ma.is_masked(total) else float(total)
    return [_filled(*one) for one in zip(shapes, tallies, totals, strict=True)]


def _filled(shape: Shape, tally: list[int], total: float) -> Shape:
    *bins, nulls = tally
    if isinstance(shape, NumericProfile):
        rows = sum(bins)
        mean = total / rows if rows and math.isfinite(total) else None
        return NumericProfile(shape.edges, bins, nulls, mean)
    *named, other = bins
    return CategoryProfile(dict(zip(shape.counts, named, strict=True)), other, nulls)


def _branch(i: int, shape: Shape, sql: str) -> str:
    if isinstance(shape, NumericProfile):
        place = " + ".join(f"(x > {edge!r}::DOUBLE)::INT" for edge in shape.edges) or "0"
        missing = "x IS NULL OR isnan(x)"
        return (
            f"SELECT {i} AS col, CASE WHEN {missing} THEN -1 ELSE {place} END AS bin, count(*) AS n, "
            f"sum(CASE WHEN {missing} THEN 0 ELSE x END) AS total "
            f"FROM (SELECT ({sql})::DOUBLE AS x FROM log) GROUP BY bin"
        )
    named = ", ".join(text(name) for name in shape.counts)
    place = f"coalesce(list_position([{named}]::VARCHAR[], x), {len(shape.counts) + 1}) - 1"
    # Values first, places second: the list is searched once a distinct value, not once a row.
    return (
        f"SELECT {i} AS col, CASE WHEN x IS NULL THEN -1 ELSE {place} END AS bin, sum(k)::BIGINT AS n, "
        f"0.0::DOUBLE AS total "
        f"FROM (SELECT x, count(*) AS k FROM (SELECT ({sql})::VARCHAR AS x FROM log) GROUP BY x) GROUP BY bin"
    )


def _describe(engine: Engine, train: Path) -> list[tuple[str, str]]:
    found = engine.rows(
        "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM log)", (), {"log": [train]}
    )
    return [(str(name), str(kind)) for name, kind in found]


def _shapes(
    engine: Engine, train: Path, columns: Mapping[str, str], numeric: Mapping[str, bool]
) -> dict[str, Shape]:
    """The profiles' bins and categories, without counts, by one query."""
    branches = [_values_sql(i, sql, numeric[name]) for i, (name, sql) in enumerate(columns.items())]
    rows = sorted(engine.rows(" UNION ALL ".join(branches), (), {"log": [train]}))
    shapes: dict[str, Shape] = {}
    for name, (_, names, values, quantiles) in zip(columns, rows, strict=True):
        if numeric[name]:
            inner = bin_edges(values or [], quantiles or [])
            shapes[name] = NumericProfile(inner, [0] * (len(inner) + 1), 0)
        else:
            shapes[name] = CategoryProfile(dict.fromkeys(names or [], 0), 0, 0)
    return shapes


def _values_sql(i: int, sql: str, numeric: bool) -> str:
    source = f"FROM (SELECT {sql} AS x FROM log)"
    if not numeric:
        return (
            f"SELECT {i} AS col, list(x ORDER BY k DESC, x) AS names, NULL::DOUBLE[] AS vals, "
            f"NULL::DOUBLE[] AS q FROM (SELECT x, count(*) AS k {source} "
            f"WHERE x IS NOT NULL GROUP BY x ORDER BY k DESC, x LIMIT {MAX_VALUES})"
        )
    source += " WHERE isfinite(x)"
    distinct = f"SELECT list(x ORDER BY x) AS few FROM (SELECT DISTINCT x {source} LIMIT {MAX_VALUES + 1})"
    return (
        f"SELECT {i} AS col, NULL::VARCHAR[] AS names, CASE WHEN len(few) > {MAX_VALUES} "
        f"THEN list_concat([low], few[2:-2], [top]) ELSE few END AS vals, q FROM ({distinct}), "
        f"(SELECT quantile_disc(x, {_LEVELS}) AS q, min(x) AS low, max(x) AS top {source})"
    )


def _of_array(values: npt.NDArray[np.float64]) -> NumericProfile:
    values = np.asarray(values, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise InvalidInput("the predictions to profile are empty, or some are not finite")
    distinct = np.unique(values)
    quantiles = np.quantile(values, _LEVELS, method="inverted_cdf")
    inner = bin_edges(distinct.tolist(), quantiles.tolist())
    tally = np.bincount(np.searchsorted(inner, values), minlength=len(inner) + 1)
    return NumericProfile(inner, tally.tolist(), 0, float(values.mean()))


def _column(name: str, *, numeric: bool) -> str:
    return f"{quote(name)}::DOUBLE" if numeric else f"{quote(name)}::VARCHAR"


def decode_profile(data: bytes) -> Profile:
    """A profile as it lies in the blob store."""
    return msgspec.json.decode(data, type=Profile)
