"""Bias: figures of published analyses, false alarms and power by simulation, and what can't be told."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from treadle.evaluate.bias.asking import asked
from treadle.evaluate.bias.gathering import groupings, verdicts
from treadle.evaluate.bias.judging import judge
from treadle.evaluate.bias.measures import Judged, share, within
from treadle.evaluate.bias.planning import plan
from treadle.evaluate.bias.sample import Sample
from treadle.evaluate.holdout import Holdout
from treadle.kernel.config import BiasCheck, ChecksConfig, Config, Project
from treadle.kernel.errors import ConfigError, InvalidInput

FIXTURES = Path(__file__).parents[2] / "fixtures"


def cells(name):
    """The rows of a table of counts, by column."""
    with (FIXTURES / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = [int(row["count"]) for row in rows]
    return {column: np.repeat([row[column] for row in rows], counts) for column in rows[0]}


@pytest.fixture(scope="module")
def compas():
    """ProPublica's rows: decided is a score of medium or high, as in its analysis (2016)."""
    table = cells("compas_cells.csv")
    table["score"] = np.where(table["decile"].astype(int) >= 5, 1.0, 0.0)
    table["label"] = table["recid"].astype(float)
    return table


def settle(columns, labels, scores, production=None, clusters=None, seed=0, task="binary", **check):
    config = Config(project=Project(name="x", task=task), checks=ChecksConfig(bias=BiasCheck(**check)))
    holdout = Holdout(labels=labels, inputs={}, columns=columns, clusters=clusters)
    found = verdicts(config, holdout, scores, production, 0.5, np.random.default_rng(seed))
    msgspec.json.encode(found)  # as they are kept: no number of numpy's
    return found


def of(found, check):
    return {one.subject: one for one in found if one.check == check}


# ── published figures ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("race", "false_positive", "false_negative"),
    [("African-American", 0.4485, 0.2799), ("Caucasian", 0.2345, 0.4772)],
)
def test_compas_has_the_rates_that_propublica_published(compas, race, false_positive, false_negative):
    rows = Judged(compas["label"] == 1, compas["score"] >= 0.5, None)
    among = compas["race"] == race
    assert share("false positive rate", rows, among).value == pytest.approx(false_positive, abs=5e-5)
    assert 1 - share("true positive rate", rows, among).value == pytest.approx(false_negative, abs=5e-5)


def test_compas_treats_races_unlike_and_its_precision_is_nearly_alike(compas):
    found = settle(
        {"race": compas["race"]},
        compas["label"],
        compas["score"],
        by=["race"],
        reference={"race": "Caucasian"},
        measures=["equalised_odds", "predictive_parity"],
        max_difference=0.1,
    )
    odds = of(found, "bias.equalised_odds")["race=African-American"]
    assert odds.outcome == "fail"
    assert odds.groups == ("race=African-American",)
    precision = of(found, "bias.predictive_parity")["race=African-American"]
    assert (precision.outcome, round(precision.estimate, 2)) == ("pass", 0.04)  # 63 % and 59 %
    assert "race=Asian (32 rows)" in of(found, "bias.small_groups")["groups"].sentence


def test_the_difference_of_incomes_of_adult_is_smaller_within_equal_educations():
    table = cells("adult_cells.csv")
    labels = (table["income"] == ">50K").astype(float)
    found = settle(
        {"sex": table["sex"], "education": table["education"]},
        labels,
        labels,
        by=["sex"],
        given=["education"],
        measures=["demographic_parity"],
    )
    plain = of(found, "bias.demographic_parity")["sex=Female"]
    assert plain.estimate == pytest.approx(0.10946 - 0.30574, abs=1e-5)  # adult.data's own shares
    assert plain.outcome == "fail"
    given_education = of(found, "bias.conditional_parity")["sex=Female"]
    # By hand: the shares' differences in each education, weighted by n * m / (n + m).
    weights, gaps = [], []
    for level in np.unique(table["education"]):
        here = [labels[(table["education"] == level) & (table["sex"] == sex)] for sex in ("Female", "Male")]
        if all(len(each) for each in here):
            weights.append(len(here[0]) * len(here[1]) / (len(here[0]) + len(here[1])))
            gaps.append(here[0].mean() - here[1].mean())
    assert given_education.estimate == pytest.approx(np.average(gaps, weights=weights), abs=1e-12)


