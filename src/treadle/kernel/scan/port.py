"""What an engine that scans tables can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from treadle.kernel.scan import asks
from treadle.kernel.scan.answers import Answer, Scalar, Shared
from treadle.kernel.scan.asks import Answers, Ask
from treadle.kernel.scan.columns import Column
from treadle.kernel.scan.expressions import Expression

Source: TypeAlias = Any
"""Rows: a Parquet or CSV file, a list of files of one of these formats, or a frame of the engine's kind."""

Row: TypeAlias = tuple[Scalar | None, ...]


class ScanEngine(Protocol):
    """Answers asks about all rows of a table, reading each column as few times as it can.

    Every engine gives the same answers, to the tolerance of floating point, but for samples and
    estimates; each in the way that is fastest for it.
    """

    name: str
    """What verdicts call it."""

    def columns(self, table: Source) -> dict[str, Column]:
        """The table's columns, by name, in order.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read, or two columns have one name.
        """

    def scan(self, table: Source, asks: Iterable[Ask[Any]]) -> Answers:
        """The answers to all asks.

        Args:
            table: The rows.
            asks: About columns that are there, of a kind that fits the ask.

        Raises:
            NotFound: If a file isn't there.
            CorruptData: If it can't be read.
        """

    def examples(self, table: Source, that: Expression, columns: Sequence[str], most: int) -> list[Row]:
        """Values of some columns in the first rows, in some order, for which a condition doesn't hold.

        Raises:
            CorruptData: If the table can't be read.
        """

    def shared(self, table: Source, other: Source, columns: Sequence[str]) -> Shared:
        """Which rows of a table have their like, in all of some columns, in another one.

        A missing value is like another missing value, but a row in which all of the columns are missing
        is like none.

        Args:
            table: The rows.
            other: Those that they are held beside.
            columns: Columns of both, of the same kind in both, or numbers in both.

        Raises:
            CorruptData: If a table can't be read.
        """


class Scan:
    """The base of one scan of one table, with a method for each kind of ask: ``rows``, ``missing`` ...

    The method adds to what will be read, together with what other asks need, and gives what will build
    the answer once it has been read.
    """

    def makers(self, asked: Iterable[Ask[Any]]) -> list[tuple[Ask[Any], Callable[[], Answer]]]:
        """What builds the answer of each ask, each ask once."""
        return [(ask, getattr(self, _METHODS[type(ask)])(ask)) for ask in asks.distinct(asked)]


_METHODS: Mapping[type[Ask[Any]], str] = {
    asks.CountRows: "rows",
    asks.CountMissing: "missing",
    asks.FindMoments: "moments",
    asks.FindExtent: "extent",
    asks.CountBins: "bins",
    asks.CountValues: "values",
    asks.FindTop: "top",
    asks.EstimateDistinct: "distinct",
    asks.FindRepeats: "repeats",
    asks.CountCells: "cells",
    asks.CountWhere: "where",
    asks.CountDays: "days",
    asks.SampleRows: "sample",
}


def files(table: Source) -> list[Path] | None:
    """The files of a table, or None where it is a frame."""
    if isinstance(table, str | Path):
        return [Path(table)]
    if isinstance(table, list | tuple) and all(isinstance(one, str | Path) for one in table):
        return [Path(one) for one in table]
    return None
