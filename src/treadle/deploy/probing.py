"""Whether a process that answers HTTP still does: asked again and again by whoever keeps it alive.

A process may run, and even report, and answer nobody: stopped, swapped out, its event loop in a deadlock. It
is asked on one connection that stays open, through the same event loop as everybody's requests. Under load
that answers late, and late is an answer: only one that has been waited for several times, in vain each time,
is missing. A process that ends closes the connection first, and one that starts has never answered; both
have longer. So has one that computes, and far longer one that says that it loads a model: a library may
do that without letting go of Python's lock, and so of the event loop.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

RESTARTED = "TREADLE_RESTARTED"
"""The environment variable that tells a process why the one before it was killed."""

LOADING = "loading-"
"""How the names of the files begin that tell which model a replica loads."""

_ASK = b"GET /v2/health/live HTTP/1.1\r\nhost: supervisor\r\n\r\n"
_ENDS = b'"live":true}'
# A process that uses less of a core than this waits for something.
_IDLE_SHARE = 0.1


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a process may take.

    Attributes:
        every: Seconds between two questions.
        wait: Seconds for an answer; then it is waited again.
        waits: How often in a row, in vain, until a process that does nothing hangs.
        busy: Seconds after which one that computes hangs as well.
        ending: Seconds that one may take to end, once it has closed the connection.
        starting: Seconds that one may take until it first answers.
        loading: Seconds after which one that loads a model, and computes or has not answered yet, hangs as
            well. One that does nothing while it loads has ``busy`` seconds.
    """

    every: float = 2.0
    wait: float = 2.0
    waits: int = 3
    busy: float = 30.0
    ending: float = 60.0
    starting: float = 120.0
    loading: float = 600.0


class Used(NamedTuple):
    """What the system knows of a process.

    Attributes:
        state: A letter as in ``/proc/PID/stat``; empty where the system doesn't tell.
        seconds: Of a core that it has used.
    """

    state: str
    seconds: float


def used(pid: int) -> Used:
    """What the system knows of a process: see proc(5). Nothing on other systems than Linux."""
    try:
        # The name, which comes second, may hold anything, also parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return Used("", 0.0)
    return Used(fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))


class Prober:
    """Asks a process until it hangs.

    Args:
        address: Host and port at which it answers.
        pid: The process.
        patience: How long it may take.
        look: Tells what the system knows of it.
        seconds: Tells the time.
        loads: Tells whether it says that it loads a model.
    """

    def __init__(
        self,
        address: tuple[str, int],
        pid: int,
        patience: Patience,
        look: Callable[[int], Used] = used,
        seconds: Callable[[], float] = time.monotonic,
        loads: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loads = loads
        self._address = address
        self._pid = pid
        self._patience = patience
        self._look = look
        self._seconds = seconds
        self._since = seconds()
        self._limit = patience.starting
        self._starts = True
        self._proven = False
        self._misses = 0
        self._before = Used("", 0.0)
        self._line: socket.socket | None = None
        self._found = b""

    @property
    def waits(self) -> bool:
        """Whether an answer is still to come."""
        return self._line is not None and self._misses > 0

    def close(self) -> None:
        """Lets go of the connection."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def ask(self) -> str:
        """Asks once, or waits on for the answer to what was asked; takes so long as that does.

        Returns:
            Why the process hangs, in words; empty if it doesn't, or it is too soon to tell.
        """
        try:
            answered = self._answered()
        except OSError:
            self.close()
            if self._proven:  # it has closed the connection, so it is there: it ends
                self._proven, self._misses, self._starts = False, 0, False
                self._since, self._limit = self._seconds(), self._patience.ending
            answered = False
        if answered:
            self._proven, self._misses, self._since = True, 0, self._seconds()
            return ""
        return self._missed()

    def _answered(self) -> bool:
        """Whether an answer came in time.

        Raises:
            OSError: If the connection broke, or could not be made.
        """
        if self._line is None or not self._misses:
            self._line = self._line or socket.create_connection(self._address, self._patience.wait)
            self._line.sendall(_ASK)
            self._found = b""
        with contextlib.suppress(TimeoutError):
            while not self._found.endswith(_ENDS):
                piece = self._line.recv(4096)
                if not piece:
                    raise ConnectionResetError
                self._found += piece
            return True
        return False

    def _missed(self) -> str:
        if not self._misses:
            self._before = self._look(self._pid)
        self._misses += 1
        silent = self._seconds() - self._since
        loading = self._loads()
        if not self._proven:
            limit = max(self._limit, self._patience.loading if self._starts and loading else 0.0)
            return f"it did not answer within {silent:.0f} s" if silent >= limit else ""
        if self._misses < self._patience.waits:
            return ""
        now, waited = self._look(self._pid), (self._misses - 1) * self._patience.wait
        idle = now.seconds - self._before.seconds < _IDLE_SHARE * waited
        if now.state and now.state in "Tt":
            return f"it answered nobody for {silent:.0f} s, stopped"
        if now.state and idle:
            limit, does = self._patience.busy if loading else 0.0, ", doing nothing"
        else:
            limit, does = self._patience.loading if loading else self._patience.busy, ""
        does += " while it loads a model" if loading else ""
        return f"it answered nobody for {silent:.0f} s{does}" if silent >= limit else ""


def says_it_loads(state: Path, since: float) -> bool:
    """Whether a replica says that it loads a model: it leaves a file in its folder for as long as that takes.

    Args:
        state: The folder.
        since: When the process was started, in seconds since 1970: what one before it left says nothing.
    """
    with contextlib.suppress(OSError):
        return any(path.stat().st_mtime >= since for path in state.glob(f"{LOADING}*"))
    return False
