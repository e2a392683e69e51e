"""Alarms with a declared run length: in simulated worlds without change, and with one."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from scipy import integrate, stats

from treadle.monitor.sequential import (
    EFFECTS,
    detect,
    discovered,
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


def family(z: np.ndarray, wanted: float) -> np.ndarray:
    """Whether :func:`discovered` finds anything, for many worlds: windows, worlds, monitors."""
    held = -np.sort(-evidence(z) / z.shape[-1], axis=-1)
    return (held * np.arange(1, z.shape[-1] + 1) >= wanted).any(axis=-1)


@pytest.mark.parametrize("together", [0.0, 0.9])
def test_twenty_monitors_of_a_model_share_one_run_length(together: float) -> None:
    """One false alarm in 30 windows, of all together, whether they depend on each other or not."""
    rng = np.random.default_rng(5)
    z = together**0.5 * rng.standard_normal((400, 500, 1))
    z = z + (1 - together) ** 0.5 * rng.standard_normal((400, 500, 20))
    found = first(family(z, 30))
    assert found.mean() - 3 * found.std() / 500**0.5 >= 30
    if not together:
        alone = first((evidence(z) >= 30).any(axis=-1))
        assert alone.mean() < 15, "each with the run length for itself is too many alarms"


def test_what_alarms_is_e_bh() -> None:
    """Against the definition: the largest set of which each has evidence for all of them."""
    assert discovered([], [], 10) == []
    assert discovered([40, 39, 1, 0], [0.25] * 4, 10) == [True, True, False, False]
    assert discovered([21, 20, 20, 0], [0.25] * 4, 10) == [True, True, True, False]
    assert discovered([19, 19, 0, 0], [0.25] * 4, 10) == [False] * 4
    assert discovered([10, 0], [1.0, 0.0], 10) == [True, False]
    assert discovered([60, 1, 20], [0.1, 0.8, 0.1], 5) == [True, False, False]
    assert discovered([60, 5, 17], [0.1, 0.8, 0.1], 5) == [True, True, True]
    e = np.random.default_rng(6).pareto(0.5, (200, 8))
    z = np.ones(8) / 8
    for one in e:
        ours = discovered(one.tolist(), z.tolist(), 4)
        sizes = [r for r in range(1, 9) if np.sort(one)[-r] >= 8 * 4 / r]
        assert sum(ours) == max(sizes, default=0)


def test_n_of_the_last_m_windows() -> None:
    assert persists([False, True, True], 2, 3)
    assert not persists([True, True, False], 2, 3), "the latest must be among them"
    assert not persists([True, False, False, True], 2, 3)
    assert not persists([], 1, 1)


def test_so_many_a_year_are_so_many_windows_apart() -> None:
    assert run_length(1, timedelta(days=7)) == pytest.approx(52.18, abs=0.01)
    assert run_length(4, timedelta(days=1)) == pytest.approx(91.3, abs=0.1)
    assert run_length(1e9, timedelta(days=1)) == 1
