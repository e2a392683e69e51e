"""How labels come: against a published estimator and a world in which the truth is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from treadle.monitor.performance.delays import coverage, delay_curve, newest, ripe

DAY = 86_400.0


def test_the_curve_is_kaplan_and_meier_s() -> None:
    rng = np.random.default_rng(1)
    delays, labelled = np.round(rng.exponential(5, 400)), (rng.random(400) < 0.6).astype(float)
    found, reference = delay_curve(delays, labelled), SurvfuncRight(delays, labelled)
    assert found.after == pytest.approx(reference.surv_times[reference.n_events > 0])
    assert 1 - np.asarray(found.share) == pytest.approx(reference.surv_prob[reference.n_events > 0])


def world(seed: int, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Ages of 30 days of predictions, and delays of 10 days on average of which a tenth never end."""
    rng = np.random.default_rng(seed)
    ages = rng.uniform(0, 30 * DAY, n)
    delays = np.where(rng.random(n) < 0.1, np.inf, rng.exponential(10 * DAY, n))
    return ages, delays


def test_labels_that_have_not_come_yet_count() -> None:
    """The median of the delays that have ended already is a third too short; the curve's is right."""
    ages, delays = world(2)
    here = delays <= ages
    curve = delay_curve(np.where(here, delays, ages), here.astype(float))
    assert curve.come(np.array([7 * DAY]))[0] == pytest.approx(0.9 * (1 - np.exp(-0.7)), abs=0.015)
    assert np.median(delays[here]) < 0.75 * 10 * DAY * np.log(2)
    assert coverage(curve, np.array([0.0])) == pytest.approx(0, abs=0.01)
    assert coverage(curve, np.array([365 * DAY])) == 1
    assert curve.delay(0.5) == pytest.approx(10 * DAY * -np.log(1 - 0.5 * curve.ever / 0.9), rel=0.05)


@pytest.mark.parametrize("needed", [0.0, 0.5, 0.7, 0.8, 0.95, 1.0])
def test_as_few_of_the_newest_are_left_out_as_need_be(needed: float) -> None:
    ages, delays = world(3, 3000)
    ages[::5] = np.round(ages[::5] / DAY) * DAY  # some of the same age
    here = delays <= ages
    curve = delay_curve(np.where(here, delays, ages), here.astype(float))
    chosen = ripe(curve, ages, needed)
    tried = [least for least in np.unique(ages) if coverage(curve, ages[ages >= least]) >= needed - 1e-9]
    if tried and 2 * np.count_nonzero(ages >= tried[0]) >= len(ages):
        assert np.array_equal(chosen, ages >= tried[0])
        assert coverage(curve, ages[chosen]) >= needed - 1e-9
    else:
        assert chosen.all()
    assert needed in {0.5, 0.7} or chosen.all() == (needed in {0.0, 0.95, 1.0}), "both happen"
    until = datetime(2026, 3, 1, tzinfo=UTC)
    told = newest(until, ages, chosen)
    assert (told is None) == chosen.all()
    assert told is None or told == until - timedelta(seconds=float(ages[chosen].min()))


def test_without_labels_nothing_has_come() -> None:
    curve = delay_curve(np.array([1.0, 2.0]), np.zeros(2))
    assert (curve.ever, curve.delay(0.9), coverage(curve, np.array([5.0]))) == (0, np.inf, 0)
    assert coverage(delay_curve(np.array([0.0]), np.ones(1)), np.array([])) == 0
    assert ripe(curve, np.array([5.0, 1.0]), 0.8).tolist() == [True, True]
    assert ripe(curve, np.array([]), 0.8).tolist() == []


def test_a_label_before_its_prediction_took_no_time() -> None:
    assert delay_curve(np.array([-5.0, 3.0]), np.ones(2)).after == [0, 3]
