"""Groupings and joins by Polars in bounded memory: where there are too many values, part by part.

Polars holds all values that it groups or joins by in memory. So many values are parted by their hashes,
equal ones together, and each part has a stream of its own: the columns concerned are read as often as there
are parts, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from treadle.kernel.scan.columns import Column
from treadle.kernel.scan.polars_expr import number, value

PART = 10_000_000
"""So many values are held at once: about 0.6 GB of numbers, 1.6 GB of texts of 25 characters."""

N = "#rows"


def rows_of(frame: pl.LazyFrame) -> int:
    """How many rows there are; of Parquet files this reads no rows."""
    return int(collected(frame.select(pl.len())).item())


def top(values: pl.LazyFrame, most: int, rows: int) -> pl.LazyFrame | Callable[[], pl.DataFrame]:
    """The most frequent values, ``v``, and their numbers of rows, ``n``; or what will find them part by part.

    Args:
        values: One column, ``v``.
        most: How many are wanted.
        rows: How many rows there are.
    """

    def ranked(part: pl.LazyFrame) -> pl.LazyFrame:
        counted = part.filter(pl.col("v").is_not_null()).group_by("v").agg(pl.len().alias("n"))
        return first(counted)

    def first(counted: pl.LazyFrame) -> pl.LazyFrame:
        return counted.sort("n", "v", descending=[True, False]).head(most)

    if rows <= PART:
        return ranked(values)

    def find() -> pl.DataFrame:
        distinct = int(collected(values.select(pl.col("v").approx_n_unique())).item())
        found = [collected(ranked(part)) for [part] in parted([values], ["v"], distinct)]
        return collected(first(pl.concat(found).lazy()))

    return find


def parted(
    frames: Sequence[pl.LazyFrame], by: Sequence[str], count: int
) -> Iterator[tuple[pl.LazyFrame, ...]]:
    """Frames with the same key in parts, what has equal keys in the same one.

    Args:
        frames: The frames.
        by: The columns of the key, of the same types in all of them.
        count: About how many keys there are.
    """
    parts = -(-count // PART)
    if parts <= 1:
        yield tuple(frames)
        return
    hashed = (pl.col(by[0]) if len(by) == 1 else pl.struct(by)).hash(seed=1)
    for part in range(parts):
        yield tuple(frame.filter(hashed % parts == part) for frame in frames)


def joined(mine: Column, theirs: Column) -> tuple[pl.Expr, pl.Expr]:
    """A part of a key in two tables, of the same type in both; the two zeros of floats are one."""
    if mine.kind == theirs.kind == "integer":
        wide = mine.type != theirs.type
        return tuple(value(one).cast(pl.Int128) if wide else value(one) for one in (mine, theirs))  # type: ignore[return-value]
    if mine.is_number and theirs.is_number:
        return number(mine) + 0.0, number(theirs) + 0.0
    return value(mine), value(theirs)


def collected(frame: pl.LazyFrame) -> pl.DataFrame:
    """The rows of a stream."""
    found = frame.collect(engine="streaming")
    assert isinstance(found, pl.DataFrame)  # noqa: S101 - it is, unless it was asked to run in the background
    return found
