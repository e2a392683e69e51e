"""Verdicts on how the run itself went: errors, latency, judges, the budget. No I/O."""

from __future__ import annotations

import math

import numpy as np

from treadle.evaluate.behaviour.agreement import jackknife, krippendorff
from treadle.evaluate.behaviour.judging.words import TEST, enough, on
from treadle.evaluate.behaviour.means import estimate, means, needed_cases
from treadle.evaluate.behaviour.outcomes import Side, errors, seconds, untold, votes
from treadle.evaluate.types import Outcome, Verdict
from treadle.evaluate.wording import percent, show
from treadle.kernel.config import BehaviourCheck
from treadle.kernel.units import parse_duration

_WORDS = {
    "timeout": "took too long",
    "rate_limited": "were told to come later",
    "server": "met an error of the server",
    "refused": "were refused",
    "connection": "had no connection",
    "malformed": "got something malformed",
    "nothing": "got nothing",
    "not_json": "got what is neither text nor JSON",
    "too_long": "got too much",
    "raised": "raised an exception",
    "crashed": "ended the process",
}
_SLOW_SHARE = 0.05
_JUDGES_ENOUGH = 2


def answered(check: BehaviourCheck, found: Side, of: str) -> Verdict:
    """Whether calls were answered. Each that wasn't counts as an answer that doesn't pass.

    Args:
        check: What is declared.
        found: The answers.
        of: Whose: ``target`` or ``baseline``.
    """
    kinds = errors(found)
    total, failed = len(found.all), sum(kinds.values())
    shares = [
        np.array([float(one.answered.reply.error is not None) for one in results])
        for results in found.results
    ]
    outcome: Outcome = "pass"
    low = high = None
    if failed:
        rate, _ = estimate(means(shares), 1 - check.confidence, seed=check.seed)
        low, high = rate.low, rate.high
        over = failed > check.max_errors * total
        outcome = "warn" if not over else "fail" if low > check.max_errors else "inconclusive"
    first = next((one.answered.reply.detail for one in found.all if one.answered.reply.error), "")
    named = ", ".join(f"{count:,} {_WORDS[kind]}" for kind, count in kinds.most_common())
    sentence = (
        f"{failed:,} of {total:,} calls of the {of} have no answer ({named}; the first: {first}), "
        f"{percent(check.max_errors)} may."
        if failed
        else f"All {total:,} calls of the {of} were answered."
    )
    return Verdict(
        check="answered",
        subject=of,
        outcome=outcome,
        sentence=sentence,
        estimate=failed / total if total else None,
        low=low,
        high=high,
        bound=check.max_errors,
        test=TEST if failed else "",
        n=len(found.cases),
        unit="cases",
    )


def scored(check: BehaviourCheck, found: Side) -> list[Verdict]:
    """Whether scorers could tell; answers of which they couldn't are left out of everything else."""
    wrong = untold(found)
    if not wrong:
        return []
    total = len(found.all)
    name, why = wrong[0]
    few = len(wrong) <= check.max_errors * total
    return [
        Verdict(
            check="scored",
            subject="target",
            outcome="warn" if few else "inconclusive",
            sentence=f"{len(wrong):,} of {total:,} answers couldn't be scored and are left out; "
            f"the first, by {name!r}: {why}.",
            estimate=len(wrong) / total,
            bound=check.max_errors,
            n=len(wrong),
            unit="answers",
        )
    ]


def fast(check: BehaviourCheck, found: Side) -> list[Verdict]:
    """Whether no more than one call in twenty takes longer than allowed, with confidence."""
    if check.max_latency is None or not found.cases:
        return []
    limit = parse_duration(check.max_latency).total_seconds()
    took = seconds(found)
    share, bounds = estimate(
        means([(one > limit).astype(float) for one in took]), 1 - check.confidence, seed=check.seed
    )
    outcome: Outcome = (
        "pass" if share.high <= _SLOW_SHARE else "fail" if share.low > _SLOW_SHARE else "inconclusive"
    )
    p95 = float(np.quantile(np.concatenate(took), 1 - _SLOW_SHARE))
    words = {"pass": "surely at most", "fail": "surely more than", "inconclusive": "perhaps more than"}
    more = None
    if outcome == "inconclusive":
        more = needed_cases(share, _SLOW_SHARE, 1 - check.confidence)
    return [
        Verdict(
            check="latency",
            subject="target",
            outcome=outcome,
            sentence=f"{percent(share.value)} of answers took longer than {check.max_latency} (95 % within "
            f"{p95:.3g} s): {words[outcome]} one in twenty, on {on(len(found.cases), took)}{enough(more)}.",
            hypothesis=f"at most one answer in twenty takes longer than {check.max_latency}",
            estimate=share.value,
            low=share.low,
            high=share.high,
            bound=_SLOW_SHARE,
            p_value=bounds.p_above(_SLOW_SHARE),
            test=TEST,
            n=len(found.cases),
            n_needed=more,
            unit="cases",
        )
    ]


def agreeing(check: BehaviourCheck, found: Side) -> list[Verdict]:
    """Whether several judges agree well enough to be believed: Krippendorff's alpha."""
    out = []
    for name, scorer in check.scorers.items():
        judges = scorer.judges or list(check.judges)
        if scorer.kind == "judge" and len(judges) >= _JUDGES_ENOUGH:
            out.append(_agreement(check, found, name))
    return out


def _agreement(check: BehaviourCheck, found: Side, name: str) -> Verdict:
    scorer = check.scorers[name]
    level = scorer.level or "ordinal"
    units, cases = votes(found, name)
    alpha = krippendorff(units, level)
    ends = jackknife(units, cases, level, 1 - check.confidence)
    low, high = ends or (None, None)
    bound = scorer.agreement
    outcome: Outcome = "pass"
    if alpha is None:
        said = "the judges gave the same to every answer, so that nothing could disagree"
    else:
        said = f"Krippendorff's alpha ({level}) of the judges is {show(alpha)}"
        said += f" (between {show(low)} and {show(high)})" if low is not None and high is not None else ""
    if bound is not None and alpha is not None and alpha < bound:
        outcome = "inconclusive"
        said += f", less than {bound:g}: what they say can't be relied on"
    elif bound is not None and low is not None and low < bound:
        outcome = "warn"
        said += f"; that it is at least {bound:g} isn't sure"
    return Verdict(
        check="agreement",
        subject=name,
        outcome=outcome,
        sentence=f"{name}: {said}, on {len(units):,} answers.",
        estimate=alpha,
        low=low,
        high=high,
        bound=bound,
        test="Krippendorff's alpha, t of the jackknife of cases",
        n=len(units),
        unit="answers",
    )


def cut_short(check: BehaviourCheck, asked: int, planned: int, spent: float) -> Verdict:
    """That the budget ended the asking before all was asked."""
    return Verdict(
        check="budget",
        subject="calls",
        outcome="inconclusive",
        sentence=f"The budget of {check.budget:g} ended the asking at {spent:.4g}, after {asked:,} of "
        f"{planned:,} calls. Raise it and run the same command: it goes on from there.",
        estimate=spent,
        bound=check.budget,
        n=asked,
        unit="calls",
    )


def latencies(found: Side) -> dict[str, float]:
    """The median, the 95th and the 99th percentile of how long answers took, in seconds."""
    took = [one.answered.reply.seconds for one in found.all if one.answered.reply.error is None]
    if not took:
        return {}
    names = (("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99))
    return {name: float(np.quantile(took, share)) for name, share in names if math.isfinite(sum(took))}
