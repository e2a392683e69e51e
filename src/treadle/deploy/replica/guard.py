"""Looks after the process: memory that grows over its limit, and a model that never comes back."""

from __future__ import annotations

import logging
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("treadle.replica")

RESTART = 75
"""The process ended by itself to be started again (sysexits.h: EX_TEMPFAIL)."""

_PAGE = resource.getpagesize()
_STATM = Path("/proc/self/statm")
_EVERY = 0.25


def resident() -> int:
    """The memory of this process that is resident, in bytes; its peak where the system doesn't tell."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


class Guard:
    """A thread that looks four times a second.

    Args:
        max_memory: Bytes over which ``restart`` is called; None for no limit.
        restart: Asks for a graceful end, after which the process is to be started again.
        lost: Whether a prediction will never come back.
        abort: Ends the process at once: native code can't be interrupted.
    """

    def __init__(
        self,
        max_memory: int | None,
        restart: Callable[[], None],
        lost: Callable[[], bool],
        abort: Callable[[], None],
    ) -> None:
        self._max_memory = max_memory
        self._restart = restart
        self._lost = lost
        self._abort = abort
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def close(self) -> None:
        """Ends."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        restarting = False
        while not self._stop.wait(_EVERY):
            if self._lost():
                log.critical("a prediction does not come back: the process ends")
                self._abort()
                return
            if not restarting and self._max_memory and resident() > self._max_memory:
                log.warning(
                    "%d MiB are in use, more than the %d MiB of [serve] max_memory: starting again",
                    resident() >> 20,
                    self._max_memory >> 20,
                )
                restarting = True
                self._restart()
