"""Whether a bound is reached, told as early as it can be. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from treadle.evaluate.behaviour.sequential import Sprt, decide, expected_cases, sequence
from treadle.evaluate.types import Verdict
from treadle.evaluate.wording import percent, show
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
    early_stop = check.stop_early
    return Sprt(check.bound, check.bound - early_stop.worse, early_stop.false_fail, early_stop.false_pass)
