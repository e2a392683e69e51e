"""What answers came to, case by case. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.behaviour.cases import scorers_of
from treadle.evaluate.behaviour.types import Answered, Case, Score
from treadle.kernel.config import BehaviourCheck, ScorerConfig
from treadle.kernel.config.behaviour_rules import PASS_RATE

Floats = npt.NDArray[np.float64]
Scores = Mapping[str, Score]


class Result(NamedTuple):
    """An answer, and what scorers say of it.

    Attributes:
        answered: The call.
        scores: By scorer; empty where there is no answer.
    """

    answered: Answered
    scores: Scores


class Side(NamedTuple):
    """All answers of the target, or of what it is held against.

    Attributes:
        cases: The cases that have an answer or an error, in the order in which they were to be asked.
        results: Those of each, by repeat.
    """

    cases: tuple[Case, ...]
    results: tuple[tuple[Result, ...], ...]

    @property
    def all(self) -> list[Result]:
        """All results, whatever their case."""
        return [one for results in self.results for one in results]


def side(order: Sequence[Case], results: Mapping[str, Sequence[Result]]) -> Side:
    """The cases that were asked, with their results.

    Args:
        order: All cases, in the order in which they were to be asked.
        results: Those that there are, by case.
    """
    found = [(case, results[case.id]) for case in order if results.get(case.id)]
    ordered = [tuple(sorted(one, key=lambda result: result.answered.repeat)) for _, one in found]
    return Side(tuple(case for case, _ in found), tuple(ordered))


def threshold(scorer: ScorerConfig) -> float:
    """The score from which an answer passes."""
    return 1.0 if scorer.passes is None else scorer.passes


def passes(result: Result, scorers: Mapping[str, ScorerConfig]) -> float | None:
    """Whether an answer passes every scorer, as 1 or 0; a call without an answer doesn't.

    Returns:
        None where a scorer couldn't tell and no other one is discontent.
    """
    if result.answered.reply.error is not None:
        return 0.0
    unsure = False
    for name, scorer in scorers.items():
        value = result.scores[name].value
        if value is None:
            unsure = True
        elif value < threshold(scorer) - 1e-12:
            return 0.0
    return None if unsure else 1.0


def values(found: Side, check: BehaviourCheck, measure: str) -> list[Floats]:
    """The values of each case's answers, for a measure; those that can't be told are left out.

    Args:
        found: The answers.
        check: What is declared.
        measure: ``pass_rate``, or a scorer; its score is 0 where there is no answer.
    """
    out = []
    for case, results in zip(found.cases, found.results, strict=True):
        scorers = scorers_of(case, check)
        numbers = [_value(result, scorers, measure) for result in results]
        out.append(np.array([one for one in numbers if one is not None], dtype=np.float64))
    return out


def _value(result: Result, scorers: Mapping[str, ScorerConfig], measure: str) -> float | None:
    if measure == PASS_RATE:
        return passes(result, scorers)
    if measure not in scorers:
        return None
    return 0.0 if result.answered.reply.error is not None else result.scores[measure].value


def errors(found: Side) -> Counter[str]:
    """How many calls had no answer, by kind."""
    return Counter(one.answered.reply.error for one in found.all if one.answered.reply.error is not None)


def untold(found: Side) -> list[tuple[str, str]]:
    """Which scorers couldn't tell, and why: one for each answer."""
    return [
        next((name, score.reason) for name, score in result.scores.items() if score.value is None)
        for result in found.all
        if any(score.value is None for score in result.scores.values())
    ]


def seconds(found: Side) -> list[Floats]:
    """How long each case's calls took."""
    return [np.array([one.answered.reply.seconds for one in results]) for results in found.results]


def votes(found: Side, scorer: str) -> tuple[list[list[float]], list[str]]:
    """What several judges gave to each answer, and the case of each; the same answer counts once."""
    seen: dict[tuple[str, str], list[float]] = {}
    for case, results in zip(found.cases, found.results, strict=True):
        for result in results:
            given = result.scores[scorer].votes if scorer in result.scores else {}
            if len(given) > 1:
                seen[case.id, repr(result.answered.reply.value)] = [given[name] for name in sorted(given)]
    return list(seen.values()), [case for case, _ in seen]
