"""Figures of trained models beside those of Fairlearn and Aequitas; see fixtures/fairness/make.py."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from treadle.evaluate import Holdout
from treadle.evaluate.bias.gathering import verdicts
from treadle.evaluate.performance import judge
from treadle.kernel.config import (
    AlsoCheck,
    BiasCheck,
    ChecksConfig,
    Config,
    GroupCheck,
    PerformanceCheck,
    PredictionsConfig,
    Project,
)

FIXTURES = Path(__file__).parents[2] / "fixtures/fairness"
EXACT = {"rel": 1e-12, "abs": 1e-12}
REFERENCE = {"sex": "sex=Male", "race": "race=White", "sex, race": "sex=Male, race=White"}
MEASURES = ["demographic_parity", "equal_opportunity", "equalised_odds", "predictive_parity", "calibration"]


def table(name):
    with (FIXTURES / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rows():
    columns = pq.read_table(FIXTURES / "predictions.parquet").to_pydict()
    return {name: np.array(values) for name, values in columns.items()}


@pytest.fixture(scope="module")
def known():
    """Fairlearn's value by task, model, grouping, group and metric."""
    keys = ("task", "model", "by", "group", "metric")
    return {tuple(row[key] for key in keys): float(row["value"]) for row in table("fairlearn.csv")}


def settled(
    rows, task="binary", label="label", candidate="candidate", production="production", predictions=None,
    performance=None, **check,
):  # fmt: skip
    given = {"by": ["sex", "race"], "intersections": [["sex", "race"]], "min_rows": 2}
    checks = ChecksConfig(
        bias=BiasCheck(**given | check),
        performance=performance or PerformanceCheck(),
        predictions=PredictionsConfig(**predictions) if predictions else None,
    )
    config = Config(project=Project(name="x", task=task), checks=checks)
    columns = {name: rows[name].astype(object) for name in ("sex", "race")}
    holdout = Holdout(labels=rows[label].astype(float), inputs={}, columns=columns)
    theirs = rows[production] if production else None
    found = verdicts(config, holdout, rows[candidate], theirs, 0.5, np.random.default_rng(0))
    msgspec.json.encode(found)  # as they are kept: no number of numpy's
    return found


def grouping(subject):
    return ", ".join(part.split("=")[0] for part in subject.split(", "))


@pytest.fixture(scope="module")
def found(rows):
    return settled(rows, measures=MEASURES, min_ratio=0.8)


def figures(found, check):
    return {(one.subject, one.metric): one.estimate for one in found if one.check == check}


@pytest.mark.parametrize(
    ("check", "rates"),
    [
        ("demographic_parity", {"selection rate"}),
        ("equal_opportunity", {"true positive rate"}),
        ("equalised_odds", {"true positive rate", "false positive rate"}),
        ("predictive_parity", {"precision"}),
    ],
)
def test_differences_of_rates_are_those_of_metric_frame(found, known, check, rates):
    told = figures(found, f"bias.{check}")
    assert {rate for _, rate in told if rate} == rates
    assert len({subject for subject, _ in told}) == 1 + 4 + 9
    for (subject, rate), value in told.items():
        by = grouping(subject)
        if value is None:  # what Fairlearn gives as 0: a rate of no row
            [zero] = {
                known["binary", "candidate", by, subject, one] for one in rates - {"false positive rate"}
            }
            assert zero == 0
            continue
        mine, theirs = (known["binary", "candidate", by, one, rate] for one in (subject, REFERENCE[by]))
        assert value == pytest.approx(mine - theirs, **EXACT)


def test_ratios_of_selection_rates_are_those_of_metric_frame_and_of_aequitas(found, known):
    told = figures(found, "bias.selection_ratio")
    assert len(told) == 14
    for (subject, _), value in told.items():
        by = grouping(subject)
        rates = [known["binary", "candidate", by, one, "selection rate"] for one in (subject, REFERENCE[by])]
        assert value == pytest.approx(rates[0] / rates[1], **EXACT)
    for row in table("aequitas.csv"):
        values = row["attribute_value"].split(", ")
        columns = {"both": ["sex", "race"]}.get(row["attribute_name"], [row["attribute_name"]])
        subject = ", ".join(f"{name}={value}" for name, value in zip(columns, values, strict=True))
        if subject not in REFERENCE.values():
            found_there = told[subject, "ratio of selection rates"]
            assert found_there == pytest.approx(float(row["pprev_disparity"]), rel=1e-9)


