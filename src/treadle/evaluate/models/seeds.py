"""Whether a change of the recipe helps, not only this one model: seeds and rows both vary. No I/O.

One training is one draw from what the recipe may give. The figure is the difference of the two recipes'
means over seeds; its error comes of the few seeds of each and of the rows that all share. Both are
resampled (pigeonhole bootstrap: Owen, Annals of Applied Statistics 1, 2007): seeds as they are, one fewer
than there are (Rao & Wu, JASA 83, 1988), because resampling all of five understates their spread by a
fifth; rows by normal multipliers of their contributions, which costs the same for a million rows. The
quantile is Student's with Satterthwaite's degrees of freedom, since five seeds say little of their spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.holdout import Holdout
from treadle.evaluate.models.clustering import Spread, satterthwaite, too_few
from treadle.evaluate.models.comparing import Bootstrap, Comparison, Tested
from treadle.evaluate.models.deciding import Aim, Decision, Part, decide
from treadle.evaluate.models.inferring import by_cluster
from treadle.evaluate.models.inputs import scored
from treadle.evaluate.models.linear import linearise
from treadle.evaluate.models.measures import Floats
from treadle.evaluate.rules import POWER
from treadle.evaluate.skewness import Sample, Tilt, p_value, reaches, tilt
from treadle.evaluate.types import Estimate, Verdict
from treadle.evaluate.wording import beside, percent, show, signed

MIN_SEEDS = 5
"""With fewer on a side, their spread is a guess."""


class Variances(NamedTuple):
    """The parts of the variance of a difference of recipes.

    Attributes:
        seeds: Of the seeds of both sides.
        rows: Of the rows.
    """

    seeds: float
    rows: float


class Recipes(NamedTuple):
    """What two recipes' seeds came to.

    Attributes:
        comparison: The gain of the candidate's mean over production's.
        spread: Where its variance comes from.
        noise: The standard deviation between seeds, of each side.
        doubt: Why the rows' clusters can't tell anything, in words; empty where they can.
    """

    comparison: Comparison
    spread: Variances
    noise: tuple[float, float]
    doubt: str


def compare_recipes(
    aim: Aim,
    holdout: Holdout,
    candidate: Sequence[npt.ArrayLike],
    production: Sequence[npt.ArrayLike],
    confidence: float,
    bootstrap: Bootstrap,
) -> Recipes:
    """How much better one recipe is than another, on average over seeds.

    Args:
        aim: The metric.
        holdout: The rows.
        candidate: The scores of each seed of the candidate's recipe, at least two.
        production: Those of production's.
        confidence: Of each one-sided bound.
        bootstrap: How resamples are drawn.

    Raises:
        InvalidInput: If labels or scores can't be used.
    """
    sides = [[_figure(aim, holdout, scores) for scores in arm] for arm in (candidate, production)]
    sign = -1 if aim.measure.loss else 1
    values = [sign * np.array([value for value, _ in arm]) for arm in sides]
    owed = [one for arm in sides for _, one in arm]
    errors = np.array([sign * one.left_out for one in owed])
    units, covariance = errors.shape[1], errors @ errors.T
    value = float(values[0].mean() - values[1].mean())
    se = _two_way(values, covariance, bootstrap)
    weights = np.concatenate(
        [np.full(len(arm), s / len(arm)) for arm, s in zip(values, (1, -1), strict=True)]
    )
    rows = float(weights @ covariance @ weights)
    own = [float(arm.var(ddof=1)) / len(arm) for arm in values]
    worth = min(one.df for one in owed)
    df = satterthwaite([*own, rows], [*(len(arm) - 1 for arm in values), worth])
    tilted = _tilt(values, weights @ errors, owed)
    down, up = reaches(1 - confidence, df, tilted)
    n, seeds = len(holdout.labels), min(map(len, values))
    found = Estimate(value, se, value - down * se, value + up * se, n, seeds, df, tilted)

    def below(line: float) -> Tested:
        if found.se == 0:
            return Tested(float(value >= line), 0.0)
        statistic = (value - line) / found.se
        return Tested(p_value(statistic, df, tilted), statistic)

    test = f"two-way bootstrap of seeds and rows, {bootstrap.resamples:,} samples, t"
    clustered = holdout.clusters is not None and aim.measure.metric != "ndcg"
    few = too_few(units, worth, holdout.unit) if clustered else ""
    doubt = f"{units:,} {holdout.unit} {few}" if few else ""
    noise = (float(values[0].std(ddof=1)), float(values[1].std(ddof=1)))
    return Recipes(Comparison(found, test, below, "seeds"), Variances(sum(own), rows), noise, doubt)


def judge_recipes(
    aim: Aim,
    holdout: Holdout,
    candidate: Sequence[npt.ArrayLike],
    production: Sequence[npt.ArrayLike],
    baseline: str,
    confidence: float,
    bootstrap: Bootstrap,
) -> Verdict:
    """Whether the candidate's recipe is no worse than production's; the arguments are as above.

    Raises:
        InvalidInput: If labels or scores can't be used.
    """
    ours, theirs, metric = len(candidate), len(production), aim.measure.metric
    if min(ours, theirs) < MIN_SEEDS:
        return Verdict(
            check="recipe",
            subject="recipe",
            metric=metric,
            outcome="inconclusive",
            sentence=f"recipe: {ours} seeds of the candidate's and {theirs} of {baseline}'s can't tell "
            f"recipes apart; at least {MIN_SEEDS} on each side are needed ([train] replicas).",
            n=min(ours, theirs),
            n_needed=MIN_SEEDS,
            unit="seeds",
        )
    found = compare_recipes(aim, holdout, candidate, production, confidence, bootstrap)
    if found.doubt:
        return Verdict(
            check="recipe",
            subject="recipe",
            metric=metric,
            outcome="inconclusive",
            sentence=f"recipe: {found.doubt}.",
            estimate=found.comparison.found.value,
            n=min(ours, theirs),
            unit="seeds",
        )
    part = Part(aim, "overall", "seeds", clustered=False, comparison=found.comparison)
    [decision] = decide([part], 1 - confidence)
    more = _more(found, part, decision, confidence, ours)
    estimate = found.comparison.found
    return Verdict(
        check="recipe",
        subject="recipe",
        metric=metric,
        outcome=decision.outcome,
        sentence=_sentence(found, part, decision, more, (ours, theirs), baseline, confidence),
        hypothesis=f"the mean {metric} of the recipe's seeds is no more than {part.margin:g} worse than "
        f"{baseline}'s, one-sided at confidence {confidence:g}",
        estimate=estimate.value,
        low=estimate.low,
        high=estimate.high,
        bound=-part.margin,
        p_value=decision.p_value,
        test=found.comparison.test,
        statistic=decision.statistic,
        n=min(ours, theirs),
        n_needed=more,
        unit="seeds",
    )


def _figure(aim: Aim, holdout: Holdout, scores: npt.ArrayLike) -> tuple[float, Spread]:
    """A seed's figure, and what it owes to each row, query or cluster."""
    rows = scored(aim.measure, holdout.labels, scores, None, holdout.clusters)
    found = linearise(aim.measure, rows.labels, rows.ours, rows.codes)
    if rows.codes is not None and aim.measure.metric != "ndcg":
        return found.value, by_cluster(aim.measure, rows, found, [rows.ours])
    n = len(found.deviations)
    return found.value, Spread(np.sqrt(n / (n - 1)) * found.deviations, n - 1.0, (n,))


