"""How alike groups are treated in a window: each beside the reference group. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import GroupCounts, RateGap, rate_gaps
from treadle.kernel.config.monitor import FairnessConfig, FairnessMeasure
from treadle.monitor import sequential
from treadle.monitor.findings import Window
from treadle.monitor.parts import Codes
from treadle.monitor.types import SegmentProfile, WindowResult

WITHOUT_LABELS: FairnessMeasure = "demographic_parity"
"""What is compared as soon as the window has ended."""


def counted(
    codes: Codes,
    clusters: npt.NDArray[np.int64],
    labels: npt.NDArray[np.bool_],
    decisions: npt.NDArray[np.bool_],
    many: int,
    counts: npt.NDArray[np.int64] | None = None,
) -> list[GroupCounts]:
    """Rows by group, label, decision and cluster.

    Args:
        codes: The number of each row's group; -1 for none.
        clusters: What each row stands or falls with.
        labels: The truth.
        decisions: What the model decides.
        many: How many groups there are.
        counts: How many rows each stands for; one when left out.
    """
    named, place = np.unique(clusters, return_inverse=True)
    there = codes >= 0
    cell = ((codes * len(named) + place) * 2 + labels) * 2 + decisions
    weights = None if counts is None else counts[there]
    size = max(len(named), 1) * 4
    sums = np.bincount(cell[there], weights, minlength=many * size).astype(np.int64)
    cluster, label, decision = np.unravel_index(np.arange(size), (size // 4, 2, 2))
    return [
        GroupCounts(label == 1, decision == 1, cluster.astype(np.intp), sums[start : start + size])
        for start in range(0, many * size, size)
    ]


def reference(segment: SegmentProfile, names: Sequence[str], declared: str | None) -> str | None:
    """The group that others are held beside: the declared one, or the largest at training.

    Args:
        segment: What makes the groups.
        names: The groups' names.
        declared: The reference group as ``treadle.toml`` has it: its name, or the input's value.
    """
    if declared is not None:
        found = {declared, f"{segment.column}={declared}"}
        return next((name for name in names if name in found), None)
    sizes = {
        name: max((sum(bins) for bins in segment.tallies.get(name, {}).values()), default=0) for name in names
    }
    return max(names, key=lambda name: sizes[name], default=None)


def fairness_results(
    window: Window,
    name: str,
    groups: Mapping[str, GroupCounts],
    beside: str | None,
    measures: Sequence[FairnessMeasure],
    config: FairnessConfig,
    immature: str = "",
) -> Iterator[WindowResult]:
    """How far each group is from the reference group, by each measure.

    Args:
        window: The stretch of time.
        name: What the groups are declared as.
        groups: The rows of each.
        beside: The reference group; None if the declared one isn't there.
        measures: What is compared.
        config: What is declared.
        immature: Why figures of labels aren't to be published; empty where they are.
    """
    if beside is None:
        known = ", ".join(groups) or "no groups"
        for measure in measures:
            why = f"there is no reference group {config.reference!r}; there are {known}"
            yield _result(window, name, "", measure, config, f"{name}, {_words(measure)}: {why}")
        return
    for group in groups:
        if group == beside:
            continue
        for measure in measures:
            told = f"where {group}, {_words(measure)}"
            result = _result(window, name, group, measure, config, told)
            if immature:
                yield msgspec.structs.replace(result, sentence=f"{told}: {immature}")
                continue
            yield _compared(
                result,
                rate_gaps(measure, groups[group], groups[beside], config.max_difference),
                beside,
                config,
            )


def _result(
    window: Window, name: str, group: str, measure: FairnessMeasure, config: FairnessConfig, told: str
) -> WindowResult:
    return WindowResult(
        model=window.model,
        kind="fairness",
        subject=name,
        since=window.since,
        until=window.until,
        version=window.version,
        state="inconclusive",
        statistic=measure,
        value=None,
        limit=config.max_difference,
        n=0,
        e_value=1.0,
        segment=group,
        sentence=told,
    )


def _compared(
    result: WindowResult, gaps: Sequence[RateGap], beside: str, config: FairnessConfig
) -> WindowResult:
    few = min((min(gap.one.n, gap.other.n) for gap in gaps), default=0)
    if few < config.min_rows:
        sentence = f"{result.sentence}: {few:,} rows in one of the groups are too few to tell"
        return msgspec.structs.replace(result, n=few, sentence=f"{sentence} ({config.min_rows:,} needed)")
    # An average of evidence is evidence, that none of the rates is further apart than allowed.
    evidence = sum(sequential.e_value(z) for one in gaps for z in (one.above, one.below)) / (2 * len(gaps))
    gap = max(gaps, key=lambda one: abs(one.value))
    beyond = abs(gap.value) > config.max_difference
    told = (
        f"{result.sentence}: {gap.rate} {100 * gap.one.value:.1f} % of {gap.one.n:,} rows against "
        f"{100 * gap.other.value:.1f} % of {gap.other.n:,} where {beside}; a difference of {gap.value:+.3f} "
        f"({gap.low:+.3f} to {gap.high:+.3f}), up to {config.max_difference:g} is allowed"
    )
    return msgspec.structs.replace(
        result,
        value=gap.value,
        low=gap.low,
        high=gap.high,
        n=gap.one.n + gap.other.n,
        e_value=evidence,
        state="inconclusive" if beyond else "ok",
        sentence=told,
    )


def _words(measure: str) -> str:
    return measure.replace("_", " ")


def decided(outputs: Any, threshold: float) -> npt.NDArray[np.bool_]:
    """What a version decides by its scores."""
    found: npt.NDArray[np.bool_] = np.asarray(outputs) >= threshold
    return found
