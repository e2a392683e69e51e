"""An answer in SQL, read as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from treadle.experiment import SqlColumn, SqlEnd, SqlPiece
from treadle.kernel.errors import MissingExtra, Unavailable, from_body

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 1_000_000

_decode = msgspec.json.Decoder(SqlPiece).decode


class SqlAnswer:
    """Rows of an answer: iterate over them once, each a tuple.

    Args:
        pieces: The answer's bytes, as they come.
        where: Who answers.

    Attributes:
        columns: The columns.
        end: How it ended; None until the last row was read.
    """

    def __init__(self, pieces: Iterator[bytes], where: str) -> None:
        self._lines = _lines(pieces)
        self._where = where
        self.end: SqlEnd | None = None
        self.columns: list[SqlColumn] = self._next().columns or []

    def _next(self) -> SqlPiece:
        line = next(self._lines, None)
        if line is None:
            raise Unavailable("the answer broke off", where=self._where)
        piece = _decode(line)
        if piece.error is not None:
            raise from_body(piece.error)
        return piece

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        readers = [_reader(column.type) for column in self.columns]
        while self.end is None:
            piece = self._next()
            self.end = piece.end
            for row in piece.rows or ():
                yield tuple(read(value) for read, value in zip(readers, row, strict=True))

    @property
    def names(self) -> list[str]:
        """The columns' names, made different where they aren't."""
        found: list[str] = []
        for column in self.columns:
            name, number = column.name, 1
            while name in found:
                name, number = f"{column.name}_{number}", number + 1
            found.append(name)
        return found

    def frame(self) -> pd.DataFrame:
        """All rows as a DataFrame.

        Raises:
            MissingExtra: If pandas isn't installed.
        """
        return data_frame(self.names, list(self))


def data_frame(columns: list[str], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows as a DataFrame.

    Raises:
        MissingExtra: If pandas isn't installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtra("a DataFrame needs pandas", fix="pip install pandas") from None
    return pd.DataFrame.from_records(rows, columns=columns)


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def _same(value: Any) -> Any:
    return value


def _reader(kind: str) -> Callable[[Any], Any]:
    """What makes a value of JSON one of the column's type again."""
    if kind in {"DOUBLE", "FLOAT"}:
        return lambda value: float(value) if isinstance(value, str) else value
    if kind == "TIMESTAMP":
        return lambda value: datetime.fromisoformat(value) if isinstance(value, str) else value
    return _same
