"""The columns of a table, named the same whatever engine reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from treadle.kernel.errors import CorruptData

Kind = Literal[
    "integer", "number", "boolean", "text", "date", "timestamp", "time", "binary", "nested", "other"
]


TYPES = (
    "number", "integer", "boolean", "text", "date", "timestamp", "time", "binary", "nested",
    "int8", "int16", "int32", "int64", "int128", "uint8", "uint16", "uint32", "uint64", "uint128",
    "float16", "float32", "float64", "timestamptz", "list", "struct", "map",
)  # fmt: skip
"""What a column can be declared to be: its kind, or its type. A decimal's type is ``decimal(18, 3)``."""


class Column(msgspec.Struct, frozen=True):
    """A column.

    Attributes:
        name: Its name.
        kind: What it holds: whole numbers of any size are one kind, fractions another.
        type: Its type: ``int8`` to ``int128``, ``uint8`` to ``uint128``, ``float32``, ``float64``,
            ``decimal(18, 3)``, ``boolean``, ``text``, ``date``, ``timestamp``, ``timestamptz``, ``time``,
            ``binary``, ``list``, ``struct``, or what the engine calls it.
    """

    name: str
    kind: Kind
    type: str

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return self.kind in {"integer", "number"}

    @property
    def is_float(self) -> bool:
        """Whether NaN may stand in it."""
        return self.type in {"float16", "float32", "float64"}

    @property
    def is_time(self) -> bool:
        """Whether its values are days or moments."""
        return self.kind in {"date", "timestamp"}


Columns = Mapping[str, Column]


def by_name(columns: Sequence[Column], where: str) -> dict[str, Column]:
    """Columns by their names, in order.

    Raises:
        CorruptData: If two have the same name, or names that differ only in case, which SQL
            can't tell apart.
    """
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.get(column.name.casefold())
        if other is not None:
            same = other == column.name
            raise CorruptData(
                f"two columns are called {other!r}"
                if same
                else f"the columns {other!r} and {column.name!r} differ only in case",
                where=where,
                fix="rename one of them",
            )
        seen[column.name.casefold()] = column.name
    return {column.name: column for column in columns}
