"""How far a long piece of work is, told to whoever listens in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

Listener: TypeAlias = Callable[[int, int], None]
"""Takes how many files and bytes were done since it was last called."""

_listeners: list[Listener] = []
_expecting: list[Listener] = []


@contextlib.contextmanager
def listening(listener: Listener, expecting: Listener | None = None) -> Iterator[None]:
    """Calls listeners, on any thread, while the block runs.

    Args:
        listener: Told what is done.
        expecting: Told what is going to be done, where that is known.
    """
    _listeners.append(listener)
    if expecting:
        _expecting.append(expecting)
    try:
        yield
    finally:
        _listeners.remove(listener)
        if expecting:
            _expecting.remove(expecting)


def expect(files: int, size: int) -> None:
    """Says that some files and bytes more are going to be done."""
    for listener in _expecting:
        listener(files, size)


def tell(files: int, size: int) -> None:
    """Says that some files and bytes more are done."""
    for listener in _listeners:
        listener(files, size)
