"""Patterns on answers, in a process that can be ended: a regular expression may take for ever.

Python's ``re`` tries all ways in which a pattern may match, which for some patterns are exponentially many,
and can't be interrupted. What an answer is nobody knows beforehand, so each match has a limit of time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from treadle.evaluate.behaviour.scorers import trying
from treadle.evaluate.behaviour.targets.functions import FunctionHost

SECONDS = 5.0
"""The most that a pattern may take for one answer."""

_TRIES = 3


class TooSlow(Exception):
    """A pattern found no end; says so in words."""


class Matcher:
    """Tries patterns on answers, one at a time.

    A pattern that found no end on three answers isn't tried any more: a check of a thousand answers shall
    not wait for each of them.

    Args:
        host: The process, of its own: one that is ended takes with it what else runs there.
        seconds: The most that one answer may take.
    """

    def __init__(self, host: FunctionHost, seconds: float = SECONDS) -> None:
        self._host, self._seconds = host, seconds
        self._slow: Counter[str] = Counter()

    def found(self, pattern: str, text: str, *, whole: bool) -> bool:
        """Whether a text matches, or has a part that does.

        Raises:
            TooSlow: If that takes too long.
        """
        return bool(self._call("search", (pattern, text, whole), pattern, "the pattern"))

    def wrong(self, schema: str, value: Any) -> list[str]:
        """What in a value doesn't keep to a schema: where, and why; nothing if all does.

        Args:
            schema: The schema, as JSON.
            value: The value.

        Raises:
            TooSlow: If that takes too long.
            ValueError: If the schema can't be used.
        """
        wrong: list[str] = self._call("validate", (schema, value), schema, "a pattern of the schema")
        return wrong

    def _call(self, function: str, args: Sequence[Any], key: str, what: str) -> Any:
        if self._slow[key] >= _TRIES:
            raise TooSlow(f"{what} found no end on {_TRIES} answers and isn't tried any more")
        spec = f"{trying.__name__}:{function}"
        self._host.load(spec, what)
        found = self._host.call(spec, tuple(args), {}, self._seconds)
        if found.error == "timeout":
            self._slow[key] += 1
            raise TooSlow(f"{what} found no end within {self._seconds:g} s")
        if found.error:
            raise ValueError(found.detail or found.error)
        return found.value
