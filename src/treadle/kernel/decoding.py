"""What msgspec has to know of a type before it can decode it, made while there is one thread.

msgspec works out a struct's fields when it is first decoded, and publishes what it has before that is
complete: a second thread that decodes the same type meanwhile reads an empty pointer, and the process is
gone (0.22). Who starts threads that decode calls :func:`prepare_decoding` before.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


def prepare_decoding() -> int:
    """Has msgspec look at every struct that is defined by now; takes a tenth of a millisecond each.

    Returns:
        How many can be decoded. Those with members that JSON has no form for are left out: nobody decodes
        them.
    """
    prepared = 0
    for kind in set(_below(msgspec.Struct)):
        try:
            msgspec.json.Decoder(kind)
        except (TypeError, NameError):
            continue
        prepared += 1
    return prepared


def _below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)
