"""Between those who put blobs and the one who collects them: a blob that was just put stays.

Whoever puts bytes that are there already makes the blob young, and a collector removes only
blobs that are old. In a folder both hold a lock for the moment in which they look and act. A
bucket has no locks; there the collector first puts a marker, then looks, removes, and takes
the marker away, and whoever has put a blob looks for the marker afterwards: if there is one,
it waits until it has gone and looks whether the blob is still there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from obstore.store import ObjectStore

LEAST_AGE = timedelta(hours=1)
"""No collector removes a blob that is younger than this."""

_FRESH = LEAST_AGE / 2
_LEASE = timedelta(minutes=10)  # longer than the library repeats a request
_LONGEST = 30.0
_PAUSE = 0.05
_RENEWED = ".renewed"


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob as it lies in its store.

    Attributes:
        digest: Of its bytes.
        size: In bytes.
        at: When it was put last, by the store's clock.
    """

    digest: str
    size: int
    at: datetime


class Fence:
    """Keeps putting and collecting apart in one store.

    Args:
        store: The object store.
        folder: The folder that it is, if it is one.
    """

    def __init__(self, store: ObjectStore, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    def renew(self, key: str) -> bool:
        """Makes a blob young; returns whether it is there."""
        if self._folder is not None:
            with self._lock(fcntl.LOCK_SH):
                try:
                    os.utime(self._folder / key)
                except FileNotFoundError:
                    return False
                return True
        import obstore

        try:
            at = obstore.head(self._store, key)["last_modified"]
            if datetime.now(UTC) - at > _FRESH:
                # Its own time can't be set; a copy onto itself is refused by some stores.
                obstore.copy(self._store, key, f"{key}{_RENEWED}")
                obstore.copy(self._store, f"{key}{_RENEWED}", key)
                obstore.delete(self._store, f"{key}{_RENEWED}")
        except FileNotFoundError:
            return False
        return self.is_safe(key)

    def is_safe(self, key: str) -> bool:
        """Whether a blob that was just put is there and will stay; waits for a collector that looks at it."""
        if self._folder is not None:
            return True
        import obstore

        while self._marked(key):
            time.sleep(_PAUSE)
        try:  # also without a marker: it may have been taken away just before
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def remove(self, key: str, before: datetime) -> bool:
        """Removes a blob if it was put last before a moment; returns whether it did."""
        if self._folder is not None:
            path = self._folder / key
            with self._lock(fcntl.LOCK_EX):
                try:
                    if path.stat().st_mtime >= before.timestamp():
                        return False
                    path.unlink()
                except FileNotFoundError:
                    return False
                return True
        import obstore

        began, marker = time.monotonic(), _marker(key)
        obstore.put(self._store, marker, b"")
        try:
            old = obstore.head(self._store, key)["last_modified"] < before
            # A collector that was stopped for long after it looked must not act on what it saw.
            if old and time.monotonic() - began < _LONGEST:
                obstore.delete(self._store, key)
                return True
        except FileNotFoundError:
            return False
        finally:
            obstore.delete(self._store, marker)
        return False

    def now(self) -> datetime:
        """The time by the store's own clock."""
        import obstore

        probe = f"tmp/clock-{os.getpid()}-{time.monotonic_ns()}"
        obstore.put(self._store, probe, b"")
        try:
            at: datetime = obstore.head(self._store, probe)["last_modified"]
        finally:
            obstore.delete(self._store, probe)
        return at

    def stored(self) -> Iterator[StoredBlob]:
        """Every blob that lies in the store."""
        import obstore

        for found in obstore.list(self._store, prefix="b3"):
            for one in found:
                digest = one["path"].removeprefix("b3/").replace("/", "")
                if len(digest) == 64:
                    yield StoredBlob(digest, one["size"], one["last_modified"])

    def sweep(self, before: datetime) -> None:
        """Removes what claims and collectors that were killed left in a bucket before a moment."""
        if self._folder is not None:
            return
        import obstore

        for prefix, ending in (("condemned", ""), ("b3", _RENEWED)):
            for found in obstore.list(self._store, prefix=prefix):
                old = [o["path"] for o in found if o["last_modified"] < before and o["path"].endswith(ending)]
                if old:
                    obstore.delete(self._store, old)

    def _marked(self, key: str) -> bool:
        import obstore

        try:
            at = obstore.head(self._store, _marker(key))["last_modified"]
        except FileNotFoundError:
            return False
        return datetime.now(UTC) - at < _LEASE  # left behind by a collector that was killed

    @contextlib.contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        assert self._folder is not None  # noqa: S101 - buckets have no locks
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


def _marker(key: str) -> str:
    return f"condemned/{key.replace('/', '')}"
