"""Files in the project's folder: which belong to a dataset, and what is known of them from last time."""

from __future__ import annotations

from pathlib import Path

import msgspec

from treadle.kernel.errors import CorruptData, InvalidInput, NotFound
from treadle.kernel.files import storage_errors, write_atomic

_SUFFIXES = (".parquet", ".csv")


class Stat(msgspec.Struct, frozen=True):
    """What the file system says of a file. A file whose stat is the same is taken to hold the same bytes."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class LocalFile(msgspec.Struct, frozen=True):
    """A file of a dataset: its path within the dataset, where it lies, and its stat."""

    path: str
    at: Path
    stat: Stat

    @property
    def is_csv(self) -> bool:
        """Whether it must be turned into Parquet before it can be read."""
        return self.at.suffix.lower() == ".csv"


class Fingerprint(msgspec.Struct, frozen=True):
    """What a file held when it had this stat: digests of its bytes and, for CSV, of its rows as Parquet."""

    stat: Stat
    digest: str
    parquet: str = ""


def scan(source: Path, dataset: str) -> list[LocalFile]:
    """The Parquet and CSV files at a path, sorted; hidden ones and those below ``_...`` folders are left out.

    Raises:
        NotFound: If there is nothing.
        InvalidInput: If it is a file of another kind.
        StorageError: If it can't be looked at.
    """
    with storage_errors(str(source)):
        if source.is_file():
            if source.suffix.lower() not in _SUFFIXES:
                raise InvalidInput("the file is neither Parquet nor CSV", where=str(source))
            return [LocalFile(source.name, source, _stat(source))]
        found = [
            LocalFile(path.relative_to(source).as_posix(), path, _stat(path))
            for path in sorted(source.rglob("*"))
            if path.suffix.lower() in _SUFFIXES
            and not any(part[0] in "._" for part in path.relative_to(source).parts)
            and path.is_file()
        ]
    if not found:
        what = "has no Parquet or CSV file in it" if source.is_dir() else "does not exist"
        raise NotFound(
            f"the data of {dataset!r} {what}",
            where=str(source),
            fix=f"put it there, or change `path` in [data.{dataset}] of treadle.toml",
        )
    return found


def _stat(path: Path) -> Stat:
    found = path.stat()
    return Stat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def check_unchanged(before: list[LocalFile], after: list[LocalFile]) -> None:
    """Refuses files that were written, added or removed meanwhile.

    Raises:
        CorruptData: Naming one of them.
    """
    changed = set(before) ^ set(after)
    if changed:
        first = min(changed, key=lambda file: file.path)
        raise CorruptData(
            "the file changed while it was read",
            where=str(first.at),
            fix="wait until whatever writes it has ended, then add the data again",
        )


def load_fingerprints(cache: Path) -> dict[str, Fingerprint]:
    """What was known last time, by path. A cache that can't be read is an empty one."""
    try:
        return msgspec.json.decode(cache.read_bytes(), type=dict[str, Fingerprint])
    except (OSError, msgspec.DecodeError):
        return {}


def save_fingerprints(cache: Path, found: dict[str, Fingerprint], seen_ns: int) -> None:
    """Keeps what is known for next time.

    A file that was written less than a second before it was looked at is left out: it could be
    written again within the resolution of the file system's clock, and keep its stat with other bytes.

    Args:
        cache: Where to keep it.
        found: What is known, by path.
        seen_ns: When the files were looked at, by the machine's clock, in nanoseconds since 1970.

    Raises:
        StorageFull: If the disk is full.
    """
    settled = seen_ns - 1_000_000_000
    keep = {
        path: known
        for path, known in found.items()
        if max(known.stat.mtime_ns, known.stat.ctime_ns) < settled
    }
    write_atomic(cache, msgspec.json.encode(keep))