def _two_way(values: Sequence[Floats], covariance: Floats, bootstrap: Bootstrap) -> float:
    """The standard deviation of the difference over resamples of seeds and rows."""
    generator = np.random.default_rng([bootstrap.seed, *(len(arm) for arm in values)])
    strengths, directions = np.linalg.eigh(covariance)
    normal = generator.standard_normal((bootstrap.resamples, len(covariance)))
    moved = normal * np.sqrt(np.maximum(strengths, 0.0)) @ directions.T
    place, means = 0, []
    for arm in values:
        size = len(arm)
        drawn = generator.integers(0, size, (bootstrap.resamples, size - 1))
        total = arm + moved[:, place : place + size]
        means.append(np.take_along_axis(total, drawn, axis=1).mean(axis=1))
        place += size
    return float((means[0] - means[1]).std())


def _tilt(values: Sequence[Floats], rows: Floats, owed: Sequence[Spread]) -> Tilt:
    """How skewed the difference of two recipes is, by the seeds of both and by rows or clusters."""
    seeds = [Sample(sign * (arm - arm.mean()) / len(arm)) for arm, sign in zip(values, (1, -1), strict=True)]
    expected = [one.expected for one in owed if one.expected is not None]
    if not expected:
        return tilt([*seeds, Sample(rows)])
    scales: Floats = np.sqrt(np.mean(expected, axis=0))
    return tilt([*seeds, Sample(rows[scales > 0], scales[scales > 0])])


def _more(found: Recipes, part: Part, decision: Decision, confidence: float, seeds: int) -> int | None:
    """How many seeds a side would probably have decided; None where only more rows would."""
    if decision.outcome != "inconclusive":
        return None
    from scipy.special import ndtri

    reach = float(ndtri(confidence) + ndtri(POWER))
    allowed = ((found.comparison.found.value + part.margin) / reach) ** 2 - found.spread.rows
    return max(math.ceil(seeds * found.spread.seeds / allowed), seeds + 1) if allowed > 0 else None


def _sentence(
    found: Recipes,
    part: Part,
    decision: Decision,
    more: int | None,
    seeds: tuple[int, int],
    baseline: str,
    confidence: float,
) -> str:
    estimate, sure = found.comparison.found, percent(confidence)
    told = (
        f"recipe: mean {part.aim.measure.metric} of {seeds[0]} seeds is {beside(estimate.value)} "
        f"that of {seeds[1]} seeds of {baseline}'s"
    )
    noise = f"seeds move it by {show(found.noise[0])} and {show(found.noise[1])} (standard deviations)"
    if decision.outcome == "fail":
        rest = f"; with {sure} confidence the gain is at most {signed(estimate.high)}"
    elif decision.outcome == "inconclusive":
        rest = (
            f" (a gain between {signed(estimate.low)} and {signed(estimate.high)}), which can't tell whether "
            f"it lost more than the {part.margin:g} allowed; "
            + (f"about {more:,} seeds a side would" if more else "more rows would, not more seeds")
        )
    else:
        within = f", surely, within the {part.margin:g} allowed" if decision.outcome == "warn" else ""
        rest = f"{within}; with {sure} confidence the gain is at least {signed(estimate.low)}"
    return f"{told}{rest}; {noise}."
