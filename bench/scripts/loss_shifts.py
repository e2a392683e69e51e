"""How wrong a regression is expected to be where inputs come in other proportions: many shifts and worlds.

Usage: ``loss_shifts.py [SHIFTS]``. In each world a model is trained on a third of 40,000 rows, its absolute
loss is modelled on another, and the last third is drawn anew with weights that grow or fall along some
columns and with the product of two: 5,000 rows a shift. Prints in Markdown by how many percent the expected
mean loss is off, on average: of Treadle's sum over columns and pairs, of boosted trees (scikit-learn's, in
place of NannyML's LightGBM), of one tree, of combinations of them, and of the mean loss at registration.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

from treadle.monitor.performance.losses import cells, model_losses

Floats = npt.NDArray[np.float64]
Model = Callable[[Floats], Floats]
ROWS, DRAWN, BINS = 40_000, 5_000, 10


def worlds(draw: np.random.Generator) -> Iterator[tuple[str, Floats, Floats]]:
    """Inputs and outcomes: Friedman's three, with noise that is even and that depends on inputs."""
    for number, make in enumerate((make_friedman1, make_friedman2, make_friedman3), 1):
        for noise in ("even", "uneven"):
            inputs, outcome = make(ROWS, random_state=number, noise=0)
            inputs = (inputs - inputs.mean(0)) / inputs.std(0)
            scale = np.full(ROWS, 0.1)
            if noise == "uneven":
                scale += 0.2 * np.exp(0.5 * inputs[:, 0] * inputs[:, 1] + 0.3 * inputs[:, 2])
            yield f"Friedman {number}, {noise} noise", inputs, outcome / outcome.std() + draw.normal(0, scale)


def additive(rows: Floats, losses: Floats) -> Model:
    """Treadle's, on deciles."""
    edges = [np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1))) for column in rows.T]

    def placed(given: Floats) -> dict[str, npt.NDArray[np.intp]]:
        return {str(i): np.searchsorted(edge, given[:, i], side="left") for i, edge in enumerate(edges)}

    bins = {str(i): len(edge) + 2 for i, edge in enumerate(edges)}
    model = model_losses(losses, placed(rows), bins, "absolute")

    def expected(given: Floats) -> Floats:
        found, places = np.full(len(given), model.base), placed(given)
        for name, terms in model.terms.items():
            found += np.asarray(terms)[places[name]]
        for pair in model.pairs:
            found += np.asarray(pair.terms)[cells(places[pair.one], places[pair.other], bins[pair.other])]
        return found

    return expected


def boosted(rows: Floats, losses: Floats) -> Model:
    """Boosted trees, by their defaults."""
    found: Model = HistGradientBoostingRegressor(random_state=0).fit(rows, losses).predict
    return found


def one_tree(leaf: int) -> Callable[[Floats, Floats], Model]:
    """One tree with at least so many rows a leaf, whose leaves would be one more histogram."""

    def made(rows: Floats, losses: Floats) -> Model:
        found: Model = DecisionTreeRegressor(min_samples_leaf=leaf, random_state=0).fit(rows, losses).predict
        return found

    return made


def with_tree(leaf: int) -> Callable[[Floats, Floats], Model]:
    """Treadle's, and one tree of what it leaves."""

    def made(rows: Floats, losses: Floats) -> Model:
        first = additive(rows, losses)
        second = one_tree(leaf)(rows, losses - first(rows))
        return lambda given: first(given) + second(given)

    return made


def half_tree(leaf: int) -> Callable[[Floats, Floats], Model]:
    """The mean of Treadle's and of one tree."""

    def made(rows: Floats, losses: Floats) -> Model:
        first, second = additive(rows, losses), one_tree(leaf)(rows, losses)
        return lambda given: (first(given) + second(given)) / 2

    return made


def constant(rows: Floats, losses: Floats) -> Model:  # noqa: ARG001 - as the others
    """The mean loss at registration."""
    mean = float(losses.mean())
    return lambda given: np.full(len(given), mean)


WAYS = {
    "columns and pairs": additive,
    "boosted trees": boosted,
    "a tree, leaves of 50": one_tree(50),
    "of 200": one_tree(200),
    "of 400": one_tree(400),
    "pairs, then a tree of 50": with_tree(50),
    "mean of pairs and tree of 50": half_tree(50),
    "as at registration": constant,
}


def weights(draw: np.random.Generator, rows: Floats, seen: Floats) -> Floats:
    """How likely each row comes after a shift."""
    some = draw.choice(rows.shape[1], 3, replace=False)
    away = (rows[:, some] - seen[:, some].mean(0)) / seen[:, some].std(0)
    tilt = away @ draw.normal(0, 0.7, 3) + 0.5 * draw.normal() * away[:, 0] * away[:, 2]
    found = np.exp(np.clip(tilt, -4, 4))
    return found / found.sum()


def main(shifts: int) -> None:
    """Prints the table."""
    draw, everywhere = np.random.default_rng(0), dict[str, list[float]]((name, []) for name in WAYS)
    seconds = dict.fromkeys(WAYS, 0.0)
    print("| world |", " | ".join(WAYS), "|")
    print("|---|" + "---:|" * len(WAYS))
    for world, inputs, outcome in worlds(draw):
        first, second = ROWS // 3, 2 * ROWS // 3
        model = HistGradientBoostingRegressor(max_iter=60, random_state=0).fit(
            inputs[:first], outcome[:first]
        )
        said = model.predict(inputs)
        rows, losses = np.c_[inputs, said], np.abs(said - outcome)
        seen, live, realised = rows[first:second], rows[second:], losses[second:]
        expected = {}
        for name, way in WAYS.items():
            began = time.process_time()
            expected[name] = way(seen, losses[first:second])(live)
            seconds[name] += time.process_time() - began
        off = dict[str, list[float]]((name, []) for name in WAYS)
        for _ in range(shifts):
            drawn = draw.choice(len(live), DRAWN, p=weights(draw, live, seen))
            truth = realised[drawn].mean()
            for name, found in expected.items():
                off[name].append(100 * abs(found[drawn].mean() / truth - 1))
        print(f"| {world} |", " | ".join(f"{np.mean(one):.2f}" for one in off.values()), "|", flush=True)
        for name, one in off.items():
            everywhere[name] += one
    print("| all |", " | ".join(f"{np.mean(one):.2f}" for one in everywhere.values()), "|")
    print("| CPU seconds a world |", " | ".join(f"{one / 6:.2f}" for one in seconds.values()), "|")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
