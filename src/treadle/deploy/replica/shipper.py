"""Ships the journals to the platform, and keeps them bounded while the platform is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from treadle.deploy.replica.journal import Journal
from treadle.deploy.replica.platform import Platform
from treadle.deploy.replica.served import Desk
from treadle.kernel.errors import InvalidInput, TreadleError, Unavailable

log = logging.getLogger("treadle.replica")


class Shipper:
    """A thread that seals the journals at every interval and sends what is sealed.

    Args:
        desks: The models, with the journals to ship and the figures where losses are counted.
        platform: Where to.
        interval: Seconds between two shipments.
        limit: Bytes to keep while the platform is away; the oldest segments go first.
    """

    def __init__(self, desks: Sequence[Desk], platform: Platform, interval: float, limit: int) -> None:
        self._journals = [(desk, desk.journal) for desk in desks if desk.journal is not None]
        self._platform = platform
        self._interval = interval
        self._limit = limit
        self._shipping = threading.Lock()
        self._stop = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    def start(self) -> None:
        """Begins; what a killed process left is sent first."""
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Ships what is left; False if it could not all be shipped in ``timeout`` seconds."""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not any(journal.sealed() for _, journal in self._journals)

    def flush(self, timeout: float) -> None:
        """Returns when everything answered so far has been acknowledged by the platform.

        Raises:
            Unavailable: If that can't be reached in time; nothing is lost by it.
        """
        deadline = time.monotonic() + timeout
        while True:
            self.ship()
            left = sum(segment.rows for _, journal in self._journals for segment in journal.sealed())
            if not left:
                return
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"{left} predictions wait to be taken by the platform", fix="see that `treadle up` runs"
                )
            time.sleep(0.1)

    def ship(self) -> None:
        """Sends what was answered so far; returns early when the platform is away."""
        with self._shipping:
            try:
                for desk, journal in self._journals:
                    self._ship(desk, journal)
                self._noted(None)
            except (TreadleError, OSError) as error:
                self._noted(error)
            self._bound()

    def _ship(self, desk: Desk, journal: Journal) -> None:
        journal.seal()
        for segment in journal.sealed():
            try:
                data = journal.read(segment)
            except FileNotFoundError:
                desk.stats.unlogged += segment.rows
                journal.discard(segment)
                log.error("%d predictions are lost: somebody deleted %s", segment.rows, segment.path)  # noqa: TRY400
                continue
            try:
                self._platform.send_segment(desk.model, segment.id, segment.rows, data)
            except InvalidInput as error:
                # Sending it again can't help, and it must not hold up the others.
                desk.stats.unlogged += segment.rows
                kept = journal.set_aside(segment)
                log.warning("the platform refused %d predictions, kept in %s: %s", segment.rows, kept, error)
            else:
                journal.discard(segment)

    def _noted(self, error: Exception | None) -> None:
        if error and not self._away:
            log.warning("predictions are kept here until they can be sent: %s", error)
        if self._away and not error:
            log.info("predictions are sent again")
        self._away = error is not None

    def _bound(self) -> None:
        waiting = sorted(
            ((segment, desk, journal) for desk, journal in self._journals for segment in journal.sealed()),
            key=lambda found: found[0],
        )
        size = sum(segment.size for segment, _, _ in waiting)
        for segment, desk, journal in waiting:
            if size <= self._limit:
                return
            journal.discard(segment)
            size -= segment.size
            desk.stats.unlogged += segment.rows
            log.error("the journal is full: the oldest %d predictions were given up", segment.rows)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._guarded()
        self._guarded()
        for _, journal in self._journals:
            journal.close()

    def _guarded(self) -> None:
        try:
            self.ship()
        except Exception:  # the thread must live: whatever it is, the next round may do better
            log.exception("shipping predictions failed")
