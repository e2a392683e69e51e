"""Scorers that are functions of the project."""

from __future__ import annotations

from typing import Any

import msgspec

from treadle.evaluate.behaviour.targets.functions import FunctionHost
from treadle.evaluate.behaviour.types import Case, Score
from treadle.kernel.config import ScorerConfig

_SECONDS = 60.0


class Python:
    """Calls a function with an answer and its case.

    Args:
        config: Which.
        host: Where it runs.
        where: The key of ``treadle.toml`` that declares it.

    Raises:
        ConfigError: If there is no such function.
    """

    def __init__(self, config: ScorerConfig, host: FunctionHost, where: str) -> None:
        self._spec, self._host = str(config.call), host
        host.load(self._spec, f"{where} call")

    def score(self, case: Case, answer: Any) -> Score:
        """What it returns: yes or no, a number from 0 to 1, or an object with ``score`` and ``reason``."""
        found = self._host.call(self._spec, (answer, msgspec.to_builtins(case)), {}, _SECONDS)
        if found.error:
            return Score(reason=f"{self._spec} {found.error}: {found.detail}")
        value, reason = found.value, ""
        if isinstance(value, dict) and "score" in value:
            value, reason = value["score"], str(value.get("reason", ""))
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            return Score(reason=f"{self._spec} returned {value!r}, which is no number from 0 to 1")
        return Score(value=float(value), reason=reason)
