"""Packs that are on their way from a remote while files are made of those that have come."""

from __future__ import annotations

import threading
from collections import deque


class Arrivals:
    """What has come of a version's packs, told by who brings them and looked at by a checkout.

    For several threads. ``changed`` is the lock of all that it has, and notified at each change.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self._come: deque[str] = deque()
        self._ended = False
        self._error: BaseException | None = None

    def add(self, pack: str) -> None:
        """Says that a pack is here, durably; nothing lies elsewhere of what it has."""
        with self.changed:
            self._come.append(pack)
            self.changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Says that all that was to come is here, or why no more comes."""
        with self.changed:
            self._ended, self._error = True, error
            self.changed.notify_all()

    def take(self) -> str | None:
        """The next pack that came, if one did since."""
        with self.changed:
            return self._come.popleft() if self._come else None

    @property
    def ended(self) -> bool:
        """Whether no more comes."""
        with self.changed:
            return self._ended

    @property
    def failed(self) -> bool:
        """Whether no more comes, and not all is here."""
        with self.changed:
            return self._error is not None

    def check(self) -> None:
        """Raises what went wrong with bringing packs, if anything did."""
        with self.changed:
            if self._error is not None:
                raise self._error

    def wait(self) -> None:
        """Waits until all is here; raises as :meth:`check`."""
        with self.changed:
            self.changed.wait_for(lambda: self._ended)
            self.check()