# ── false alarms and power ───────────────────────────────────────────────


def drawn(rng, rates, size=600):
    groups = np.repeat(np.arange(len(rates)), size)
    scores = (rng.random(len(groups)) < np.asarray(rates)[groups]).astype(float)
    return groups.astype(str), scores


def outcomes(rng, rates, times, size=600, **check):
    told = []
    for _ in range(times):
        groups, scores = drawn(rng, rates, size)
        found = settle(
            {"g": groups}, scores, scores, by=["g"], reference={"g": "0"},
            measures=["demographic_parity"], **check,
        )  # fmt: skip
        told.append([one.outcome for one in found if one.check == "bias.demographic_parity"])
    return told


def test_at_the_limit_few_fail_and_few_pass():
    """Both errors are bounded at the limit itself: no more than 5 % pass, no more than 5 % fail."""
    told = outcomes(np.random.default_rng(1), [0.3, 0.4], 600, max_difference=0.1)
    for outcome in (["fail"], ["pass"], ["warn"]):
        assert binomtest(told.count(outcome), 600, 0.05, alternative="greater").pvalue > 0.001
    passed = told.count(["pass"]) + told.count(["warn"])
    assert binomtest(passed, 600, 0.05).pvalue > 0.001
    assert binomtest(told.count(["fail"]), 600, 0.05).pvalue > 0.001


def test_ten_groups_at_the_limit_rarely_fail_any():
    told = outcomes(np.random.default_rng(2), [0.3] + [0.4] * 10, 300, size=400, max_difference=0.1)
    wrong = sum("fail" in each for each in told)
    assert binomtest(wrong, 300, 0.05, alternative="greater").pvalue > 0.001


def test_alike_groups_pass_and_unlike_ones_fail():
    rng = np.random.default_rng(3)
    alike = outcomes(rng, [0.3, 0.3], 100, size=4000, max_difference=0.1)
    assert sum(each[0] in {"pass", "warn"} for each in alike) >= 98
    apart = outcomes(rng, [0.3, 0.5], 100, size=4000, max_difference=0.1)
    assert apart.count(["fail"]) >= 98


def test_as_many_rows_as_it_asks_for_mostly_decide():
    rng, asked = np.random.default_rng(4), []
    given = {"by": ["g"], "measures": ["demographic_parity"], "max_difference": 0.1}
    for _ in range(200):
        groups, scores = drawn(rng, [0.3, 0.35], 300)
        [one] = of(settle({"g": groups}, scores, scores, **given), "bias.demographic_parity").values()
        if one.n_needed is not None and abs(abs(one.estimate) - 0.05) < 0.02:
            asked.append(one.n_needed)
    told = outcomes(rng, [0.3, 0.35], 100, size=int(np.median(asked) / 2), max_difference=0.1)
    assert sum(each[0] != "inconclusive" for each in told) >= 75


def test_clusters_widen_what_they_must():
    """Groups of whole clusters whose rows are nearly alike: rows alone would fail far too often."""
    rng = np.random.default_rng(5)
    wrong = {False: 0, True: 0}
    for _ in range(200):
        rates = rng.beta(1.2, 2.8, 80)  # 0.3 on average
        clusters = np.repeat(np.arange(80), 30)
        groups = np.where(clusters < 40, "a", "b")
        scores = (rng.random(len(clusters)) < rates[clusters]).astype(float)
        for used in (False, True):
            found = settle(
                {"g": groups}, scores, scores, clusters=clusters if used else None,
                by=["g"], measures=["demographic_parity"], max_difference=0.03,
            )  # fmt: skip
            wrong[used] += of(found, "bias.demographic_parity").popitem()[1].outcome == "fail"
    assert binomtest(wrong[True], 200, 0.05, alternative="greater").pvalue > 0.001
    assert wrong[False] > 25


def clusters_of(rng, number, each):
    """Groups a and b of so many clusters, of unlike sizes, whose rates lie around 0.3 and 0.4."""
    sizes = np.ceil(each * np.exp(rng.normal(0, 1.5, 2 * number))).astype(int)
    codes = np.repeat(np.arange(2 * number), sizes)
    rates = rng.beta(9, 21, 2 * number) + np.where(np.arange(2 * number) < number, 0.0, 0.1)
    scores = (rng.random(len(codes)) < rates[codes]).astype(float)
    return np.where(codes < number, "a", "b"), scores, codes


