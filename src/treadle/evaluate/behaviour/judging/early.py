"""Whether a bound is reached, and a baseline kept up with, told as early as it can be. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from treadle.evaluate.behaviour.betting import Sided, needed, side_of
from treadle.evaluate.behaviour.judging.baseline import Pair, pairs
from treadle.evaluate.behaviour.judging.words import enough
from treadle.evaluate.behaviour.means import Floats, means
from treadle.evaluate.behaviour.outcomes import Side, values
from treadle.evaluate.behaviour.sequential import Sprt, decide, expected_cases, sequence
from treadle.evaluate.types import Outcome, Verdict
from treadle.evaluate.wording import beside, percent, show, signed
from treadle.kernel.config import BehaviourCheck


def early(check: BehaviourCheck, shares: Sequence[float], of: int) -> Verdict:
    """What the sequential test says of the cases so far, in the order in which they were to be asked.

    Args:
        check: What is declared; with ``bound`` and ``stop_early``.
        shares: Of each case, the measure's mean over its answers.
        of: How many cases there are in all.
    """
    test = sprt(check)
    found = decide(test, shares)
    used = list(shares[: found.cases])
    low, high = sequence(used, 2 * (1 - check.confidence))
    value = float(np.mean(used)) if used else None
    rates = f"at least {test.good:g} (fails wrongly at most {percent(test.false_fail)} of the time)"
    other = f"at most {test.bad:g} (passes wrongly at most {percent(test.false_pass)})"
    said = "" if value is None else f"{check.measure} {show(value)} "
    more = None
    if found.outcome == "inconclusive":
        more = max(math.ceil(expected_cases(test, value if value is not None else test.good)), of + 1)
        sentence = (
            f"{said}on {found.cases:,} cases: they can't tell whether it is {rates} or {other}; "
            f"about {more:,} would."
        )
    else:
        which = f"is {rates}" if found.outcome == "pass" else f"isn't: it is {other} rather than {rates}"
        sentence = f"{said}{which}; {found.cases:,} of {of:,} cases were enough to tell."
    return Verdict(
        check="bound",
        subject=check.measure,
        outcome=found.outcome,
        sentence=sentence,
        hypothesis=f"{check.measure} is at least {test.good:g} rather than at most {test.bad:g}",
        estimate=value,
        low=low if used else None,
        high=high if used else None,
        bound=test.good,
        test="sequential probability ratio",
        statistic=found.evidence if math.isfinite(found.evidence) else None,
        n=found.cases,
        n_needed=more,
        unit="cases",
    )


def sprt(check: BehaviourCheck) -> Sprt:
    """The sequential test that is declared."""
    assert check.stop_early is not None  # noqa: S101 - whoever asks has looked
    assert check.bound is not None  # noqa: S101 - the configuration was checked
    assert check.stop_early.worse is not None  # noqa: S101 - likewise
    early_stop, bad = check.stop_early, check.bound - check.stop_early.worse
    return Sprt(check.bound, bad, early_stop.false_fail, early_stop.false_pass)


def all_told(check: BehaviourCheck, ours: Side, theirs: Side | None) -> bool:
    """Whether the cases so far tell all that is to be told.

    Args:
        check: What is declared; with ``stop_early``.
        ours: The answers of the target.
        theirs: Those of what it is held against; None where nothing is.
    """
    if check.bound is None and theirs is None:
        return False  # they are asked to be a baseline later
    if check.bound is not None:
        shares = means(values(ours, check, check.measure)).tolist()
        if decide(sprt(check), shares).outcome == "inconclusive":
            return False
    return theirs is None or _gain(check, pairs(check, ours, theirs)).outcome != "inconclusive"


def early_no_worse(check: BehaviourCheck, found: Sequence[Pair], baseline: str) -> Verdict:
    """What betting on the paired differences says of the cases so far, in the order in which they were asked.

    It passes where the gain is surely above -margin, and fails where it is surely below.

    Args:
        check: What is declared; with ``stop_early``.
        found: The cases that both answered; at least one.
        baseline: What to call the other side.
    """
    told = _gain(check, found)
    value = float(np.mean([one.ours - one.theirs for one in found[: told.used]]))
    effect = f"overall: {check.measure} is {beside(value)} {baseline}'s"
    between = f"a gain between {signed(told.low)} and {signed(told.high)}, at whatever moment one stops"
    outcome: Outcome = "warn" if told.outcome == "pass" and told.high < 0 else told.outcome
    said = {
        "inconclusive": f"can't tell whether it lost more than the {check.margin:g} allowed",
        "fail": f"were enough to tell that it lost more than the {check.margin:g} allowed",
        "warn": f"were enough to tell that it is worse, and by no more than the {check.margin:g} allowed",
        "pass": f"were enough to tell that it lost no more than the {check.margin:g} allowed",
    }[outcome]
    more = None
    if outcome == "inconclusive":
        more = needed(*_bet(check, found))
        said += enough(more)
    return Verdict(
        check="no_worse",
        subject="overall",
        outcome=outcome,
        sentence=f"{effect} ({between}): {told.used:,} cases {said}.",
        hypothesis=f"the gain in {check.measure} is at least -{check.margin:g} (to pass) or below (to fail)",
        estimate=value,
        low=told.low,
        high=told.high,
        bound=-check.margin,
        test="betting, paired",
        n=told.used,
        n_needed=more,
        unit="cases",
    )


def _gain(check: BehaviourCheck, found: Sequence[Pair]) -> Sided:
    return side_of(*_bet(check, found))


def _bet(check: BehaviourCheck, found: Sequence[Pair]) -> tuple[Floats, float, float, float]:
    """The gains, the line, and the chances to be wrong about it."""
    assert check.stop_early is not None  # noqa: S101 - whoever asks has looked
    gains = np.array([one.ours - one.theirs for one in found])
    return gains, -check.margin, check.stop_early.false_fail, check.stop_early.false_pass