def test_calibration_is_mean_label_less_mean_prediction(found, known):
    told = figures(found, "bias.calibration")
    assert len(told) == 2 + 5 + 10
    for (subject, _), value in told.items():
        label, score = (
            known["binary", "candidate", grouping(subject), subject, f"mean {one}"]
            for one in ("label", "prediction")
        )
        assert value == pytest.approx(label - score, **EXACT)


@pytest.mark.parametrize("by", ["sex", "race", "sex, race"])
def test_fairlearns_single_figures_follow_from_the_verdicts(found, known, by):
    """Its difference is that of the two groups furthest apart; ours are all beside one group."""

    def widest(check, rate):
        values = [0.0, *(v for (s, r), v in figures(found, check).items() if grouping(s) == by and r == rate)]
        return max(values) - min(values)

    def fairlearn(name):
        return known["binary", "candidate", by, "", name]

    parity = widest("bias.demographic_parity", "selection rate")
    assert parity == pytest.approx(fairlearn("demographic_parity_difference"), **EXACT)
    ratios = [1.0, *(v for (s, _), v in figures(found, "bias.selection_ratio").items() if grouping(s) == by)]
    assert min(ratios) / max(ratios) == pytest.approx(fairlearn("demographic_parity_ratio"), **EXACT)
    odds = [widest("bias.equalised_odds", f"{kind} positive rate") for kind in ("true", "false")]
    assert odds[0] == pytest.approx(fairlearn("equal_opportunity_difference"), **EXACT)
    assert max(odds) == pytest.approx(fairlearn("equalized_odds_difference"), **EXACT)


def test_growth_beside_production_is_that_of_the_two_frames(found, known):
    told = figures(found, "bias.no_worse")
    assert len(told) >= 14 * 4 - 3
    for (subject, rate), value in told.items():
        by = grouping(subject)
        gaps = [
            known["binary", model, by, subject, rate] - known["binary", model, by, REFERENCE[by], rate]
            for model in ("candidate", "production")
        ]
        assert value == pytest.approx(abs(gaps[0]) - abs(gaps[1]), **EXACT)


def test_no_worse_for_any_group_compares_fairlearns_figures(rows, known):
    """The gate of ``[checks.groups]`` on two trained models, by four metrics."""
    also = {name: AlsoCheck(margin=0.02) for name in ("recall", "specificity", "precision")}
    checks = ChecksConfig(
        performance=PerformanceCheck(metric="accuracy", margin=0.02, also=also, resamples=500),
        groups=GroupCheck(by=["sex", "race"], intersections=[["sex", "race"]], min_rows=100),
    )
    groups = {name: rows[name].astype(object) for name in ("sex", "race")}
    holdout = Holdout(labels=rows["label"].astype(float), inputs={}, groups=groups)
    named = {"recall": "true positive rate", "specificity": "false positive rate"}
    judged = 0
    for one in judge(checks, holdout, rows["candidate"], rows["production"]):
        if one.check != "no_worse" or one.subject == "overall" or one.estimate is None:
            continue
        rate, by = named.get(one.metric, one.metric), grouping(one.subject)
        ours, theirs = (
            known["binary", model, by, one.subject, rate] for model in ("candidate", "production")
        )
        sign = -1 if one.metric == "specificity" else 1
        assert one.estimate == pytest.approx(sign * (ours - theirs), **EXACT)
        judged += 1
    assert judged >= 40


# ── several classes ──────────────────────────────────────────────────────

BANDS = ["part", "full", "long"]


@pytest.fixture(scope="module")
def banded(rows):
    """The rows with the number of each band, and both models' probabilities of the bands."""
    chances = {
        f"{name} chances": np.stack([rows[f"{name}_{band}"] for band in BANDS], axis=1)
        for name in ("candidate", "production")
    }
    numbers = np.array([BANDS.index(band) for band in rows["band"]])
    return rows | chances | {"number": numbers}


def of_bands(banded, **check):
    predictions = {"path": "p.parquet", "label": "band", "candidate": ["candidate"], "classes": BANDS}
    return settled(
        banded,
        task="multiclass",
        label="number",
        candidate="candidate chances",
        production="production chances",
        predictions=predictions,
        **check,
    )


