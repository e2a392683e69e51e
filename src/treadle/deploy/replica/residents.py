"""Which models are in memory: each is loaded when it is asked, and who was not asked longest makes room.

Everything here runs on the event loop but the loading, which has a thread of its own: models are
loaded one after the other, and requests to those in memory go on meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from treadle.deploy.replica.holder import Holder
from treadle.deploy.replica.reply import Denied, retry_after
from treadle.deploy.worker import Preparing
from treadle.kernel.errors import TreadleError

# The share of its time that a request may wait for a model to be loaded: the rest is for its answer.
_SHARE = 0.8
# How much the latest loading counts in the running mean; and what one takes before any was seen.
_WEIGHT = 0.3
_FIRST = 0.1
_AGAIN = 0.2


class Residents:
    """Loads models and lets go of them.

    Args:
        holders: The models.
        most: How many may be in memory; None for all of them.
        timeout: Seconds that a request may take.
    """

    def __init__(self, holders: Sequence[Holder], most: int | None, timeout: float) -> None:
        self._holders = holders
        self._most = most
        self._patience = timeout * _SHARE
        self._turn = asyncio.Lock()
        self._loading: dict[Holder, asyncio.Task[None]] = {}
        self._waiting: dict[Holder, int] = {}
        self._takes = _FIRST
        self._thread = ThreadPoolExecutor(1, "loader")

    def __len__(self) -> int:
        return sum(holder.current is not None for holder in self._holders)

    async def ask(self, holder: Holder) -> None:
        """Returns once a model is in memory, and it stays until the event loop is given back.

        Raises:
            Denied: If it can't be loaded, or not in time (503).
        """
        until = time.monotonic() + self._patience
        while holder.asleep:
            left = until - time.monotonic()
            load = self._loading.get(holder)
            owed = self._takes * (len(self._loading) + (load is None))
            if owed > self._patience or left <= 0:
                raise _come_again(holder, owed)
            load = load or self._begin(holder)
            self._waiting[holder] = self._waiting.get(holder, 0) + 1
            try:
                await asyncio.wait((load,), timeout=left)
            finally:
                self._waiting[holder] -= 1
                if not self._waiting[holder]:
                    del self._waiting[holder]
            if load.done():
                load.result()

    def trim(self) -> None:
        """Lets go of models that are too many: new versions are loaded beside those that serve."""
        if self._most is not None:
            self._make_room(self._most)

    def close(self) -> None:
        """Begins no loading any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def unload(self, holder: Holder) -> None:
        """Lets go of one.

        Raises:
            Denied: If it is to stay (409).
        """
        if not holder.lazy:
            raise Denied(
                409, f"model {holder.desk.model!r} stays: it is pinned, or [serve] max_models is not set"
            )
        if holder.tried is not None:
            raise Denied(409, f"model {holder.desk.model!r} stays while a version of it is in trial")
        holder.sleep()

    def _begin(self, holder: Holder) -> asyncio.Task[None]:
        load = self._loading[holder] = asyncio.get_running_loop().create_task(self._load(holder))
        load.add_done_callback(lambda done: self._loaded(holder, done))
        return load

    def _loaded(self, holder: Holder, done: asyncio.Task[None]) -> None:
        del self._loading[holder]
        if not done.cancelled():
            done.exception()  # whoever waits gets it; perhaps nobody does any more

    async def _load(self, holder: Holder) -> None:
        loop = asyncio.get_running_loop()
        until = time.monotonic() + self._patience
        async with self._turn:
            if self._most is not None:
                self._make_room(self._most - 1)
            began = time.perf_counter()
            while True:
                try:
                    await loop.run_in_executor(self._thread, holder.wake)
                    break
                except Preparing:
                    # A process of its own is being started, perhaps an environment made first.
                    if time.monotonic() > until:
                        raise _come_again(holder, self._takes) from None
                    await asyncio.sleep(_AGAIN)
                except TreadleError as error:
                    message = f"model {holder.desk.model!r} can't be loaded: {error.message}"
                    raise Denied(503, message, retry_after(holder.rest)) from None
            self._takes += _WEIGHT * (time.perf_counter() - began - self._takes)

    def _make_room(self, most: int) -> None:
        """Lets go of the models that were not asked longest, until at most so many are in memory."""
        held = len(self)
        if held <= most:
            return
        for holder in sorted(self._holders, key=lambda one: one.used):
            # Whoever waits for one is answered before it goes.
            if holder.lazy and holder.current is not None and holder.tried is None:
                if holder in self._waiting:
                    continue
                holder.sleep()
                held -= 1
                if held <= most:
                    return


def _come_again(holder: Holder, seconds: float) -> Denied:
    return Denied(503, f"model {holder.desk.model!r} is still to be loaded; try again", retry_after(seconds))
