"""Volume beside the same weekday: false alarms and power by simulation, and what can't be told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from scipy import stats

from treadle.evaluate.data.arrival import newest_whole
from treadle.evaluate.data.volumes import Volume, expect

START = date(2026, 1, 1)
WEEK = np.array([1000, 1100, 1050, 990, 1200, 400, 300])
Noise = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def poisson(rng: np.random.Generator, usual: np.ndarray) -> np.ndarray:
    return rng.poisson(usual)


def uneven(rng: np.random.Generator, usual: np.ndarray) -> np.ndarray:
    return usual * np.exp(rng.normal(0, 0.1, len(usual)))


def odd_days(rng: np.random.Generator, usual: np.ndarray) -> np.ndarray:
    found = uneven(rng, usual)
    odd = rng.random(len(usual)) < 0.05
    odd[-1] = False
    return np.where(odd, 0.4 * found, found)


def few(rng: np.random.Generator, usual: np.ndarray) -> np.ndarray:
    return rng.poisson(usual / 100)


def alike(rng: np.random.Generator, usual: np.ndarray) -> np.ndarray:
    """A day is like the day before: errors correlate by 0.6."""
    errors = rng.normal(0, 0.1, len(usual))
    for i in range(1, len(errors)):
        errors[i] = 0.6 * errors[i - 1] + 0.8 * errors[i]
    return usual * np.exp(errors)


def lost_day(rng: np.random.Generator, usual: np.ndarray) -> np.ndarray:
    """One day of the history was nearly lost."""
    found = uneven(rng, usual)
    found[rng.integers(0, len(usual) - 1)] *= 0.05
    return found


def lost_week(rng: np.random.Generator, usual: np.ndarray) -> np.ndarray:
    """Half of one week of the history was lost, but not of the last one."""
    found = uneven(rng, usual)
    week = 7 * rng.integers(0, (len(usual) - 1) // 7 - 1)
    found[week : week + 7] *= 0.5
    return found


TRENDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of weeks since the first day
    "none": np.ones_like,
    "steady": lambda weeks: 1 + 0.05 * weeks,
    "growth": lambda weeks: 1.05**weeks,
    "fast growth": lambda weeks: 1.2**weeks,
    "decline": lambda weeks: 0.95**weeks,
}


def days(counts: np.ndarray) -> dict[date, int]:
    return {START + timedelta(days=i): round(float(count)) for i, count in enumerate(counts)}


def judged(
    rng: np.random.Generator, noise: Noise, weeks: int, trend: str = "none", share: float = 1.0
) -> Volume | str:
    count = np.arange(7 * weeks + 1)
    found = noise(rng, WEEK[count % 7] * TRENDS[trend](count / 7))
    found = found * np.where(count == count[-1], share, 1)
    return expect(days(found), START + timedelta(days=len(count) - 1))


def alarms(noise: Noise, weeks: int, trend: str, runs: int) -> None:
    """The share of alarms where nothing is wrong is no more than the level, by binomial bounds."""
    rng = np.random.default_rng(weeks)
    found = [judged(rng, noise, weeks, trend) for _ in range(runs)]
    p_values = [one.p_value for one in found if isinstance(one, Volume)]
    assert len(p_values) > 0.9 * runs
    for alpha in (0.05, 0.01):
        assert sum(p <= alpha for p in p_values) <= stats.binom.ppf(0.999, len(p_values), alpha), alpha


@pytest.mark.parametrize(
    ("noise", "weeks", "trend"),
    [
        (uneven, 4, "growth"),
        (odd_days, 8, "none"),
        (poisson, 8, "steady"),
        (uneven, 20, "growth"),
        (lost_week, 8, "none"),
    ],
)
def test_false_alarms_are_no_more_than_the_level(noise: Noise, weeks: int, trend: str) -> None:
    alarms(noise, weeks, trend, 200)


@pytest.mark.soak
@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize("weeks", [4, 5, 6, 8, 13, 26])
@pytest.mark.parametrize("noise", [poisson, uneven, odd_days, few, alike, lost_day, lost_week])
def test_false_alarms_are_no_more_than_the_level_at_length(noise: Noise, weeks: int, trend: str) -> None:
    alarms(noise, weeks, trend, 1000)


def power(noise: Noise, weeks: int, trend: str, share: float, runs: int) -> float:
    rng = np.random.default_rng(4)
    found = [judged(rng, noise, weeks, trend, share) for _ in range(runs)]
    return (
        sum(isinstance(one, Volume) and one.p_value <= 0.05 and one.rows < one.expected for one in found)
        / runs
    )


def test_half_a_day_is_found() -> None:
    assert power(odd_days, 8, "growth", 0.5, 100) > 0.95


@pytest.mark.soak
@pytest.mark.parametrize(
    ("noise", "weeks", "share", "least"),
    [
        (uneven, 4, 0.5, 0.95), (uneven, 8, 0.7, 0.65), (uneven, 26, 0.7, 0.75), (odd_days, 8, 0.5, 0.98),
        (lost_week, 8, 0.5, 0.7), (poisson, 4, 0.8, 0.95), (poisson, 8, 0.8, 0.95), (few, 8, 0.3, 0.3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("trend", ["none", "steady", "growth", "decline"])
def test_what_is_found_how_often(noise: Noise, weeks: int, share: float, least: float, trend: str) -> None:
    assert power(noise, weeks, trend, share, 1000) >= least


def test_a_day_lies_in_its_interval_as_often_as_declared() -> None:
    rng, runs = np.random.default_rng(6), 300
    found = [judged(rng, uneven, 12, "growth") for _ in range(runs)]
    inside = sum(
        isinstance(one, Volume) and one.interval(0.1)[0] <= one.rows <= one.interval(0.1)[1] for one in found
    )
    assert stats.binom.ppf(0.001, runs, 0.9) <= inside


@pytest.mark.parametrize("trend", TRENDS)
def test_a_trend_is_followed_whatever_was_lost(trend: str) -> None:
    """Without noise the straight line is met exactly where growth is in per cent, and nearly else."""
    count = np.arange(57)
    usual = 1000 * WEEK[count % 7] * TRENDS[trend](count / 7)
    found = usual.copy()
    found[[3, 20, 49]] *= 0.1
    made = expect(days(found), START + timedelta(days=56))
    assert isinstance(made, Volume)
    assert made.expected == pytest.approx(usual[-1], rel=0.02 if trend == "steady" else 1e-4)
    growth = usual[-1] / usual[-8] - 1
    assert made.trend == pytest.approx(growth, abs=0.01 if trend == "steady" else 1e-4)


def test_the_trend_is_that_of_an_independent_estimate() -> None:
    """Of one day a week and no odd ones, scipy's repeated medians."""
    rng = np.random.default_rng(8)
    counts = np.round(np.exp(rng.normal(8, 0.3, 9)))
    known = {START + timedelta(days=7 * i): int(count) for i, count in enumerate(counts)}
    found = expect(known, START + timedelta(days=56), whole=False)
    assert isinstance(found, Volume)
    slope = stats.siegelslopes(np.log(counts[:-1]), np.arange(8))[0]
    assert np.log1p(found.trend) == pytest.approx(slope)
    moved = np.log(counts[:-1]) + slope * np.arange(8, 0, -1)
    assert found.expected == pytest.approx(np.exp(np.median(moved)))


