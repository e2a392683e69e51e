"""Every interval that evaluation shows, in situations whose truth is known: how often does it hold?

``python tests/intervals.py [SAMPLES]`` prints the table of ``bench/RESULTS.md``. The tests run the same on
few samples, ``make soak`` on many.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from interval_draws import (
    LOGNORMAL,
    LONG_RUN,
    RIGHT,
    SHAPES,
    Found,
    Rng,
    always_failing,
    areas,
    clusters,
    column,
    conditional,
    decided,
    f1_in_clusters,
    further,
    gain_in_f1,
    judged,
    leaking,
    losses,
    mean_log_loss,
    missing,
    paired_cases,
    passes,
    probabilities,
    rankings,
    rare_losses,
    rarest,
    rates,
    rates_by_cluster,
    recipes,
    residuals,
    several,
    shares_in_clusters,
    stopped,
    stopped_gain,
    volume,
    weak_slice,
    welch,
)
from treadle.evaluate import Measure
from treadle.evaluate.types import Estimate


class Situation(NamedTuple):
    """Where an interval is asked for.

    Attributes:
        interval: Which, in words.
        where: Of what.
        draw: A sample's interval.
        truth: What it shall hold.
        least: The share in which each bound must hold at least: 0.95, unless the note says less.
    """

    interval: str
    where: str
    draw: Callable[[Rng], Found]
    truth: float
    least: float = 0.945


class Held(NamedTuple):
    """How often bounds of 95 % held.

    Attributes:
        low: The lower.
        high: The upper.
        plain: The same of Student's t, where the interval is one of t.
        wider: How many times as wide as that it is, on average.
    """

    low: int
    high: int
    plain: tuple[int, int] | None
    wider: float


def held(one: Situation, samples: int, seed: int) -> Held:
    """Draws samples; those that are told to have too few clusters are drawn again."""
    rng, truth, low, high, plain, wider = np.random.default_rng(seed), one.truth, 0, 0, [0, 0], 0.0
    for _ in range(samples):
        while (found := one.draw(rng)) is None:
            pass
        ends = found if isinstance(found, tuple) and len(found) == 2 else (found.low, found.high)
        low += ends[0] <= truth + 1e-9
        high += ends[1] >= truth - 1e-9
        if isinstance(found, Estimate) and found.se > 0:
            width = float(stats.t.ppf(0.95, found.df)) * found.se
            plain[0] += found.value - width <= truth
            plain[1] += truth <= found.value + width
            wider += (found.high - found.low) / (2 * width) / samples
    return Held(low, high, (plain[0], plain[1]) if wider else None, wider)


def clustered(shape: str, count: int, sizes: str = "equal") -> Situation:
    """A paired loss whose rows share what their cluster gains."""
    rare = shape == "one in ten"
    # Where a sample has none of the rare clusters, nothing tells of them.
    seen = min(0.93, 0.99 - 0.9**count)
    least = {"normal": 0.945, "exponential": 0.935, "lognormal": 0.9}.get(shape, seen)
    name = f"{count} clusters, {sizes}; gains {'of one in ten' if rare else shape}"
    return Situation(
        "paired t, by cluster", name, clusters(shape, count, sizes), 0.5 * SHAPES[shape][1], least
    )


def situations() -> Iterator[Situation]:
    yield from _of_models()
    yield from _of_clusters()
    yield from _of_slices()
    yield from _of_bias()
    yield from _of_behaviour()
    yield from _of_data()


def _of_models() -> Iterator[Situation]:
    accuracy = 0.05 * (2 * RIGHT - 1)
    for metric, name, truth in (("accuracy", "Tango", accuracy), ("f1", "bootstrap of counts", gain_in_f1())):
        yield Situation(f"{metric}, paired: {name}", "500 rows", decided(metric, 500, paired=True), truth)
    for metric, name in (("recall", "Clopper-Pearson"), ("balanced_accuracy", "bootstrap of counts")):
        yield Situation(f"{metric}: {name}", "200 rows", decided(metric, 200, paired=False), RIGHT, 0.94)
    for by, true, false in ((1.0, 20, 200), (2.33, 20, 200), (3.0, 100, 1000)):
        area, where = float(stats.norm.cdf(by / math.sqrt(2))), f"{true} true and {false} false rows"
        draw = areas(by, true, false, paired=False)
        yield Situation("roc_auc: DeLong", f"area {area:.3f}, {where}", draw, area, 0.93)
    one = areas(2.33, 20, 200, paired=True)
    yield Situation("roc_auc, paired: DeLong", "area 0.950, 20 true and 200 false rows", one, 0.0)
    for n in (50, 200, 1000):
        where = f"{n} rows, losses lognormal"
        yield Situation("mse: t", where, losses("mse", n, square=True), LOGNORMAL, 0.935)
        yield Situation("rmse: t", where, losses("rmse", n, square=True), math.exp(0.25), 0.935)
        yield Situation("mae: t", where, losses("mae", n), LOGNORMAL, 0.935)
    pinball = losses(Measure("pinball", quantile=0.9), 200)
    yield Situation("pinball: t", "200 rows, losses lognormal", pinball, 0.1 * LOGNORMAL, 0.935)
    for metric, truth in (("log_loss", mean_log_loss()), ("brier", 0.2 - 0.75 / 8.75)):
        yield Situation(f"{metric}: t", "200 rows, few true", probabilities(metric, 200), truth, 0.935)
    for n in (200, 1000):
        where = f"{n} rows, 3 % lose 3, others gain 0.1"
        yield Situation("mae, paired: t", where, rare_losses(n), 0.1 * 0.97 - 3 * 0.03, 0.94)
    yield Situation("macro_f1: t", "250 rows", several(250), LONG_RUN["macro_f1"])
    for paired, name in ((False, "ndcg"), (True, "ndcg, paired")):
        draw = rankings(40, paired=paired)
        yield Situation(f"{name}: t of queries", "40 queries", draw, LONG_RUN[name], 0.935)


def _of_clusters() -> Iterator[Situation]:
    for count in (5, 8, 12, 20, 50, 100):
        for shape in ("normal", "exponential", "lognormal", "one in ten"):
            yield clustered(shape, count)
    for sizes in ("unequal", "very unequal"):
        for count in (5, 8, 20, 50):
            yield clustered("exponential", count, sizes)
    for count in (8, 20):
        draw = shares_in_clusters(count)
        yield Situation("accuracy: t of the logit, by cluster", f"{count} clusters", draw, 0.9, 0.94)
    draw, truth = f1_in_clusters(12), LONG_RUN["f1 in clusters"]
    yield Situation("f1, paired: t, by cluster", "12 clusters, exponential", draw, truth, 0.94)
    name, where = "recipe: seeds and rows", "5 seeds a side, exponential"
    yield Situation(name, where, recipes(0.1, 0.1), 0.0)
    yield Situation(name, "5 seeds a side, the candidate's exponential", recipes(0.1, 0.0), 0.0, 0.93)


def _of_slices() -> Iterator[Situation]:
    for production, truth in ((False, 4.0), (True, 3.0)):
        where = f"750 of 1,500 rows were not searched{', beside production' * production}"
        yield Situation("loss in a weak slice: t", where, weak_slice(production), truth)


def _of_bias() -> Iterator[Situation]:
    yield Situation("rates: score test", "100 and 300 rows", rates("difference"), 0.1, 0.94)
    yield Situation("ratio of rates: score test", "100 and 300 rows", rates("ratio"), 1.5, 0.94)
    for kind, name, truth in (("difference", "rates", 0.1), ("ratio", "ratio of rates", 4 / 3)):
        draw = rates_by_cluster(kind, 8)
        yield Situation(f"{name}: t, by cluster", "8 clusters each, unequal", draw, truth, 0.935)
    yield Situation("rates within strata: Mantel-Haenszel", "900 rows", conditional, 0.08, 0.94)
    for n, differing in ((100, 0.02), (200, 0.005), (300, 0.05)):
        where = f"{n} and {10 * n:,} rows, {differing:.1%} decided differently"
        name = "distance beside production's: bootstrap of counts"
        yield Situation(name, where, further(n, differing), 0.2 * differing, 0.93)
    draw = welch("exponential", 100, 1000)
    yield Situation("means: Welch", "100 and 1,000 rows, exponential", draw, 0.0, 0.935)
    yield Situation("calibration: t", "200 residuals, lognormal", residuals, 0.0, 0.935)


def _of_behaviour() -> Iterator[Situation]:
    yield Situation("mean of cases: Gaffke", "30 cases, one in 20 fails", always_failing, 0.95 * 20 / 21)
    yield Situation("gain of cases: Gaffke", "60 cases, one in 20 is lost", paired_cases, 0.95 * 0.1 - 0.05)
    yield Situation("a case's rate: Clopper-Pearson", "20 answers", passes, 0.9)
    yield Situation("a rate, stopped at the worst moment: mixture", "up to 200 cases", stopped, 0.9)
    truth = 0.95 * 0.1 - 0.05
    yield Situation(
        "gain of cases, stopped once it is known: betting", "up to 400 cases", stopped_gain, truth
    )
    for count in (5, 10, 50):
        truth = LONG_RUN["agreement"]
        yield Situation("agreement of judges: jackknife", f"{count} cases", judged(count), truth, 0.94)


def _of_data() -> Iterator[Situation]:
    yield Situation("share of a class: Clopper-Pearson", "200 rows, 2 %", rarest, 0.02)
    yield Situation("growth of missing values: Newcombe", "300 and 900 rows", missing, 0.03, 0.935)
    for n in (400, 2000):
        yield Situation("mean of a column: t", f"{n:,} rows, lognormal", column(n), LOGNORMAL, 0.935)
    area = 0.3 * 0.5 + 0.5 * 0.8 + 0.5 * (0.2 * 0.5 + 0.3 * 0.3 + 0.5 * 0.2)
    yield Situation("area of a feature: DeLong, logit", "1,000 rows, 3 values", leaking, area, 0.93)
    yield Situation("rows of a day", "ten weeks", volume, 0.0, 0.94)


def main() -> None:
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    print("| interval | of | t | now | wider |\n|---|---|---:|---:|---:|")  # noqa: T201
    for place, one in enumerate(situations()):
        found = held(one, samples, place)
        now, plain = (
            ", ".join(f"{100 * count / samples:.0f}" for count in pair)
            for pair in ((found.low, found.high), found.plain or ())
        )
        wider = f"{found.wider:.2f} x" if found.plain else ""
        print(f"| {one.interval} | {one.where} | {plain} | {now} | {wider} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
