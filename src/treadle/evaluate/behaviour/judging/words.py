"""Words that several verdicts share. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
