"""A first ``[checks.data]`` for rows that are known to be good, with the reason for each line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from treadle.kernel.engine import Engine
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.asks import (
    Answers,
    Ask,
    CountMissing,
    CountRows,
    CountWhere,
    FindExtent,
    FindRepeats,
    FindTop,
    SampleRows,
)
from treadle.kernel.scan.choosing import engine_for
from treadle.kernel.scan.columns import Column, Columns
from treadle.kernel.scan.port import Source

SAMPLE = 20_000
MOST_VALUES = 20
_NEAR_ZERO = 0.05  # of the greatest value: the least one is so near to zero that zero is the limit
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PATTERNS = {
    "an e-mail address": r"[^@ ]+@[^@ ]+\.[^@ ]+",
    "a UUID": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "a date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "letters and a number": r"[A-Za-z]+[-_]?[0-9]+",
}


def suggest_suite(data: Source, *, engine: Engine) -> str:
    """The text of a ``[checks.data]`` that the rows pass, for a person to prune; reads them twice.

    What a column may hold is guessed from a sample and then counted in all rows: ranges rounded outward,
    the values of columns that have few, patterns of identifiers and dates, keys, and what may be missing.

    Args:
        data: The rows: Parquet or CSV files, or a frame.
        engine: Runs DuckDB's queries.

    Raises:
        InvalidInput: If there are no rows.
        NotFound: If a file isn't there.
        CorruptData: If a file can't be read.
    """
    scans = engine_for(data, engine)
    columns = scans.columns(data)
    usable = [
        name for name, column in columns.items() if column.kind not in {"nested", "binary", "other", "time"}
    ]
    wanted = SampleRows(tuple(usable), SAMPLE)
    sample = scans.scan(data, [wanted])[wanted] if usable else None
    if sample is None or not sample.rows:
        raise InvalidInput(
            "there are no rows to suggest checks for", fix="name rows that are as they should be"
        )
    asks = {name: list(_asks(columns[name], sample.columns[name])) for name in usable}
    found = scans.scan(data, [CountRows(), *(ask for some in asks.values() for ask in some)])
    return "\n".join(_lines(columns, asks, found)) + "\n"


def _asks(column: Column, values: Any) -> Iterator[Ask[Any]]:
    yield CountMissing(column.name)
    texts = values.dtype == object
    there = [v for v in values.tolist() if v is not None] if texts else values[~np.isnan(values)].tolist()
    if column.is_number:
        yield FindExtent(column.name)
    if not there:
        return
    different = len(set(there))
    if column.kind == "text" and different <= MOST_VALUES < len(there):
        yield FindTop(column.name, MOST_VALUES)
    elif column.kind in {"integer", "text"} and different == len(there) > 1:
        yield FindRepeats((column.name,))
    if column.kind == "text" and different > MOST_VALUES:
        fits = (p for p in _PATTERNS.values() if all(re.fullmatch(p, value) for value in there))
        if pattern := next(fits, None):
            yield CountWhere(ex.Matches(ex.Name(column.name), pattern))


def _lines(columns: Columns, asks: Mapping[str, list[Ask[Any]]], found: Answers) -> Iterator[str]:
    rows = found[CountRows()].rows
    everything = [ask for some in asks.values() for ask in some]
    keys = [ask.columns[0] for ask in everything if isinstance(ask, FindRepeats) and not found[ask].keys]
    yield f"# Suggested from {rows:,} rows that were taken to be good: keep what you can stand behind."
    yield "[checks.data]"
    yield f"min_rows = {max(1, int(nice(rows / 2, up=False)))}  # half of what there is"
    if keys:
        yield f"unique = [{', '.join(map(json.dumps, keys))}]  # no value appears twice"
    yield "drift = true  # distributions must stay as in the data that production was trained on"
    yield from _table("types", {name: (json.dumps(columns[name].kind), "") for name in asks})
    yield from _table("max_null", {name: _null(found[CountMissing(name)].count, rows) for name in asks})
    yield from _table("ranges", dict(_ranges(columns, everything, found)))
    yield from _table("values", dict(_values(everything, found)))
    yield from _table("patterns", dict(_patterns(everything, found)))


def _table(name: str, entries: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    if entries:
        yield from ("", f"[checks.data.{name}]")
    for column, (value, why) in entries.items():
        key = column if _BARE.fullmatch(column) else json.dumps(column)
        yield f"{key} = {value}{f'  # {why}' if why else ''}"


def _null(missing: int, rows: int) -> tuple[str, str]:
    share = missing / rows
    if not missing:
        return "0.0", "nothing is missing"
    return f"{min(nice(1.5 * share, up=True, digits=1), 1.0):g}", f"{missing:,} of {rows:,} are missing"


def _ranges(columns: Columns, asks: list[Ask[Any]], found: Answers) -> Iterator[tuple[str, tuple[str, str]]]:
    keys = {ask.columns[0] for ask in asks if isinstance(ask, FindRepeats) and not found[ask].keys}
    for ask in asks:
        if not isinstance(ask, FindExtent) or ask.column in keys:
            continue
        low, high = found[ask].low, found[ask].high
        if not isinstance(low, int | float) or not isinstance(high, int | float):
            continue
        if math.isfinite(low) and math.isfinite(high):
            least = 0.0 if 0 <= low < _NEAR_ZERO * high else nice(low, up=False)
            ends = (least, nice(high, up=True))
            whole = columns[ask.column].kind == "integer"
            told = ", ".join(str(int(end)) if whole else f"{end:g}" for end in ends)
            yield ask.column, (f"[{told}]", f"found {low:.6g} to {high:.6g}")


def _values(asks: list[Ask[Any]], found: Answers) -> Iterator[tuple[str, tuple[str, str]]]:
    for ask in asks:
        if isinstance(ask, FindTop) and found[ask].counts and not found[ask].other:
            listed = ", ".join(json.dumps(value) for value in sorted(map(str, found[ask].counts)))
            yield ask.column, (f"[{listed}]", f"these {len(found[ask].counts)} are all there are")


def _patterns(asks: list[Ask[Any]], found: Answers) -> Iterator[tuple[str, tuple[str, str]]]:
    named = {pattern: name for name, pattern in _PATTERNS.items()}
    for ask in asks:
        if isinstance(ask, CountWhere) and isinstance(ask.that, ex.Matches) and not found[ask].false:
            [column] = ex.names(ask.that)
            yield column, (f"'{ask.that.pattern}'", f"every value is {named[ask.that.pattern]}")


def nice(value: float, *, up: bool, digits: int = 2) -> float:
    """A number rounded up or down to so many digits."""
    if not value:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    rounded = (math.ceil if up else math.floor)(round(value / step, 9)) * step
    return float(f"{rounded:.12g}")
