"""Repeated keys by Polars: exact, in one stream and in bounded memory.

What streams out are 64-bit hashes. Different hashes are of different keys, so if no hash appears twice,
no key does, and that is proven without holding a key. Only where hashes repeat are the rows that have them
looked at again, and the keys themselves compared; where many do, all keys are, part by part. Hashes of many
rows lie on disk, parted by their upper bits, and are sorted part by part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from treadle.kernel.scan.answers import Repeats
from treadle.kernel.scan.places import plain
from treadle.kernel.scan.polars_parts import N, collected, parted

Hashes: TypeAlias = npt.NDArray[np.uint64]

IN_MEMORY = 32_000_000
"""So many hashes are held, in 256 MB."""

_BATCH = 500_000
_FEW = 100_000


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
    if len(again) <= _FEW:
        return _repeated([named.filter(hashed.is_in(pl.Series(again).implode()))], by)
    return _repeated((part for [part] in parted([named], by, rows)), by)


def _repeated(parts: Iterable[pl.LazyFrame], by: Sequence[str]) -> Repeats:
    """The keys that stand in more than one row, of parts that share none."""
    keys, rows, examples = 0, 0, []
    for part in parts:
        counted = part.group_by(by).agg(pl.len().alias(N)).filter(pl.col(N) > 1)
        least = [pl.col(name).sort_by(by).first() for name in by]
        found = collected(counted.select(pl.len().alias("keys"), pl.col(N).sum().alias("rows"), *least))
        keys, rows = keys + int(found["keys"][0]), rows + int(found["rows"][0])
        examples += [found.select(by)] if found["keys"][0] else []
    example = tuple(map(plain, pl.concat(examples).sort(by).row(0))) if examples else None
    return Repeats(keys, rows, example)  # type: ignore[arg-type]


def _twice(hashes: Hashes) -> Hashes:
    """The hashes that appear more than once; sorts the array in place."""
    hashes.sort()
    again = hashes[1:][hashes[1:] == hashes[:-1]]
    first: npt.NDArray[np.bool_] = np.ones(len(again), dtype=np.bool_)
    np.not_equal(again[1:], again[:-1], out=first[1:])  # np.unique would hash them all
    found: Hashes = again[first]
    return found


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
