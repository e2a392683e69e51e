"""Distances, against scipy and by simulation of what chance gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy import spatial, stats

from treadle.evaluate import (
    Atoms,
    Distance,
    js_distance,
    ks_distance,
    psi_distance,
    wasserstein_distance,
)

SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "skewed": lambda rng, n: rng.lognormal(0, 1, n),
    "counts": lambda rng, n: rng.poisson(2, n).astype(float),
    "heap": lambda rng, n: np.where(rng.random(n) < 0.7, 0.0, rng.exponential(1, n)),
}


class Binned(NamedTuple):
    """Both samples in ten bins between quantiles, or a bin a value, and one on either side."""

    then: list[int]
    now: list[int]
    atoms: tuple[Atoms, Atoms]


def bins(reference: np.ndarray, current: np.ndarray) -> Binned:
    values = np.unique(reference)
    if len(values) <= 50:
        edges = (values[1:] + values[:-1]) / 2
    else:
        edges = np.unique(np.quantile(reference, np.arange(1, 10) / 10, method="inverted_cdf"))
        edges = edges[edges < values[-1]] + 1e-9
    bounds = [values[0] - 1e-9, *edges, values[-1] + 1e-9]
    counts, atoms = [], []
    for side in (reference, current):
        places = np.searchsorted(bounds, side)
        rows = np.bincount(places, minlength=len(bounds) + 1)
        total = np.bincount(places, side, len(bounds) + 1)
        counts.append(rows.tolist())
        atoms.append(Atoms((total[rows > 0] / rows[rows > 0]).tolist(), rows[rows > 0].tolist()))
    return Binned(counts[0], counts[1], (atoms[0], atoms[1]))


def test_js_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = rng.integers(50, 900, (2, 12))
        expected = spatial.distance.jensenshannon(a + 0.5, b + 0.5, base=2)
        assert js_distance(a.tolist(), b.tolist(), 0.01).value == pytest.approx(expected, rel=1e-12)
    assert js_distance([900, 0], [0, 900], 0.01).value == pytest.approx(1, abs=0.01)
    assert js_distance([900], [90], 0.01) == Distance(0.0, 0.0, 1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_ks_and_wasserstein_are_nearly_those_of_scipy(shape: str) -> None:
    rng = np.random.default_rng(2)
    draw = SHAPES[shape]
    for move, stretch in ((0.0, 1.0), (0.3, 1.0), (0.0, 1.5), (2.0, 0.5), (-1.0, 1.0)):
        reference, current = draw(rng, 8000), draw(rng, 3000) * stretch + move
        if shape == "counts":
            current = np.round(current)
        binned, deviation = bins(reference, current), float(reference.std())
        moved = wasserstein_distance(*binned.atoms, deviation, 0.01).value
        true = stats.wasserstein_distance(reference, current) / deviation
        assert moved == pytest.approx(true, rel=0.12, abs=0.02)
        largest = stats.ks_2samp(reference, current).statistic
        found = ks_distance(binned.then, binned.now, 0.01)
        assert largest - 0.1 - 1e-9 <= found.value <= largest + 1e-9  # at most what one bin holds is missed
        if shape == "counts":
            assert moved == pytest.approx(true, rel=1e-9)
            if stretch == 1.0:
                assert found.value == pytest.approx(largest, rel=1e-9)


def test_the_p_value_of_ks_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 40, 5000), rng.integers(1, 41, 4000)
    then, now, _ = bins(a.astype(float), b.astype(float))
    expected = stats.ks_2samp(a, b, method="asymp")
    assert ks_distance(then, now, 0.01).value == pytest.approx(expected.statistic)
    # scipy takes n for a whole number.
    assert math.log(ks_distance(then, now, 0.01).p_value) == pytest.approx(
        math.log(expected.pvalue), rel=0.02
    )


def _false(shape: str, m: int, n: int, alpha: float, runs: int, seed: int) -> dict[str, int]:
    rng, draw = np.random.default_rng(seed), SHAPES[shape]
    found = dict.fromkeys(("psi", "js", "ks", "wasserstein"), 0)
    for _ in range(runs):
        reference = draw(rng, m)
        then, now, atoms = bins(reference, draw(rng, n))
        # Beyond each end of the reference that is no heap one row is to be expected, as monitors do.
        ends = {"counts": (0, 0), "heap": (0, 1)}.get(shape, (1, 1))
        more = [then[0] + ends[0], *then[1:-1], then[-1] + ends[1]]
        for name, one in (
            ("psi", psi_distance(more, now, alpha)),
            ("js", js_distance(more, now, alpha)),
            ("ks", ks_distance(then, now, alpha)),
            ("wasserstein", wasserstein_distance(*atoms, float(reference.std()), alpha)),
        ):
            found[name] += one.value > one.chance
            assert (one.p_value < alpha) == (one.value > one.chance)
    return found


def _hold(found: dict[str, int], runs: int, alpha: float) -> None:
    spread = math.sqrt(runs * alpha * (1 - alpha))
    for name, alarms in found.items():
        # The law of psi and js is a limit: a third is left for small samples, three deviations for luck.
        assert alarms <= 1.33 * runs * alpha + 3 * spread, (name, alarms)
    for name in ("psi", "js"):
        assert found[name] >= 0.5 * runs * alpha - 3 * spread, name


@pytest.mark.parametrize(("shape", "m", "n"), [("normal", 2000, 200), ("heap", 1000, 1000)])
def test_false_alarms_are_no_more_than_stated(shape: str, m: int, n: int) -> None:
    _hold(_false(shape, m, n, 0.05, 400, seed=4), 400, 0.05)


@pytest.mark.soak
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("m", "n"), [(500, 200), (2000, 200), (1000, 5000), (20_000, 1000)])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_false_alarms_are_no_more_than_stated_for_many_shapes(
    shape: str, m: int, n: int, alpha: float
) -> None:
    _hold(_false(shape, m, n, alpha, 3000, seed=m + n), 3000, alpha)


def test_a_move_is_found_with_few_rows() -> None:
    rng = np.random.default_rng(5)
    reference = rng.normal(size=20_000)
    then, now, atoms = bins(reference, rng.normal(0.5, 1, 300))
    for found in (
        psi_distance(then, now, 0.001),
        js_distance(then, now, 0.001),
        ks_distance(then, now, 0.001),
        wasserstein_distance(*atoms, float(reference.std()), 0.001),
    ):
        assert found.value > max(found.chance, 0.1)
        assert found.p_value < 1e-4
