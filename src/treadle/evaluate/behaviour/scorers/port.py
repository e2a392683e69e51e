"""What can look at an answer."""

from __future__ import annotations

from typing import Any, Protocol

from treadle.evaluate.behaviour.types import Case, Score


class Scorer(Protocol):
    """Says how good an answer is."""

    def score(self, case: Case, answer: Any) -> Score:
        """From 0 to 1, or that it can't be told, with the reason."""


def passed(content: bool, reason: str) -> Score:
    """The score of who only says yes or no; the reason stands where it is no."""
    return Score(value=1.0) if content else Score(value=0.0, reason=reason)


def shown(value: object) -> str:
    """A value in a reason, not longer than can be read."""
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
