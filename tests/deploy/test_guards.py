"""Evidence that may be looked at after every request: false alarms, power, and likelihoods beside scipy's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from treadle.deploy.guards import evidence_above, evidence_worse

ALPHA = 0.05


def alarms(
    evidence: Callable[[int, int, int, int], float],
    rates: tuple[float, float],
    requests: int,
    runs: int,
    every: int = 20,
    share: float = 0.3,
) -> tuple[int, float]:
    """In how many runs an alarm is given at any look, and after how many requests in the median."""
    chance = np.random.default_rng(20_261_130)
    after = []
    for _ in range(runs):
        new = chance.random(requests) < share
        bad = chance.random(requests) < np.where(new, *rates)
        counts = [np.cumsum(each) for each in (new & bad, new, ~new & bad, ~new)]
        for at in range(every - 1, requests, every):
            if evidence(*(int(each[at]) for each in counts)) >= -math.log(ALPHA):
                after.append(at + 1)
                break
    return len(after), float(np.median(after)) if after else math.inf


def above(bad: int, total: int, _: int, __: int) -> float:
    return evidence_above(bad, total, 0.01)


@pytest.mark.parametrize(
    ("evidence", "rates"),
    [
        (above, (0.01, 0.5)),
        (above, (0.004, 0.0)),
        (evidence_worse, (0.02, 0.02)),
        (evidence_worse, (0.3, 0.3)),
    ],
)
def test_false_alarms_are_as_rare_as_was_said_however_often_one_looks(evidence, rates):
    runs = 60
    found, _ = alarms(evidence, rates, 1500, runs, every=50)
    assert found <= stats.binom.ppf(0.999, runs, ALPHA)


@pytest.mark.soak
@pytest.mark.parametrize("rate", [0.0005, 0.01, 0.1, 0.5])
def test_false_alarms_over_many_runs(rate):
    runs = 1500
    for evidence in (evidence_worse, lambda bad, total, _, __: evidence_above(bad, total, rate)):
        found, _ = alarms(evidence, (rate, rate), 3000, runs, every=60)
        assert found <= stats.binom.ppf(0.999, runs, ALPHA)


@pytest.mark.parametrize(
    ("evidence", "rates", "within"),
    [
        (above, (1.0, 0.0), 40),
        (above, (0.1, 0.0), 300),
        (evidence_worse, (1.0, 0.01), 60),
        (evidence_worse, (0.1, 0.01), 600),
        (evidence_worse, (0.1, 0.0), 500),
    ],
)
def test_what_is_broken_is_seen_soon(evidence, rates, within):
    found, after = alarms(evidence, rates, 3000, 20, every=10)
    assert found == 20
    assert after <= within


def test_evidence_is_a_ratio_of_likelihoods():
    """A mean of binomial likelihoods over odds of 2 to 400 times the bound, over the best that keeps it."""
    bad, total, bound = 7, 200, 0.01
    rates = [bound * odds / (1 + bound * (odds - 1)) for odds in (2, 4, 10, 40, 400)]
    expected = np.mean(stats.binom.pmf(bad, total, rates)) / stats.binom.pmf(bad, total, bound)
    assert evidence_above(bad, total, bound) == pytest.approx(math.log(expected))
    kept = stats.binom.pmf(1, total, 1 / total)  # as good as seen, for that keeps the bound
    expected = np.mean(stats.binom.pmf(1, total, rates)) / kept
    assert evidence_above(1, total, bound) == pytest.approx(math.log(expected))


def test_edges():
    assert evidence_above(0, 0, 0.01) == pytest.approx(0)
    assert evidence_above(0, 500, 0.01) < 0
    assert evidence_above(1, 5, 0.0) == math.inf
    assert evidence_above(5, 5, 1.0) == -math.inf
    assert evidence_above(0, 10**9, 0.01) < -100
    assert evidence_worse(0, 0, 5, 10) == -math.inf
    assert evidence_worse(5, 10, 0, 0) == -math.inf
    assert evidence_worse(0, 50, 50, 50) < 0
    assert evidence_worse(10**6, 10**8, 10**6, 10**8) < 0
    assert evidence_worse(50, 50, 0, 50) > 20
