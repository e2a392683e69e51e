"""The digest of a whole file, taken on another thread while its pieces are looked at."""

from __future__ import annotations

import threading
from queue import SimpleQueue

_AHEAD = 64


class Whole:
    """Takes the digest of pieces; must be finished, whatever happens."""

    def __init__(self) -> None:
        from blake3 import blake3

        self._hasher = blake3()
        self._pieces: SimpleQueue[bytes] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._thread = threading.Thread(target=self._follow, name="treadle-hash")
        self._thread.start()

    def _follow(self) -> None:
        while piece := self._pieces.get():
            self._hasher.update(piece)
            self._room.release()

    def add(self, piece: bytes) -> None:
        """Takes the next piece; waits if too many are waiting."""
        if piece:
            self._room.acquire()
            self._pieces.put(piece)

    def finish(self) -> bytes:
        """The digest of all pieces."""
        self._pieces.put(b"")
        self._thread.join()
        return self._hasher.digest()
