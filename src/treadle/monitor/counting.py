"""The histograms of a window: of all rows and of each part that segments make, in one query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from treadle.kernel.engine import quote, text
from treadle.monitor.parts import code_sql, names
from treadle.monitor.profile import Shape, count, count_all, count_parts, histogram_sql
from treadle.monitor.types import SegmentProfile

Columns: TypeAlias = Sequence[tuple[Shape, str]]


def counting_sql(
    columns: Columns, segments: Mapping[str, SegmentProfile], whole: Columns = (), prefix: str = ""
) -> str:
    """One query for histograms of the relation ``log``, each column of which is read once a segment.

    All rows are the parts of the first segment and the rows that belong to none, so they take no reading.

    Args:
        columns: For each, the profile whose bins to count in and the column's SQL.
        segments: What makes the parts.
        whole: Columns that are counted of all rows alone.
        prefix: What the segments' columns are called in ``log`` before their own names.
    """
    queries, many = [], len(columns)
    for i, segment in enumerate(segments.values()):
        by, join = _part(segment, quote(f"{prefix}{segment.column}"))
        queries.append(histogram_sql(columns, by, first=i * many, join=join))
    rest = [*whole] if segments else [*columns, *whole]
    if rest:
        queries.append(histogram_sql(rest, first=len(segments) * many))
    return " UNION ALL ".join(queries)


def counted(
    columns: Columns, segments: Mapping[str, SegmentProfile], whole: Columns, found: Mapping[str, Any]
) -> tuple[list[Shape], dict[str, list[Shape]]]:
    """What :func:`counting_sql` found: of all rows, the columns and then those counted whole; and by part.

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
