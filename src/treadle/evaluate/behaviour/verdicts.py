"""All verdicts of a behaviour check, and its figures. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from treadle.evaluate.behaviour.judging import running
from treadle.evaluate.behaviour.judging.baseline import no_worse, pairs, regressions
from treadle.evaluate.behaviour.judging.bounds import every_case, reaches, together
from treadle.evaluate.behaviour.judging.early import early, early_no_worse
from treadle.evaluate.behaviour.means import means, spread
from treadle.evaluate.behaviour.outcomes import Side, errors, values
from treadle.evaluate.types import Verdict
from treadle.kernel.config import BehaviourCheck
from treadle.kernel.config.behaviour_rules import PASS_RATE


class Found(NamedTuple):
    """What a check found.

    Attributes:
        target: The answers of the target.
        baseline: Those of what it is held against; None where nothing is.
        against: What to call that.
        cases: How many cases there are in all.
        planned: How many calls there would be in all.
        complete: Whether the budget lasted.
        spent: What was spent.
    """

    target: Side
    baseline: Side | None
    against: str
    cases: int
    planned: int
    complete: bool
    spent: float


def judge(check: BehaviourCheck, found: Found) -> list[Verdict]:
    """The verdicts: on answers, bounds, the baseline and the run itself."""
    verdicts = [] if found.complete else [_cut_short(check, found)]
    verdicts.append(running.answered(check, found.target, "target"))
    verdicts += running.scored(check, found.target)
    verdicts += running.agreeing(check, found.target)
    verdicts += running.fast(check, found.target)
    verdicts += _bounds(check, found)
    verdicts += together(check, values(found.target, check, PASS_RATE))
    verdicts += every_case(check, found.target)
    return [*verdicts, *_beside(check, found)]


def _cut_short(check: BehaviourCheck, found: Found) -> Verdict:
    asked = len(found.target.all) + (len(found.baseline.all) if found.baseline else 0)
    return running.cut_short(check, asked, found.planned, found.spent)


def _bounds(check: BehaviourCheck, found: Found) -> list[Verdict]:
    out = []
    if check.bound is not None:
        answers = values(found.target, check, check.measure)
        if check.stop_early is not None:
            out.append(early(check, means(answers).tolist(), found.cases))
        else:
            out.append(reaches(check, answers, check.measure, check.bound))
    for name, scorer in check.scorers.items():
        if scorer.bound is not None:
            out.append(reaches(check, values(found.target, check, name), name, scorer.bound))
    return out


def _beside(check: BehaviourCheck, found: Found) -> list[Verdict]:
    if check.baseline is None:
        return []
    if found.baseline is None:
        sentence = "No earlier evaluation of this check passed, so there is nothing to be worse than."
        return [Verdict(check="no_worse", subject="overall", outcome="pass", sentence=sentence)]
    both = pairs(check, found.target, found.baseline)
    verdicts = []
    if found.baseline.all and any(one.answered.reply.error for one in found.baseline.all):
        verdicts.append(running.answered(check, found.baseline, "baseline"))
    alone = len(found.target.cases) - len(both)
    if both and alone:
        said = f"{alone:,} of {len(found.target.cases):,} cases have nothing of {found.against} beside them"
        verdicts.append(
            Verdict(
                check="compared",
                subject="cases",
                outcome="warn",
                sentence=f"{said} (they are new or changed, or couldn't be scored); they aren't compared.",
                n=alone,
                unit="cases",
            )
        )
    if check.stop_early is not None and both:
        return [*verdicts, early_no_worse(check, both, found.against), *regressions(both)]
    return [*verdicts, *no_worse(check, both, found.against)]


def metrics(check: BehaviourCheck, found: Found) -> dict[str, float]:
    """The figures of an evaluation: rates, scores, cost, latency, and how alike answers to a case are."""
    target = found.target
    answers = values(target, check, PASS_RATE)
    out = _mean("pass_rate", answers)
    for name in check.scorers:
        out |= _mean(f"score_{name}", values(target, check, name))
    if found.baseline is not None:
        out |= _mean("baseline_pass_rate", values(found.baseline, check, PASS_RATE))
    variation = spread(answers)
    if variation is not None and variation.correlation is not None:
        out["correlation"] = variation.correlation
    out |= running.latencies(target)
    return out | _counts(found)


def _mean(name: str, answers: Sequence[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> dict[str, float]:
    each = means(answers)
    return {name: float(each.mean())} if len(each) else {}


def _counts(found: Found) -> dict[str, float]:
    replies = [one.answered for one in found.target.all]
    calls = len(replies)
    out = {"calls": float(calls), "errors": float(sum(errors(found.target).values()))}
    cut = sum(one.reply.cut for one in replies)
    if cut:
        out["cut_short"] = float(cut)
    if calls:
        out["input_tokens"] = sum(one.reply.usage.input_tokens for one in replies) / calls
        out["output_tokens"] = sum(one.reply.usage.output_tokens for one in replies) / calls
        out["cost"] = found.spent
        out["cost_per_call"] = sum(one.cost for one in replies) / calls
    return out
