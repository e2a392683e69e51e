"""The histograms of a window: of all rows and of each part that segments make, each column read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from treadle.kernel.engine import quote, text
from treadle.monitor.parts import code_sql, names
from treadle.monitor.profile import Shape, count, count_all, count_parts, histogram_sql
from treadle.monitor.types import SegmentProfile

if TYPE_CHECKING:
    from treadle.kernel.engine import Column

Columns: TypeAlias = Sequence[tuple[Shape, str]]
Found: TypeAlias = "Mapping[str, Column]"
Scan: TypeAlias = Callable[[str, Sequence[str]], Found]

TOGETHER = 20
"""How many columns are counted by one query."""


def counting(
    scan: Scan,
    columns: Columns,
    segments: Mapping[str, SegmentProfile],
    whole: Columns = (),
    prefix: str = "",
) -> dict[str, Column]:
    """Counts histograms of the relation ``log``, of which each column is read once a segment.

    All rows are the parts of the first segment and the rows that belong to none, so they take no reading.
    A query for all columns would be planned for longer than it runs: that grows with their square.

    Args:
        scan: Runs a query over ``log``, of whose inputs it needs those named.
        columns: For each, the profile whose bins to count in and the column's SQL.
        segments: What makes the parts.
        whole: Columns that are counted of all rows alone.
        prefix: What the segments' columns are called in ``log`` before their own names.

    Returns:
        What :func:`counted` reads.
    """
    many, by = len(columns), [quote(f"{prefix}{one.column}") for one in segments.values()]
    found = []
    for start in range(0, many, TOGETHER):
        some = columns[start : start + TOGETHER]
        queries = [
            histogram_sql(some, *_part(segment, column), first=i * many + start)
            for i, (segment, column) in enumerate(zip(segments.values(), by, strict=True))
        ] or [histogram_sql(some, first=start)]
        found.append(
            scan(" UNION ALL ".join(queries), [_plain(sql) for sql in (*by, *(sql for _, sql in some))])
        )
    if whole:
        found.append(scan(histogram_sql(whole, first=max(len(segments), 1) * many), []))
    return together(found)


def together(found: Sequence[Found]) -> dict[str, Column]:
    """The rows of several results, one below the other."""
    return {name: np.ma.concatenate([one[name] for one in found]) for name in found[0]}  # type: ignore[no-untyped-call]


def counted(
    columns: Columns, segments: Mapping[str, SegmentProfile], whole: Columns, found: Mapping[str, Any]
) -> tuple[list[Shape], dict[str, list[Shape]]]:
    """What :func:`counting` found: of all rows, the columns and then those counted whole; and by part.

    Args:
        columns: As they were asked for.
        segments: As they were asked for.
        whole: As they were asked for.
        found: The query's columns.
    """
    shapes, alone, many = [shape for shape, _ in columns], [shape for shape, _ in whole], len(columns)
    first = len(segments) * many
    if not segments:
        return count([*shapes, *alone], found), {}
    parts: dict[str, list[Shape]] = {}
    for i, segment in enumerate(segments.values()):
        named = names(segment)
        by_code = count_parts(shapes, found, first=i * many)
        parts |= {named[int(code)]: tally for code, tally in sorted(by_code.items(), key=lambda x: int(x[0]))}
    return [*count_all(shapes, found), *count_all(alone, found, first)], parts


def _plain(sql: str) -> str:
    """The name that a quoted one stands for."""
    return sql[1:-1].replace('""', '"')


def _part(segment: SegmentProfile, column: str) -> tuple[str, str]:
    """SQL for the number of a row's part, and what has to be joined for it.

    Values are looked up in a table: a list would be searched from its start for each row.
    """
    if segment.edges or not segment.values:
        return code_sql(segment, column), ""
    listed = ", ".join(
        f"({text(value) if isinstance(value, str) else f'{value!r}::DOUBLE'}, {place})"
        for place, value in enumerate(segment.values)
    )
    return "part_", f"LEFT JOIN (VALUES {listed}) AS parts_(value_, part_) ON {column} = value_"