def test_steady_days_differ_at_least_as_counts_do() -> None:
    found = expect(days(np.r_[np.full(56, 10_000), 10_100]), START + timedelta(days=56))
    assert isinstance(found, Volume)
    assert found.error >= 0.01
    assert found.p_value > 0.3


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (np.full(20, 5), "2 earlier Tuesdays are too few"),
        (np.r_[5, np.zeros(55)], "earlier Wednesdays had no rows"),
    ],
)
def test_what_can_not_be_expected(counts: np.ndarray, why: str) -> None:
    found = expect(days(counts), START + timedelta(days=len(counts) - 1))
    assert isinstance(found, str)
    assert why in found


def test_versions_that_are_not_known_are_not_empty_days() -> None:
    """Of versions only the days that have one count; of rows a day without any is one of 0 rows."""
    known = {START + timedelta(days=7 * i): 1000 + i for i in range(9)}
    last = START + timedelta(days=56)
    found = expect(known, last, whole=False)
    assert isinstance(found, Volume)
    assert found.days == 8
    assert found.expected == pytest.approx(1008, abs=0.1)


@pytest.mark.parametrize(
    ("high", "now", "newest"),
    [
        (datetime(2026, 1, 3, 23, 30, tzinfo=UTC), datetime(2026, 1, 4, 1, tzinfo=UTC), date(2026, 1, 3)),
        (datetime(2026, 1, 3, 20, 0, tzinfo=UTC), datetime(2026, 1, 4, 1, tzinfo=UTC), date(2026, 1, 2)),
        (
            datetime(2026, 1, 3, 23, 30, tzinfo=UTC),
            datetime(2026, 1, 3, 23, 45, tzinfo=UTC),
            date(2026, 1, 2),
        ),
        (date(2026, 1, 3), datetime(2026, 1, 4, 1, tzinfo=UTC), date(2026, 1, 3)),
        (None, datetime(2026, 1, 4, 1, tzinfo=UTC), None),
    ],
)
def test_the_newest_day_that_is_whole(high: date | None, now: datetime, newest: date | None) -> None:
    three = {date(2026, 1, 1): 5, date(2026, 1, 2): 5, date(2026, 1, 3): 5}
    assert newest_whole(three, high, now) == newest
