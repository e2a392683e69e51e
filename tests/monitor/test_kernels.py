"""The discrepancy of vectors against its definition, its null law against shuffles and a published one."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import pearson3, skew

from treadle.monitor.kernels import (
    discrepancy,
    gaussian,
    moments,
    null_law,
    squared,
    upper_quantile,
    upper_tail,
)

Floats = npt.NDArray[np.float64]
WEIGHTS = np.random.default_rng(1).normal(size=(5, 60))
CENTRES = np.random.default_rng(2).normal(size=(4, 16)) * 2
WORLDS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.normal(size=(n, 30)),
    "of low rank, as embeddings are": lambda rng, n: (
        rng.normal(size=(n, 5)) @ WEIGHTS + 0.1 * rng.normal(size=(n, 60))
    ),
    "heavy tails": lambda rng, n: rng.standard_t(2.5, size=(n, 10)),
    "clusters": lambda rng, n: CENTRES[rng.integers(0, 4, n)] + rng.normal(size=(n, 16)),
}


def shuffles(kernel: Floats, m: int, runs: int, rng: np.random.Generator) -> Floats:
    """The squared discrepancy of shuffled rows: exact, whatever the rows are."""
    places = (rng.permutation(len(kernel)) for _ in range(runs))
    return np.array([squared(kernel[np.ix_(place, place)], m) for place in places])


def test_it_is_what_the_paper_defines() -> None:
    """Gretton et al. 2012, lemma 6, by loops, with the median heuristic of their section 8."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(1, 1, size=(5, 3))
    rows = [*x, *y]
    apart = [math.dist(a, b) for i, a in enumerate(rows) for b in rows[:i]]
    width = math.sqrt(median(d * d for d in apart))

    def k(a: Floats, b: Floats) -> float:
        return math.exp(-(math.dist(a, b) ** 2) / (2 * width**2))

    of_x = sum(k(x[i], x[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    of_y = sum(k(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    expected = of_x + of_y - 2 / (7 * 5) * sum(k(a, b) for a in x for b in y)
    assert squared(gaussian(np.vstack([x, y])), 7) == pytest.approx(expected, rel=1e-10)
    assert discrepancy(x, y, 0.05).value == pytest.approx(math.sqrt(expected), rel=1e-10)


@pytest.mark.parametrize("world", WORLDS)
def test_its_null_law_is_that_of_shuffles(world: str) -> None:
    rng = np.random.default_rng(3)
    m, n = 60, 40
    kernel = gaussian(WORLDS[world](rng, m + n))
    found = shuffles(kernel, m, 2000, rng)
    spread, tilt = null_law(moments(kernel), m, n)
    assert spread == pytest.approx(found.std(), rel=0.08)
    assert tilt == pytest.approx(skew(found), abs=0.3)
    limit = spread * upper_quantile(0.05, tilt)
    assert abs((found > limit).mean() - 0.05) < 0.02


def test_the_variance_is_that_of_the_published_formula() -> None:
    """Gretton et al. 2012, section 3: ``2 E[h(z, z')^2] / (m (m - 1))`` for samples of one size.

    There the pairs with one index in both samples are left out, which is of the order of one in ``m``.
    """
    rng, m = np.random.default_rng(4), 200
    kernel = gaussian(WORLDS["normal"](rng, 2 * m))
    h = kernel[:m, :m] + kernel[m:, m:] - kernel[:m, m:] - kernel[:m, m:].T
    np.fill_diagonal(h, 0.0)
    published = 2 * (h**2).sum() / (m * (m - 1)) ** 2
    assert null_law(moments(kernel), m, m)[0] ** 2 == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize("tilt", [0.0, 0.3, 1.0, 2.5])
def test_quantiles_and_tails_are_those_of_scipy(tilt: float) -> None:
    for alpha in (0.3, 0.05, 1e-4):
        assert upper_quantile(alpha, tilt) == pytest.approx(pearson3.isf(alpha, tilt), rel=1e-6, abs=1e-6)
        assert upper_tail(upper_quantile(alpha, tilt), tilt) == pytest.approx(alpha, rel=1e-6)
    assert upper_tail(-50.0, tilt) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("world", "runs"),
    [
        ("of low rank, as embeddings are", 30),
        *(pytest.param(world, 2000, marks=pytest.mark.soak) for world in WORLDS),
    ],
)
def test_false_alarms_are_those_declared(world: str, runs: int) -> None:
    rng = np.random.default_rng(5)
    found = [discrepancy(WORLDS[world](rng, 60), WORLDS[world](rng, 40), 0.05) for _ in range(runs)]
    for level in (0.05, 0.005):
        alarms = sum(one.p_value <= level for one in found)
        assert alarms <= runs * level * (1.15 if runs > 1000 else 1) + 3 * math.sqrt(runs * level)
    over = [one.value > one.chance for one in found]
    assert over == [one.p_value < 0.05 for one in found]


def test_it_finds_what_shuffles_find() -> None:
    """Power beside the exact test, for a shift and for two numbers that no longer go together."""
    rng, m, n = np.random.default_rng(6), 50, 50
    ours = exact = 0
    for run in range(30):
        before = rng.normal(size=(m, 6))
        after = rng.normal(size=(n, 6))
        if run % 2:
            after += 0.35
        else:
            after[:, 1] = after[:, 0]
            after[:, 3] = after[:, 2]
        kernel = gaussian(np.vstack([before, after]))
        by_shuffles = (shuffles(kernel, m, 99, rng) >= squared(kernel, m)).mean()
        ours += discrepancy(before, after, 0.05).p_value <= 0.05
        exact += by_shuffles <= 0.05
    assert 8 <= exact <= 28
    assert abs(ours - exact) <= 3


def test_rows_that_are_all_one_are_no_alarm() -> None:
    same = np.ones((20, 4))
    assert discrepancy(same, same, 0.05) == (0.0, 0.0, 1.0)
    assert discrepancy(same, same + 1, 0.05).p_value < 1e-4
