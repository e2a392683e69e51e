"""Whether an input has drifted, or the predictions have shifted: figures and words. No I/O."""

from __future__ import annotations

import math

import msgspec

from treadle.evaluate import (
    Atoms,
    Distance,
    js_distance,
    ks_distance,
    margin,
    psi_distance,
    wasserstein_distance,
)
from treadle.kernel.config.monitor import DriftConfig, DriftStatistic, MonitorConfig
from treadle.monitor import rules
from treadle.monitor.findings import STATISTICS, Window
from treadle.monitor.profile import Shape, counts
from treadle.monitor.types import MonitorKind, NumericProfile, WindowResult


def input_result(
    window: Window,
    name: str,
    reference: Shape,
    current: Shape,
    columns: int,
    config: MonitorConfig,
    importance: float | None = None,
) -> WindowResult:
    """Whether an input has drifted.

    Args:
        window: The window.
        name: The input.
        reference: How it was distributed at training.
        current: How it was in the window, in the same bins.
        columns: How many inputs share the level.
        config: The ``[monitor]`` table.
        importance: How much the model leans on it.
    """
    alpha = rules.level(config.false_alarms, window.length) / columns
    how, allowed = config.of_column(name), config.quality_of(name).outside
    reference, current = open_ended(how.statistic, reference, current, allowed, alpha)
    found = drift_result(window, "input", name, reference, current, alpha, how, config.min_rows)
    return msgspec.structs.replace(found, importance=importance)


def open_ended(
    statistic: DriftStatistic, reference: Shape, current: Shape, allowed: float, alpha: float
) -> tuple[Shape, Shape]:
    """Both with what lies beyond the ends counted in the outer bins, unless that is surely too much.

    A bin that was empty weighs heavily: of one row in a hundred there the stability index makes half of what
    is called drift. So many out of range are allowed, and the monitor of quality says when there are more.

    Args:
        statistic: What is computed; only those that compare bin by bin are concerned.
        reference: How a column was distributed at training.
        current: How it was in the window, in the same bins.
        allowed: The share that may lie beyond the ends, more than at training did.
        alpha: The level at which more than that is sure.
    """
    if statistic not in {"psi", "js"}:
        return reference, current
    if not (isinstance(reference, NumericProfile) and isinstance(current, NumericProfile)):
        return reference, current
    m, n = sum(counts(reference)), sum(counts(current))
    limit = (reference.below + reference.above) / max(m, 1) + allowed
    if reference.low is None or not n or rules.beyond(current.below + current.above, n, limit) <= alpha:
        return reference, current
    return _opened(reference), _opened(current)


def _opened(shape: NumericProfile) -> NumericProfile:
    rows = list(shape.counts)
    rows[0] += shape.below
    rows[-1] += shape.above
    return msgspec.structs.replace(shape, counts=rows, below=0, above=0, low=None, high=None, centres=[])


def prediction_result(
    window: Window, reference: Shape, current: Shape, config: MonitorConfig
) -> WindowResult:
    """Whether the predictions of the version in production have shifted."""
    # The rows of other versions were counted as missing.
    reference, current = (msgspec.structs.replace(shape, nulls=0) for shape in (reference, current))
    alpha, how = rules.level(config.false_alarms, window.length), config.of_predictions()
    found = drift_result(window, "prediction", "prediction", reference, current, alpha, how, config.min_rows)
    mean = current.mean if isinstance(current, NumericProfile) else None
    return msgspec.structs.replace(found, mean_prediction=mean)


def again(
    window: Window, columns: int, config: MonitorConfig, found: WindowResult, reference: Shape, current: Shape
) -> WindowResult:
    """The column of a finding, judged by other rows at the same level."""
    if found.kind == "prediction":
        return prediction_result(window, reference, current, config)
    return input_result(window, found.subject, reference, current, columns, config)


def distance(
    statistic: DriftStatistic, reference: Shape, current: Shape, alpha: float
) -> tuple[DriftStatistic, Distance]:
    """How far apart two profiles over the same bins are, by a statistic or, where that can't be, by PSI.

    Returns:
        The statistic that it was, and what it came to.
    """
    if isinstance(reference, NumericProfile) and isinstance(current, NumericProfile):
        before, after = _ordered(reference), _ordered(current)
        if statistic == "ks" and any(before) and any(after):
            return "ks", ks_distance(before, after, alpha)
        old, new = _atoms(reference), _atoms(current)
        if statistic == "wasserstein" and reference.deviation and old and new:
            return "wasserstein", wasserstein_distance(old, new, reference.deviation, alpha)
    then, now = _expected(reference), counts(current)
    if statistic == "js":
        return "js", js_distance(then, now, alpha)
    return "psi", psi_distance(then, now, alpha)


