"""Comparing recipes over seeds and rows: against analysis of variance and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from treadle.evaluate import Holdout, Measure
from treadle.evaluate.models.comparing import Bootstrap
from treadle.evaluate.models.deciding import Aim
from treadle.evaluate.models.seeds import compare_recipes, judge_recipes
from treadle.evaluate.performance import judge
from treadle.kernel.config import ChecksConfig, PerformanceCheck

AIM = Aim(Measure("mae"), None, 0.1, 0.1)


def seeds(rng, gain=0.0, n=400, spread=0.1, noise=0.5, arms=(5, 5)):
    """Labels of 0, and errors of 10 + a row's + a seed's + their own; ours are better by ``gain``."""
    row = rng.normal(0, 1, n)
    side = [
        [10 - shift + row + rng.normal(0, spread) + rng.normal(0, noise, n) for _ in range(count)]
        for count, shift in zip(arms, (gain, 0.0), strict=True)
    ]
    return Holdout(labels=np.zeros(n), inputs={}), *side


def compare(holdout, ours, theirs, resamples=2000, confidence=0.95):
    return compare_recipes(AIM, holdout, ours, theirs, confidence, Bootstrap(resamples, 1))


def test_the_error_is_that_of_seeds_and_of_rows_together():
    holdout, ours, theirs = seeds(np.random.default_rng(1), 0.2, arms=(6, 8))
    found = compare(holdout, ours, theirs, 40_000)
    a, b = (np.array([np.abs(one).mean() for one in arm]) for arm in (ours, theirs))
    welch = a.var(ddof=1) / 6 + b.var(ddof=1) / 8
    by_row = np.abs(ours).mean(axis=0) - np.abs(theirs).mean(axis=0)
    rows = by_row.var(ddof=1) / 400
    estimate = found.comparison.found
    assert estimate.value == pytest.approx(b.mean() - a.mean())
    assert (found.spread.seeds, found.spread.rows) == pytest.approx((welch, rows))
    # What a seed and a row share is counted with both, so that the bootstrap errs on the side of doubt.
    assert welch + rows <= estimate.se**2 * 1.02
    assert estimate.se**2 <= 1.2 * (welch + rows)
    assert found.noise == pytest.approx((a.std(ddof=1), b.std(ddof=1)))


def test_many_rows_leave_welchs_test_of_the_seeds():
    holdout, ours, theirs = seeds(np.random.default_rng(2), n=60_000)
    found = compare(holdout, ours, theirs, 40_000).comparison
    a, b = (np.array([-np.abs(one).mean() for one in arm]) for arm in (ours, theirs))
    reference = stats.ttest_ind(a, b, equal_var=False, alternative="less")
    assert found.below(0.0).p_value == pytest.approx(reference.pvalue, abs=0.01)
    assert found.found.df == pytest.approx(reference.df, rel=0.05)


def test_a_better_recipe_passes_and_a_worse_one_fails():
    rng = np.random.default_rng(3)
    for gain, outcome in ((0.5, "pass"), (-0.8, "fail")):
        verdict = judge_recipes(AIM, *seeds(rng, gain), "toy/3", 0.95, Bootstrap(2000))
        assert (verdict.check, verdict.outcome, verdict.n, verdict.unit) == ("recipe", outcome, 5, "seeds")
        assert "seeds move it by" in verdict.sentence


def test_doubt_says_whether_seeds_or_rows_are_missing():
    rng = np.random.default_rng(4)
    few_seeds = judge_recipes(AIM, *seeds(rng, n=20_000, spread=0.4), "toy/3", 0.95, Bootstrap(2000))
    assert few_seeds.outcome == "inconclusive"
    assert few_seeds.n_needed > 5
    assert "seeds a side would" in few_seeds.sentence
    few_rows = judge_recipes(AIM, *seeds(rng, n=40, spread=0.001, noise=3.0), "toy/3", 0.95, Bootstrap(2000))
    assert few_rows.outcome == "inconclusive"
    assert few_rows.n_needed is None
    assert "more rows would, not more seeds" in few_rows.sentence


@pytest.mark.parametrize("arms", [(4, 9), (9, 1)])
def test_fewer_than_five_seeds_are_no_comparison_of_recipes(arms):
    verdict = judge_recipes(AIM, *seeds(np.random.default_rng(5), 9.0, arms=arms), "toy/3", 0.95, Bootstrap())
    assert verdict.outcome == "inconclusive"
    assert f"{arms[0]} seeds of the candidate's and {arms[1]} of toy/3's" in verdict.sentence


@pytest.mark.parametrize("metric", ["roc_auc", "f1", "accuracy", "log_loss"])
def test_other_metrics_and_clusters(metric):
    rng = np.random.default_rng(6)
    labels = (rng.random(1000) < 0.4).astype(float)
    base = 0.3 + 0.4 * labels + rng.normal(0, 0.15, 1000)
    arms = [[np.clip(base + rng.normal(0, 0.03, 1000), 0.01, 0.99) for _ in range(5)] for _ in range(2)]
    aim = Aim(Measure(metric), None, 0.1, 0.1)
    alone = Holdout(labels=labels, inputs={})
    days = Holdout(labels=labels, inputs={}, clusters=np.arange(1000) % 50, unit="days")
    for holdout in (alone, days):
        assert judge_recipes(aim, holdout, *arms, "toy/3", 0.95, Bootstrap(1000)).outcome == "pass"


def test_the_gate_judges_recipes_where_it_is_asked():
    holdout, ours, theirs = seeds(np.random.default_rng(7), 0.5)
    check = PerformanceCheck(metric="mae", margin=0.1, recipe=True, resamples=1000)
    verdicts = judge(
        ChecksConfig(performance=check),
        holdout,
        ours[0],
        theirs[0],
        replicas=ours[1:],
        other_replicas=theirs[1:],
    )
    assert [(v.check, v.outcome) for v in verdicts] == [("no_worse", "pass"), ("recipe", "pass")]
    alone = judge(ChecksConfig(performance=check), holdout, ours[0], theirs[0], replicas=ours[1:])
    assert alone[-1].outcome == "inconclusive"
    assert "5 seeds of the candidate's and 1 of production's" in alone[-1].sentence


SITUATIONS = [(400, 0.1, 0.5), (400, 0.0, 0.5), (5000, 0.1, 0.5), (400, 0.02, 0.5)]


def errors(trials, n, spread, noise, seed):
    """How often the lower and the upper bound are on the wrong side of the truth, which is 0."""
    rng = np.random.default_rng(seed)
    low = high = 0
    for _ in range(trials):
        found = compare(*seeds(rng, 0.0, n, spread, noise), 1000).comparison.found
        low += found.low > 0
        high += found.high < 0
    return low, high


@pytest.mark.parametrize(("n", "spread", "noise"), SITUATIONS)
def test_bounds_of_five_seeds_err_at_most_one_time_in_twenty(n, spread, noise):
    trials = 150
    for wrong in errors(trials, n, spread, noise, 8):
        assert wrong <= stats.binom.ppf(0.9995, trials, 0.05)


@pytest.mark.soak
@pytest.mark.parametrize(("n", "spread", "noise"), SITUATIONS)
def test_the_same_over_many_samples(n, spread, noise):
    trials = 4000
    for wrong in errors(trials, n, spread, noise, 9):
        assert wrong <= stats.binom.ppf(0.999, trials, 0.05)


def test_one_model_of_each_would_err_often():
    """Why it takes seeds: rows alone take the luck of one seed for the recipe's merit."""
    rng, trials, wrong = np.random.default_rng(10), 200, 0
    for _ in range(trials):
        holdout, ours, theirs = seeds(rng, 0.0, 4000, 0.1)
        wrong += (
            judge(
                ChecksConfig(performance=PerformanceCheck(metric="mae", margin=0.0)),
                holdout,
                ours[0],
                theirs[0],
            )[0].outcome
            == "fail"
        )
    assert wrong > stats.binom.ppf(0.999, trials, 0.3)
