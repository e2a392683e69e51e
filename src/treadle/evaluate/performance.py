"""Verdicts on a model: good enough, and no worse than production for anybody. No I/O.

All tests are one-sided at the confidence of ``[checks.performance]``; the ``low`` and ``high``
of a verdict are the two one-sided bounds, so 95 % confidence shows a 90 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from treadle.evaluate.holdout import Holdout
from treadle.evaluate.models.clustering import too_few
from treadle.evaluate.models.comparing import Bootstrap, assess, compare
from treadle.evaluate.models.deciding import Aim, Part, decide, family, verdict
from treadle.evaluate.models.grouping import Group, groups
from treadle.evaluate.models.inferring import estimated
from treadle.evaluate.models.inputs import Scored, scored
from treadle.evaluate.models.linear import linearise
from treadle.evaluate.models.measures import Measure, measured
from treadle.evaluate.models.planning import Assumed, Planning
from treadle.evaluate.models.planning import plan as planned
from treadle.evaluate.models.seeds import MIN_SEEDS, judge_recipes
from treadle.evaluate.models.slices import weak_slices
from treadle.evaluate.rules import against, needed
from treadle.evaluate.types import Planned, Verdict
from treadle.evaluate.untested import too_small
from treadle.evaluate.wording import percent, show, size, skewed, would
from treadle.kernel.config.base import METRICS, Metric, Task
from treadle.kernel.config.checks import ChecksConfig, GroupCheck, PerformanceCheck
from treadle.kernel.errors import ConfigError, InvalidInput

_ALWAYS: dict[Task, tuple[Metric, ...]] = {
    "binary": ("roc_auc", "log_loss", "brier", "accuracy"),
    "regression": ("mae", "mse"),
    "multiclass": (),
    "ranking": (),
}


def measure(
    task: Task,
    check: PerformanceCheck,
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
) -> dict[str, float]:
    """Point values of the metrics that the model is judged by, and of the task's usual ones.

    Held-out rows of one class have no ``roc_auc``: it is left out, unless the model is judged by it.

    Raises:
        ConfigError: If a metric that the model is judged by isn't one of the task's.
        InvalidInput: If the labels or scores can't be used; see :func:`treadle.evaluate.estimate`.
    """
    named = [check.metric, *check.also]
    for metric in named:
        if metric not in METRICS[task]:
            raise ConfigError(
                f"a {task} model can't be judged by {metric}",
                where="treadle.toml [checks.performance] metric",
                fix=f"take one of {', '.join(METRICS[task])}",
            )
    one_class = len(np.unique(np.asarray(labels))) == 1
    wanted = [name for name in METRICS[task] if name in named or name in _ALWAYS[task]]
    values = {}
    for name in wanted:
        if name in named or name != "roc_auc" or not one_class:
            how = measured(check, name)
            values[str(name)] = estimated(how, scored(how, labels, scores, None, clusters), 0.9).value
    return values


def judge(
    checks: ChecksConfig,
    holdout: Holdout,
    candidate: npt.ArrayLike,
    production: npt.ArrayLike | None,
    baseline: str = "production",
    *,
    replicas: Sequence[npt.ArrayLike] = (),
    other_replicas: Sequence[npt.ArrayLike] = (),
    seed: int = 0,
) -> list[Verdict]:
    """All verdicts on a candidate: against its bounds, and against production.

    See :func:`treadle.evaluate.models.deciding.decide` for what passes and fails, and
    :mod:`treadle.evaluate.models.comparing` for the tests.

    Args:
        checks: What is asked.
        holdout: The rows.
        candidate: The candidate's scores.
        production: Production's on the same rows; None when nothing is in production.
        baseline: What to call production.
        replicas: Scores of the candidate's other replicas; they show the noise of training.
        other_replicas: Those of production's; with five of each, recipes can be compared.
        seed: Of the bootstrap.

    Raises:
        InvalidInput: If labels, scores, groups or clusters can't be used; see
            :func:`treadle.evaluate.estimate`.
    """
    judging = _Judging(checks, holdout, Bootstrap(checks.performance.resamples, seed))
    aims = list(_aims(checks))
    verdicts = [judging.bound(aim, candidate) for aim in aims if aim.bound is not None]
    if production is None:
        sentence = "Nothing is in production yet, so there is nothing to be worse than."
        verdicts.append(Verdict(check="no_worse", subject="overall", outcome="pass", sentence=sentence))
    else:
        verdicts += judging.no_worse(aims, candidate, production, replicas, baseline)
        if checks.performance.recipe:
            ours, theirs = [candidate, *replicas], [production, *other_replicas]
            verdicts += [judging.recipe(aim, ours, theirs, baseline) for aim in aims]
    if checks.slices.search:
        sure = checks.performance.confidence
        verdicts += weak_slices(checks.slices, aims[0].measure, holdout, candidate, production, sure, seed)
    return verdicts


def plan(
    checks: ChecksConfig,
    holdout: Holdout,
    production: npt.ArrayLike | None,
    baseline: str | None,
    assumed: Assumed | None = None,
) -> list[Planned]:
    """What :func:`judge` will test, and the smallest effects that it can show, before a candidate is scored.

    Args:
        checks: What is asked.
        holdout: The rows.
        production: Production's scores on them, where they are at hand.
        baseline: What to call production; None when nothing is in production.
        assumed: What is taken for granted of the candidate.

    Raises:
        InvalidInput: If labels, groups or scores can't be used.
    """
    least = checks.groups.min_rows
    large = [
        (group.name, group.rows) for group in groups_of(checks.groups, holdout) if len(group.rows) >= least
    ]
    planning = Planning(holdout, production, checks.performance.confidence, assumed)
    found = list(planned(list(_aims(checks)), large, planning, baseline))
    return [*found, *_recipe_and_slices(checks, holdout, baseline)]


def _recipe_and_slices(checks: ChecksConfig, holdout: Holdout, baseline: str | None) -> Iterator[Planned]:
    """What is tested besides, of which nothing can be said beforehand but that it is."""
    if checks.performance.recipe and baseline is not None:
        better = f"the mean of the recipe's seeds is no worse than that of {baseline}'s"
        yield Planned(
            check="recipe",
            subject="recipe",
            hypothesis=better,
            sentence=f"recipe: {better}; it takes {MIN_SEEDS} seeds on each side.",
            unit="seeds",
        )
    columns = checks.slices.columns or list(holdout.inputs)
    if checks.slices.search and columns:
        rows = len(holdout.labels) // 2
        yield Planned(
            check="slice",
            subject="slices",
            hypothesis="there is no slice in which the candidate is weak",
            sentence=f"slices: up to {checks.slices.depth} conditions on {len(columns)} columns are searched "
            f"on {rows:,} rows, and what is found is tested on as many others; it decides nothing.",
            n=rows,
        )


def groups_of(asked: GroupCheck, holdout: Holdout) -> Iterator[Group]:
    """The groups that are asked for, and the places of their rows.

    Raises:
        InvalidInput: If a column hasn't one value for each row.
    """
    inner = {name for names in asked.intersections for name in names}
    by = [name for name in holdout.groups if name in asked.by or name not in inner]
    return groups(holdout.groups, len(holdout.labels), by, asked.intersections)


def _aims(checks: ChecksConfig) -> Iterator[Aim]:
    """The primary metric and the others, with what is asked of each."""
    check = checks.performance
    yield Aim(measured(check), check.bound, check.margin, checks.groups.margin, check.gain)
    for metric, also in check.also.items():
        margin = also.margin if also.group_margin is None else also.group_margin
        yield Aim(measured(check, metric), also.bound, also.margin, margin)


class _Judging:
    """One holdout, judged by the same checks."""

    def __init__(self, checks: ChecksConfig, holdout: Holdout, bootstrap: Bootstrap) -> None:
        self._checks = checks
        self._holdout = holdout
        self._bootstrap = bootstrap
        self._sure = checks.performance.confidence

    def bound(self, aim: Aim, candidate: npt.ArrayLike) -> Verdict:
        """Whether the metric surely reaches what it must."""
        how, line, sure = aim.measure, float(aim.bound or 0), self._sure
        rows = self._scored(how, candidate, None)
        compared = assess(how, rows, sure, self._bootstrap)
        found, unit = compared.found, compared.unit or self._holdout.unit
        sign, goal = (-1, f"at most {line:g}") if how.loss else (1, f"at least {line:g}")
        low, high = sorted((sign * found.low, sign * found.high))
        outcome, on, more = against(low, high, sign * line), size(found, unit), None
        few = too_few(found.clusters, found.df, unit) if rows.codes is not None else ""
        if few:
            outcome = "inconclusive"
            sentence = f"{how.metric} {show(found.value)}: {on} {few}."
        elif outcome == "inconclusive":
            df = math.inf if rows.codes is None else found.df
            more = needed(found.clusters, found.value - line, found.se, 1 - sure, df, found.tilt)
            sentence = (
                f"{how.metric} {show(found.value)} (between {show(found.low)} and {show(found.high)}): "
                f"{on} can't tell whether it is {goal}{would(more)}."
            )
        else:
            from_below = (outcome == "pass") != how.loss
            edge = f"at least {show(found.low)}" if from_below else f"at most {show(found.high)}"
            sentence = (
                f"{how.metric} {show(found.value)} is {'' if outcome == 'pass' else 'not '}{goal}: "
                f"with {percent(sure)} confidence it is {edge}, on {on}."
            )
        told = skewed(found, sure, unit, ("rare low values", "rare high values"))
        if told and not few:
            sentence = f"{sentence[:-1]}; {told}."
        tested = compared.below(line)
        return Verdict(
            check="bound",
            subject="overall",
            metric=how.metric,
            outcome=outcome,
            sentence=sentence,
            hypothesis=f"{how.metric} is {goal}, one-sided at confidence {sure:g}",
            estimate=found.value,
            low=found.low,
            high=found.high,
            bound=line,
            p_value=1 - tested.p_value if how.loss else tested.p_value,
            test=compared.test,
            statistic=tested.statistic,
            n=found.clusters,
            n_needed=more,
            unit=unit,
        )

    def no_worse(
        self,
        aims: Sequence[Aim],
        candidate: npt.ArrayLike,
        production: npt.ArrayLike,
        replicas: Sequence[npt.ArrayLike],
        baseline: str,
    ) -> list[Verdict]:
        """Whether the candidate is no worse than production, overall and for anybody, by every metric."""
        cut = list(groups_of(self._checks.groups, self._holdout))
        large = [group for group in cut if len(group.rows) >= self._checks.groups.min_rows]
        parts: list[Part] = []
        open_: list[Verdict] = []
        for aim in aims:
            rows = self._scored(aim.measure, candidate, production)
            parts.append(self._part(aim, "overall", rows, self._noise(aim.measure, candidate, replicas)))
            for group in large:
                try:
                    self._check_queries(aim.measure, rows, group)
                    parts.append(self._part(aim, group.name, rows.at(group.rows)))
                except InvalidInput as error:  # the whole could be judged, so this part has too little
                    open_.append(self._unknown(aim.measure, group, error))
        decisions = decide(parts, 1 - self._sure)
        verdicts = [
            verdict(part, decision, self._sure, baseline, family(parts, part))
            for part, decision in zip(parts, decisions, strict=True)
        ]
        least = self._checks.groups.min_rows
        small = [(group.name, len(group.rows)) for group in cut if len(group.rows) < least]
        return [*verdicts, *open_, *too_small(small, least)]

    def recipe(
        self, aim: Aim, ours: Sequence[npt.ArrayLike], theirs: Sequence[npt.ArrayLike], baseline: str
    ) -> Verdict:
        """Whether the recipe is no worse than production's, on average over seeds."""
        return judge_recipes(aim, self._holdout, ours, theirs, baseline, self._sure, self._bootstrap)

    def _scored(self, how: Measure, ours: npt.ArrayLike, theirs: npt.ArrayLike | None) -> Scored:
        return scored(how, self._holdout.labels, ours, theirs, self._holdout.clusters)

    def _part(self, aim: Aim, subject: str, rows: Scored, noise: str = "") -> Part:
        found = compare(aim.measure, rows, self._sure, self._bootstrap)
        clustered = rows.codes is not None
        return Part(aim, subject, self._holdout.unit, clustered, found, noise)

    def _noise(self, how: Measure, candidate: npt.ArrayLike, replicas: Sequence[npt.ArrayLike]) -> str:
        """How much the metric moves from seed to seed, in words."""
        if not replicas:
            return ""
        rows = [self._scored(how, scores, None) for scores in (candidate, *replicas)]
        values = [linearise(how, one.labels, one.ours, one.codes).value for one in rows]
        spread = float(np.std(values, ddof=1))
        return f"from seed to seed it moves by {show(spread)} (standard deviation of {len(values)} replicas)"

    def _check_queries(self, how: Measure, rows: Scored, group: Group) -> None:
        """A query is ranked as a whole."""
        if how.metric == "ndcg" and rows.codes is not None:
            inside = np.bincount(rows.codes[group.rows], minlength=int(rows.codes.max()) + 1)
            if ((inside > 0) & (inside < np.bincount(rows.codes))).any():
                raise InvalidInput("some queries lie only partly in the group")

    def _unknown(self, how: Measure, group: Group, error: InvalidInput) -> Verdict:
        return Verdict(
            check="no_worse",
            subject=group.name,
            metric=how.metric,
            outcome="inconclusive",
            sentence=f"{group.name}: {how.metric} can't be judged on {len(group.rows):,} rows: "
            f"{error.message}.",
            n=len(group.rows),
            groups=(group.name,),
        )
