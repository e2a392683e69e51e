"""Alarms with a declared run length: in simulated worlds without change, and with one."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from scipy import integrate, stats

from treadle.monitor.sequential import (
    EFFECTS,
    detect,
    e_value,
    persists,
    run_length,
)


def evidence(z: np.ndarray) -> np.ndarray:
    """The recursion of :func:`detect`, for many worlds at once: a row a window."""
    e = np.mean([np.exp(m * z - m * m / 2) for m in EFFECTS], axis=0)
    found = np.zeros_like(z)
    for t in range(len(z)):
        found[t] = e[t] * ((found[t - 1] if t else 0) + 1)
    return found


def first(alarms: np.ndarray) -> np.ndarray:
    """The window of the first alarm in each world, from 1; the number of windows where there is none."""
    return np.where(alarms.any(axis=0), alarms.argmax(axis=0) + 1, len(alarms))


def test_an_e_value_is_one_on_average_while_nothing_is_wrong() -> None:
    mean, _ = integrate.quad(lambda z: e_value(z) * stats.norm.pdf(z), -12, 16)
    assert mean == pytest.approx(1, abs=1e-6)
    better, _ = integrate.quad(lambda z: e_value(z) * stats.norm.pdf(z, -0.5), -12, 16)
    assert better < 1
    assert e_value(100) > 1e100
    assert e_value(float("nan")) == 1


def test_the_run_length_is_what_was_declared() -> None:
    """One false alarm a year of weekly windows: 52 windows apart on average, at least."""
    z = np.random.default_rng(1).standard_normal((600, 1500))
    found = first(evidence(z) >= 52)
    assert found.mean() - 3 * found.std() / 1500**0.5 >= 52
    assert found.mean() < 5 * 52, "it is held to the declared run length, not far beyond it"


def test_a_change_is_found_soon() -> None:
    """A figure that moves by one standard error of a week: in a median of seven weeks."""
    z = np.random.default_rng(2).standard_normal((60, 1500))
    z[20:] += 1
    found = evidence(z) >= 52
    unfooled = found[:, ~found[:20].any(axis=0)]
    delays = first(unfooled[20:])
    assert np.median(delays) <= 8
    assert (delays < 40).mean() > 0.99


def test_detect_is_the_recursion_and_says_since_when() -> None:
    z = np.random.default_rng(4).standard_normal(30)
    z[20:] += 3
    found = detect([e_value(value) for value in z])
    assert found.evidence == pytest.approx(evidence(z[:, None])[-1, 0])
    assert abs(found.since - 10) <= 1
    assert detect([]).evidence == 0
    assert detect([1.0, 1.0, 1.0]) == (3.0, 1)
    assert np.isfinite(detect([1e300] * 5).evidence)


def test_n_of_the_last_m_windows() -> None:
    assert persists([False, True, True], 2, 3)
    assert not persists([True, True, False], 2, 3), "the latest must be among them"
    assert not persists([True, False, False, True], 2, 3)
    assert not persists([], 1, 1)


def test_so_many_a_year_are_so_many_windows_apart() -> None:
    assert run_length(1, timedelta(days=7)) == pytest.approx(52.18, abs=0.01)
    assert run_length(4, timedelta(days=1)) == pytest.approx(91.3, abs=0.1)
    assert run_length(1e9, timedelta(days=1)) == 1
