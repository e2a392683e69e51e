"""Words and numbers that several verdicts share. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from treadle.evaluate.rules import needed

TEST = "Gaffke's bound over cases"


def on(cases: int, answers: Sequence[Any] = ()) -> str:
    """What a figure rests on: ``120 cases (600 answers)``."""
    total = sum(len(one) for one in answers)
    said = f"{cases:,} case{'s' * (cases != 1)}"
    return f"{said} ({total:,} answers)" if total else said


def enough(more: int | None) -> str:
    """How many cases would decide, as the end of a sentence."""
    return f"; about {more:,} cases would" if more else ""


def repeats_too(more: int | None, repeats: int | None, answers: Sequence[Any]) -> str:
    """Whether more answers to the same cases would decide as well."""
    if more is None or not answers or max(map(len, answers), default=0) < 2:
        return ""
    if repeats is None:
        return ", more answers to the same ones wouldn't"
    return f", or {repeats:,} answers to each of these"


def needed_for_share(value: float, se: float, cases: int, bound: float, alpha: float) -> int | None:
    """How many cases would probably have decided on which side of a bound a share lies.

    Args:
        value: The share.
        se: Its standard error.
        cases: The cases at hand.
        bound: What it is held against.
        alpha: One-sided error level of the decision.
    """
    # Where all is alike, so many as a share of 1 or 0 needs: alpha^(1/n) on the bound's other side.
    if value == 1 and 0 < bound < 1:
        return max(math.ceil(math.log(alpha) / math.log(bound)), cases + 1)
    if value == 0 and 0 < bound < 1:
        return max(math.ceil(math.log(alpha) / math.log1p(-bound)), cases + 1)
    if not 0 < se < math.inf:  # no spread to go by: as if cases only passed or failed
        se = math.sqrt(max(value * (1 - value), 1 / 16) / cases)
    return needed(cases, value - bound, se, alpha)
