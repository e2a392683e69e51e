"""Plans: against published figures, statsmodels, and what really happens."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import zt_ind_solve_power

from treadle.evaluate import Holdout, estimate
from treadle.evaluate.models.planning import Assumed
from treadle.evaluate.performance import judge, plan
from treadle.evaluate.rules import hanley_mcneil
from treadle.evaluate.skewness import Tilt, reaches
from treadle.kernel.config import AlsoCheck, ChecksConfig, GroupCheck, PerformanceCheck


def checks(metric="accuracy", margin=0.01, bound=None, also=None):
    return ChecksConfig(
        performance=PerformanceCheck(metric=metric, margin=margin, bound=bound, also=also or {}),
        groups=GroupCheck(margin=0.02, min_rows=100),
    )


def holdout(rng, n=4000):
    labels = (rng.random(n) < 0.4).astype(float)
    names = np.where(np.arange(n) < n // 4, "a", "b").astype(object)
    names[-50:] = "tiny"
    return Holdout(labels=labels, inputs={}, groups={"g": names})


def test_the_error_of_an_auc_is_exact_for_exponential_scores():
    """The model from which Hanley and McNeil have their formula: the spread of many AUCs from it."""
    rng = np.random.default_rng(9)
    auc, aucs = 0.893, []
    for _ in range(2000):
        above, below = rng.exponential(auc / (1 - auc), 51), rng.exponential(1, 58)
        aucs.append(stats.mannwhitneyu(above, below).statistic / (51 * 58))
    assert np.mean(aucs) == pytest.approx(auc, abs=0.003)
    assert hanley_mcneil(auc, 51, 58) == pytest.approx(np.std(aucs), rel=0.06)


def test_accuracy_by_the_rows_that_may_differ():
    rows = holdout(np.random.default_rng(1))
    found = plan(checks(), rows, None, "toy/3")
    assert [(one.check, one.subject, one.n) for one in found] == [
        ("no_worse", "overall", 4000),
        ("no_worse", "g=a", 1000),
        ("no_worse", "g=b", 2950),
    ]
    # 4,282 rows tell a loss of 0.01 from none at 5 % of rows that differ, with 90 % power.
    needed = zt_ind_solve_power(0.01 / np.sqrt(0.05 / 2), alpha=0.05, power=0.9, alternative="larger")
    assert needed == pytest.approx(4282, abs=1)
    assert found[0].detectable == pytest.approx(0.01 * np.sqrt(needed / 4000), rel=1e-4)
    assert [one.enough for one in found] == [False, False, True]
    assert "if the two models decide 5 % of rows differently" in found[0].sentence
    assert "most candidates will be held" in found[0].sentence
    wider = plan(checks(), rows, None, "toy/3", Assumed(differing=0.2))
    assert wider[0].detectable == pytest.approx(2 * found[0].detectable)


def test_recall_counts_true_rows_and_nothing_in_production_is_only_a_bound():
    rows = holdout(np.random.default_rng(2))
    found = plan(checks(also={"recall": AlsoCheck(margin=0.05, bound=0.8)}), rows, None, None)
    assert [(one.check, one.unit, one.n) for one in found] == [("bound", "true rows", int(rows.labels.sum()))]
    reach = stats.norm.ppf(0.95) + stats.norm.ppf(0.9)
    assert found[0].detectable == pytest.approx(reach * np.sqrt(0.16 / rows.labels.sum()))


def test_losses_need_a_scored_model():
    rng = np.random.default_rng(3)
    rows = holdout(rng)
    scores = np.clip(0.4 + 0.2 * rows.labels + rng.normal(0, 0.2, 4000), 0, 1)
    without = plan(checks("brier", bound=0.3), rows, None, "toy/3")
    assert {one.detectable for one in without} == {None}
    assert {one.enough for one in without} == {None}
    assert "no model has been scored" in without[0].sentence
    for metric in ("brier", "log_loss", "f1", "precision", "roc_auc"):
        found = plan(checks(metric), rows, scores, "toy/3")[0]
        reach = stats.norm.ppf(0.95) + stats.norm.ppf(0.9)
        se = estimate(metric, rows.labels, scores).se
        assert found.detectable == pytest.approx(reach * np.sqrt(0.2) * se)


def test_rows_that_stand_together_tell_less():
    rng = np.random.default_rng(4)
    which = np.repeat(np.arange(80), 50)
    labels = (rng.random(4000) < 0.4).astype(float)
    right = rng.random(4000) < np.clip(0.8 + rng.normal(0, 0.15, 80)[which], 0, 1)
    scores = np.where(right, labels, 1 - labels)
    alone = plan(checks(), Holdout(labels=labels, inputs={}), scores, "toy/3")[0]
    days = Holdout(labels=labels, inputs={}, clusters=which, unit="days")
    found = plan(checks(), days, scores, "toy/3")[0]
    assert (found.n, found.unit) == (80, "days")
    assert found.detectable > 1.5 * alone.detectable
    blind = plan(checks(), days, None, "toy/3")[0]
    assert "at least that, because rows stand or fall together" in blind.sentence


@pytest.mark.parametrize("metric", ["brier", "accuracy"])
def test_few_clusters_are_planned_with_t_and_fewer_say_so(metric):
    rng = np.random.default_rng(6)
    labels = (rng.random(600) < 0.4).astype(float)
    scores = np.clip(labels * 0.4 + rng.random(600) * 0.6, 0, 1)
    days = [Holdout(labels=labels, inputs={}, clusters=np.arange(600) % many, unit="days") for many in (6, 4)]
    found, none = (plan(checks(metric, bound=0.2), one, scores, "toy/3") for one in days)
    # What six clusters may hide of skewness is allowed for.
    unseen = Tilt(0.0, np.sqrt(6) / 6)
    reach = reaches(0.05, 5, unseen)[0] + stats.t.ppf(0.9, 5)
    assert reach > 1.1 * (stats.t.ppf(0.95, 5) + stats.t.ppf(0.9, 5))
    se = estimate(metric, labels, scores, np.arange(600) % 6).se
    assert found[0].detectable == pytest.approx(reach * se, rel=1e-3)
    assert [one.detectable for one in none] == [None, None]
    assert all("4 days are too few to tell how sure that is (5 are needed)" in one.sentence for one in none)


def test_seeds_and_slices_are_announced():
    rows = Holdout(labels=np.repeat([0.0, 1.0], 200), inputs={"hour": np.arange(400) % 24})
    asked = ChecksConfig(performance=PerformanceCheck(metric="accuracy", recipe=True))
    found = plan(asked, rows, None, "toy/3")
    assert [(one.check, one.n) for one in found] == [("no_worse", 400), ("recipe", None), ("slice", 200)]
    assert "it takes 5 seeds on each side" in found[1].sentence
    assert "on 1 columns are searched on 200 rows" in found[2].sentence


def test_a_group_of_one_class_is_said_to_tell_nothing():
    rows = Holdout(
        labels=np.repeat([0.0, 1.0], 200), inputs={}, groups={"g": np.repeat(["a", "b"], 200).astype(object)}
    )
    found = plan(checks("roc_auc"), rows, None, "toy/3")
    assert found[0].detectable is not None
    assert [one.detectable for one in found[1:]] == [None, None]
    assert "all 200 labels are 0" in found[1].sentence


def test_what_is_said_to_be_ruled_out_is_ruled_out_nine_times_in_ten():
    rng = np.random.default_rng(5)
    n, trials, passed = 3000, 300, 0
    detectable = plan(checks(), Holdout(labels=np.ones(n), inputs={}), None, "toy/3")[0].detectable
    for _ in range(trials):
        labels = (rng.random(n) < 0.5).astype(float)
        at = rng.random(n)
        theirs = np.where(at < 0.025, 1 - labels, labels)
        ours = np.where((at >= 0.025) & (at < 0.05), 1 - labels, labels)
        outcome = judge(checks(margin=detectable), Holdout(labels=labels, inputs={}), ours, theirs)[0].outcome
        passed += outcome in {"pass", "warn"}
    low, high = stats.binom.interval(0.999, trials, 0.9)
    assert low <= passed <= high
