"""How far a long piece of work is, told to whoever listens in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

Listener: TypeAlias = Callable[[int, int], None]
"""Takes how many files and bytes were done since it was last called."""

_listeners: list[Listener] = []


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Calls a listener, on any thread, while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(files: int, size: int) -> None:
    """Says that some files and bytes more are done."""
    for listener in _listeners:
        listener(files, size)
