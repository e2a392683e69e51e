"""Verdicts on bias: each group beside the reference group, no further from it than production's. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from treadle.evaluate.bias import measures
from treadle.evaluate.bias.beside import Further, further
from treadle.evaluate.bias.measures import PARTS, Codes, Floats, Gap, Judged, Rows
from treadle.evaluate.bias.shares import Share
from treadle.evaluate.models.clustering import MIN_CLUSTERS
from treadle.evaluate.rules import holm, needed
from treadle.evaluate.types import Outcome, Verdict
from treadle.evaluate.wording import percent, would
from treadle.kernel.config.checks import BiasCheck

_NAMED = 20
_FEW = f"one of the groups has fewer than {MIN_CLUSTERS} clusters, or nearly all of its rows in one or two"


class Grouping(NamedTuple):
    """Rows by group.

    Attributes:
        name: The column, or the columns together, such as ``sex, race``.
        names: The groups' names, such as ``sex=female``.
        codes: The number of each row's group.
        reference: The number of the group that the others are compared with.
    """

    name: str
    names: Sequence[str]
    codes: Codes
    reference: int


class Sample(NamedTuple):
    """What bias is judged on.

    Attributes:
        labels: The truth, 0 or 1.
        scores: The candidate's probabilities.
        production: Production's; None where nothing is in production.
        threshold: From which probability on a row is selected.
        clusters: The number of each row's cluster; None when rows are independent.
        strata: The number of each row's combination of the columns ``given``; None without any.
    """

    labels: Floats
    scores: Floats
    production: Floats | None
    threshold: float
    clusters: Codes | None = None
    strata: Codes | None = None

    def judged(self, scores: Floats) -> Judged:
        """Labels and what somebody's scores decide."""
        return Judged(self.labels == 1, scores >= self.threshold, self.clusters)


class _Found(NamedTuple):
    """One comparison, before its p-value is adjusted.

    Attributes:
        check: Such as ``bias.demographic_parity``.
        group: Which group.
        rate: Which rate.
        what: What was compared, in words.
        gap: What was found; None where nothing could be.
        limits: Between which values it has to be.
        n: On how many rows.
        why: Why nothing could be found.
        test: How.
    """

    check: str
    group: str
    rate: str
    what: str
    gap: Gap | None
    limits: tuple[float, float]
    n: int
    why: str
    test: str


def judge(
    check: BiasCheck,
    groupings: Sequence[Grouping],
    sample: Sample,
    confidence: float,
    rng: np.random.Generator,
    baseline: str = "production",
) -> list[Verdict]:
    """All verdicts of ``[checks.bias]``.

    A rate *passes* when it is surely within the limits of the reference group's (two one-sided
    tests at full level each: an intersection-union test), *warns* when it is and yet surely differs,
    *fails* when it is surely beyond them by Holm's procedure over all comparisons, and is
    otherwise inconclusive.

    Args:
        check: What has to be alike, and how much.
        groupings: The groups.
        sample: What they are judged on.
        confidence: Of each one-sided test.
        rng: For the comparison with production.
        baseline: What production is called.
    """
    found: list[_Found] = []
    beside: list[tuple[str, Further]] = []
    small: list[str] = []
    alone: list[Verdict] = []
    for grouping in groupings:
        sizes = np.bincount(grouping.codes, minlength=len(grouping.names))
        large = [place for place in range(len(grouping.names)) if sizes[place] >= check.min_rows]
        small += [
            f"{grouping.names[place]} ({size:,} rows)"
            for place, size in enumerate(sizes)
            if place not in large
        ]
        if grouping.reference not in large:
            alone.append(_alone(check, grouping, int(sizes[grouping.reference])))
            continue
        found += _compare(check, grouping, large, sample, confidence)
        if sample.production is not None:
            others = [place for place in large if place != grouping.reference]
            beside += further(check, grouping, others, sample, confidence, rng)
    adjusted = holm([one.gap.outside if one.gap else 1.0 for one in found])
    apart = holm([one.gap.none if one.gap else 1.0 for one in found])
    alpha = 1 - confidence
    verdicts = [
        _verdict(one, p, differs <= alpha, alpha)
        for one, p, differs in zip(found, adjusted, apart, strict=True)
    ]
    worse = holm([one.p_value for _, one in beside])
    verdicts += [
        _no_further(check, name, one, p, alpha, baseline)
        for (name, one), p in zip(beside, worse, strict=True)
    ]
    return [*alone, *verdicts, *([_small(check, small)] if small else [])]


# ── beside the reference group ───────────────────────────────────────────


def _compare(
    check: BiasCheck, grouping: Grouping, large: Sequence[int], sample: Sample, confidence: float
) -> Iterator[_Found]:
    rows, level = sample.judged(sample.scores), 2 * confidence - 1
    reference = grouping.codes == grouping.reference
    for place in large:
        group, name = grouping.codes == place, grouping.names[place]
        if "calibration" in check.measures:
            yield _calibration(check, name, group, sample, level)
        if place == grouping.reference:
            continue
        beside = grouping.names[grouping.reference]
        for measure in check.measures:
            for rate in PARTS.get(measure, ()):
                yield _rate(check, f"bias.{measure}", rate, (name, beside), rows, (group, reference), level)
        if check.min_ratio is not None:
            yield _ratio(check.min_ratio, (name, beside), rows, (group, reference), level)
        if sample.strata is not None:
            yield _conditional(check, (name, beside), rows, (group, reference), sample.strata, level)


