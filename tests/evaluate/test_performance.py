"""The gate on models: what passes, fails and stays open, and how often it errs."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from treadle.evaluate import Holdout
from treadle.evaluate.performance import judge, measure
from treadle.evaluate.rules import aggregate
from treadle.kernel.config import AlsoCheck, ChecksConfig, GroupCheck, PerformanceCheck
from treadle.kernel.errors import ConfigError, InvalidInput

MARGIN = 0.1


def checks(metric="mae", bound=None, margin=MARGIN, min_rows=10, confidence=0.95, gain=0.0, whole=None):
    return ChecksConfig(
        performance=PerformanceCheck(
            metric=metric,
            bound=bound,
            margin=margin if whole is None else whole,
            gain=gain,
            confidence=confidence,
        ),
        groups=GroupCheck(margin=margin, min_rows=min_rows),
    )


def gains(rng, means, n):
    """A holdout of groups of n rows, and scores whose gain in absolute error has these means."""
    size = n * len(means)
    holdout = Holdout(
        labels=np.zeros(size),
        inputs={},
        groups={"g": np.repeat([str(i) for i in range(len(means))], n).astype(object)},
    )
    production = 50 + rng.normal(0, 1, size)
    return holdout, production - np.repeat(means, n) + rng.normal(0, 1, size), production


def by(verdicts, check, subject="overall"):
    (found,) = [verdict for verdict in verdicts if (verdict.check, verdict.subject) == (check, subject)]
    return found


def decide(verdicts):
    return aggregate(verdict.outcome for verdict in verdicts)


def test_a_better_candidate_passes_everywhere():
    holdout, ours, theirs = gains(np.random.default_rng(1), [0.5, 0.5, 0.5], 200)
    verdicts = judge(checks(), holdout, ours, theirs, "toy/3")
    assert [verdict.subject for verdict in verdicts] == ["overall", "g=0", "g=1", "g=2"]
    assert decide(verdicts) == "pass"
    whole = verdicts[0]
    assert whole.sentence == (
        f"overall: mae is {whole.estimate:.4f} better than toy/3's; with 95 % confidence "
        f"the gain is at least {whole.low:+.4f}, on 600 rows."
    )
    reference = stats.ttest_rel(np.abs(theirs), np.abs(ours))
    # Allowing for skewness moves bounds outwards, of so many rows hardly.
    assert (whole.low, whole.high) == pytest.approx(tuple(reference.confidence_interval(0.9)), rel=1e-3)
    assert (whole.n, whole.unit, whole.bound, whole.n_needed) == (600, "rows", -MARGIN, None)
    against_zero = stats.ttest_rel(np.abs(theirs), np.abs(ours), alternative="less")
    assert whole.p_value == pytest.approx(against_zero.pvalue, rel=1e-3)


def test_a_harmed_group_fails_whatever_the_whole_gains():
    holdout, ours, theirs = gains(np.random.default_rng(2), [1.0, -0.8, 1.0], 200)
    verdicts = judge(checks(), holdout, ours, theirs)
    assert [verdict.outcome for verdict in verdicts] == ["pass", "pass", "fail", "pass"]
    assert "g=1: mae is 0." in verdicts[2].sentence
    assert "worse than production's" in verdicts[2].sentence
    assert verdicts[2].high < -MARGIN


def test_significantly_worse_within_the_margin_is_a_warning():
    holdout, ours, theirs = gains(np.random.default_rng(3), [-0.05], 10_000)
    verdicts = judge(checks(margin=0.5), holdout, ours, theirs)
    assert [verdict.outcome for verdict in verdicts] == ["warn", "warn"]
    whole = verdicts[0]
    assert -0.5 < whole.low < whole.high < 0
    reference = stats.ttest_rel(np.abs(theirs), np.abs(ours), alternative="less")
    assert whole.p_value == pytest.approx(reference.pvalue, rel=1e-2)
    assert whole.adjusted is None  # groups are a family of their own
    assert "and within the 0.5 allowed" in whole.sentence


def test_a_candidate_that_surely_gains_less_than_a_change_is_worth_fails():
    holdout, ours, theirs = gains(np.random.default_rng(13), [0.05], 10_000)
    assert judge(checks(), holdout, ours, theirs)[0].outcome == "pass"
    whole = judge(checks(gain=0.2), holdout, ours, theirs)[0]
    assert whole.outcome == "fail"
    assert 0 < whole.high < 0.2
    assert f"the gain is at most {whole.high:+.4f} (a change is worth 0.2), on 10,000 rows" in whole.sentence
    reference = stats.ttest_1samp(np.abs(theirs) - np.abs(ours), 0.2, alternative="less")
    assert whole.p_value == pytest.approx(reference.pvalue)


def test_the_same_model_again_is_worth_no_change():
    holdout, ours, _ = gains(np.random.default_rng(14), [0.0, 0.0], 40)
    verdicts = judge(checks(gain=0.01), holdout, ours, ours.copy())
    assert [verdict.outcome for verdict in verdicts] == ["fail", "pass", "pass"]


def test_the_whole_and_its_groups_have_margins_of_their_own():
    holdout, ours, theirs = gains(np.random.default_rng(15), [-0.05, -0.05], 2_000)
    verdicts = judge(checks(margin=0.5, whole=0.01, gain=0.0), holdout, ours, theirs)
    assert [verdict.bound for verdict in verdicts] == [-0.01, -0.5, -0.5]
    assert {verdict.outcome for verdict in verdicts[1:]} <= {"pass", "warn"}


def test_false_fails_of_a_candidate_worth_its_change_stay_within_alpha():
    trials = 1500
    runs = simulate(26, [0.3], 60, trials, gain=0.3)
    false = sum(decide(verdicts) == "fail" for verdicts in runs)
    assert stats.binom.ppf(0.001, trials, 0.05) <= false <= stats.binom.ppf(0.999, trials, 0.05)


def test_too_little_data_is_inconclusive_and_says_how_much_would_do():
    holdout, ours, theirs = gains(np.random.default_rng(4), [0.0, 0.0], 40)
    verdicts = judge(checks(), holdout, ours, theirs)
    assert {verdict.outcome for verdict in verdicts} == {"inconclusive"}
    for verdict in verdicts:
        assert verdict.n_needed > verdict.n
        assert "can't tell whether it lost more than the 0.1 allowed; about " in verdict.sentence
        assert f"{verdict.n_needed:,} would" in verdict.sentence


def test_the_same_model_passes_even_without_margin():
    holdout, ours, _ = gains(np.random.default_rng(5), [0.0, 0.0], 40)
    assert decide(judge(checks(margin=0.0), holdout, ours, ours.copy())) == "pass"


def test_nothing_in_production_is_one_verdict():
    holdout, ours, _ = gains(np.random.default_rng(6), [0.0], 40)
    (verdict,) = judge(checks(), holdout, ours, None)
    assert (verdict.check, verdict.outcome) == ("no_worse", "pass")
    assert "Nothing is in production yet" in verdict.sentence


@pytest.mark.parametrize(
    ("metric", "bound", "outcome"),
    [
        ("roc_auc", 0.7, "pass"),
        ("roc_auc", 0.95, "fail"),
        ("roc_auc", 0.83, "inconclusive"),
        ("brier", 0.3, "pass"),
        ("brier", 0.05, "fail"),
    ],
)
def test_a_bound_is_a_floor_or_a_ceiling(metric, bound, outcome):
    rng = np.random.default_rng(7)
    labels = (rng.random(400) < 0.4).astype(float)
    scores = np.clip(0.35 + 0.2 * labels + rng.normal(0, 0.15, 400), 0, 1)
    verdict = by(judge(checks(metric, bound), Holdout(labels=labels, inputs={}), scores, None), "bound")
    assert verdict.outcome == outcome
    assert (verdict.n_needed is not None) == (outcome == "inconclusive")
    word = "at most" if metric == "brier" else "at least"
    assert f"{'not ' if outcome == 'fail' else ''}{word} {bound:g}" in verdict.sentence
    known_end = (verdict.low, verdict.high)[(metric == "brier") == (outcome == "pass")]
    assert outcome == "inconclusive" or f"{known_end:.4f}, on 400 rows" in verdict.sentence


def test_clusters_are_the_unit_that_counts():
    rng = np.random.default_rng(8)
    holdout, ours, theirs = gains(rng, [0.3], 600)
    days = msgspec.structs.replace(holdout, clusters=np.repeat(np.arange(20), 30), unit="days")
    verdict = judge(checks(bound=60.0), days, ours, theirs)[0]
    assert (verdict.n, verdict.unit) == (20, "days")
    assert "20 days (600 rows)" in verdict.sentence


def test_groups_too_small_to_test_are_named_and_decide_nothing():
    rng = np.random.default_rng(9)
    size = 330
    groups = np.array(["big"] * 300 + ["one class"] * 25 + ["tiny"] * 4 + [None], dtype=object)
    labels = (rng.random(size) < 0.5).astype(float)
    labels[300:325] = 1
    scores = np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.1, size), 0, 1)
    worse = scores.copy()
    worse[300:] = 1 - worse[300:]
    holdout = Holdout(labels=labels, inputs={}, groups={"g": groups})
    verdicts = judge(checks("roc_auc", margin=0.1), holdout, scores, worse)
    assert [verdict.subject for verdict in verdicts] == ["overall", "g=big", "g=one class", "groups"]
    one_class, small = verdicts[2:]
    assert one_class.outcome == "inconclusive"
    assert "can't be judged on 25 rows: all 25 labels are 1" in one_class.sentence
    assert (small.check, small.outcome, small.n) == ("small_groups", "pass", 2)
    assert small.groups == ("g=(missing)", "g=tiny")
    assert "g=tiny (4 rows)" in small.sentence
    assert "g=(missing) (1 rows)" in small.sentence


def test_many_small_groups_are_counted_not_all_named():
    holdout, ours, theirs = gains(np.random.default_rng(10), [0.0] * 50, 5)
    small = by(judge(checks(), holdout, ours, theirs), "small_groups", "groups")
    assert small.n == 50
    assert small.sentence.endswith("and 30 more.")


@pytest.mark.parametrize("spoil", ["short", "nan", "masked"])
def test_bad_scores_are_refused_on_both_sides(spoil):
    holdout, ours, theirs = gains(np.random.default_rng(11), [0.0], 40)
    bad = ours[:-1] if spoil == "short" else ours.copy()
    if spoil == "nan":
        bad[3] = np.nan
    if spoil == "masked":
        bad = np.ma.masked_array(bad, np.arange(40) == 3)
    for pair in ((bad, theirs), (ours, bad)):
        with pytest.raises(InvalidInput):
            judge(checks(), holdout, *pair)


def test_groups_of_another_length_are_refused():
    holdout, ours, theirs = gains(np.random.default_rng(12), [0.0], 40)
    holdout = msgspec.structs.replace(holdout, groups={"g": holdout.groups["g"][1:]})
    with pytest.raises(InvalidInput, match="group column 'g'"):
        judge(checks(), holdout, ours, theirs)


def test_measure_gives_the_metrics_of_the_task():
    def names(task, metric, labels, scores, **also):
        return set(measure(task, PerformanceCheck(metric=metric, also=also), labels, scores))

    assert names("regression", "mae", [1.0, 2.0], [2.0, 2.0]) == {"mae", "mse"}
    rmse = {"rmse": AlsoCheck(margin=0.1)}
    assert names("regression", "mae", [1.0, 2.0], [2.0, 2.0], **rmse) == {"mae", "mse", "rmse"}
    both = names("binary", "roc_auc", [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    assert both == {"roc_auc", "log_loss", "brier", "accuracy"}
    assert names("binary", "brier", [1, 1], [0.1, 0.2]) == {"log_loss", "brier", "accuracy"}
    with pytest.raises(InvalidInput, match="both classes"):
        names("binary", "roc_auc", [1, 1], [0.1, 0.2])
    with pytest.raises(ConfigError, match="can't be judged by roc_auc"):
        names("regression", "roc_auc", [1.0, 2.0], [2.0, 2.0])


def simulate(seed, means, n, trials, **options):
    rng = np.random.default_rng(seed)
    return [judge(checks(**options), *gains(rng, means, n)) for _ in range(trials)]


def test_false_fails_of_groups_on_the_line_stay_within_alpha():
    trials = 1000
    runs = simulate(20, [-MARGIN] * 6, 60, trials)
    false = sum(any(v.outcome == "fail" for v in verdicts if v.subject != "overall") for verdicts in runs)
    assert false <= stats.binom.ppf(0.999, trials, 0.05)
    # And the level is used: Holm on independent groups rejects in nearly 5 % of samples.
    assert false >= stats.binom.ppf(0.001, trials, 1 - (1 - 0.05 / 6) ** 6)


def test_false_warnings_of_an_equal_candidate_stay_within_alpha():
    trials = 1500
    runs = simulate(21, [0.0] * 4, 60, trials, margin=1.0)
    assert not any(decide(verdicts) == "fail" for verdicts in runs)
    for whole in (True, False):
        false = sum(
            any(v.outcome == "warn" for v in verdicts if (v.subject == "overall") == whole)
            for verdicts in runs
        )
        assert false <= stats.binom.ppf(0.999, trials, 0.05)
        assert false >= stats.binom.ppf(0.001, trials, 1 - (1 - 0.05 / 4) ** 4)


def test_false_fails_without_margin_stay_within_alpha():
    trials = 1500
    runs = simulate(29, [0.0] * 4, 60, trials, margin=0.0)
    assert {decide(verdicts) for verdicts in runs} == {"pass", "fail"}  # the literal rule: nothing is open
    for whole in (True, False):
        false = sum(
            any(v.outcome == "fail" for v in verdicts if (v.subject == "overall") == whole)
            for verdicts in runs
        )
        assert false <= stats.binom.ppf(0.999, trials, 0.05)
        assert false >= stats.binom.ppf(0.001, trials, 1 - (1 - 0.05 / 4) ** 4)


def test_false_fails_with_both_lines_touched_stay_within_twice_alpha():
    trials = 1000
    runs = simulate(22, [-MARGIN, MARGIN / 2, MARGIN / 2], 80, trials)
    assert sum(decide(verdicts) == "fail" for verdicts in runs) <= stats.binom.ppf(0.999, trials, 0.1)


def test_false_passes_with_one_group_on_the_line_stay_within_alpha():
    trials = 1500
    runs = simulate(23, [-MARGIN, 2.0, 2.0, 2.0], 60, trials)
    false = sum(decide(verdicts) == "pass" for verdicts in runs)
    assert false <= stats.binom.ppf(0.999, trials, 0.05)
    assert false >= stats.binom.ppf(0.001, trials, 0.05)


def test_the_number_needed_refuses_in_nine_samples_of_ten():
    # As above, of a gain that is on the safe side of the margin and short of what a change is worth.
    rng = np.random.default_rng(27)
    noise = rng.normal(0, 1, 50)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    pilot = Holdout(labels=np.zeros(50), inputs={})
    found = judge(checks(gain=0.2, whole=0.02), pilot, 50 - noise, np.full(50, 50.0))[0]
    assert found.outcome == "inconclusive"
    trials = 1000
    runs = simulate(28, [0.0], found.n_needed, trials, gain=0.2, whole=0.02)
    failed = sum(verdicts[0].outcome == "fail" for verdicts in runs)
    low, high = stats.binom.interval(0.999, trials, 0.9)
    assert low <= failed <= high


def test_the_number_needed_decides_in_nine_samples_of_ten():
    # A pilot whose sample gain is exactly 0 with spread exactly 1, so that the number is the true one.
    rng = np.random.default_rng(24)
    noise = rng.normal(0, 1, 100)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    pilot = Holdout(labels=np.zeros(100), inputs={})
    production = np.full(100, 50.0)
    found = judge(checks(), pilot, production - noise, production)[0]
    assert found.outcome == "inconclusive"
    trials = 1000
    runs = simulate(25, [0.0], found.n_needed, trials)
    passed = sum(verdicts[0].outcome == "pass" for verdicts in runs)
    low, high = stats.binom.interval(0.999, trials, 0.9)
    assert low <= passed <= high


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-0.5, 0.5))
def test_row_order_and_group_names_do_not_matter(seed, shift):
    rng = np.random.default_rng(seed)
    holdout, ours, theirs = gains(rng, [shift, 0.0, -shift], 30)
    order = rng.permutation(len(ours))
    renamed = {"0": "zebra", "1": "(x", "2": "aardvark"}
    other = Holdout(
        labels=holdout.labels[order],
        inputs={},
        groups={"h": np.array([renamed[name] for name in holdout.groups["g"][order]], dtype=object)},
    )
    one = judge(checks(), holdout, ours, theirs)
    two = judge(checks(), other, ours[order], theirs[order])
    assert decide(one) == decide(two)
    for name, new in renamed.items():
        a, b = by(one, "no_worse", f"g={name}"), by(two, "no_worse", f"h={new}")
        assert a.outcome == b.outcome
        assert (a.estimate, a.low, a.p_value) == pytest.approx((b.estimate, b.low, b.p_value))
