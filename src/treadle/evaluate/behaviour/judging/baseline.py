"""Whether a target is no worse than what it is held against, overall and in every group. No I/O."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from treadle.evaluate.behaviour.cases import groups_of
from treadle.evaluate.behaviour.judging.words import TEST, enough, on
from treadle.evaluate.behaviour.means import DIFFERENCE, Bounds, Floats, estimate, needed_cases
from treadle.evaluate.behaviour.outcomes import Side, values
from treadle.evaluate.behaviour.types import Case
from treadle.evaluate.rules import holm
from treadle.evaluate.types import Estimate, Outcome, Verdict
from treadle.evaluate.untested import too_small
from treadle.evaluate.wording import beside, percent, signed
from treadle.kernel.config import BehaviourCheck

_NAMED = 10


class Pair(NamedTuple):
    """A case that both sides answered.

    Attributes:
        case: Which.
        ours: The target's mean.
        theirs: That of what it is held against.
    """

    case: Case
    ours: float
    theirs: float


def pairs(check: BehaviourCheck, ours: Side, theirs: Side) -> list[Pair]:
    """The cases that both sides have values for."""
    other = {
        case.id: float(one.mean())
        for case, one in zip(theirs.cases, values(theirs, check, check.measure), strict=True)
        if len(one)
    }
    return [
        Pair(case, float(one.mean()), other[case.id])
        for case, one in zip(ours.cases, values(ours, check, check.measure), strict=True)
        if len(one) and case.id in other
    ]


class _Part(NamedTuple):
    """The whole, or a group.

    Attributes:
        subject: ``overall``, or the group.
        found: The gain over the baseline.
        bounds: What its bounds come from.
        margin: How much worse still counts as no worse.
    """

    subject: str
    found: Estimate
    bounds: Bounds
    margin: float


def no_worse(check: BehaviourCheck, found: Sequence[Pair], baseline: str) -> list[Verdict]:
    """The verdicts on the paired differences by case.

    It *passes* where the lower bound of the gain is at least -margin, overall and in each group: an
    intersection-union test, so that each part is tested at full level. It *fails* where the gain is surely
    below -margin, after Holm's correction over the groups. A pass *warns* where the gain is surely below 0.

    Args:
        check: What is declared.
        found: The cases that both answered.
        baseline: What to call the other side.
    """
    if not found:
        sentence = f"No case has an answer of both the target and {baseline}."
        return [
            Verdict(
                check="no_worse", subject="overall", outcome="inconclusive", sentence=sentence, unit="cases"
            )
        ]
    alpha = 1 - check.confidence
    whole = _part(check, "overall", found, check.margin)
    verdicts = [_verdict(check, whole, whole.bounds.p_below(-whole.margin), None, baseline, alpha)]
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in found:
        for group in groups_of(pair.case, check.by):
            groups[group].append(pair)
    tested = [
        _part(check, group, members, check.group_margin)
        for group, members in sorted(groups.items())
        if len(members) >= check.min_cases
    ]
    p_values = [one.bounds.p_below(-one.margin) for one in tested]
    for part, p_value, adjusted in zip(tested, p_values, holm(p_values), strict=True):
        verdicts.append(_verdict(check, part, p_value, adjusted, baseline, alpha / len(tested)))
    small = [(name, len(one)) for name, one in sorted(groups.items()) if len(one) < check.min_cases]
    return [*verdicts, *too_small(small, check.min_cases, "cases"), *regressions(found)]


def _part(check: BehaviourCheck, subject: str, found: Sequence[Pair], margin: float) -> _Part:
    gains: Floats = np.array([one.ours - one.theirs for one in found])
    gain, bounds = estimate(gains, 1 - check.confidence, DIFFERENCE, check.seed)
    return _Part(subject, gain, bounds, margin)


def _verdict(
    check: BehaviourCheck, part: _Part, p_value: float, adjusted: float | None, baseline: str, level: float
) -> Verdict:
    found, alpha = part.found, 1 - check.confidence
    outcome: Outcome
    if (p_value if adjusted is None else adjusted) <= alpha:
        outcome = "fail"
    elif found.low < -part.margin:
        outcome = "inconclusive"
    else:
        outcome = "warn" if found.high < 0 else "pass"
    more = None
    if outcome == "inconclusive":
        better = found.value > -part.margin
        more = needed_cases(found, -part.margin, alpha if better else level, DIFFERENCE)
    return Verdict(
        check="no_worse",
        subject=part.subject,
        outcome=outcome,
        sentence=_sentence(check, part, outcome, baseline, more),
        hypothesis=f"the gain in {check.measure} is at least -{part.margin:g} (to pass) or below it (to fail"
        f"{', Holm-adjusted over groups' if adjusted is not None else ''}), one-sided at confidence "
        f"{check.confidence:g}",
        estimate=found.value,
        low=found.low,
        high=found.high,
        bound=-part.margin,
        p_value=p_value,
        adjusted=adjusted,
        test=f"{TEST}, paired",
        statistic=(found.value + part.margin) / found.se if 0 < found.se < math.inf else None,
        n=found.clusters,
        n_needed=more,
        unit="cases",
        groups=() if part.subject == "overall" else (part.subject,),
    )


def _sentence(check: BehaviourCheck, part: _Part, outcome: Outcome, baseline: str, more: int | None) -> str:
    found, cases, confidence = part.found, on(part.found.clusters), percent(check.confidence)
    effect = f"{part.subject}: {check.measure} is {beside(found.value)} {baseline}'s"
    if outcome == "inconclusive":
        return (
            f"{effect} (a gain between {signed(found.low)} and {signed(found.high)}): {cases} can't tell "
            f"whether it lost more than the {part.margin:g} allowed{enough(more)}."
        )
    if outcome == "fail":
        return f"{effect}; with {confidence} confidence the gain is at most {signed(found.high)}, on {cases}."
    if outcome == "warn":
        return (
            f"{effect}: surely worse, and surely by no more than the {part.margin:g} allowed (a gain between "
            f"{signed(found.low)} and {signed(found.high)}, on {cases})."
        )
    return f"{effect}; with {confidence} confidence the gain is at least {signed(found.low)}, on {cases}."


def regressions(found: Sequence[Pair]) -> list[Verdict]:
    """The cases that lost most: where to look first. Nobody had declared them, so they decide nothing."""
    lost = sorted((one for one in found if one.ours < one.theirs), key=lambda one: one.ours - one.theirs)
    if not lost:
        return []
    gained = sum(one.ours > one.theirs for one in found)
    named = ", ".join(f"{one.case.id} ({one.theirs:.2f} → {one.ours:.2f})" for one in lost[:_NAMED])
    rest = f" and {len(lost) - _NAMED:,} more" if len(lost) > _NAMED else ""
    return [
        Verdict(
            check="changed_cases",
            subject="cases",
            outcome="warn",
            sentence=f"{len(lost):,} cases got worse and {gained:,} better; worst first: {named}{rest}.",
            n=len(lost),
            unit="cases",
            exploratory=True,
        )
    ]
