"""Reading a file of a version by ranges, block by block, and no block twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from treadle.kernel.errors import CorruptData
from treadle.paths.cache import BLOCK, BlockCache

if TYPE_CHECKING:
    from treadle.client import Client

_IN_MEMORY = 64
_AHEAD = 16


class Origin(NamedTuple):
    """A file of a version.

    Attributes:
        dataset: The dataset.
        commit: The version's commit.
        path: Where the file lies.
        size: In bytes.
        digest: Of its bytes.
        external: Whether it lies in a bucket, so that its digest isn't that of its bytes.
    """

    dataset: str
    commit: str
    path: str
    size: int
    digest: str
    external: bool


class Reader:
    """Reads a file. May be used from several threads.

    Who reads on where the last read ended gets more and more blocks by one request, up to 8 MiB.

    Args:
        client: Asks the server.
        origin: The file.
        cache: Where blocks are kept; nowhere when None.
    """

    def __init__(self, client: Client, origin: Origin, cache: BlockCache | None) -> None:
        self._client, self._origin, self._cache = client, origin, cache
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = Lock()
        self._next = -1
        self._ahead = 0

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``, as far as there are any.

        Raises:
            NotFound: If they aren't kept there.
            CorruptData: If they aren't what was put.
            Unavailable: If the server doesn't answer.
        """
        end = min(end, self._origin.size)
        if start >= end:
            return b""
        with self._lock:
            first, last = start // BLOCK, (end - 1) // BLOCK
            pieces = list(self._each(first, last))
        pieces[-1] = pieces[-1][: end - last * BLOCK]
        pieces[0] = pieces[0][start - first * BLOCK :]
        return b"".join(pieces)

    def _each(self, first: int, last: int) -> Iterator[bytes]:
        number = first
        while number <= last:
            if (data := self._known(number)) is not None:
                yield data
                number += 1
                continue
            until = number + 1
            while until <= last and self._known(until) is None:
                until += 1
            if until > last:  # nothing of what is wanted is left: what follows may be wanted next
                self._ahead = min(_AHEAD, 2 * self._ahead + 1) if number == self._next else 0
                most = min(until + self._ahead, -(-self._origin.size // BLOCK))
                while until < most and self._known(until) is None:
                    until += 1
                self._next = until
            for block, data in zip(range(number, until), self._fetch(number, until), strict=True):
                self._keep(block, data)
                if block <= last:
                    yield data
            number = until

    def _known(self, number: int) -> bytes | None:
        data = self._blocks.get(number)
        if data is None and self._cache is not None:
            size = min(BLOCK, self._origin.size - number * BLOCK)
            data = self._cache.get(self._origin.digest, number, size)
            if data is not None:
                self._remember(number, data)
        return data

    def _keep(self, number: int, data: bytes) -> None:
        if self._cache is not None:
            self._cache.put(self._origin.digest, number, data)
        self._remember(number, data)

    def _remember(self, number: int, data: bytes) -> None:
        self._blocks[number] = data
        while len(self._blocks) > _IN_MEMORY:
            self._blocks.popitem(last=False)

    def _fetch(self, first: int, until: int) -> Iterator[bytes]:
        """Some blocks by one request."""
        origin = self._origin
        start, end = first * BLOCK, min(until * BLOCK, origin.size)
        whole = (start, end) == (0, origin.size)
        pieces = self._client.read_data(
            origin.dataset, origin.commit, origin.path, start, None if whole else end
        )
        waiting = bytearray()
        for piece in checked(origin, pieces) if whole else pieces:
            waiting += piece
            while len(waiting) >= BLOCK:
                yield bytes(waiting[:BLOCK])
                del waiting[:BLOCK]
        if waiting:
            yield bytes(waiting)


def checked(origin: Origin, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """All bytes of a file; an error instead of the last of them if they aren't what was put.

    Raises:
        CorruptData: If they aren't.
    """
    try:
        from blake3 import blake3
    except ImportError:  # the thin client trusts the server, which checks what it sends whole
        yield from pieces
        return
    hasher, last = blake3(), b""
    for piece in pieces:
        if last:
            yield last
        hasher.update(piece)
        last = piece
    if not origin.external and hasher.hexdigest() != origin.digest:
        raise CorruptData(
            "what came isn't what was stored",
            where=f"{origin.dataset}@{origin.commit[:12]}/{origin.path}",
            fix="try again; `treadle data verify` tells whether the server has it right",
        )
    if last:
        yield last
