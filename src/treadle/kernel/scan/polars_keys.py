"""Repeated keys by Polars: exact, in one stream and in bounded memory.

What streams out are 64-bit hashes. Different hashes are of different keys, so if no hash appears twice,
no key does, and that is proven without holding a key. Only where hashes repeat are the rows that have them
looked at again, and the keys themselves compared. Hashes of many rows lie on disk, parted by their upper
bits, and are sorted part by part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from treadle.kernel.scan.answers import Repeats
from treadle.kernel.scan.places import plain

Hashes: TypeAlias = npt.NDArray[np.uint64]

IN_MEMORY = 32_000_000
"""So many hashes are held, in 256 MB."""

_BATCH = 500_000
_N = "#rows"


def repeats(frame: pl.LazyFrame, keys: Sequence[pl.Expr], rows: int) -> Repeats:
    """The keys that stand in more than one row; those with a missing part aren't looked at.

    Args:
        frame: The rows.
        keys: The parts of the key.
        rows: How many rows there are.
    """
    by = [f"k{i}" for i in range(len(keys))]
    named = frame.select(key.alias(name) for key, name in zip(keys, by, strict=True)).drop_nulls()
    hashed = (pl.col(by[0]) if len(by) == 1 else pl.struct(by)).hash(seed=0)
    twice = [_twice(part) for part in _parts(named.select(hashed.alias("h")), rows)]
    again = np.concatenate([np.empty(0, dtype=np.uint64), *twice])
    if not len(again):
        return Repeats(0, 0)
    suspects = named.filter(hashed.is_in(pl.Series(again).implode()))
    counted = suspects.group_by(by).agg(pl.len().alias(_N)).filter(pl.col(_N) > 1)
    least = [pl.col(name).sort_by(by).first() for name in by]
    found = counted.select(pl.len(), pl.col(_N).sum().alias("rows"), *least).collect(engine="streaming")
    count, total, *example = found.row(0)
    key = tuple(map(plain, example)) if count else None
    return Repeats(int(count), int(total), key)  # type: ignore[arg-type]


def _twice(hashes: Hashes) -> Hashes:
    """The hashes that appear more than once; sorts the array in place."""
    hashes.sort()
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def _parts(frame: pl.LazyFrame, rows: int) -> Iterator[Hashes]:
    """All hashes, so parted that equal ones are together, and each part fits in memory."""
    batches = (
        batch.to_series().to_numpy()
        for batch in frame.collect_batches(chunk_size=_BATCH, maintain_order=False)
    )
    if rows <= IN_MEMORY:
        yield np.concatenate([np.empty(0, dtype=np.uint64), *batches])
        return
    shift = 64 - max(1, (2 * rows // IN_MEMORY).bit_length())
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        paths = [Path(folder, str(part)) for part in range(1 << (64 - shift))]
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for batch in batches:
            places = batch >> np.uint64(shift)
            for part in np.unique(places):
                batch[places == part].tofile(files[int(part)])
        for file, path in zip(files, paths, strict=True):
            file.close()
            yield np.fromfile(path, dtype=np.uint64)
            path.unlink()
