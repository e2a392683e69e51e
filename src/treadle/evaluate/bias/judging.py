"""Verdicts on bias: each group beside the reference group, no further from it than production's. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from treadle.evaluate.bias import beside, numbers, rates
from treadle.evaluate.bias.asking import Asked
from treadle.evaluate.bias.sample import Found, Further, Grouping, Numbers, Sample
from treadle.evaluate.rules import holm, needed
from treadle.evaluate.types import Outcome, Verdict
from treadle.evaluate.untested import too_small
from treadle.evaluate.wording import would


def judge(
    asked: Asked,
    groupings: Sequence[Grouping],
    samples: Sequence[Sample | Numbers],
    confidence: float,
    rng: np.random.Generator,
    baseline: str = "production",
) -> list[Verdict]:
    """All verdicts of ``[checks.bias]``.

    A rate *passes* when it is surely within the limits of the reference group's (two one-sided
    tests at full level each: an intersection-union test), *warns* when it is and yet surely differs,
    *fails* when it is surely beyond them by Holm's procedure over all comparisons, and is
    otherwise inconclusive. Means of predicted numbers likewise.

    Args:
        asked: What has to be alike, and how much.
        groupings: The groups.
        samples: What they are judged on: one, or one for each class that is selected.
        confidence: Of each one-sided test.
        rng: For the comparison with production.
        baseline: What production is called.
    """
    found: list[Found] = []
    further: list[tuple[str, Further]] = []
    small: list[tuple[str, int]] = []
    alone: list[Verdict] = []
    for grouping in groupings:
        sizes = np.bincount(grouping.codes, minlength=len(grouping.names))
        large = [place for place in range(len(grouping.names)) if sizes[place] >= asked.min_rows]
        small += [
            (name, size)
            for name, size in zip(grouping.names, sizes.tolist(), strict=True)
            if size < asked.min_rows
        ]
        if grouping.reference not in large:
            alone.append(_alone(asked, grouping, int(sizes[grouping.reference])))
            continue
        for sample in samples:
            found += _compared(asked, grouping, large, sample, confidence)
            further += _further(asked, grouping, large, sample, confidence, rng)
    adjusted = holm([one.gap.outside if one.gap else 1.0 for one in found])
    apart = holm([one.gap.none if one.gap else 1.0 for one in found])
    alpha = 1 - confidence
    verdicts = [
        _verdict(one, p, differs <= alpha, alpha)
        for one, p, differs in zip(found, adjusted, apart, strict=True)
    ]
    worse = holm([one.p_value for _, one in further])
    verdicts += [
        _no_further(asked, name, one, p, alpha, baseline)
        for (name, one), p in zip(further, worse, strict=True)
    ]
    return [*alone, *verdicts, *too_small(small, asked.min_rows, check="bias.small_groups", what=" for bias")]


def _compared(
    asked: Asked, grouping: Grouping, large: Sequence[int], sample: Sample | Numbers, confidence: float
) -> Iterator[Found]:
    if isinstance(sample, Numbers):
        return numbers.compare(asked, grouping, large, sample, confidence)
    return rates.compare(asked, grouping, large, sample, confidence)


def _further(
    asked: Asked,
    grouping: Grouping,
    large: Sequence[int],
    sample: Sample | Numbers,
    confidence: float,
    rng: np.random.Generator,
) -> Iterator[tuple[str, Further]]:
    others = [place for place in large if place != grouping.reference]
    if isinstance(sample, Numbers):
        if sample.production is not None:
            yield from numbers.further(asked, grouping, others, sample, confidence)
    elif sample.theirs is not None:
        yield from beside.further(asked, grouping, others, sample, confidence, rng)


# ── beside the reference group ───────────────────────────────────────────


def _verdict(found: Found, adjusted: float, differs: bool, alpha: float) -> Verdict:
    gap, (low, high) = found.gap, found.limits
    is_ratio = low > 0
    limits = f"between {low:g} and {high:.4g}" if is_ratio else f"within {high:g}"
    if gap is None:
        sentence = f"{found.group}: its {found.what} can't be compared: {found.why}."
        return Verdict(
            check=found.check, subject=found.group, outcome="inconclusive", sentence=sentence, n=found.n
        )
    inside: Outcome = "warn" if differs else "pass"
    outcome: Outcome = "fail" if adjusted <= alpha else inside if gap.inside <= alpha else "inconclusive"
    more = None
    if outcome == "inconclusive" and gap.se and not is_ratio:
        line = high if gap.value >= 0 else low
        more = needed(found.n, gap.value - line, gap.se, alpha, gap.df, gap.tilt)
    interval = f"between {gap.low:.3g} and {gap.high:.3g}"
    ending = {
        "pass": f"surely {limits}",
        "warn": f"surely there, and surely {limits}",
        "fail": f"surely not {limits}",
        "inconclusive": f"{found.n:,} rows can't tell whether it is {limits}{would(more)}",
    }[outcome]
    kind = "ratio" if is_ratio else "difference"
    return Verdict(
        check=found.check,
        subject=found.group,
        metric=found.rate,
        outcome=outcome,
        sentence=f"{found.group}: {found.what}: the {kind} is {gap.value:.3g} ({interval}), {ending}.",
        hypothesis=f"the {kind} is {limits} (two one-sided tests to pass, Holm over all comparisons to fail)",
        estimate=gap.value if math.isfinite(gap.value) else None,
        low=gap.low,
        high=gap.high if math.isfinite(gap.high) else None,
        bound=low if is_ratio or gap.value < 0 else high,
        p_value=gap.outside,
        adjusted=adjusted,
        test=found.test,
        statistic=gap.statistic if math.isfinite(gap.statistic) else None,
        n=found.n,
        n_needed=more,
        unit="rows",
        groups=(found.group,),
    )


# ── beside production ────────────────────────────────────────────────────


def _no_further(
    asked: Asked, name: str, found: Further, adjusted: float, alpha: float, baseline: str
) -> Verdict:
    if found.why:
        sentence = f"{name}: its {found.rate} can't be compared with {baseline}'s: {found.why}."
        return Verdict(
            check="bias.no_worse",
            subject=name,
            metric=found.rate,
            outcome="inconclusive",
            sentence=sentence,
            n=found.n,
            groups=(name,),
        )
    fine, worse = found.high <= asked.margin, adjusted <= alpha
    outcome: Outcome = "fail" if worse else "pass" if fine else "inconclusive"
    more = needed(found.n, asked.margin - found.value, found.se, alpha) if outcome == "inconclusive" else None
    word = (
        f"{abs(found.value):.3g} {'further from' if found.value > 0 else 'nearer to'}"
        if found.value
        else "as near to"
    )
    sentence = (
        f"{name}: its {found.rate} is {word} the reference group's {'than' if found.value else 'as'} "
        f"{baseline}'s (between {found.low:+.3g} and {found.high:+.3g}); {asked.margin:g} further is allowed"
    )
    doubt = f"; {found.n:,} rows can't tell{would(more)}" if outcome == "inconclusive" else ""
    return Verdict(
        check="bias.no_worse",
        subject=name,
        metric=found.rate,
        outcome=outcome,
        sentence=f"{sentence}{doubt}.",
        hypothesis=f"the distance grew by no more than {asked.margin:g} (to pass), by more (to fail, "
        "Holm-adjusted)",
        estimate=found.value,
        low=found.low,
        high=found.high,
        bound=asked.margin,
        p_value=found.p_value,
        adjusted=adjusted,
        test=found.test,
        n=found.n,
        n_needed=more,
        unit="rows",
        groups=(name,),
    )


def _alone(asked: Asked, grouping: Grouping, size: int) -> Verdict:
    name = grouping.names[grouping.reference]
    return Verdict(
        check="bias.reference",
        subject=name,
        outcome="inconclusive",
        sentence=f"{name}, with which the groups by {grouping.name} are compared, has {size:,} rows; "
        f"at least {asked.min_rows:,} are needed.",
        n=size,
        n_needed=asked.min_rows,
        groups=(name,),
    )
