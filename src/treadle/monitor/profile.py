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

from treadle.evaluate import BINS, MAX_VALUES, bin_edges, margin
from treadle.kernel.engine import Engine, quote, text
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.monitor.types import CategoryProfile, NumericProfile, Profile

Shape: TypeAlias = NumericProfile | CategoryProfile

_NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|BOOLEAN|DECIMAL\(.*")
# DuckDB refuses a standard deviation that overflows.
_DEVIATION = "stddev_pop(x) FILTER (abs(x) < 1e150)"
_LEVELS = [i / BINS for i in range(1, BINS)]


def build_profile(
    engine: Engine,
    train: Path,
    features: Sequence[str],
    predictions: npt.NDArray[np.float64],
    metric: str,
    value: float,
    importance: Mapping[str, float] | None = None,
) -> Profile:
    """The profile of a model's training data and of its predictions, to be kept with its version.

    Numbers have ten bins between quantiles, or a bin a value where there are at most 50, and one
    on either side of what was there; texts have their 50 most frequent values and the rest.
    Missing values are counted apart.

    Args:
        engine: Runs the queries.
        train: The training rows, as Parquet.
        features: The model's inputs.
        predictions: Its predictions on held-out data.
        metric: The metric that it is judged by.
        value: The metric's value on held-out data.
        importance: How much the model leans on each feature, if that is known.

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
    columns = {name: column_sql(name, numeric=numeric[name]) for name in features}
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
        importance=dict(importance or {}),
    )


def counts(shape: Shape) -> list[int]:
    """A profile as one histogram: its bins or categories, the rest, and missing values."""
    if isinstance(shape, NumericProfile):
        inside = shape.counts if shape.low is None else [shape.below, *shape.counts, shape.above]
        return [*inside, shape.nulls]
    return [*shape.counts.values(), shape.other, shape.nulls]


def histogram_sql(columns: Sequence[tuple[Shape, str]], by: str = "", join: str = "", first: int = 0) -> str:
    """One query for the histograms of many columns of the relation ``log``.

    Args:
        columns: For each, the profile whose bins to count in and the column's SQL.
        by: SQL that names the part of the rows that a row belongs to; NULL for none. All are
            one part when left out.
        join: What is joined to the rows for that.
        first: The number that the first column gets.
    """
    part, rows = f"({by})" if by else "''", f"log {join}"
    return " UNION ALL ".join(_branch(i, *column, part, rows) for i, column in enumerate(columns, first))


def count(shapes: Sequence[Shape], found: Mapping[str, Any]) -> list[Shape]:
    """What :func:`histogram_sql` found, as profiles with the bins of the given ones."""
    return count_parts(shapes, found).get("") or [filled(s, Tally([0] * len(counts(s)))) for s in shapes]


def count_all(shapes: Sequence[Shape], found: Mapping[str, Any], first: int = 0) -> list[Shape]:
    """What :func:`histogram_sql` found in all parts together and in rows of none, as profiles.

    Args:
        shapes: The profiles whose bins were counted in.
        found: The query's columns; those of other numbers are passed over.
        first: The number that the first column got.
    """
    tallies = [Tally([0] * len(counts(shape))) for shape in shapes]
    names = ("col", "bin", "n", "total", "low", "high")
    for i, place, n, total, low, high in zip(*(found[name] for name in names), strict=True):
        if first <= i < first + len(shapes):
            tallies[int(i) - first].add(int(place), int(n), _number(total), _number(low), _number(high))
    return [filled(shape, tally) for shape, tally in zip(shapes, tallies, strict=True)]


def count_parts(shapes: Sequence[Shape], found: Mapping[str, Any], first: int = 0) -> dict[str, list[Shape]]:
    """What :func:`histogram_sql` found part by part, as profiles with the bins of the given ones.

    Args:
        shapes: The profiles whose bins were counted in.
        found: The query's columns; those of other numbers are passed over.
        first: The number that the first column got.
    """
    parts: dict[str, list[Tally]] = {}
    names = ("col", "part", "bin", "n", "total", "low", "high")
    for i, part, place, n, total, low, high in zip(*(found[name] for name in names), strict=True):
        if not first <= i < first + len(shapes) or np.ma.is_masked(part) or part is None:
            continue
        tallies = parts.setdefault(str(part), [Tally([0] * len(counts(shape))) for shape in shapes])
        tallies[int(i) - first].add(int(place), int(n), _number(total), _number(low), _number(high))
    return {
        part: [filled(shape, tally) for shape, tally in zip(shapes, tallies, strict=True)]
        for part, tallies in sorted(parts.items())
    }


def _number(value: Any) -> float | None:
    return None if np.ma.is_masked(value) else float(value)


class Tally:
    """Rows of one column, bin by bin.

    Args:
        bins: Rows in each; missing values are the last.
    """

    def __init__(self, bins: list[int]) -> None:
        self.bins = bins
        self.totals = [0.0] * len(bins)
        self.low: float | None = None
        self.high: float | None = None

    def add(self, place: int, n: int, total: float | None, low: float | None, high: float | None) -> None:
        """Adds the rows of a bin; missing values have place -1."""
        self.bins[place] += n
        self.totals[place] += total or 0.0
        if low is not None and high is not None:
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)


def filled(shape: Shape, tally: Tally) -> Shape:
    """A profile with the same bins and other rows in them."""
    *bins, nulls = tally.bins
    if isinstance(shape, CategoryProfile):
        *named, other = bins
        return msgspec.structs.replace(
            shape, counts=dict(zip(shape.counts, named, strict=True)), other=other, nulls=nulls
        )
    rows, total, (below, above) = sum(bins), sum(tally.totals), (0, 0)
    means = [t / n if n and math.isfinite(t) else None for n, t in zip(bins, tally.totals, strict=False)]
    if shape.low is not None:
        below, *bins, above = bins
    return msgspec.structs.replace(
        shape,
        counts=bins,
        nulls=nulls,
        mean=total / rows if rows and math.isfinite(total) else None,
        below=below,
        above=above,
        least=tally.low,
        greatest=tally.high,
        centres=means if shape.low is not None else [],
    )


def bounds(shape: NumericProfile) -> list[float]:
    """All edges that rows are counted between: those of the bins, and those of what was there at training.

    The outer ones lie a millionth beside the least and the greatest value, as inner ones do.
    """
    if shape.low is None or shape.high is None:
        return shape.edges
    return [shape.low - margin(shape.low), *shape.edges, shape.high + margin(shape.high)]


def _branch(i: int, shape: Shape, sql: str, part: str, rows: str) -> str:
    if isinstance(shape, NumericProfile):
        missing = "x IS NULL OR isnan(x)"
        return (
            f"SELECT {i} AS col, part::VARCHAR AS part, CASE WHEN {missing} THEN -1 ELSE "
            f"{place_sql('x', bounds(shape))} END AS bin, count(*) AS n, "
            f"sum(CASE WHEN {missing} THEN 0 ELSE x END) AS total, "
            f"min(x) FILTER (isfinite(x)) AS low, max(x) FILTER (isfinite(x)) AS high "
            f"FROM (SELECT ({sql})::DOUBLE AS x, {part} AS part FROM {rows}) GROUP BY ALL"
        )
    named = ", ".join(text(name) for name in shape.counts)
    place = f"coalesce(list_position([{named}]::VARCHAR[], x), {len(shape.counts) + 1}) - 1"
    # Values first, places second: the list is searched once a distinct value, not once a row.
    return (
        f"SELECT {i} AS col, part::VARCHAR AS part, CASE WHEN x IS NULL THEN -1 ELSE {place} END AS bin, "
        f"sum(k)::BIGINT AS n, 0.0::DOUBLE AS total, NULL::DOUBLE AS low, NULL::DOUBLE AS high FROM ("
        f"SELECT x, part, count(*) AS k FROM (SELECT ({sql})::VARCHAR AS x, {part} AS part FROM {rows}) "
        f"GROUP BY x, part) GROUP BY ALL"
    )


def bin_sql(shape: Shape, sql: str) -> str:
    """SQL for the bin of a column's value, in the order of the profile's histogram; the last if missing.

    Args:
        shape: The profile.
        sql: The column's SQL.
    """
    last = len(counts(shape)) - 1
    if isinstance(shape, NumericProfile):
        x = f"({sql})::DOUBLE"
        return f"CASE WHEN {x} IS NULL OR isnan({x}) THEN {last} ELSE {place_sql(x, bounds(shape))} END"
    named = ", ".join(text(name) for name in shape.counts)
    place = f"coalesce(list_position([{named}]::VARCHAR[], ({sql})::VARCHAR), {last}) - 1"
    return f"CASE WHEN ({sql}) IS NULL THEN {last} ELSE {place} END"


def place_sql(x: str, edges: Sequence[float], first: int = 0) -> str:
    """SQL for how many edges a number lies over, plus ``first``: a search, not a comparison with each.

    Args:
        x: The number's SQL; neither NULL nor NaN.
        edges: Increasing.
        first: What no edge counts as.
    """
    if not edges:
        return str(first)
    middle = len(edges) // 2
    over = place_sql(x, edges[middle + 1 :], first + middle + 1)
    under = place_sql(x, edges[:middle], first)
    return f"CASE WHEN {x} > {edges[middle]!r}::DOUBLE THEN {over} ELSE {under} END"


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
    for name, (_, names, distinct, values, quantiles, deviation) in zip(columns, rows, strict=True):
        if numeric[name]:
            shapes[name] = empty(values or [], quantiles or [], deviation)
        else:
            shapes[name] = CategoryProfile(dict.fromkeys(names or [], 0), 0, 0, distinct)
    return shapes


def empty(values: Sequence[float], quantiles: Sequence[float], deviation: float | None) -> NumericProfile:
    """The bins of a numeric column, without rows.

    Args:
        values: The distinct values, increasing; if over 50, the least and the greatest suffice.
        quantiles: Inner quantiles.
        deviation: The standard deviation.
    """
    if not values:
        return NumericProfile([], [0], 0)
    edges = bin_edges(values, quantiles) if values[0] < values[-1] else []
    return NumericProfile(
        edges,
        [0] * (len(edges) + 1),
        0,
        deviation=deviation,
        low=values[0],
        high=values[-1],
        values=list(values) if len(values) <= MAX_VALUES else [],
    )


def _values_sql(i: int, sql: str, numeric: bool) -> str:
    source = f"FROM (SELECT {sql} AS x FROM log)"
    if not numeric:
        return (
            f"SELECT {i} AS col, list(x ORDER BY k DESC, x) AS names, coalesce(max(many), 0) AS many, "
            f"NULL::DOUBLE[] AS vals, NULL::DOUBLE[] AS q, NULL::DOUBLE AS deviation "
            f"FROM (SELECT x, count(*) AS k, count(*) OVER () AS many {source} "
            f"WHERE x IS NOT NULL GROUP BY x ORDER BY k DESC, x LIMIT {MAX_VALUES})"
        )
    source += " WHERE isfinite(x)"
    distinct = f"SELECT list(x ORDER BY x) AS few FROM (SELECT DISTINCT x {source} LIMIT {MAX_VALUES + 1})"
    return (
        f"SELECT {i} AS col, NULL::VARCHAR[] AS names, NULL::BIGINT AS many, "
        f"CASE WHEN len(few) > {MAX_VALUES} "
        f"THEN list_concat([low], few[2:-2], [top]) ELSE few END AS vals, q, deviation FROM ({distinct}), "
        f"(SELECT quantile_disc(x, {_LEVELS}) AS q, min(x) AS low, max(x) AS top, "
        f"{_DEVIATION} AS deviation {source})"
    )


def _of_array(values: npt.NDArray[np.float64]) -> NumericProfile:
    values = np.asarray(values, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise InvalidInput("the predictions to profile are empty, or some are not finite")
    distinct = np.unique(values)
    quantiles = np.quantile(values, _LEVELS, method="inverted_cdf")
    shape = empty(distinct.tolist(), quantiles.tolist(), float(values.std()))
    places, bins = np.searchsorted(bounds(shape), values), len(shape.counts) + 2
    tally = Tally([*np.bincount(places, minlength=bins).tolist(), 0])
    tally.totals = np.bincount(places, weights=values, minlength=bins + 1).tolist()
    tally.low, tally.high = float(distinct[0]), float(distinct[-1])
    found = filled(shape, tally)
    assert isinstance(found, NumericProfile)  # noqa: S101 - of a number
    return found


def column_sql(name: str, *, numeric: bool) -> str:
    """A column of training data as it is profiled."""
    return f"{quote(name)}::DOUBLE" if numeric else f"{quote(name)}::VARCHAR"


def decode_profile(data: bytes) -> Profile:
    """A profile as it lies in the blob store."""
    return msgspec.json.decode(data, type=Profile)
