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
from collections.abc import Callable, Iterator
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

LIST = "pieces.json"
"""What the object is called, after its blob's key and a dot, that lists a large blob's pieces."""

PIECES = "pieces"
"""What the folder is called, after its blob's key and a dot, in which a large blob's pieces are."""


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

    def renew(self, key: str, whole: Callable[[], bool] = lambda: True) -> bool:
        """Makes a blob young; returns whether it is there.

        Args:
            key: Which.
            whole: Says whether what lies beneath it is there. A collector that had looked before may
                have taken that, and only the blob's own key was brought back by making it young.
        """
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
            old = datetime.now(UTC) - at > _FRESH
            if old:
                # Its own time can't be set; a copy onto itself is refused by some stores.
                obstore.copy(self._store, key, f"{key}{_RENEWED}")
                obstore.copy(self._store, f"{key}{_RENEWED}", key)
                obstore.delete(self._store, f"{key}{_RENEWED}")
        except FileNotFoundError:
            return False
        return self.is_safe(key) and (not old or whole())

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

    def remove(self, key: str, before: datetime, beneath: str | None = None) -> bool:
        """Removes a blob if it was put last before a moment; returns whether it did.

        Args:
            key: Which.
            before: By the store's clock.
            beneath: What lies beneath this prefix in a bucket goes with it; if nothing has the
                key, it goes if all of it was put before the moment.
        """
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
            at, paths = self._look(key, beneath)
            # A collector that was stopped for long after it looked must not act on what it saw.
            if at < before and time.monotonic() - began < _LONGEST:
                obstore.delete(self._store, paths[0])
                if paths[1:]:
                    obstore.delete(self._store, paths[1:])
                return True
        except FileNotFoundError:
            return False
        finally:
            obstore.delete(self._store, marker)
        return False

    def _look(self, key: str, beneath: str | None) -> tuple[datetime, list[str]]:
        """When something was put last; its key, and what lies beneath it.

        Raises:
            FileNotFoundError: If there is neither.
        """
        import obstore

        paths: list[str] = []
        newest = None
        for found in obstore.list(self._store, prefix=beneath) if beneath else ():
            for one in found:
                paths.append(one["path"])
                newest = max(newest or one["last_modified"], one["last_modified"])
        try:
            return obstore.head(self._store, key)["last_modified"], [key, *paths]
        except FileNotFoundError:
            if newest is None:
                raise
            return newest, paths

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

        sizes: dict[str, int] = {}
        lists: dict[str, datetime] = {}
        for found in obstore.list(self._store, prefix="b3"):
            for one in found:
                digest, _, rest = one["path"].removeprefix("b3/").replace("/", "", 1).partition(".")
                if rest == LIST:
                    lists[digest] = one["last_modified"]
                elif rest.startswith(f"{PIECES}/"):
                    sizes[digest] = sizes.get(digest, 0) + one["size"]
                elif not rest and len(digest) == 64:
                    yield StoredBlob(digest, one["size"], one["last_modified"])
        yield from (StoredBlob(digest, sizes.get(digest, 0), at) for digest, at in lists.items())

    def sweep(self, before: datetime) -> None:
        """Removes what claims and collectors that were killed left in a bucket before a moment."""
        if self._folder is not None:
            return
        import obstore

        listed: set[str] = set()
        pieces: set[str] = set()
        for prefix, ending in (("condemned", ""), ("b3", _RENEWED)):
            for found in obstore.list(self._store, prefix=prefix):
                old = [o["path"] for o in found if o["last_modified"] < before and o["path"].endswith(ending)]
                if old:
                    obstore.delete(self._store, old)
                for one in found:
                    key, _, rest = one["path"].partition(".")
                    (listed if rest == LIST else pieces if rest.startswith(PIECES) else set()).add(key)
        for key in pieces - listed:  # whoever sent them was killed before their list was written
            self.remove(f"{key}.{LIST}", before, beneath=f"{key}.{PIECES}")

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
