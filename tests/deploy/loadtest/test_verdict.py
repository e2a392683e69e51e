"""Verdicts of load tests against published numbers, scipy, and simulations of their error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from treadle.deploy.loadtest.types import Sent
from treadle.deploy.loadtest.verdict import (
    design_effect,
    judge,
    percentiles_ms,
    quantile_bounds,
    share_bounds,
)
from treadle.kernel.config import ObjectiveConfig

QUICK = ObjectiveConfig(p99_ms=10)
TRUE_P99 = float(np.exp(2.3263478740408408))  # of exp(normal), in ms


def sent(ms: np.ndarray, lag_ms: float = 0.1, seconds: float = 30.0) -> Sent:
    at = np.linspace(0, seconds, len(ms), endpoint=False)
    return Sent(
        at=at.tolist(),
        seconds=(ms / 1000).tolist(),
        lag=[lag_ms / 1000] * len(ms),
        statuses={200: len(ms)},
        refused="",
        cpu=0.1,
    )


def outcomes(ms: np.ndarray, objective: ObjectiveConfig, **more: float) -> dict[str, str]:
    found = judge(sent(ms, **more), objective, len(ms) / 30, 30.0)
    return {one.check: one.outcome for one in found}


def test_the_bounds_of_a_percentile_are_those_of_the_tables() -> None:
    # 299 observations are the least whose largest bounds the 99th percentile with 95 % confidence,
    # and 59 that of the 95th: Conover, Practical Nonparametric Statistics, table A6.
    for count, quantile in ((299, 0.99), (59, 0.95), (29, 0.90)):
        ordered = np.arange(1.0, count + 1)
        assert quantile_bounds(ordered, count, quantile, 0.95)[1] == count
        assert quantile_bounds(ordered[:-1], count - 1, quantile, 0.95)[1] == math.inf


@pytest.mark.parametrize("count", [50, 300, 1000, 4321])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_the_bounds_of_a_percentile_are_the_tightest_order_statistics_that_hold(count, quantile) -> None:
    ordered = np.arange(1.0, count + 1)
    low, high = quantile_bounds(ordered, count, quantile, 0.95)

    def below(k: int) -> float:
        """P(fewer than k of the observations lie below the quantile), by scipy's own test."""
        return 1 - binomtest(k, count, quantile, "greater").pvalue

    if math.isfinite(high):
        assert below(int(high)) >= 0.95 > below(int(high) - 1)
    if low:
        assert 1 - below(int(low)) >= 0.95 > 1 - below(int(low) + 1)


@pytest.mark.parametrize(("bad", "count"), [(0, 2995), (0, 10), (3, 100), (99, 100), (100, 100)])
def test_the_bounds_of_a_share_are_scipys(bad, count) -> None:
    low, high = share_bounds(bad, count, 0.95)
    result = [binomtest(bad, count, alternative=side).proportion_ci(0.95) for side in ("greater", "less")]
    assert low == pytest.approx(result[0].low, abs=1e-12)
    assert high == pytest.approx(result[1].high, abs=1e-12)


def test_requests_in_bursts_count_for_less() -> None:
    draw = np.random.default_rng(1)
    at = np.linspace(0, 30, 30_000, endpoint=False)
    assert design_effect(at, draw.random(30_000) < 0.01) < 2
    burst = (at > 10) & (at < 10.3)
    assert design_effect(at, burst) > 100
    assert design_effect(at, np.zeros(30_000, dtype=bool)) == 1.0


def test_a_fast_server_passes_a_slow_one_fails_and_few_requests_cannot_tell() -> None:
    draw = np.random.default_rng(2)
    assert outcomes(draw.lognormal(0, 0.5, 6000), QUICK) == {"p99": "pass", "generator": "pass"}
    assert outcomes(draw.lognormal(1.5, 0.7, 6000), QUICK)["p99"] == "fail"
    few = judge(sent(np.full(200, 1.0)), QUICK, 200 / 30, 30.0)[0]
    assert (few.outcome, few.n_needed, few.high) == ("inconclusive", 299, None)


def test_failed_requests_took_for_ever() -> None:
    ms = np.full(6000, 1.0)
    ms[::50] = math.inf
    objective = ObjectiveConfig(p99_ms=10, availability=99.9)
    assert outcomes(ms, objective) == {"p99": "fail", "availability": "fail", "generator": "pass"}
    assert percentiles_ms((ms / 1000).tolist(), (0.5, 0.99)) == [1.0, None]


def test_an_availability_needs_as_many_requests_as_it_has_nines() -> None:
    objective = ObjectiveConfig(availability=99.9)
    assert outcomes(np.full(2995, 1.0), objective)["availability"] == "pass"
    few = judge(sent(np.full(2994, 1.0)), objective, 2994 / 30, 30.0)[0]
    assert (few.outcome, few.n_needed) == ("inconclusive", 2995)


def test_a_generator_that_could_not_keep_up_is_never_green_nor_red() -> None:
    for ms in (np.full(6000, 1.0), np.full(6000, 100.0)):
        assert outcomes(ms, QUICK, lag_ms=2.5) == {"p99": "inconclusive", "generator": "inconclusive"}
    short = judge(sent(np.full(6000, 1.0)), QUICK, 300.0, 30.0)
    assert {one.outcome for one in short} == {"inconclusive"}
    assert "could not keep up" in short[0].sentence
    nothing = judge(sent(np.empty(0)), QUICK, 300.0, 30.0)
    assert {one.outcome for one in nothing} == {"inconclusive"}


def false_verdicts(rounds: int, rho: float) -> tuple[float, float]:
    """How often a server whose 99th percentile is exactly what is allowed passes, and fails."""
    draw, passed, failed = np.random.default_rng(3), 0, 0
    for _ in range(rounds):
        noise = draw.normal(size=3000)
        if rho:
            for step in range(1, len(noise)):
                noise[step] = rho * noise[step - 1] + math.sqrt(1 - rho**2) * noise[step]
        outcome = outcomes(np.exp(noise), ObjectiveConfig(p99_ms=TRUE_P99))["p99"]
        passed += outcome == "pass"
        failed += outcome == "fail"
    return passed / rounds, failed / rounds


def test_wrong_verdicts_are_as_rare_as_promised() -> None:
    passed, failed = false_verdicts(200, 0.0)
    assert passed <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert failed <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert passed + failed >= 0.02  # and it is no bound that never decides


@pytest.mark.soak
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_wrong_verdicts_are_as_rare_as_promised_when_slow_requests_follow_each_other(rho) -> None:
    passed, failed = false_verdicts(2000, rho)
    assert passed <= 0.065
    assert failed <= 0.065