def test_few_clusters_of_unlike_sizes_rarely_fail_at_the_limit():
    rng, wrong, times = np.random.default_rng(12), 0, 300
    for _ in range(times):
        groups, scores, codes = clusters_of(rng, 8, 60)
        found = settle(
            {"g": groups}, scores, scores, clusters=codes, by=["g"], reference={"g": "a"},
            measures=["demographic_parity"], max_difference=0.1, min_rows=10,
        )  # fmt: skip
        outcome = of(found, "bias.demographic_parity")["g=b"].outcome
        wrong += outcome in {"fail", "pass", "warn"}
    # At the limit both errors are bounded by 5 %.
    assert binomtest(wrong, times, 0.1, alternative="greater").pvalue > 0.001


def test_ratios_in_clusters_allow_for_them():
    rng, wrong, times = np.random.default_rng(13), {True: 0, False: 0}, 150
    for _ in range(times):
        groups, scores, codes = clusters_of(rng, 12, 60)
        for used in (True, False):
            found = settle(
                {"g": groups}, scores, scores, clusters=codes if used else None, by=["g"],
                reference={"g": "a"}, measures=[], min_ratio=0.75, min_rows=10,
            )  # fmt: skip
            wrong[used] += of(found, "bias.selection_ratio")["g=b"].outcome == "fail"
    assert binomtest(wrong[True], times, 0.05, alternative="greater").pvalue > 0.001
    assert wrong[False] > 0.15 * times


def test_fewer_than_five_clusters_of_a_group_can_tell_nothing():
    clusters = np.repeat(np.arange(24), 50)
    groups = np.where(clusters < 4, "a", "b")
    scores = (np.random.default_rng(14).random(1200) < np.where(groups == "a", 0.9, 0.1)).astype(float)
    found = settle(
        {"g": groups}, scores, scores, scores[::-1], clusters=clusters, by=["g"], min_ratio=0.8,
        measures=["demographic_parity", "calibration"],
    )  # fmt: skip
    told = {(one.check, one.subject): one for one in found}
    for check in ("bias.demographic_parity", "bias.selection_ratio", "bias.calibration", "bias.no_worse"):
        assert told[check, "g=a"].outcome == "inconclusive", check
        assert "fewer than 5 clusters" in told[check, "g=a"].sentence or check == "bias.no_worse"
    assert "4 clusters are too few" in told["bias.no_worse", "g=a"].sentence


def test_conditional_gaps_cover_as_often_as_they_say():
    rng, covered = np.random.default_rng(6), 0
    for _ in range(400):
        strata = rng.integers(0, 12, 900)
        group = rng.random(900) < 0.2 + 0.05 * strata
        decided = rng.random(900) < 0.1 + 0.05 * strata + 0.08 * group
        gap = within(Judged(decided, decided, None), group, ~group, strata, 0.1, 0.95)
        covered += gap.low <= 0.08 <= gap.high
    assert binomtest(covered, 400, 0.95).pvalue > 0.001


# ── beside production ────────────────────────────────────────────────────


def test_a_candidate_further_apart_than_production_fails_and_an_equal_one_passes():
    rng = np.random.default_rng(7)
    groups = np.repeat(["a", "b"], 5000)
    before = (rng.random(10_000) < 0.3).astype(float)
    after = np.where((groups == "b") & (rng.random(10_000) < 0.2), 1.0, before)
    labels = (rng.random(10_000) < 0.3).astype(float)
    given = {"by": ["g"], "measures": ["demographic_parity"], "max_difference": 0.5}
    worse = of(settle({"g": groups}, labels, after, before, **given), "bias.no_worse")["g=b"]
    assert (worse.outcome, worse.p_value < 0.01) == ("fail", True)
    same = of(settle({"g": groups}, labels, before, before, **given), "bias.no_worse")["g=b"]
    assert (same.outcome, same.estimate, same.low, same.high) == ("pass", 0.0, 0.0, 0.0)


