"""Rates of groups by counts: the same as of rows, with the more cautious of two errors."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from treadle.evaluate import GroupCounts, rate_gaps
from treadle.evaluate.bias import measures
from treadle.evaluate.bias.measures import Judged
from treadle.kernel.config.checks import BiasMeasure

RATES: list[tuple[BiasMeasure, str]] = [
    ("demographic_parity", "selection rate"),
    ("equal_opportunity", "true positive rate"),
    ("predictive_parity", "precision"),
]


def grouped(judged: Judged, among: np.ndarray) -> GroupCounts:
    assert judged.clusters is not None
    cells = np.stack([judged.labels[among], judged.decisions[among], judged.clusters[among]])
    found, counts = np.unique(cells, axis=1, return_counts=True)
    return GroupCounts(found[0] == 1, found[1] == 1, found[2].astype(np.intp), counts)


def world(seed: int, by_day: float) -> tuple[Judged, np.ndarray]:
    """Rows of two groups over 28 days; days move the second group's decisions."""
    rng = np.random.default_rng(seed)
    days, group = rng.integers(0, 28, 4000), rng.random(4000) < 0.3
    moved = by_day * rng.standard_normal(28)[days] * group
    labels = rng.random(4000) < 0.4
    decisions = rng.random(4000) < np.clip(0.3 + 0.2 * labels + 0.05 * group + moved, 0, 1)
    return Judged(labels, decisions, days), group


@pytest.mark.parametrize(("measure", "rate"), RATES)
def test_counts_say_what_rows_say(measure: BiasMeasure, rate: str) -> None:
    judged, group = world(1, 0.15)
    [found] = rate_gaps(measure, grouped(judged, group), grouped(judged, ~group), 0.1)
    by_rows = measures.clustered(rate, judged, group, ~group, 0.1, 0.95)
    assert by_rows is not None
    assert (found.rate, found.one, found.other) == (
        rate,
        measures.share(rate, judged, group),
        measures.share(rate, judged, ~group),
    )
    assert found.value == pytest.approx(by_rows.value)
    assert (found.low, found.high) == pytest.approx((by_rows.low, by_rows.high)), "days differ: wider"
    assert found.above == pytest.approx((by_rows.value - 0.1) / by_rows.se)
    assert found.below == pytest.approx((-by_rows.value - 0.1) / by_rows.se)


def test_where_days_are_alike_or_few_the_score_test_holds() -> None:
    judged, group = world(2, 0.0)
    alone = judged._replace(clusters=np.zeros(4000, dtype=np.intp))
    [found] = rate_gaps("demographic_parity", grouped(alone, group), grouped(alone, ~group), 0.1)
    shares = [measures.share("selection rate", judged, among) for among in (group, ~group)]
    assert shares[0] is not None
    assert shares[1] is not None
    scored = measures.difference(shares[0], shares[1], 0.1, 0.95)
    assert (found.low, found.high) == (scored.low, scored.high)
    [clustered] = rate_gaps("demographic_parity", grouped(judged, group), grouped(judged, ~group), 0.1)
    assert clustered.high - clustered.low >= found.high - found.low


def test_a_group_without_a_row_to_take_a_rate_of_says_nothing() -> None:
    judged, group = world(3, 0.0)
    never = judged._replace(labels=judged.labels & ~group)
    assert rate_gaps("equal_opportunity", grouped(never, group), grouped(never, ~group), 0.1) == []
    nobody = grouped(judged, np.zeros(4000, dtype=bool))
    assert rate_gaps("demographic_parity", nobody, grouped(judged, group), 0.1) == []


FIXTURES = Path(__file__).parents[2] / "fixtures/fairness"


def test_equalised_odds_are_fairlearns() -> None:
    """The larger of two groups' gaps is its `equalized_odds_difference`, of the same trained model's rows."""
    with (FIXTURES / "fairlearn.csv").open(newline="") as file:
        rates = {
            (row["group"], row["metric"]): float(row["value"])
            for row in csv.DictReader(file)
            if (row["task"], row["model"], row["by"]) == ("binary", "candidate", "sex")
        }
    columns = pq.read_table(FIXTURES / "predictions.parquet").to_pydict()
    labels, decisions = np.array(columns["label"]) == 1, np.array(columns["candidate"]) >= 0.5
    judged = Judged(labels, decisions, np.zeros(len(labels), dtype=np.intp))
    woman = np.array(columns["sex"]) == "Female"
    found = rate_gaps("equalised_odds", grouped(judged, woman), grouped(judged, ~woman), 0.1)
    assert [one.rate for one in found] == ["true positive rate", "false positive rate"]
    theirs = [
        rates["sex=Female", f"{kind} positive rate"] - rates["sex=Male", f"{kind} positive rate"]
        for kind in ("true", "false")
    ]
    assert [one.value for one in found] == pytest.approx(theirs, rel=1e-12)
    none = judged._replace(labels=np.ones(len(labels), dtype=bool))
    assert rate_gaps("equalised_odds", grouped(none, woman), grouped(none, ~woman), 0.1) == []
