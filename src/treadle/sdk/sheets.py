"""Tables, written as CSV: a browser shows it, DuckDB and every spreadsheet read it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from treadle.experiment.types import MediaKind
from treadle.kernel.errors import InvalidInput
from treadle.sdk.media import Media

MOST_ROWS = 1_000_000
_SHOWN = 20


class Table(Media):
    """Rows and columns.

    Args:
        data: A frame of pandas or Polars, an Arrow table, a mapping of columns, or a list of rows
            as mappings or, with ``columns``, as sequences.
        columns: The columns' names, for rows that are sequences.
        caption: What it shows.

    Raises:
        InvalidInput: If it has no columns, two of one name or more than a million rows, or the
            rows don't fit the columns.
    """

    kind: ClassVar[MediaKind] = "table"

    def __init__(self, data: Any, columns: Sequence[str] | None = None, caption: str | None = None) -> None:
        self.columns, self._rows = _taken(data, columns)
        self.rows = len(self._rows)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self._rows)
        super().__init__(out.getvalue().encode("utf-8", "replace"), "csv", caption)

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>"
            for row in islice(self._rows, _SHOWN)
        )
        more = f"<caption>{escape(self.caption)} ({self.rows:,} rows)</caption>"
        return f"<table>{more}<tr>{head}</tr>{body}</table>"


def _taken(data: Any, columns: Sequence[str] | None) -> tuple[list[str], list[Sequence[Any]]]:
    names, rows = _split(data, columns)
    if not names:
        raise InvalidInput("a table needs at least one column", fix="name them: Table(rows, columns=[...])")
    if len(set(names)) < len(names):
        raise InvalidInput(f"a table can't have two columns of one name: {', '.join(names)[:200]}")
    if len(rows) > MOST_ROWS:
        raise InvalidInput(
            f"a table has up to {MOST_ROWS:,} rows, not {len(rows):,}",
            fix="show a sample, and keep the whole with run.log_artifact",
        )
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise InvalidInput(f"row {number} has {len(row)} values for {len(names)} columns")
    return names, rows


def _split(data: Any, columns: Sequence[str] | None) -> tuple[list[str], list[Sequence[Any]]]:
    if hasattr(data, "itertuples"):  # pandas'
        return [str(name) for name in data.columns], [tuple(row) for row in data.itertuples(index=False)]
    if hasattr(data, "iter_rows"):  # Polars'
        return [str(name) for name in data.columns], list(data.iter_rows())
    if hasattr(data, "to_pydict"):  # Arrow's
        data = data.to_pydict()
    if isinstance(data, Mapping):
        return _by_column(data)
    if isinstance(data, str | bytes) or not hasattr(data, "__iter__"):
        raise InvalidInput(
            f"a table can't be made of {type(data).__name__}",
            fix="give a frame, a mapping of columns, or a list of rows",
        )
    rows = list(data)
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(str(name) for row in rows for name in row))
        wanted = [str(name) for name in columns] if columns is not None else names
        return wanted, [[row.get(name, "") for name in wanted] for row in rows]
    for number, row in enumerate(rows):
        if isinstance(row, str | bytes) or not hasattr(row, "__len__"):
            raise InvalidInput(f"row {number} is no sequence of values: {row!r:.60}")
    return [str(name) for name in columns or ()], rows


def _by_column(data: Mapping[Any, Any]) -> tuple[list[str], list[Sequence[Any]]]:
    columns = {str(name): list(values) for name, values in data.items() if _is_column(str(name), values)}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(f"the columns have different lengths: {lengths}"[:300])
    return list(columns), list(zip(*columns.values(), strict=True))


def _is_column(name: str, values: Any) -> bool:
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise InvalidInput(f"column {name!r:.80} is no sequence of values")
    return True
