"""What several answers to one case do together. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

from treadle.evaluate.rules import holm


def pass_hat_k(passed: int, answers: int, k: int) -> float:
    """The chance that all of ``k`` answers pass, ``C(c, k) / C(n, k)``: unbiased (arXiv 2406.12045).

    Args:
        passed: How many of its answers passed.
        answers: How many answers it has, at least ``k``.
        k: How many must pass together.
    """
    return comb(passed, k) / comb(answers, k)


def pass_at_k(passed: int, answers: int, k: int) -> float:
    """The chance that one of ``k`` answers passes, ``1 - C(n-c, k) / C(n, k)``: unbiased (arXiv 2107.03374).

    Args:
        passed: How many of its answers passed.
        answers: How many answers it has, at least ``k``.
        k: How many tries there are.
    """
    return 1 - comb(answers - passed, k) / comb(answers, k)


def clopper_pearson(passed: int, answers: int, alpha: float) -> tuple[float, float]:
    """The exact one-sided bounds of a share, each at level ``alpha`` (Biometrika 26, 1934)."""
    from scipy.special import betaincinv

    low = float(betaincinv(passed, answers - passed + 1, alpha)) if passed else 0.0
    high = float(betaincinv(passed + 1, answers - passed, 1 - alpha)) if passed < answers else 1.0
    return low, high


class CaseRate(NamedTuple):
    """How often a case passes.

    Attributes:
        case: Which.
        passed: How many of its answers passed.
        answers: How many answers it has.
        low: The lower bound of its pass rate, held for all cases together.
        high: The upper bound, held for all cases together.
        adjusted: The p-value of the hypothesis that it reaches the bound, after Holm's correction.
    """

    case: str
    passed: int
    answers: int
    low: float
    high: float
    adjusted: float


def case_rates(counts: Sequence[tuple[str, int, int]], bound: float, alpha: float) -> list[CaseRate]:
    """The pass rate of every case, beside a bound that each must reach.

    Answers to one case are independent of each other given the case, so each case has an exact binomial
    test; Holm's correction holds the chance of any false rejection at ``alpha``. The bounds are Clopper and
    Pearson's at ``alpha`` divided by the number of cases, which holds for all together.

    Args:
        counts: Name, passed and answers of each case.
        bound: What each case's pass rate must reach.
        alpha: The error level over all cases.
    """
    from scipy.special import bdtr

    p_values = [float(bdtr(passed, answers, bound)) for _, passed, answers in counts]
    found = []
    for (name, passed, answers), adjusted in zip(counts, holm(p_values), strict=True):
        low, high = clopper_pearson(passed, answers, alpha / len(counts))
        found.append(CaseRate(name, passed, answers, low, high, adjusted))
    return found
