"""The search for weak slices: it finds what was planted, and seldom anything where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from treadle.evaluate import Holdout, Measure
from treadle.evaluate.models.slices import weak_slices
from treadle.evaluate.performance import judge
from treadle.evaluate.rules import together
from treadle.kernel.config import ChecksConfig, PerformanceCheck, SliceCheck
from treadle.kernel.errors import InvalidInput


def world(rng, n=4000, harm=0.0, clusters=None):
    """Rows with four features; the candidate's error grows by ``harm`` for evening rows of carrier B."""
    inputs = {
        "hour": rng.integers(0, 24, n),
        "carrier": rng.choice(["A", "B", "C"], n).astype(object),
        "distance": np.ma.masked_array(rng.gamma(2, 400, n), rng.random(n) < 0.05),
        "wet": rng.random(n) < 0.3,
    }
    labels = rng.normal(0, 1, n)
    planted = (inputs["hour"] >= 18) & (inputs["carrier"] == "B")
    shared = 0.0 if clusters is None else rng.normal(0, 0.5, clusters.max() + 1)[clusters]
    theirs = labels + rng.normal(0, 1, n)
    ours = labels + rng.normal(0, 1, n) + shared + planted * harm
    return Holdout(labels=labels, inputs=inputs, clusters=clusters), ours, theirs, planted


def search(holdout, ours, theirs, metric="mse", depth=2, columns=(), seed=0):
    check = SliceCheck(depth=depth, columns=list(columns), min_rows=100)
    return weak_slices(check, Measure(metric), holdout, ours, theirs, 0.95, seed)


@pytest.mark.parametrize("depth", [2, 3])
def test_a_planted_slice_is_found_and_named(depth):
    holdout, ours, theirs, _ = world(np.random.default_rng(1), harm=1.5)
    found = search(holdout, ours, theirs, depth=depth)
    assert found
    best = found[0]
    assert "carrier=B" in best.subject
    assert "hour" in best.subject
    assert (best.check, best.outcome, best.exploratory) == ("slice", "warn", True)
    assert best.low > 0
    assert "Nobody declared this group" in best.sentence


def test_it_is_found_without_production_as_well():
    holdout, ours, _, _ = world(np.random.default_rng(2), harm=1.5)
    found = search(holdout, ours, None)
    assert "carrier=B" in found[0].subject
    assert "and elsewhere" in found[0].sentence


@pytest.mark.parametrize("metric", ["roc_auc", "f1", "log_loss", "accuracy"])
def test_binary_metrics_are_searched_row_by_row(metric):
    rng = np.random.default_rng(3)
    holdout, _, _, planted = world(rng, 6000)
    labels = (rng.random(6000) < 0.4).astype(float)
    good = np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.1, 6000), 0.01, 0.99)
    ours = np.where(planted & (rng.random(6000) < 0.5), 1 - good, good)
    found = search(Holdout(labels=labels, inputs=holdout.inputs), ours, good, metric)
    assert "carrier=B" in found[0].subject
    assert found[0].metric == {"roc_auc": "brier", "f1": "accuracy"}.get(metric, metric)


def test_a_group_that_misses_values_is_a_slice():
    rng = np.random.default_rng(4)
    holdout, ours, theirs, _ = world(rng)
    ours = ours + np.ma.getmaskarray(holdout.inputs["distance"]) * 3
    assert search(holdout, ours, theirs)[0].subject == "distance=(missing)"


def null_proposals(trials, seed, **rest):
    rng = np.random.default_rng(seed)
    proposed = 0
    for trial in range(trials):
        clusters = np.repeat(np.arange(60), 20) if rest.get("clustered") else None
        holdout, ours, theirs, _ = world(rng, 1200, clusters=clusters)
        production = None if rest.get("alone") else theirs
        proposed += bool(search(holdout, ours, production, seed=trial))
    return proposed


def test_where_there_is_nothing_it_seldom_proposes():
    trials = 60
    assert null_proposals(trials, 5) <= stats.binom.ppf(0.9995, trials, 0.05)


@pytest.mark.soak
@pytest.mark.parametrize("rest", [{}, {"alone": True}, {"clustered": True}])
def test_the_same_over_many_worlds(rest):
    trials = 1000
    assert null_proposals(trials, 6, **rest) <= stats.binom.ppf(0.999, trials, 0.055)


def test_parts_of_a_slice_and_what_contains_it_are_not_proposed_again():
    """All rows of carrier B are harmed alike: its evenings and wet days are no slices of their own."""
    rng = np.random.default_rng(11)
    for trial in range(5):
        holdout, ours, theirs, _ = world(rng, 6000)
        ours = ours + (holdout.inputs["carrier"] == "B") * 1.2
        assert [one.subject for one in search(holdout, ours, theirs, depth=3, seed=trial)] == ["carrier=B"]


def test_a_much_weaker_part_of_a_slice_is_proposed_as_well():
    rng = np.random.default_rng(12)
    holdout, ours, theirs, planted = world(rng, 12_000)
    ours = ours + (holdout.inputs["carrier"] == "B") * 1.0 + planted * 1.5
    found = [one.subject for one in search(holdout, ours, theirs)]
    assert any("hour" in one and "carrier=B" in one for one in found)
    assert "carrier=B" in found


def test_what_it_finds_decides_nothing():
    holdout, ours, theirs, _ = world(np.random.default_rng(7), harm=1.5)
    checks = ChecksConfig(performance=PerformanceCheck(metric="mse", margin=2.0))
    verdicts = judge(checks, holdout, ours, theirs)
    slices = [one for one in verdicts if one.exploratory]
    assert slices
    declared = [one for one in verdicts if not one.exploratory]
    assert together(verdicts) == together(declared)
    off = judge(
        ChecksConfig(performance=checks.performance, slices=SliceCheck(search=False)), holdout, ours, theirs
    )
    assert [one.check for one in off] == ["no_worse"]


def test_nothing_to_search_in():
    rng = np.random.default_rng(8)
    holdout, ours, theirs, _ = world(rng, 300)
    flat = Holdout(
        labels=holdout.labels, inputs={"same": np.ones(300), "names": np.full(300, "x", dtype=object)}
    )
    assert search(flat, ours, theirs) == []
    assert search(Holdout(labels=holdout.labels, inputs={}), ours, theirs) == []
    with pytest.raises(InvalidInput, match="no column 'huor'"):
        search(holdout, ours, theirs, columns=["huor"])