def _rate(
    check: BiasCheck,
    named: str,
    rate: str,
    names: tuple[str, str],
    rows: Judged,
    groups: tuple[Rows, Rows],
    level: float,
) -> _Found:
    limit = check.max_difference
    shares = [measures.share(rate, rows, group) for group in groups]
    one, other = shares
    gap, why = None, ""
    if one is None or other is None:
        lacking = names[0] if one is None else names[1]
        why = f"{lacking} has no row of which it is taken"
    elif rows.clusters is None:
        gap = measures.difference(one, other, limit, level)
    else:
        gap = measures.clustered(rate, rows, *groups, limit, level)
        why = "" if gap else _FEW
    told = f"{_shown(one)} against {_shown(other)} of {names[1]}"
    test = "score test of two shares" if rows.clusters is None else "t, by cluster"
    n = sum(each.n for each in shares if each)
    return _Found(named, names[0], rate, f"{rate} {told}", gap, (-limit, limit), n, why, test)


def _ratio(
    limit: float, names: tuple[str, str], rows: Judged, groups: tuple[Rows, Rows], level: float
) -> _Found:
    shares = [measures.share("selection rate", rows, group) for group in groups]
    one, other = (share or Share(0, 1) for share in shares)
    what = f"selection rate {percent(one.value)} against {percent(other.value)} of {names[1]}, as a ratio"
    limits, gap, why, test = (limit, 1 / limit), None, "", "score test of a ratio"
    if rows.clusters is None:
        gap = measures.ratio(one, other, limit, level)
    else:
        gap, test = measures.clustered_ratio(rows, *groups, limit, level), "t of the logarithm, by cluster"
        why = "" if gap else f"{_FEW}, or nothing selected"
    return _Found(
        "bias.selection_ratio",
        names[0],
        "ratio of selection rates",
        what,
        gap,
        limits,
        one.n + other.n,
        why,
        test,
    )


def _conditional(
    check: BiasCheck,
    names: tuple[str, str],
    rows: Judged,
    groups: tuple[Rows, Rows],
    strata: Codes,
    level: float,
) -> _Found:
    limit = check.max_difference
    gap = measures.within(rows, *groups, strata, limit, level)
    within = " and ".join(check.given)
    what = f"selection rate within equal {within}, against {names[1]}"
    why = "" if gap else f"no value of {within} has rows of both"
    why += f", or {_FEW}" if why and rows.clusters is not None else ""
    n = int((groups[0] | groups[1]).sum())
    test = "Mantel-Haenszel, Sato's variance" if rows.clusters is None else "Mantel-Haenszel by cluster"
    return _Found(
        "bias.conditional_parity", names[0], "selection rate", what, gap, (-limit, limit), n, why, test
    )


def _calibration(check: BiasCheck, name: str, group: Rows, sample: Sample, level: float) -> _Found:
    limit = check.max_difference
    gap = measures.off_calibration(sample.labels, sample.scores, sample.clusters, group, limit, level)
    truth, said = sample.labels[group].mean(), sample.scores[group].mean()
    what = f"{percent(truth)} of the labels are true, and the probabilities say {percent(said)}"
    why = "" if gap else _FEW
    return _Found(
        "bias.calibration",
        name,
        "calibration",
        what,
        gap,
        (-limit, limit),
        int(group.sum()),
        why,
        "t of the residuals",
    )


def _verdict(found: _Found, adjusted: float, differs: bool, alpha: float) -> Verdict:
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
        more = needed(found.n, high - abs(gap.value), gap.se, alpha)
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
    check: BiasCheck, name: str, found: Further, adjusted: float, alpha: float, baseline: str
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
    fine, worse = found.high <= check.margin, adjusted <= alpha
    outcome: Outcome = "fail" if worse else "pass" if fine else "inconclusive"
    more = needed(found.n, check.margin - found.value, found.se, alpha) if outcome == "inconclusive" else None
    word = "further from" if found.value > 0 else "nearer to"
    sentence = (
        f"{name}: its {found.rate} is {abs(found.value):.3g} {word} the reference group's than "
        f"{baseline}'s (between {found.low:+.3g} and {found.high:+.3g}); {check.margin:g} further is allowed"
    )
    doubt = f"; {found.n:,} rows can't tell{would(more)}" if outcome == "inconclusive" else ""
    return Verdict(
        check="bias.no_worse",
        subject=name,
        metric=found.rate,
        outcome=outcome,
        sentence=f"{sentence}{doubt}.",
        hypothesis=f"the distance grew by no more than {check.margin:g} (to pass), by more (to fail, "
        "Holm-adjusted)",
        estimate=found.value,
        low=found.low,
        high=found.high,
        bound=check.margin,
        p_value=found.p_value,
        adjusted=adjusted,
        test=found.test,
        n=found.n,
        n_needed=more,
        unit="rows",
        groups=(name,),
    )


def _alone(check: BiasCheck, grouping: Grouping, size: int) -> Verdict:
    name = grouping.names[grouping.reference]
    return Verdict(
        check="bias.reference",
        subject=name,
        outcome="inconclusive",
        sentence=f"{name}, with which the groups by {grouping.name} are compared, has {size:,} rows; "
        f"at least {check.min_rows:,} are needed.",
        n=size,
        n_needed=check.min_rows,
        groups=(name,),
    )


def _small(check: BiasCheck, small: Sequence[str]) -> Verdict:
    named = ", ".join(small[:_NAMED])
    rest = f" and {len(small) - _NAMED:,} more" if len(small) > _NAMED else ""
    return Verdict(
        check="bias.small_groups",
        subject="groups",
        outcome="pass",
        sentence=f"Too small to be tested for bias (under {check.min_rows:,} rows): {named}{rest}.",
        bound=float(check.min_rows),
        n=len(small),
        unit="groups",
    )


def _shown(share: Share | None) -> str:
    return percent(share.value) if share else "of no row"