@pytest.mark.parametrize("favourable", [*BANDS, None])
def test_each_class_is_judged_as_fairlearn_judges_it_against_the_rest(banded, known, favourable):
    found = of_bands(banded, favourable=favourable, measures=MEASURES, min_ratio=0.8)
    bands = BANDS if favourable is None else [favourable]
    judged = 0
    for check in ("demographic_parity", "equalised_odds", "predictive_parity", "no_worse"):
        for (subject, named), value in figures(found, f"bias.{check}").items():
            if value is None:
                continue
            rate, band = named.split(" of ")
            assert band in bands
            by = grouping(subject)
            gaps = [
                known[band, model, by, subject, rate] - known[band, model, by, REFERENCE[by], rate]
                for model in ("candidate", "production")
            ]
            expected = abs(gaps[0]) - abs(gaps[1]) if check == "no_worse" else gaps[0]
            assert value == pytest.approx(expected, **EXACT)
            judged += 1
    assert judged >= len(bands) * 70


def test_all_classes_are_one_family(banded):
    """What fails for a class alone may be chance among three."""
    alone = [one for band in BANDS for one in of_bands(banded, favourable=band)]
    together = of_bands(banded)
    adjusted = {(v.check, v.subject, v.metric): v.adjusted for v in together if v.adjusted is not None}
    assert len(adjusted) == sum(one.adjusted is not None for one in alone)
    assert all(adjusted[v.check, v.subject, v.metric] >= v.adjusted for v in alone if v.adjusted is not None)


def test_a_verdict_names_the_class(banded):
    found = of_bands(banded, favourable="long", by=["sex"], intersections=[], measures=MEASURES)
    told = {one.check: one for one in found if one.subject == "sex=Female"}
    assert "selection rate of long" in told["bias.demographic_parity"].sentence
    assert told["bias.demographic_parity"].metric == "selection rate of long"
    assert "of the labels are long" in told["bias.calibration"].sentence


# ── numbers ──────────────────────────────────────────────────────────────


def of_hours(rows, metric="mae", **check):
    return settled(
        rows,
        task="regression",
        label="hours",
        candidate="hours_candidate",
        production="hours_production",
        performance=PerformanceCheck(metric=metric),
        **{"max_difference": 2.0, "measures": ["demographic_parity", "equal_loss", "calibration"]} | check,
    )


@pytest.mark.parametrize(("metric", "named"), [("mae", "mean absolute error"), ("mse", "mean squared error")])
def test_means_of_numbers_are_those_of_metric_frame(rows, known, metric, named):
    found = of_hours(rows, metric)
    names = {"mean prediction": "mean prediction", metric: named}
    told = figures(found, "bias.demographic_parity") | figures(found, "bias.equal_loss")
    assert len(told) == 2 * 14
    for (subject, rate), value in told.items():
        by = grouping(subject)
        mine, there = (
            known["regression", "candidate", by, one, names[rate]] for one in (subject, REFERENCE[by])
        )
        assert value == pytest.approx(mine - there, rel=1e-9)
    for (subject, rate), value in figures(found, "bias.no_worse").items():
        by = grouping(subject)
        gaps = [
            known["regression", model, by, subject, names[rate]]
            - known["regression", model, by, REFERENCE[by], names[rate]]
            for model in ("candidate", "production")
        ]
        assert value == pytest.approx(abs(gaps[0]) - abs(gaps[1]), rel=1e-7)
    for (subject, _), value in figures(found, "bias.calibration").items():
        label, score = (
            known["regression", "candidate", grouping(subject), subject, f"mean {one}"]
            for one in ("label", "prediction")
        )
        assert value == pytest.approx(label - score, rel=1e-7)


def test_a_difference_of_means_is_welchs_test(rows):
    found = of_hours(rows, by=["sex"], intersections=[])
    [one] = [v for v in found if v.check == "bias.equal_loss"]
    lost = np.abs(rows["hours_candidate"] - rows["hours"])
    groups = [lost[rows["sex"] == sex] for sex in ("Female", "Male")]
    reference = stats.ttest_ind(*groups, equal_var=False)
    assert one.statistic == pytest.approx(reference.statistic)
    # Allowing for skewness moves bounds outwards, of so many rows hardly.
    low, high = reference.confidence_interval(0.9)
    assert low - 0.01 * (high - low) < one.low <= low + 1e-9 < high < one.high < high + 0.01 * (high - low)
    assert (one.test, one.unit) == ("Welch's t", "rows")
    # Within two hours: two one-sided Welch tests.
    shifted = [stats.ttest_ind(groups[0] + by, groups[1], equal_var=False) for by in (2, -2)]
    assert one.outcome == "warn"
    assert max(one.pvalue for one in shifted) < 0.05
