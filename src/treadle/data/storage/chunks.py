"""Cutting large files into chunks by their content, so that versions share what didn't change.

The cut is FastCDC's (Xia et al., "The Design of Fast Content Defined Chunking for Data
Deduplication Based Storage Systems", 2020) with an average of 256 KiB, at least 64 KiB and at
most 1 MiB. Ordinary training checkpoints share nothing, for every weight moves; files that are
edited or appended to, frozen layers and shared bases do. So a file is cut only where it was asked
for, or where its version before looks like it in many places.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from treadle.data.storage.contents import Contents
from treadle.data.storage.hashing import Whole
from treadle.data.storage.recipes import OWN, Recipe
from treadle.data.storage.writing import PackWriter
from treadle.kernel.errors import CorruptData, MissingExtra
from treadle.kernel.files import storage_errors

AVERAGE = 256 << 10
LEAST = 8 << 20
"""A smaller file isn't worth cutting unless that is asked for."""

_BLOCK = 32 << 20
_SAMPLES, _SAMPLE = 64, 4096
_SHARED = 1 / 8


def available() -> bool:
    """Whether files can be cut here."""
    return importlib.util.find_spec("pyfastcdc") is not None


def cut(path: Path) -> Iterator[tuple[int, memoryview]]:
    """Cuts a file; yields each chunk's offset and bytes, which are valid until the next one is asked for.

    Raises:
        MissingExtra: If the library isn't installed.
        StorageError: If the file can't be read.
    """
    try:
        from pyfastcdc import FastCDC
    except ImportError:
        raise MissingExtra(
            "cutting files into chunks needs pyfastcdc", fix="pip install 'treadle[chunks]'"
        ) from None
    cutter = FastCDC(AVERAGE)
    with storage_errors(str(path)), path.open("rb", buffering=0) as file:
        buffer, kept, offset = bytearray(_BLOCK), 0, 0
        view = memoryview(buffer)
        while True:
            while kept < _BLOCK and (count := file.readinto(view[kept:])):
                kept += count
            last = kept < _BLOCK
            begin = 0
            for chunk in cutter.cut_buf(view[:kept]):
                end = chunk.offset + chunk.length
                if end == kept and not last:  # the block's end, not the chunk's
                    break
                yield offset + chunk.offset, view[chunk.offset : end]
                begin = end
            if last:
                return
            buffer[: kept - begin] = buffer[begin:kept]
            offset, kept = offset + begin, kept - begin


@dataclass(frozen=True, slots=True)
class _Where:
    """A chunk that is stored already: as a content of its own, or in a stretch of a whole blob."""

    base: str
    offset: int


def looks_alike(path: Path, before: str, size: int, contents: Contents) -> bool:
    """Whether a file has much of an earlier content, by samples at the same places from both ends."""
    mine = path.stat().st_size
    step = max(1, min(mine, size) // _SAMPLES)
    same = [0, 0]
    with storage_errors(str(path)), path.open("rb", buffering=0) as file:
        for at in range(0, min(mine, size) - _SAMPLE, step):
            for which, (here, there) in enumerate(((at, at), (mine - at - _SAMPLE, size - at - _SAMPLE))):
                file.seek(here)
                same[which] += file.read(_SAMPLE) == contents.read(before, size, there, there + _SAMPLE)
    return max(same) >= _SAMPLES * _SHARED


def put_chunked(path: Path, writer: PackWriter, contents: Contents, before: tuple[str, int] | None) -> str:
    """Keeps a file as chunks, only those that aren't kept already; returns its digest.

    Args:
        path: The file.
        writer: Takes what is new.
        contents: What is kept already.
        before: The digest and size of what lay at the path before.

    Raises:
        CorruptData: If the file changed while it was read.
        StorageFull: If no space is left.
        StorageError: If it can't be read or kept.
    """
    import numpy as np
    from blake3 import blake3

    stat = path.stat()
    stored = _stored(contents, *before) if before else {}
    bases: dict[str, int] = {}
    digests, lengths, sources, offsets = [], [], [], []
    whole = Whole()
    try:
        for _, piece in cut(path):
            data = bytes(piece)
            whole.add(data)
            digest = blake3(data).digest()
            where = stored.get(digest)
            if where is not None and where.base:
                source = bases.setdefault(where.base, len(bases))
            else:
                source = OWN
                if where is None and contents.indexes.find(digest) is None:
                    writer.put_as(digest, data)
            digests.append(digest)
            lengths.append(len(data))
            sources.append(source)
            offsets.append(where.offset if where and where.base else 0)
    finally:
        found = whole.finish()
    after = path.stat()
    if (stat.st_size, stat.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or sum(lengths) != stat.st_size:
        raise CorruptData("the file changed while it was read", where=str(path), fix="add it again")
    recipe = Recipe(
        tuple(bases),
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        np.array(lengths, "<u4"),
        np.array(sources, "<u4"),
        np.array(offsets, "<u8"),
    )
    writer.put_recipe(found, recipe.encode(), stat.st_size)
    return found.hex()


def _stored(contents: Contents, before: str, size: int) -> dict[bytes, _Where]:
    """The chunks of an earlier content, and where they are kept."""
    recipe = contents.recipe(before)
    if recipe is not None:
        return _of_recipe(recipe)
    path = contents.blobs.path(before)
    if path is None or size < AVERAGE:
        return {}
    from blake3 import blake3

    return {blake3(piece).digest(): _Where(before, offset) for offset, piece in cut(path)}


def _of_recipe(recipe: Recipe) -> dict[bytes, _Where]:
    found = {}
    for row in range(len(recipe)):
        source = int(recipe.sources[row])
        where = _Where("", 0) if source == OWN else _Where(recipe.bases[source], int(recipe.offsets[row]))
        found[recipe.digests[row].tobytes()] = where
    return found
