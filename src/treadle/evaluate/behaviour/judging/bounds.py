"""Whether what was measured reaches its bounds. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from treadle.evaluate.behaviour.judging.words import TEST, enough, on, repeats_too
from treadle.evaluate.behaviour.means import (
    Floats,
    estimate,
    fewest_cases,
    means,
    needed_cases,
    needed_repeats,
    spread,
)
from treadle.evaluate.behaviour.outcomes import Side, values
from treadle.evaluate.behaviour.reliability import (
    CaseRate,
    case_rates,
    clopper_pearson,
    pass_at_k,
    pass_hat_k,
)
from treadle.evaluate.rules import against
from treadle.evaluate.types import Outcome, Verdict
from treadle.evaluate.wording import percent, show
from treadle.kernel.config import BehaviourCheck, PassK
from treadle.kernel.config.behaviour_rules import PASS_RATE

_NAMED = 10


def reaches(check: BehaviourCheck, answers: Sequence[Floats], measure: str, bound: float) -> Verdict:
    """Whether a measure's mean over cases reaches a bound, with confidence.

    Args:
        check: What is declared.
        answers: The values of each case's answers.
        measure: What they are.
        bound: What their mean must reach.
    """
    return _reaches(check, means(answers), ("bound", measure, measure), bound, answers)


def _reaches(
    check: BehaviourCheck,
    each: Floats,
    named: tuple[str, str, str],
    bound: float,
    answers: Sequence[Floats] = (),
) -> Verdict:
    """The verdict on a mean of values from 0 to 1, one a case."""
    (name, subject, what), alpha = named, 1 - check.confidence
    hypothesis = f"{what} is at least {bound:g}, one-sided at confidence {check.confidence:g}"
    if not len(each):
        return _nothing(name, subject, hypothesis, bound)
    found, bounds = estimate(each, alpha, seed=check.seed)
    outcome = against(found.low, found.high, bound)
    more, unit = None, on(len(each), answers)
    if outcome == "inconclusive":
        more = needed_cases(found, bound, alpha)
        least = fewest_cases(found.value, bound, alpha)
        repeats = None
        if answers and least is not None and least <= len(each) and (variation := spread(answers)):
            repeats = needed_repeats(variation, len(each), found.value - bound, alpha)
        sentence = (
            f"{what} {show(found.value)} (between {show(found.low)} and {show(found.high)}): {unit} can't "
            f"tell whether it is at least {bound:g}{enough(more)}{repeats_too(more, repeats, answers)}."
        )
    else:
        right = outcome == "pass"
        edge = f"at least {show(found.low)}" if right else f"at most {show(found.high)}"
        sentence = (
            f"{what} {show(found.value)} is {'' if right else 'not '}at least {bound:g}: with "
            f"{percent(check.confidence)} confidence it is {edge}, on {unit}."
        )
    return Verdict(
        check=name,
        subject=subject,
        outcome=outcome,
        sentence=sentence,
        hypothesis=hypothesis,
        estimate=found.value,
        low=found.low,
        high=found.high,
        bound=bound,
        p_value=bounds.p_below(bound),
        test=TEST,
        statistic=(found.value - bound) / found.se if 0 < found.se < math.inf else None,
        n=len(each),
        n_needed=more,
        unit="cases",
    )


def _nothing(name: str, subject: str, hypothesis: str, bound: float) -> Verdict:
    return Verdict(
        check=name,
        subject=subject,
        outcome="inconclusive",
        sentence=f"No case has an answer that could be scored for {subject}.",
        hypothesis=hypothesis,
        bound=bound,
        unit="cases",
    )


def together(check: BehaviourCheck, answers: Sequence[Floats]) -> list[Verdict]:
    """What ``k`` answers to a case do together: all pass (pass^k), or at least one does (pass@k).

    A case with fewer than ``k`` answers is left out.

    Args:
        check: What is declared.
        answers: Whether each answer of each case passed.
    """
    asked: list[tuple[PassK | None, str, Callable[[int, int, int], float]]] = [
        (check.pass_hat_k, "pass^{}", pass_hat_k),
        (check.pass_at_k, "pass@{}", pass_at_k),
    ]
    out = []
    for declared, name, share in asked:
        if declared is not None:
            k = declared.k
            each = [share(int(one.sum()), len(one), k) for one in answers if len(one) >= k]
            named = name.format(k)
            out.append(_reaches(check, np.array(each), ("pass_k", named, named), declared.bound))
    return out


def every_case(check: BehaviourCheck, found: Side) -> list[Verdict]:
    """Whether no single case passes surely too seldom.

    It fails if some case does, by exact binomial tests with Holm's correction over the cases. It passes if
    every case surely passes often enough, each tested at full level (an intersection-union test).
    """
    if check.case_bound is None:
        return []
    bound, alpha = check.case_bound, 1 - check.confidence
    counts = [
        (case.id, int(one.sum()), len(one))
        for case, one in zip(found.cases, values(found, check, PASS_RATE), strict=True)
        if len(one)
    ]
    rates = case_rates(counts, bound, alpha) if counts else []
    bad = sorted((one for one in rates if one.adjusted <= alpha), key=lambda one: one.passed / one.answers)
    unsure = sum(clopper_pearson(one.passed, one.answers, alpha)[0] < bound for one in rates)
    outcome: Outcome = "fail" if bad else "pass" if rates and not unsure else "inconclusive"
    worst = min(rates, key=lambda one: (one.passed / one.answers, -one.answers), default=None)
    return [
        Verdict(
            check="every_case",
            subject="cases",
            outcome=outcome,
            sentence=_of_cases(bad, unsure, len(rates), bound, alpha),
            hypothesis=f"each case passes at least {bound:g} of the time, at confidence {check.confidence:g}",
            estimate=worst.passed / worst.answers if worst else None,
            low=worst.low if worst else None,
            high=worst.high if worst else None,
            bound=bound,
            adjusted=min((one.adjusted for one in rates), default=None),
            test="Holm-adjusted exact binomial",
            n=len(rates),
            unit="cases",
            groups=tuple(one.case for one in bad),
        )
    ]


def _of_cases(bad: Sequence[CaseRate], unsure: int, count: int, bound: float, alpha: float) -> str:
    if bad:
        named = ", ".join(f"{one.case} ({one.passed} of {one.answers})" for one in bad[:_NAMED])
        rest = f" and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
        return f"{len(bad):,} of {count:,} cases surely pass less often than {bound:g}: {named}{rest}."
    if not unsure and count:
        return f"Every one of {count:,} cases surely passes at least {bound:g} of the time."
    answers = math.ceil(math.log(alpha) / math.log(bound)) if 0 < bound < 1 else None
    more = f"; a case that always passes needs {answers:,} answers to show it" if answers else ""
    said = f"of {unsure:,} of {count:,} it can't be told"
    return f"No case surely passes less often than {bound:g}, and {said}{more}."
