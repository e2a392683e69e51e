"""Verdicts on a model: good enough, and no worse than production for anybody. No I/O.

All tests are one-sided at the confidence of ``[checks.performance]``; the ``low`` and ``high``
of a verdict are the two one-sided bounds, so 95 % confidence shows a 90 % interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.holdout import MISSING, Holdout
from treadle.evaluate.metrics import estimate, is_loss, paired_difference
from treadle.evaluate.rules import against, holm, needed
from treadle.evaluate.types import Estimate, Outcome, Verdict
from treadle.evaluate.wording import percent, show, signed, size, would
from treadle.kernel.config.base import METRICS, Metric, Task
from treadle.kernel.config.checks import ChecksConfig
from treadle.kernel.errors import ConfigError, InvalidInput

Floats = npt.NDArray[np.float64]

_NAMED = 20


def measure(task: Task, metric: Metric, labels: npt.ArrayLike, scores: npt.ArrayLike) -> dict[str, float]:
    """Point values of every metric that the task has.

    Held-out rows of one class have no ``roc_auc``: it is left out, unless it is the metric
    that the model is judged by.

    Raises:
        ConfigError: If the metric that the model is judged by isn't one of the task's.
        InvalidInput: If the labels or scores can't be used; see :func:`estimate`.
    """
    if metric not in METRICS[task]:
        raise ConfigError(
            f"a {task} model can't be judged by {metric}",
            where="treadle.toml [checks.performance] metric",
            fix=f"take one of {', '.join(METRICS[task])}",
        )
    one_class = len(np.unique(np.asarray(labels))) == 1
    return {
        name: estimate(name, labels, scores).value
        for name in METRICS[task]
        if name == metric or name != "roc_auc" or not one_class
    }


def judge(
    checks: ChecksConfig,
    holdout: Holdout,
    candidate: npt.ArrayLike,
    production: npt.ArrayLike | None,
    baseline: str = "production",
) -> list[Verdict]:
    """All verdicts on a candidate: against its bound, and against production.

    No worse than production (``no_worse``) *passes* when, overall and in every group tested,
    the lower bound of the paired difference is at least -margin: an intersection-union test,
    so each part is tested at full level and no correction is due (Berger, Technometrics 24,
    1982). It *fails* when a group is worse than -margin by Holm's procedure over the groups,
    or when the candidate surely gains less overall than a change is worth (``gain``; at 0:
    when it is significantly worse than production, margin or not). Otherwise it is
    inconclusive.

    Raises:
        InvalidInput: If labels, scores, groups or clusters can't be used; see :func:`estimate`.
    """
    verdicts = []
    if checks.performance.bound is not None:
        verdicts.append(_bound(checks, holdout, candidate))
    if production is None:
        sentence = "Nothing is in production yet, so there is nothing to be worse than."
        none = Verdict(check="no_worse", subject="overall", outcome="pass", sentence=sentence)
        return [*verdicts, none]
    ours, theirs = np.asanyarray(candidate), np.asanyarray(production)
    whole = _difference(checks, holdout, ours, theirs)
    tested: list[tuple[str, Estimate]] = []
    untested: list[str] = []
    for subject, rows in groups_of(holdout):
        if len(rows) < checks.groups.min_rows:
            untested.append(f"{subject} ({len(rows):,} rows)")
            continue
        try:
            tested.append((subject, _difference(checks, holdout, ours, theirs, rows)))
        except InvalidInput:  # the whole could be judged, so this part has too little of something
            untested.append(f"{subject} ({len(rows):,} rows, too few of a class or of {holdout.unit})")
    verdicts.append(_overall(checks, holdout.unit, whole, baseline))
    verdicts += _each(checks, holdout.unit, tested, baseline)
    return [*verdicts, _small(checks, untested)] if untested else verdicts


def _bound(checks: ChecksConfig, holdout: Holdout, scores: npt.ArrayLike) -> Verdict:
    check = checks.performance
    metric, bound = check.metric, float(check.bound or 0)
    found = estimate(metric, holdout.labels, scores, holdout.clusters, 2 * check.confidence - 1)
    loss = is_loss(metric)
    sign, aim = (-1, f"at most {bound:g}") if loss else (1, f"at least {bound:g}")
    low, high = sorted((sign * found.low, sign * found.high))
    outcome = against(low, high, sign * bound)
    on, more = size(found, holdout.unit), None
    if outcome == "inconclusive":
        more = needed(found.clusters, found.value - bound, found.se, 1 - check.confidence)
        sentence = (
            f"{metric} {show(found.value)} (between {show(found.low)} and {show(found.high)}): "
            f"{on} can't tell whether it is {aim}{would(more)}."
        )
    else:
        from_below = (outcome == "pass") != loss
        edge = f"at least {show(found.low)}" if from_below else f"at most {show(found.high)}"
        sentence = (
            f"{metric} {show(found.value)} is {'' if outcome == 'pass' else 'not '}{aim}: "
            f"with {percent(check.confidence)} confidence it is {edge}, on {on}."
        )
    return Verdict(
        check="bound",
        subject="overall",
        outcome=outcome,
        sentence=sentence,
        hypothesis=f"{metric} is {aim}, one-sided at confidence {check.confidence:g}",
        estimate=found.value,
        low=found.low,
        high=found.high,
        bound=bound,
        n=found.clusters,
        n_needed=more,
        unit=holdout.unit,
    )


def _difference(
    checks: ChecksConfig, holdout: Holdout, ours: Any, theirs: Any, rows: Any = slice(None)
) -> Estimate:
    check = checks.performance
    clusters = None if holdout.clusters is None else holdout.clusters[rows]
    level = 2 * check.confidence - 1
    return paired_difference(check.metric, holdout.labels[rows], ours[rows], theirs[rows], clusters, level)


def groups_of(holdout: Holdout) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
    """Each group's name, such as ``origin=JFK``, and the places of its rows."""
    for column, values in holdout.groups.items():
        if len(values) != len(holdout.labels):
            raise InvalidInput(
                f"there are {len(holdout.labels):,} labels and {len(values):,} values",
                where=f"group column {column!r}",
            )
        texts = [MISSING if value is None else str(value) for value in values]
        names = sorted(set(texts))
        number = {name: i for i, name in enumerate(names)}
        codes = np.fromiter((number[text] for text in texts), dtype=np.intp, count=len(texts))
        ends = np.cumsum(np.bincount(codes))[:-1]
        for name, rows in zip(names, np.split(np.argsort(codes, kind="stable"), ends), strict=True):
            yield f"{column}={name}", rows