def _expected(shape: Shape) -> list[int]:
    """A profile as one histogram, with the row that is to be expected beyond each end.

    Beyond the ends of ``m`` rows there are none of them by definition, while the next row lies beyond
    either with probability ``1 / (m + 1)``. Where a window has many more rows than training had, taking
    those bins for empty would make four times the false alarms declared. An end at which values heap
    up, such as a zero, is an end indeed.
    """
    if not isinstance(shape, NumericProfile) or shape.low is None or shape.high is None or shape.values:
        return counts(shape)
    low, high, edges = shape.low, shape.high, shape.edges or [math.nan]
    below = int(any(shape.counts) and not edges[0] <= low + 2 * margin(low))
    above = int(any(shape.counts) and not edges[-1] >= high - 2 * margin(high))
    return counts(msgspec.structs.replace(shape, below=shape.below + below, above=shape.above + above))


def _ordered(shape: NumericProfile) -> list[int]:
    return [shape.below, *shape.counts, shape.above]


def _atoms(shape: NumericProfile) -> Atoms | None:
    """The rows at the means of their bins; None if there are none, or some lie nowhere (an infinite mean)."""
    found = [(centre, rows) for centre, rows in zip(shape.centres, _ordered(shape), strict=False) if rows]
    points = [centre for centre, _ in found if centre is not None]
    if not points or len(points) < len(found):
        return None
    return Atoms(points, [rows for _, rows in found])


def drift_result(
    window: Window,
    kind: MonitorKind,
    name: str,
    reference: Shape,
    current: Shape,
    alpha: float,
    how: DriftConfig,
    min_rows: int,
) -> WindowResult:
    """Whether a column has moved, at a level of its own.

    Args:
        window: The window.
        kind: What is watched.
        name: The column.
        reference: How it was distributed at training.
        current: How it was in the window, in the same bins.
        alpha: The chance of an alert when nothing has changed.
        how: The statistic and its threshold.
        min_rows: With fewer rows nothing is said.
    """
    m, n = sum(counts(reference)), sum(counts(current))
    statistic, apart = (
        distance(how.statistic, reference, current, alpha)
        if m and n
        else (how.statistic, Distance(0.0, 0.0, 1.0))
    )
    threshold = how.threshold if statistic == how.statistic else DriftConfig().threshold
    found = rules.judge(apart, n if m else 0, threshold, min_rows)
    told = found.n >= min_rows
    return WindowResult(
        model=window.model,
        kind=kind,
        subject=name,
        since=window.since,
        until=window.until,
        version=window.version,
        state=found.state,
        statistic=statistic,
        value=found.value if told else None,
        limit=found.limit,
        n=found.n,
        sentence=_sentence(window, kind, name, statistic, found, threshold, min_rows)
        + (f"; {_moved(reference, current)}" if found.state == "alert" else ""),
        severity=rules.severity(found.value, threshold) if found.state == "alert" else None,
        threshold=threshold,
        chance=found.chance if told else None,
        p_value=found.p_value if told else None,
    )


def _sentence(
    window: Window,
    kind: MonitorKind,
    name: str,
    statistic: DriftStatistic,
    found: rules.Shift,
    threshold: float,
    min_rows: int,
) -> str:
    rows, called = f"{found.n:,} rows", f"{STATISTICS[statistic]} {found.value:.3f}"
    if found.n < min_rows:
        young = f" of version {window.version}" if kind == "prediction" else ""
        return f"{name}: {rows}{young} are too few to tell ({min_rows:,} needed)"
    if found.state == "inconclusive":
        return (
            f"{name}: {called} is over {threshold:g}, but in {rows} "
            f"chance alone gives up to {found.chance:.3f}"
        )
    if found.state == "alert":
        verb = "shifted" if kind == "prediction" else "drifted"
        return (
            f"{name} {verb}: {called}, over {threshold:g} and over the {found.chance:.3f} "
            f"that chance gives in {rows}"
        )
    return f"{name}: {called}, under {threshold:g}, in {rows}"


def _moved(reference: Shape, current: Shape) -> str:
    """What changed most, for people: a share of rows, or the mean."""
    then, now = _shares(reference), _shares(current)
    name = max(then, key=lambda key: abs(now[key] - then[key]))
    if isinstance(reference, NumericProfile) and isinstance(current, NumericProfile):
        steady = abs(now["missing"] - then["missing"]) < 0.05
        if steady and reference.mean is not None and current.mean is not None:
            return f"mean {current.mean:.4g}, was {reference.mean:.4g}"
    return f"{name} {100 * now[name]:.1f} % of rows, was {100 * then[name]:.1f} %"


def _shares(shape: Shape) -> dict[str, float]:
    rows = max(sum(counts(shape)), 1)
    if isinstance(shape, NumericProfile):
        return {"missing": shape.nulls / rows}
    named = {repr(name): count / rows for name, count in shape.counts.items()}
    return named | {"other values": shape.other / rows, "missing": shape.nulls / rows}