@pytest.mark.parametrize("clustered", [False, True])
def test_at_the_margin_production_is_rarely_called_better(clustered):
    rng, wrong, times = np.random.default_rng(8), 0, 200
    for _ in range(times):
        groups = np.repeat(["a", "b"], 1000)
        before = (rng.random(2000) < np.where(groups == "a", 0.3, 0.4)).astype(float)
        after = np.where((groups == "b") & (before == 0) & (rng.random(2000) < 0.02 / 0.6), 1.0, before)
        found = settle(
            {"g": groups}, before, after, before, clusters=np.arange(2000) // 20 if clustered else None,
            by=["g"], measures=["demographic_parity"], max_difference=0.5, margin=0.02,
        )  # fmt: skip
        wrong += of(found, "bias.no_worse")["g=b"].outcome == "fail"
    assert binomtest(wrong, times, 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("clustered", [False, True])
def test_means_at_the_margin_are_rarely_called_further(clustered):
    """Production's groups are alike; the candidate's differ by the margin on either side."""
    rng, told, times = np.random.default_rng(15), [], 200
    for trial in range(times):
        codes = np.repeat(np.arange(40), 10)
        groups = np.where(codes < 20, "a", "b")
        shared = rng.normal(0, 0.4, 40)[codes] if clustered else 0.0
        labels = shared + rng.normal(0, 1, 400)
        before = labels + rng.normal(0, 0.5, 400)
        after = (
            before + np.where(groups == "b", 0.3, 0.0) * (1 if trial % 2 else -1) + rng.normal(0, 0.5, 400)
        )
        found = settle(
            {"g": groups}, labels, after, before, clusters=codes if clustered else None, task="regression",
            by=["g"], measures=["demographic_parity"], max_difference=1.0, margin=0.3, reference={"g": "a"},
        )  # fmt: skip
        told.append(of(found, "bias.no_worse")["g=b"].outcome)
    for outcomes in (("fail",), ("pass", "warn")):
        wrong = sum(one in outcomes for one in told)
        assert binomtest(wrong, times, 0.05, alternative="greater").pvalue > 0.001


# ── what doesn't matter, and what can't be told ──────────────────────────


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_of_rows_nor_the_names_of_groups_matter(seed):
    rng = np.random.default_rng(seed)
    labels, scores = (rng.integers(0, 2, 900).astype(float) for _ in range(2))
    groups = rng.choice(["a", "b", "c"], 900, p=[0.6, 0.2, 0.2])
    given = {"by": ["g"], "reference": {"g": "a"}, "measures": ["equalised_odds", "calibration"]}
    order = rng.permutation(900)
    plain = settle({"g": groups}, labels, scores, **given)
    mixed = settle({"g": groups[order]}, labels[order], scores[order], **given)
    assert [(v.subject, v.outcome) for v in plain] == [(v.subject, v.outcome) for v in mixed]
    told = {"a": "a", "b": "z", "c": "y"}
    named = settle({"g": np.array([told[one] for one in groups])}, labels, scores, **given)
    assert {(v.check, f"g={told[v.subject[2:]]}", v.test, v.n, v.outcome) for v in plain} == {
        (v.check, v.subject, v.test, v.n, v.outcome) for v in named
    }


def test_a_group_without_true_labels_cant_be_told():
    labels = np.array([1.0, 0.0] * 100 + [0.0] * 200)
    groups = np.repeat(["a", "b"], 200)
    found = of(
        settle({"g": groups}, labels, labels, by=["g"], measures=["equal_opportunity"]),
        "bias.equal_opportunity",
    )
    [one] = found.values()
    assert (one.outcome, one.estimate) == ("inconclusive", None)
    assert "has no row of which it is taken" in one.sentence


def test_a_reference_that_is_too_small_is_told_not_skipped():
    groups = np.array(["a"] * 300 + ["b"] * 5)
    scores = np.zeros(305)
    scores[::2] = 1
    found = settle({"g": groups}, scores, scores, by=["g"], reference={"g": "b"})
    assert [(one.check, one.outcome) for one in found] == [
        ("bias.reference", "inconclusive"),
        ("bias.small_groups", "pass"),
    ]


def test_combinations_of_columns_are_groups():
    columns = {"sex": np.array(["f", "m"] * 400), "race": np.array(["x", "x", "y", "y"] * 200)}
    check = BiasCheck(intersections=[["sex", "race"]], reference={"sex": "m"})
    [found] = groupings(check, columns)
    assert list(found.names) == ["sex=f, race=x", "sex=f, race=y", "sex=m, race=x", "sex=m, race=y"]
    assert found.names[found.reference] == "sex=m, race=x"
    assert np.bincount(found.codes).tolist() == [200] * 4


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ({"reference": {"g": "z"}}, "no row is of g=z"),
        ({"reference": {"h": "a"}}, "no groups are by 'h'"),
    ],
)
def test_a_reference_that_isnt_there_is_refused(check, says):
    with pytest.raises(InvalidInput, match=says):
        settle({"g": np.array(["a", "b"] * 200)}, np.zeros(400), np.zeros(400), by=["g"], **check)


