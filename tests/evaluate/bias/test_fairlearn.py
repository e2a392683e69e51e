"""Figures of trained models beside those of Fairlearn and Aequitas; see fixtures/fairness/make.py."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

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


def settled(rows, task="binary", label="label", candidate="candidate", production="production", **check):
    given = {"by": ["sex", "race"], "intersections": [["sex", "race"]], "min_rows": 2}
    config = Config(
        project=Project(name="x", task=task), checks=ChecksConfig(bias=BiasCheck(**given | check))
    )
    columns = {name: rows[name].astype(object) for name in ("sex", "race")}
    holdout = Holdout(labels=rows[label].astype(float), inputs={}, columns=columns)
    theirs = rows[production] if production else None
    return verdicts(config, holdout, rows[candidate], theirs, 0.5, np.random.default_rng(0))


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
        if (subject, "ratio of selection rates") in told:
            assert told[subject, "ratio of selection rates"] == pytest.approx(
                float(row["pprev_disparity"]), rel=1e-9
            )


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
