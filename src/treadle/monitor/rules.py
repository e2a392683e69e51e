"""The statistics of the monitors and the decisions drawn from them: no I/O.

How false alarms are held to what ``[monitor] false_alarms`` declares, per model and year: the model's
monitors share them equally (:func:`shared`), and of what a monitor has each window is tested at level
``alpha = false_alarms * window length / year``. The expected
number of false alarms is the sum of the windows' levels, whether or not windows overlap
and so depend on each other: dependence moves the variance of a sum, never its mean. The
columns of the input monitor share ``alpha`` equally (Bonferroni), because together they
raise one alert, and because this holds however the columns depend on each other. What gathers evidence
over windows has its share in :func:`treadle.monitor.sequential.discovered`.

In 200 simulated years of weekly figures over 28 days (60 predictions a day, days that differ
more than chance, one false alarm a year for this monitor alone) a metric that stays exactly at what is
allowed, the worst case, is in alert in 0.64 windows a year (standard error 0.07; brier 0.68),
which raise 0.47 alerts; one that stays as it was at registration in 0.02.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from treadle.evaluate import Distance, Estimate, psi, psi_distance
from treadle.kernel.config.monitor import MonitorConfig
from treadle.monitor.types import Alert, Severity, WindowResult, WindowState

YEAR = timedelta(days=365.25)
MIN_CLUSTERS = 5
"""With fewer, a cluster-robust error is no estimate of anything."""

_CLUSTERS = 28
_CRITICAL = 2.5


class Shift(msgspec.Struct, frozen=True):
    """How far a distribution has moved.

    Attributes:
        state: Alert if it is both large and more than chance explains; inconclusive if it is
            large and chance might explain it, or if there are too few rows.
        value: The distance.
        chance: What the distance exceeds by chance alone only at the level tested.
        limit: The value from which it is an alert.
        n: Current rows.
        p_value: The probability of such a distance or a larger one when nothing has changed.
    """

    state: WindowState
    value: float
    chance: float
    limit: float
    n: int
    p_value: float = 1.0


def same(one: WindowResult, other: WindowResult) -> bool:
    """Whether two findings say the same; numbers may differ by the order in which rows were added up."""
    return all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
        if isinstance(a, float) and isinstance(b, float)
        else a == b
        for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    )


def shared(config: MonitorConfig) -> MonitorConfig:
    """What holds for one monitor: its share of the false alarms that are declared for the model.

    The monitors are the metric, its estimates, the inputs' quality, their drift, that of whole rows and that
    of the predictions; with embeddings theirs; with segments also the metric in each; with groups also how
    alike they are treated.
    Those of one kind share further among them.
    """
    more = (config.multivariate.watch, config.embeddings, config.segments, config.fairness)
    monitors = 5 + sum(map(bool, more))
    return msgspec.structs.replace(config, false_alarms=config.false_alarms / monitors)


def level(false_alarms: float, every: timedelta) -> float:
    """The level at which to test a window, for so many false alarms a year; at most 0.5."""
    return min(false_alarms * (every / YEAR), 0.5)


def shift(
    reference: Sequence[int], current: Sequence[int], threshold: float, alpha: float, min_rows: int
) -> Shift:
    """Whether the current histogram has moved away from the reference.

    Args:
        reference: Rows in each bin at training.
        current: Rows in the same bins now.
        threshold: The index from which a shift matters.
        alpha: The chance of an alert when nothing has changed.
        min_rows: With fewer current rows nothing is said.
    """
    n, m = sum(current), sum(reference)
    if n < min_rows or not n or not m:
        found = Distance(psi(reference, current) if n and m else 0.0, math.inf, 1.0)
    else:
        found = psi_distance(reference, current, alpha)
    return judge(found, n if m else 0, threshold, min_rows)


def judge(found: Distance, n: int, threshold: float, min_rows: int) -> Shift:
    """Whether a distance is an alert: over its threshold, and over what chance gives.

    Args:
        found: The distance.
        n: Current rows.
        threshold: The distance from which a shift matters.
        min_rows: With fewer current rows nothing is said.
    """
    if n < min_rows or not n:
        return Shift("inconclusive", found.value, math.inf, threshold, n)
    state: WindowState = "ok"
    if found.value > threshold:
        state = "alert" if found.value > found.chance else "inconclusive"
    return Shift(state, found.value, found.chance, max(threshold, found.chance), n, found.p_value)


def severity(value: float, threshold: float) -> Severity:
    """How bad an alert is: critical from two and a half times the threshold (for PSI 0.1 and 0.25)."""
    return "critical" if value >= _CRITICAL * threshold else "warning"


def weight(result: WindowResult) -> float:
    """What comes first among alerts: importance times how far the value lies beyond its limit.

    Beyond is told as a share of the limit, so that statistics of different scales compare. Where
    importance isn't known it counts as 1.
    """
    importance = 1.0 if result.importance is None else result.importance
    if result.value is None or not result.limit:
        return importance
    return importance * abs(result.value / result.limit - 1)


def discoveries(p_values: Sequence[float], level: float) -> float:
    """The level at which each of several tests may be rejected so that few rejections are false.

    Benjamini and Hochberg (1995): among those rejected at the level returned, the expected share of
    false ones is at most ``level``, for tests that are independent or positively dependent; where nothing
    has changed, so is the chance of any rejection.

    Args:
        p_values: Of the tests; not empty.
        level: The share.
    """
    ordered, many = sorted(p_values), len(p_values)
    reached = [k for k, p in enumerate(ordered, 1) if p <= level * k / many]
    return level * max(reached, default=1) / many


def limit(reference: float, tolerance: float, *, loss: bool) -> float:
    """The value beyond which a metric is worse than it may become."""
    return reference + tolerance if loss else reference - tolerance


def decay(found: Estimate, allowed: float, *, loss: bool) -> WindowState:
    """Whether a metric is worse than allowed.

    Alert when the whole interval lies beyond; inconclusive when only the value does. With
    an interval of confidence ``1 - 2 * alpha`` the chance of an alert is at most ``alpha``
    while the metric is as allowed, and far less while it is as it was at registration.
    """
    if (found.low > allowed) if loss else (found.high < allowed):
        return "alert"
    beyond = found.value > allowed if loss else found.value < allowed
    return "inconclusive" if beyond else "ok"


def cluster_length(performance_window: timedelta) -> timedelta:
    """What stands or falls together in live traffic: a day, or less where the window is under four weeks."""
    return min(timedelta(days=1), performance_window / _CLUSTERS)


def midnight(day: date) -> datetime:
    """The day's first moment, in UTC."""
    return datetime.combine(day, time(), UTC)


