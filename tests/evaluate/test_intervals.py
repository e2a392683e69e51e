"""How often intervals hold, of every kind that evaluation shows: see ``tests/intervals.py``."""

from __future__ import annotations

import pytest
from scipy import stats

from interval_draws import LONG_RUN, long_run
from intervals import held, situations

ALL = {f"{one.interval} - {one.where}": one for one in situations()}
FEW = 60


@pytest.mark.parametrize("name", ALL)
def test_each_bound_holds(name):
    one = ALL[name]
    found = held(one, FEW, 1)
    assert min(found.low, found.high) >= stats.binom.ppf(0.0001, FEW, one.least)


@pytest.mark.soak
@pytest.mark.parametrize("name", ALL)
def test_each_bound_holds_as_often_as_stated(name):
    one, samples = ALL[name], 3000
    found = held(one, samples, 2)
    assert min(found.low, found.high) >= stats.binom.ppf(0.001, samples, one.least)


@pytest.mark.soak
@pytest.mark.parametrize("name", LONG_RUN)
def test_figures_without_a_formula_are_those_of_a_long_run(name):
    value, error = long_run(name, 20, 3)
    assert LONG_RUN[name] == pytest.approx(value, abs=6 * error + 5e-5)
