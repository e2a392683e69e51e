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


def days(counts: np.ndarray) -> dict[date, int]:
    return {START + timedelta(days=i): round(float(count)) for i, count in enumerate(counts)}


def judged(rng: np.random.Generator, noise: Noise, weeks: int, share: float = 1.0) -> Volume | str:
    count = 7 * weeks + 1
    found = noise(rng, WEEK[np.arange(count) % 7].astype(float))
    found[-1] *= share
    return expect(days(found), START + timedelta(days=count - 1))


@pytest.mark.parametrize("noise", [poisson, uneven, odd_days, few])
@pytest.mark.parametrize("weeks", [4, 8, 20])
def test_false_alarms_are_no_more_than_the_level(noise: Noise, weeks: int) -> None:
    rng, runs = np.random.default_rng(weeks), 300
    found = [judged(rng, noise, weeks) for _ in range(runs)]
    p_values = [one.p_value for one in found if isinstance(one, Volume)]
    assert len(p_values) > 0.9 * runs
    for alpha in (0.05, 0.01):
        assert sum(p <= alpha for p in p_values) <= stats.binom.ppf(0.999, len(p_values), alpha)


def test_half_a_day_is_found() -> None:
    rng = np.random.default_rng(4)
    found = [judged(rng, odd_days, 12, share=0.5) for _ in range(200)]
    assert sum(isinstance(one, Volume) and one.p_value <= 0.01 for one in found) > 0.9 * 200
    assert all(isinstance(one, Volume) and one.rows < one.expected for one in found)


def test_a_day_lies_in_its_interval_as_often_as_declared() -> None:
    rng, runs = np.random.default_rng(6), 400
    found = [judged(rng, uneven, 12) for _ in range(runs)]
    inside = sum(
        isinstance(one, Volume) and one.interval(0.1)[0] <= one.rows <= one.interval(0.1)[1] for one in found
    )
    assert stats.binom.ppf(0.001, runs, 0.9) <= inside


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
    assert found.expected == pytest.approx(1003.5)


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
