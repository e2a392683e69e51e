"""Numbers in answers, and how far they may lie from what is expected. No I/O."""

from __future__ import annotations

import re
from typing import Any

from treadle.evaluate.behaviour.scorers.port import passed, shown
from treadle.evaluate.behaviour.types import Case, Score
from treadle.kernel.config import ScorerConfig

_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
)


def numbers(text: str) -> list[float]:
    """The numbers in a text, in their order; thousands may be parted by commas."""
    plain = text.replace("\N{MINUS SIGN}", "-")
    return [float(found[0].replace(",", "")) for found in _NUMBER.finditer(plain)]


class Number:
    """Whether an answer is a number near enough.

    Args:
        config: How near, and which number of the answer is meant.
    """

    def __init__(self, config: ScorerConfig) -> None:
        self._absolute, self._relative = config.absolute or 0.0, config.relative or 0.0
        self._last = config.find == "last"

    def score(self, case: Case, answer: Any) -> Score:
        """1 if it is, else 0; also where there is no number."""
        found = self._find(answer)
        if found is None:
            which = "no number in it" if self._last else "not one number and nothing else"
            return Score(value=0.0, reason=f"{shown(answer)}: {which}")
        room = max(self._absolute, self._relative * abs(case.expected))
        far = abs(found - case.expected)
        return passed(far <= room, f"{found:g} lies {far:g} from {case.expected:g}, more than {room:g}")

    def _find(self, answer: Any) -> float | None:
        if isinstance(answer, int | float) and not isinstance(answer, bool):
            return float(answer)
        if not isinstance(answer, str):
            return None
        found = numbers(answer)
        if self._last:
            return found[-1] if found else None
        text = answer.strip().replace("\N{MINUS SIGN}", "-")
        return found[0] if len(found) == 1 and _NUMBER.fullmatch(text) else None
