"""What was answered already: before a kill, or in an earlier evaluation."""

from __future__ import annotations

from collections.abc import Iterable

from treadle.evaluate.behaviour.journal import Journal
from treadle.evaluate.behaviour.types import Answered

Which = tuple[str, str, int]
"""Of whom, which question, which repeat."""


class Known:
    """Answers by what was asked; new ones go into the journal.

    Args:
        journal: Where new ones are kept.
        earlier: Those of an earlier evaluation.
    """

    def __init__(self, journal: Journal, earlier: Iterable[Answered] = ()) -> None:
        self._journal = journal
        self._found: dict[Which, Answered] = {}
        for one in (*earlier, *journal.answers):
            self._found[one.of, one.key, one.repeat] = one

    def add(self, answered: Answered) -> None:
        """Keeps an answer, durably."""
        self._journal.add(answered)
        self._found[answered.of, answered.key, answered.repeat] = answered

    def get(self, of: str, key: str, repeat: int) -> Answered | None:
        """What was answered, if it was."""
        return self._found.get((of, key, repeat))

    def all(self) -> list[Answered]:
        """Everything that was answered."""
        return list(self._found.values())