def epoch_us(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def partly(results: Sequence[WindowResult]) -> list[WindowResult]:
    """A window's results, where the version may have answered too small a part of it to be judged by that.

    The first days of a version, or the callers that a rollout gives it, aren't the mix of hours, weekdays and
    callers that its profile was made of: how its predictions are distributed, and what its metric is
    estimated at, differ by that alone. So under half of the window's requests, neither is an alert or
    evidence. Inputs are everybody's, and what became true is held against the same predictions.
    """
    asked = max((one.n for one in results if one.kind == "input" and not one.segment), default=0)
    answered = sum(one.n for one in results if one.kind == "prediction" and not one.segment)
    if not answered or 2 * answered >= asked:
        return list(results)
    why = f"it answered {answered:,} of the window's {asked:,}, too small a part to judge by"
    return [
        msgspec.structs.replace(
            one,
            state="inconclusive" if one.state == "alert" else one.state,
            severity=None,
            e_value=None,
            sentence=f"{one.sentence}; {why}",
        )
        if one.kind == "prediction" or (one.kind == "estimated" and one.statistic == one.subject)
        else one
        for one in results
    ]


def raises(alert: Alert, before: Iterable[Alert], cooldown: timedelta) -> bool:
    """Whether an alert is news: none of its kind about its version told of it within the cooldown.

    Told are those of at least half of what it is about: which columns are over their limits changes a little
    from window to window while the cause is the same. A column that breaks while another is known to have
    drifted is news.
    """
    told = {
        subject
        for old in before
        if old.kind == alert.kind and old.version == alert.version and alert.at - old.at < cooldown
        for subject in old.subjects
    }
    known = sum(subject in told for subject in alert.subjects)
    return known == 0 or 2 * known < len(alert.subjects)


def beyond(found: int, rows: int, limit: float) -> float:
    """The probability of so many or more among rows of which each is one with a probability at the limit."""
    from scipy.special import bdtrc

    return float(bdtrc(found - 1, rows, min(limit, 1.0))) if found else 1.0