def _overall(checks: ChecksConfig, unit: str, found: Estimate, baseline: str) -> Verdict:
    check = checks.performance
    alpha, margin, gain = 1 - check.confidence, check.margin, check.gain
    outcome: Outcome = "fail" if found.high < gain else "pass" if found.low >= -margin else "inconclusive"
    # What gains little is decided by whichever comes first: less than a gain, or not worse than -margin.
    lines = [found.value + margin, *([found.value - gain] if found.value < gain else [])]
    sizes = [needed(found.clusters, line, found.se, alpha) for line in lines]
    more = min((number for number in sizes if number), default=None)
    part = _Part("overall", found, margin, f"{gain:g}", outcome, _p_value(found, gain), more)
    return _no_worse(checks, unit, part, baseline)


def _each(
    checks: ChecksConfig, unit: str, tested: Sequence[tuple[str, Estimate]], baseline: str
) -> Iterator[Verdict]:
    alpha, margin = 1 - checks.performance.confidence, checks.groups.margin
    p_values = [_p_value(found, -margin) for _, found in tested]
    fails = f"-{margin:g}, Holm-adjusted over groups"
    for (subject, found), p_value, adjusted in zip(tested, p_values, holm(p_values), strict=True):
        worse, fine = adjusted <= alpha, found.low >= -margin
        outcome: Outcome = "fail" if worse else "pass" if fine else "inconclusive"
        distance = found.value + margin
        level = alpha if distance > 0 else alpha / len(tested)
        more = needed(found.clusters, distance, found.se, level)
        part = _Part(subject, found, margin, fails, outcome, p_value, more)
        yield _no_worse(checks, unit, part, baseline)


def _p_value(found: Estimate, line: float) -> float:
    """One-sided, of the hypothesis that the difference is at least ``line``."""
    distance = found.value - line
    if found.se == 0:
        return 0.0 if distance < 0 else 1.0
    from scipy.special import stdtr

    return float(stdtr(found.df, distance / found.se))


class _Part(NamedTuple):
    """What was found of the whole or of a group.

    Attributes:
        subject: ``overall``, or the group.
        found: The gain over production.
        margin: How much worse still counts as no worse.
        fails: Below which gain it fails, in words.
        outcome: What was decided.
        p_value: Of the hypothesis that it doesn't fail.
        more: How many units would have decided it.
    """

    subject: str
    found: Estimate
    margin: float
    fails: str
    outcome: Outcome
    p_value: float
    more: int | None


def _no_worse(checks: ChecksConfig, unit: str, part: _Part, baseline: str) -> Verdict:
    check, found, outcome = checks.performance, part.found, part.outcome
    on, confidence = size(found, unit), percent(check.confidence)
    word = "worse" if found.value < 0 else "better"
    effect = f"{part.subject}: {check.metric} is {show(abs(found.value))} {word} than {baseline}'s"
    if outcome == "pass":
        rest = f"; with {confidence} confidence the gain is at least {signed(found.low)}, on {on}"
    elif outcome == "fail":
        worth = f" (a change is worth {check.gain:g})" if found.high >= 0 else ""
        rest = f"; with {confidence} confidence the gain is at most {signed(found.high)}{worth}, on {on}"
    else:
        rest = (
            f" (a gain between {signed(found.low)} and {signed(found.high)}): {on} can't tell whether "
            f"it lost more than the {part.margin:g} allowed{would(part.more)}"
        )
    return Verdict(
        check="no_worse",
        subject=part.subject,
        outcome=outcome,
        sentence=f"{effect}{rest}.",
        hypothesis=f"the gain in {check.metric} is at least -{part.margin:g} (to pass) or below {part.fails} "
        f"(to fail), one-sided at confidence {check.confidence:g}",
        estimate=found.value,
        low=found.low,
        high=found.high,
        bound=-part.margin,
        p_value=part.p_value,
        n=found.clusters,
        n_needed=part.more if outcome == "inconclusive" else None,
        unit=unit,
    )


def _small(checks: ChecksConfig, untested: Sequence[str]) -> Verdict:
    named = ", ".join(untested[:_NAMED])
    rest = f" and {len(untested) - _NAMED:,} more" if len(untested) > _NAMED else ""
    return Verdict(
        check="small_groups",
        subject="groups",
        outcome="pass",
        sentence=f"Too small to be tested (under {checks.groups.min_rows:,} rows): {named}{rest}.",
        bound=float(checks.groups.min_rows),
        n=len(untested),
        unit="groups",
    )
