"""The models of one server: follows the platform for each of them, one after the other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from itertools import zip_longest

from treadle.deploy.replica.holder import Holder
from treadle.deploy.replica.platform import Platform
from treadle.deploy.types import DesiredRevision, ReplicaReport
from treadle.kernel.errors import NotFound, TreadleError

log = logging.getLogger("treadle.replica")

# Seconds between two passes: so many for each model, more for each of which there is something new to
# write down; and the most that a pass waits.
_SHARE = 0.005
_NEWS = 0.05
_LONGEST = 5.0
# Seconds of a pass after which the models are reported beside it; the platform takes ten for an end.
_SILENT = 3.0


class Fleet:
    """A thread that reports to the platform, and takes what that wants.

    Args:
        holders: One for each model.
        platform: Where to.
        poll: Seconds between two passes; more where there are many models.
    """

    def __init__(self, holders: Sequence[Holder], platform: Platform, poll: float) -> None:
        self._holders = {holder.desk.model: holder for holder in holders}
        self._platform = platform
        self._poll = poll
        self._said: list[ReplicaReport] = []
        self._stop = threading.Event()
        self._passed = threading.Event()
        self._began: float | None = None
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._beside = threading.Thread(target=self._report_beside, name="fleet-beside", daemon=True)

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
        self._beside.start()

    def wait(self, timeout: float) -> None:
        """Returns when every model has been looked after once: what could be loaded is."""
        self._passed.wait(timeout)

    def close(self, timeout: float) -> None:
        """Ends; a model that is being loaded is given up after ``timeout`` seconds."""
        self._stop.set()
        for thread in (self._thread, self._beside):
            if thread.is_alive():
                thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            news = len(self._holders)
            self._began = time.monotonic()
            try:
                news = self._pass()
            except Exception:  # the thread must live: without it no version would ever change
                log.exception("following the platform failed")
            self._began = None
            self._passed.set()
            self._stop.wait(self._pause(news))

    def _report_beside(self) -> None:
        """Reports while a pass takes long: fetching a large model and loading it do, and nobody is gone."""
        while not self._stop.wait(_SILENT):
            began = self._began
            if began is None or time.monotonic() - began < _SILENT:
                continue
            try:
                for holder in self.holders:
                    holder.tell()
            except TreadleError:
                continue  # the next pass tells
            except Exception:  # as above
                log.exception("reporting to the platform failed")

    def _pause(self, news: int) -> float:
        """Seconds until the next pass."""
        count = len(self._holders)
        return self._poll if count == 1 else max(self._poll, min(_SHARE * count + _NEWS * news, _LONGEST))

    def _pass(self) -> int:
        """Reports every model and takes what is wanted; of several, all are reported in one request.

        Returns:
            For how many there was something new to write down.
        """
        holders = self.holders
        if len(holders) > 1:
            reports = [holder.report() for holder in holders]
            before, self._said = self._said, reports
            try:
                wanted = self._platform.report_all(reports)
            except NotFound:  # an older platform takes one after the other
                pass
            except TreadleError as error:
                holders[0].noted(error)
                return 0
            else:
                for holder, asked in zip(holders, wanted, strict=True):
                    holder.noted(None)
                    self._take(holder, asked)
                return sum(new != old for new, old in zip_longest(reports, before))
        for holder in holders:
            self._follow(holder)
        return len(holders)

    def _take(self, holder: Holder, wanted: DesiredRevision | None) -> None:
        """Has a model take what is wanted, and report what comes of it."""
        try:
            news = not self._stop.is_set() and holder.heed(wanted)
        except Exception:  # one model's trouble is not the others'
            log.exception("following the platform failed")
            return
        if news:
            self._follow(holder)

    def _follow(self, holder: Holder) -> None:
        """Reports a model, and again as long as there is something new to report."""
        try:
            while not self._stop.is_set() and holder.follow():
                pass
        except Exception:  # one model's trouble is not the others'
            log.exception("following the platform failed")
