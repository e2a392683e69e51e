"""The models of one server: follows the platform for each of them, one after the other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from treadle.deploy.replica.holder import Holder

log = logging.getLogger("treadle.replica")

# Seconds between two reports, for each model; and the most that a pass over all of them waits.
_SHARE = 0.05
_LONGEST = 5.0


class Fleet:
    """A thread that reports to the platform, and takes what that wants.

    Args:
        holders: One for each model.
        poll: Seconds between two passes; more where there are many models.
    """

    def __init__(self, holders: Sequence[Holder], poll: float) -> None:
        self._holders = {holder.desk.model: holder for holder in holders}
        self._poll = max(poll, min(_SHARE * len(holders), _LONGEST) if len(holders) > 1 else 0.0)
        self._stop = threading.Event()
        self._passed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    @property
    def names(self) -> list[str]:
        """The models, in the order in which they were asked for."""
        return list(self._holders)

    @property
    def holders(self) -> list[Holder]:
        """What holds each model."""
        return list(self._holders.values())

    def find(self, model: str) -> Holder | None:
        """What holds a model; None if it isn't served here."""
        return self._holders.get(model)

    def ready(self) -> bool:
        """Whether every model answers."""
        return all(holder.ready() for holder in self._holders.values())

    def start(self) -> None:
        """Begins to report and to follow."""
        self._thread.start()

    def wait(self, timeout: float) -> None:
        """Returns when every model has been looked after once: what could be loaded is."""
        self._passed.wait(timeout)

    def close(self, timeout: float) -> None:
        """Ends; a model that is being loaded is given up after ``timeout`` seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            for holder in self._holders.values():
                try:
                    while not self._stop.is_set() and holder.follow():
                        pass
                except Exception:  # the thread must live: without it no version would ever change
                    log.exception("following the platform failed")
            self._passed.set()
            self._stop.wait(self._poll)
