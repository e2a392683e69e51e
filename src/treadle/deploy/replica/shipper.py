"""Ships the journal to the platform, and keeps it bounded while the platform is away."""

from __future__ import annotations

import logging
import threading
import time

from treadle.deploy.replica.journal import Journal
from treadle.deploy.replica.platform import Platform
from treadle.deploy.replica.stats import Stats
from treadle.kernel.errors import InvalidInput, TreadleError, Unavailable

log = logging.getLogger("treadle.replica")


class Shipper:
    """A thread that seals the journal at every interval and sends what is sealed.

    Args:
        journal: What to ship.
        platform: Where to.
        model: The model that answered.
        stats: Where losses are counted.
        interval: Seconds between two shipments.
        limit: Bytes to keep while the platform is away; the oldest segments go first.
    """

    def __init__(
        self, journal: Journal, platform: Platform, model: str, stats: Stats, interval: float, limit: int
    ) -> None:
        self._journal = journal
        self._platform = platform
        self._model = model
        self._stats = stats
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
        return not self._thread.is_alive() and not self._journal.sealed()

    def flush(self, timeout: float) -> None:
        """Returns when everything answered so far has been acknowledged by the platform.

        Raises:
            Unavailable: If that can't be reached in time; nothing is lost by it.
        """
        deadline = time.monotonic() + timeout
        while True:
            self.ship()
            left = sum(segment.rows for segment in self._journal.sealed())
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
                self._journal.seal()
                for segment in self._journal.sealed():
                    try:
                        self._platform.send_predictions(self._model, self._journal.read(segment))
                    except InvalidInput as error:
                        # Sending it again can't help, and it must not hold up the others.
                        self._stats.unlogged += segment.rows
                        kept = self._journal.set_aside(segment)
                        log.warning(
                            "the platform refused %d predictions, kept in %s: %s", segment.rows, kept, error
                        )
                    else:
                        self._journal.discard(segment)
                self._noted(None)
            except (TreadleError, OSError) as error:
                self._noted(error)
            self._bound()

    def _noted(self, error: Exception | None) -> None:
        if error and not self._away:
            log.warning("predictions are kept here until they can be sent: %s", error)
        if self._away and not error:
            log.info("predictions are sent again")
        self._away = error is not None

    def _bound(self) -> None:
        segments = self._journal.sealed()
        size = sum(segment.size for segment in segments)
        for segment in segments:
            if size <= self._limit:
                return
            self._journal.discard(segment)
            size -= segment.size
            self._stats.unlogged += segment.rows
            log.error("the journal is full: the oldest %d predictions were given up", segment.rows)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self._guarded()
        self._guarded()

    def _guarded(self) -> None:
        try:
            self.ship()
        except Exception:  # the thread must live: whatever it is, the next round may do better
            log.exception("shipping predictions failed")
