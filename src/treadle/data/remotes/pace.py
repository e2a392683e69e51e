"""How fast bytes may move."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from treadle.kernel.errors import Conflict, InvalidInput

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?(?:/s)?", re.IGNORECASE)
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_rate(text: str) -> float:
    """Reads a rate such as ``50MB/s``, ``800k`` or ``1.5GiB/s``; in bytes a second.

    Raises:
        InvalidInput: If it isn't one, or is zero.
    """
    found = _SIZE.fullmatch(text.strip())
    rate = 0.0
    if found:
        rate = float(found[1]) * (1024 if found[3] else 1000) ** _UNITS[found[2].upper()]
    if rate <= 0:
        raise InvalidInput(f"{text!r} is not a rate", fix="write bytes a second, such as 50MB/s or 800k")
    return rate


class Pace:
    """Tells how far a transfer is (:mod:`treadle.kernel.progress`) and holds it back; for many threads.

    Args:
        limit: Bytes a second; as fast as it goes when None.
        now: A clock that only goes forward, in seconds.
    """

    def __init__(self, limit: float | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._now = limit, now
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._free = 0.0

    def take(self, size: int) -> None:
        """Waits until so many bytes may be moved.

        Raises:
            Conflict: If the transfer was stopped.
        """
        if self._limit is not None:
            with self._lock:
                now = self._now()
                self._free = max(self._free, now)
                wait = self._free - now
                self._free += size / self._limit
            self.wait(wait)
        self.check()

    def wait(self, seconds: float) -> None:
        """Waits, but no longer when the transfer is stopped.

        Raises:
            Conflict: If it was.
        """
        if seconds > 0:
            self._stop.wait(seconds)
        self.check()

    def stop(self) -> None:
        """Stops the transfer; what was moved is there when it begins again."""
        self._stop.set()

    def check(self) -> None:
        """Raises Conflict if the transfer was stopped."""
        if self._stop.is_set():
            raise Conflict("the transfer was stopped", fix="run the same command again: it goes on")
