"""Sending a run while it is written, without ever holding up the one who writes it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.experiment import RunFolder
from treadle.kernel.errors import NotFound, StorageError, TreadleError, Unavailable
from treadle.sdk.gather import Gatherer
from treadle.sdk.journal import is_written
from treadle.sdk.spool import Pump

if TYPE_CHECKING:
    from treadle.client import Client

EVERY = 1.0
LONGEST_WAIT = 30.0
PATIENCE = 5.0
EMBEDDED_PATIENCE = 60.0
GATHER_PATIENCE = 3.0


class Sender:
    """Sends one run: to a server while it is written, to the workspace itself when it has ended.

    Args:
        folder: The run's folder.
        root: The project's folder.
        connect: Opens a client: of a server, or of the workspace in this process.
        only: The one writer whose journal is sent, if this isn't the process that started the run.
        gatherer: What gathers where the run comes from; waited for at the end.
    """

    def __init__(
        self,
        folder: RunFolder,
        root: Path,
        connect: Callable[..., Client],
        only: str | None = None,
        gatherer: Gatherer | None = None,
    ) -> None:
        self._folder = folder
        self._root = root
        self._connect = connect
        self._only = self._last = only
        self._gatherer = gatherer
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._complete = False
        self._problem: Exception | None = None

    def start(self) -> None:
        """Begins to send in the background, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="treadle-sender", daemon=True)
            self._thread.start()

    def finish(self) -> str | None:
        """Sends the rest of a run that has ended, for as long as there is patience.

        Returns:
            Why not all of it was sent; None if it was.
        """
        from treadle.client import find_server

        led = self._only is not None and is_written(self._folder.journal)
        if led and find_server(root=self._root) is None:
            return None  # the process that started the run sends this one's records with its own
        self._last = None if not led else self._only  # nobody else may be there to send the rest
        self._closing.set()
        try:
            self.start()
        except RuntimeError:  # An interpreter that shuts down starts no threads.
            return "the program ended without run.finish()"
        assert self._thread is not None  # noqa: S101 - just started
        server = find_server(root=self._root)
        patience = PATIENCE if server else EMBEDDED_PATIENCE
        self._thread.join(patience)
        if self._complete:
            return None
        if self._thread.is_alive():
            return f"no answer from {server or 'the workspace'} within {patience:.0f} s"
        if isinstance(self._problem, TreadleError):
            where = f"{self._problem.where}: " if self._problem.where else ""
            return f"{where}{self._problem.message}"
        return f"{type(self._problem).__name__}: {self._problem}"

    def _work(self) -> None:
        wait = EVERY
        with contextlib.ExitStack() as stack:
            pump: Pump | None = None
            while True:
                closing = self._closing.is_set()
                try:
                    if pump is None:
                        client = stack.enter_context(self._open(closing=closing))
                        pump = Pump(self._folder, client, self._last if closing else self._only)
                    self._complete = pump.send()
                    wait = EVERY
                    if closing and self._gatherer and self._gatherer.wait(GATHER_PATIENCE):
                        self._complete = pump.send()
                except Exception as error:  # noqa: BLE001 - must never reach the training
                    self._problem, pump = error, None
                    wait = min(wait * 2, LONGEST_WAIT)
                    if not isinstance(error, self._passing()):
                        return
                    stack.close()
                if closing:
                    return
                self._closing.wait(wait)

    def _passing(self) -> tuple[type[Exception], ...]:
        """What may be better the next time; a writer may also be ahead of the run's own start."""
        return (Unavailable, StorageError, NotFound) if self._only else (Unavailable, StorageError)

    def _open(self, *, closing: bool) -> Client:
        """A client; before the end only of a server, for the workspace itself is heavy."""
        from treadle.client import find_server

        server = find_server(root=self._root)
        if server is None and not closing:
            raise Unavailable("no server holds the workspace now")
        return self._connect(url=server, root=self._root)
