"""Each group's rates beside those of the reference group. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from treadle.evaluate.bias import measures
from treadle.evaluate.bias.asking import Asked
from treadle.evaluate.bias.measures import PARTS, Gap, Judged, Rows
from treadle.evaluate.bias.sample import FEW, Found, Grouping, Sample
from treadle.evaluate.bias.shares import Share
from treadle.evaluate.wording import percent


def compare(
    asked: Asked, grouping: Grouping, large: Sequence[int], sample: Sample, confidence: float
) -> Iterator[Found]:
    """What is found of each group that is large enough.

    Args:
        asked: What has to be alike.
        grouping: The groups.
        large: The numbers of those that are large enough.
        sample: What they are judged on.
        confidence: Of each one-sided test.
    """
    rows, level = sample.judged(sample.ours), 2 * confidence - 1
    reference = grouping.codes == grouping.reference
    for place in large:
        group, name = grouping.codes == place, grouping.names[place]
        if "calibration" in asked.measures:
            yield _calibration(asked, name, group, sample, level)
        if place == grouping.reference:
            continue
        beside = grouping.names[grouping.reference]
        for measure in asked.measures:
            for rate in PARTS.get(measure, ()):
                found = _rate(asked, rate, sample, (name, beside), rows, (group, reference), level)
                yield found._replace(check=f"bias.{measure}")
        if asked.min_ratio is not None:
            yield _ratio(asked.min_ratio, sample, (name, beside), rows, (group, reference), level)
        if sample.strata is not None:
            yield _conditional(asked, sample, (name, beside), rows, (group, reference), level)


def _rate(
    asked: Asked,
    rate: str,
    sample: Sample,
    names: tuple[str, str],
    rows: Judged,
    groups: tuple[Rows, Rows],
    level: float,
) -> Found:
    limit, named = asked.max_difference, sample.named(rate)
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
        why = "" if gap else FEW
    told = f"{_shown(one)} against {_shown(other)} of {names[1]}"
    test = "score test of two shares" if rows.clusters is None else "t, by cluster"
    n = sum(each.n for each in shares if each)
    return Found("", names[0], named, f"{named} {told}", gap, (-limit, limit), n, why, test)


def _ratio(
    limit: float,
    sample: Sample,
    names: tuple[str, str],
    rows: Judged,
    groups: tuple[Rows, Rows],
    level: float,
) -> Found:
    shares = [measures.share("selection rate", rows, group) for group in groups]
    one, other = (share or Share(0, 1) for share in shares)
    told = f"{percent(one.value)} against {percent(other.value)} of {names[1]}, as a ratio"
    limits, gap, why, test = (limit, 1 / limit), None, "", "score test of a ratio"
    if rows.clusters is None:
        gap = measures.ratio(one, other, limit, level)
    else:
        gap, test = measures.clustered_ratio(rows, *groups, limit, level), "t of the logarithm, by cluster"
        why = "" if gap else f"{FEW}, or nothing selected"
    return Found(
        "bias.selection_ratio",
        names[0],
        sample.named("ratio of selection rates"),
        f"{sample.named('selection rate')} {told}",
        gap,
        limits,
        one.n + other.n,
        why,
        test,
    )


def _conditional(
    asked: Asked,
    sample: Sample,
    names: tuple[str, str],
    rows: Judged,
    groups: tuple[Rows, Rows],
    level: float,
) -> Found:
    assert sample.strata is not None  # noqa: S101 - whoever asks has looked
    limit, rate = asked.max_difference, sample.named("selection rate")
    gap = measures.within(rows, *groups, sample.strata, limit, level)
    within = " and ".join(asked.given)
    what = f"{rate} within equal {within}, against {names[1]}"
    why = "" if gap else f"no value of {within} has rows of both"
    why += f", or {FEW}" if why and rows.clusters is not None else ""
    n = int((groups[0] | groups[1]).sum())
    test = "Mantel-Haenszel, Sato's variance" if rows.clusters is None else "Mantel-Haenszel by cluster"
    return Found("bias.conditional_parity", names[0], rate, what, gap, (-limit, limit), n, why, test)


def _calibration(asked: Asked, name: str, group: Rows, sample: Sample, level: float) -> Found:
    right, rate = sample.chosen or "true", sample.named("calibration")
    truth, said = (percent(float(values[group].mean())) for values in (sample.labels, sample.scores))
    what = f"{truth} of the labels are {right}, and the probabilities say {said}"
    gap = measures.off_calibration(
        sample.labels, sample.scores, sample.clusters, group, asked.max_difference, level
    )
    return calibrated(asked, name, rate, what, gap, int(group.sum()))


def calibrated(asked: Asked, name: str, rate: str, what: str, gap: Gap | None, n: int) -> Found:
    """Labels and scores of a group, held against each other."""
    limits, why = (-asked.max_difference, asked.max_difference), "" if gap else FEW
    return Found("bias.calibration", name, rate, what, gap, limits, n, why, "t of the residuals")


def _shown(share: Share | None) -> str:
    return percent(share.value) if share else "of no row"