def test_a_plan_says_which_gaps_the_rows_can_show():
    """A gap of what it says from the limit is told nine times in ten."""
    groups = np.repeat(["a", "b"], 800)
    labels = np.tile([0.0, 1.0], 800)
    config = Config(project=Project(name="x"), checks=ChecksConfig(bias=BiasCheck(by=["g"])))
    [parity, *odds] = plan(config, Holdout(labels=labels, inputs={}, columns={"g": groups}))
    assert (parity.check, parity.n, len(odds)) == ("bias.demographic_parity", 1600, 2)
    assert parity.detectable == pytest.approx((1.6449 + 1.2816) * math.sqrt(0.5 / 800), rel=1e-3)
    told = outcomes(np.random.default_rng(11), [0.45, 0.55 + parity.detectable], 200, size=800)
    assert told.count(["fail"]) >= 170


@pytest.mark.parametrize(
    ("task", "check", "says"),
    [
        ("ranking", {}, "bias can't be judged of a ranking model"),
        ("binary", {"measures": ["equal_loss"]}, "a binary model can't be held to equal_loss"),
        ("binary", {"favourable": "approved"}, "a binary model has no classes to choose from"),
        ("binary", {"max_difference": 1.5}, "rates differ by less than 1; 1.5 allows everything"),
        ("multiclass", {"favourable": "approved"}, "'approved' is none of the classes"),
        ("regression", {}, "nothing says how far the groups' means may lie apart"),
        (
            "regression",
            {"max_difference": 2.0, "measures": ["equalised_odds"]},
            "a regression model can't be held to equalised_odds",
        ),
        ("regression", {"max_difference": 2.0, "min_ratio": 0.8}, "min_ratio is about decisions"),
        ("regression", {"max_difference": 2.0, "given": ["g"]}, "given is about decisions"),
    ],
)
def test_what_a_task_cant_be_asked_is_refused(task, check, says):
    scores = np.zeros((1, 2)) if task == "multiclass" else np.zeros(1)
    with pytest.raises(ConfigError, match=says):
        settle({"g": np.array(["a"])}, np.zeros(1), scores, by=["g"], task=task, **check)


def test_nothing_declared_is_nothing_judged():
    assert settle({}, np.zeros(10), np.zeros(10)) == []


def test_the_four_fifths_rule_holds_ratios():
    groups = np.repeat(["a", "b", "c"], 2000)
    scores = np.concatenate([np.arange(2000) % 10 < k for k in (6, 6, 3)]).astype(float)
    found = of(
        settle({"g": groups}, scores, scores, by=["g"], reference={"g": "a"}, min_ratio=0.8),
        "bias.selection_ratio",
    )
    assert {name: one.outcome for name, one in found.items()} == {"g=b": "pass", "g=c": "fail"}
    assert found["g=c"].estimate == pytest.approx(0.5)


def test_probabilities_off_by_more_than_allowed_fail_in_the_group_where_they_are():
    rng = np.random.default_rng(9)
    groups = np.repeat(["a", "b"], 3000)
    scores = rng.random(6000)
    labels = (rng.random(6000) < np.where(groups == "b", scores * 0.6, scores)).astype(float)
    found = of(settle({"g": groups}, labels, scores, by=["g"], measures=["calibration"]), "bias.calibration")
    assert {name: one.outcome for name, one in found.items()} == {"g=a": "pass", "g=b": "fail"}


def test_a_sample_knows_what_it_selects():
    scores = np.array([0.5, 0.49])
    sample = Sample(np.array([1.0, 0.0]), scores, scores >= 0.5, None, chosen="yes")
    assert sample.judged(sample.ours).decisions.tolist() == [True, False]
    assert sample.named("selection rate") == "selection rate of yes"
    config = Config(project=Project(name="x"))
    assert judge(asked(config), [], [sample], 0.95, np.random.default_rng(0)) == []
