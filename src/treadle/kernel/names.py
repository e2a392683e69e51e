"""Names that users type: which are allowed, and what they may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable

from treadle.kernel.errors import InvalidInput, NotFound

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(kind: str, name: str) -> str:
    """The name itself, if it may name a thing of this kind.

    Raises:
        InvalidInput: If it is empty, longer than 100 characters, or has characters
            other than letters, digits, ``.``, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} can't be the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}",
            fix="use 1 to 100 letters, digits, '.', '_' or '-', starting with a letter or digit",
        )
    return name


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest; None when none is near."""
    import difflib  # only who made a mistake waits for it

    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint naming the nearest known name, or all of them when none is near; None if there are none."""
    options = sorted(set(known))
    near = nearest(name, options)
    if near:
        return f"did you mean {near!r}?"
    return f"known: {', '.join(options[:12])}" if options else None


def unknown(kind: str, name: str, known: Iterable[str]) -> NotFound:
    """The error for a name that nothing has, with the nearest name that something has."""
    hint = did_you_mean(name, known)
    return NotFound(f"there is no {kind} {name!r}", fix=hint or f"no {kind} has been made yet")
