"""The parts that a segment's input makes of the rows, by number: -1, or NULL, where a row belongs to none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle.kernel.engine import text
from treadle.monitor.profile import place_sql
from treadle.monitor.types import SegmentProfile

Codes = npt.NDArray[np.intp]
Rows = npt.NDArray[np.intp]


def names(segment: SegmentProfile) -> list[str]:
    """What the parts are called, in the order of their numbers."""
    column, edges = segment.column, segment.edges
    if not edges:
        return [
            f"{column}={value}" if isinstance(value, str) else f"{column}={value:g}"
            for value in segment.values
        ]
    between = [f"{low:g}<{column}<={high:g}" for low, high in pairwise(edges)]
    return [f"{column}<={edges[0]:g}", *between, f"{column}>{edges[-1]:g}"]


def code_sql(segment: SegmentProfile, column: str) -> str:
    """SQL for the number of the part that a row belongs to.

    Args:
        segment: What makes the parts.
        column: The column's SQL.
    """
    x = f"({column})"
    if segment.edges:
        place = place_sql(x, segment.edges)
        return f"CASE WHEN {x} IS NULL OR isnan({x}) THEN NULL ELSE {place} END"
    values = ", ".join(
        text(value) if isinstance(value, str) else f"{value!r}::DOUBLE" for value in segment.values
    )
    return f"nullif(coalesce(list_position([{values}], {x}), 0), 0) - 1" if values else "NULL::INT"


def codes(segment: SegmentProfile, values: Any) -> Codes:
    """The number of the part that each row belongs to.

    Args:
        segment: What makes the parts.
        values: The input's values; missing ones are masked, None or NaN.
    """
    missing = np.ma.getmaskarray(values)
    if segment.edges:
        numbers = np.ma.filled(np.ma.masked_array(values, mask=missing).astype(np.float64), np.nan)
        found = np.searchsorted(segment.edges, numbers, side="left")
        return np.where(np.isnan(numbers), -1, found)
    known = {value: place for place, value in enumerate(segment.values)}
    of_texts = all(isinstance(value, str) for value in segment.values)
    plain = [None if gone else x for x, gone in zip(np.asarray(values).tolist(), missing, strict=True)]
    return np.array(
        [-1 if x is None else known.get(str(x) if of_texts else float(x), -1) for x in plain], dtype=np.intp
    )


def rows(found: Codes, many: int) -> Iterator[Rows]:
    """The rows of each part, in one sort.

    Args:
        found: The number of each row's part.
        many: How many parts there are.
    """
    order = np.argsort(found, kind="stable")
    ends = np.searchsorted(found[order], np.arange(many + 1))
    yield from (order[start:end] for start, end in pairwise(ends))
