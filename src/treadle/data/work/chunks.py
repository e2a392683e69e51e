"""The chunks of a checkout: some files each, given out to whoever makes files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from threading import Condition
from typing import TYPE_CHECKING

from treadle.data.storage.contents import Contents
from treadle.data.storage.indexes import PLAIN
from treadle.data.storage.packs import Pack, PackIndex, prefixes
from treadle.data.tree.types import Entries
from treadle.data.work.arriving import Arrivals
from treadle.data.work.plans import Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST = 64 << 20


@dataclass(frozen=True, eq=False, slots=True)
class Chunk:
    """Some files of a checkout.

    Attributes:
        rows: Which of the target's; int64, n.
        replace: Which are written over something; bool, n.
        contents: What gives them.
    """

    rows: NDArray[np.int64]
    replace: NDArray[np.bool_]
    contents: Contents


class Chunks:
    """All chunks of a checkout. For several threads; who takes one has it for himself.

    Where packs are still on their way, the files of each become chunks when it is here, and those that lie in
    none when all is here.

    Args:
        target: What shall lie there.
        plan: What is written of it.
        contents: What gives it.
        most: So many files a chunk has at most.
        arrivals: Tells what is here; all is, if None.
    """

    def __init__(
        self, target: Entries, plan: Plan, contents: Contents, most: int, arrivals: Arrivals | None = None
    ) -> None:
        self._target, self._plan, self._contents, self._most = target, plan, contents, most
        self._arrivals = arrivals
        self._changed = arrivals.changed if arrivals else Condition()
        self._lookup = _Lookup(target, plan) if arrivals else None
        self._ready = deque(() if arrivals else self._cut(plan.write, plan.replace, contents))
        self._over = arrivals is None

    def __bool__(self) -> bool:
        """Whether there are some left, or some may come."""
        with self._changed:
            return bool(self._ready) or not self._over

    def first(self) -> Chunk | None:
        """The first one, waited for; None when there are no more.

        Raises:
            TreadleError: What went wrong with bringing packs.
        """
        found = self._take(self._ready.popleft, wait=True)
        if found is None and self._arrivals is not None:
            self._arrivals.check()
        return found

    def last(self, *, wait: bool) -> Chunk | None:
        """The last one, waited for if that is asked; None when there is none, or no more come."""
        return self._take(self._ready.pop, wait=wait)

    def stop(self) -> None:
        """Gives out no more; who waits is let go."""
        with self._changed:
            self._ready.clear()
            self._over = True
            self._changed.notify_all()

    # ── within ───────────────────────────────────────────────────────────

    def _take(self, take: Callable[[], Chunk], *, wait: bool) -> Chunk | None:
        with self._changed:
            while not self._ready:
                if self._over:
                    return None
                if not self._look():
                    if not wait:
                        return None
                    self._changed.wait()
            return take()

    def _look(self) -> bool:
        """Makes chunks of a pack that came, or of the rest when all is here; whether something changed."""
        assert self._arrivals is not None  # noqa: S101 - else it would be over
        assert self._lookup is not None  # noqa: S101
        if self._arrivals.failed:
            self._over = True
            self._changed.notify_all()
            return True
        pack = self._arrivals.take()
        if pack is not None:
            contents = Contents(self._contents.blobs, [Pack(pack, 0)])
            for index in contents.indexes.all():
                self._ready.extend(self._cut(*self._lookup.of(index), contents))
            return True
        if self._arrivals.ended:
            self._ready.extend(self._cut(*self._lookup.rest(), self._contents))
            self._over = True
            self._changed.notify_all()
        return self._over

    def _cut(
        self, write: NDArray[np.int64], replace: NDArray[np.bool_], contents: Contents
    ) -> Iterator[Chunk]:
        """What is written, in pieces of so many files; where they are large, of fewer."""
        import numpy as np

        count = len(write)
        sizes = np.cumsum(self._target.sizes[write], dtype=np.int64)
        pieces = np.arange(count) // self._most + sizes // _LARGEST
        bounds = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), count]
        for begin, end in pairwise(bounds) if count else ():
            yield Chunk(write[begin:end], replace[begin:end], contents)


class _Lookup:
    """Says which files that shall be written lie in a pack, of each once."""

    def __init__(self, target: Entries, plan: Plan) -> None:
        import numpy as np

        self._target, self._plan = target, plan
        keys = prefixes(target.digests[plan.write])
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._left = np.ones(len(keys), dtype=bool)

    def of(self, index: PackIndex) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Those that lie in a pack as they are or compressed, in the target's order."""
        import numpy as np

        plain = index.digests[np.isin(index.kinds, PLAIN)]
        wanted = prefixes(plain)
        begin = np.searchsorted(self._keys, wanted, side="left")
        count = np.searchsorted(self._keys, wanted, side="right") - begin
        which = np.repeat(np.arange(len(wanted)), count)
        before = np.cumsum(count) - count
        at = self._order[np.arange(len(which)) + np.repeat(begin - before, count)]
        same = (self._target.digests[self._plan.write[at]] == plain[which]).all(axis=1)
        return self._give(np.unique(at[same & self._left[at]]))

    def rest(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Those that were in no pack."""
        import numpy as np

        return self._give(np.flatnonzero(self._left))

    def _give(self, at: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        self._left[at] = False
        return self._plan.write[at], self._plan.replace[at]
