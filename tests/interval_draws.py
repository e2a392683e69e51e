"""Samples of known truth, and the interval that evaluation makes of each; see ``intervals.py``."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import digamma

from treadle.evaluate import Holdout, Measure, estimate, paired_difference
from treadle.evaluate.behaviour.agreement import jackknife, krippendorff
from treadle.evaluate.behaviour.betting import side_of
from treadle.evaluate.behaviour.means import DIFFERENCE
from treadle.evaluate.behaviour.means import estimate as of_cases
from treadle.evaluate.behaviour.reliability import clopper_pearson
from treadle.evaluate.behaviour.sequential import sequence
from treadle.evaluate.bias import beside, measures
from treadle.evaluate.bias.measures import Judged, apart
from treadle.evaluate.bias.shares import Share, difference_interval, ratio_interval
from treadle.evaluate.data.univariate import separation
from treadle.evaluate.data.volumes import Volume, expect
from treadle.evaluate.models import cells
from treadle.evaluate.models.clustering import Averaged
from treadle.evaluate.models.comparing import Bootstrap, assess, compare
from treadle.evaluate.models.deciding import Aim
from treadle.evaluate.models.inputs import scored
from treadle.evaluate.models.proportions import exact_interval
from treadle.evaluate.models.seeds import compare_recipes
from treadle.evaluate.models.slices import weak_slices
from treadle.evaluate.rules import share_increase
from treadle.evaluate.skewness import of_mean, reaches
from treadle.evaluate.types import Estimate
from treadle.kernel.config import SliceCheck

Rng = np.random.Generator
Found = Any
"""An estimate, a gap, or the two ends."""


# ── draws ────────────────────────────────────────────────────────────────

LEVEL = 0.9  # two one-sided bounds of 95 %
LOGNORMAL = math.exp(0.5)
Draw = Callable[[Rng, Any], Any]
SHAPES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, n: rng.normal(size=n), 0.0),
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
    "lognormal": (lambda rng, n: np.exp(rng.normal(size=n)), LOGNORMAL),
    "one in ten": (lambda rng, n: 0.2 * rng.normal(size=n) + 3.0 * (rng.random(n) < 0.1), 0.3),
}
SIZES = {"equal": 0.0, "unequal": 1.0, "very unequal": 2.0}

LONG_RUN = {
    "macro_f1": 0.7290,
    "ndcg": 0.8535,
    "ndcg, paired": 0.0280,
    "f1 in clusters": 0.0983,
    "agreement": 0.7554,
}
"""Figures that have no formula: means over millions of rows (see :func:`long_run`)."""


def long_run(name: str, samples: int, seed: int = 99) -> tuple[float, float]:
    """A figure without a formula, by simulation: its mean over large samples, with the standard error."""
    large: dict[str, Callable[[Rng], Found]] = {
        "macro_f1": several(50_000),
        "ndcg": rankings(10_000, paired=False),
        "ndcg, paired": rankings(10_000, paired=True),
        "f1 in clusters": f1_in_clusters(2000),
        "agreement": lambda rng: krippendorff(votes(rng, 20_000)[0], "ordinal"),
    }
    rng = np.random.default_rng(seed)
    found = [large[name](rng) for _ in range(samples)]
    values = [one.value if isinstance(one, Estimate) else float(one) for one in found]
    return float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(samples)


def losses(metric: Measure | str, n: int, square: bool = False) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        lost = np.exp(rng.normal(size=n))
        return estimate(metric, np.zeros(n), np.sqrt(lost) if square else lost, confidence=LEVEL)

    return draw


def probabilities(metric: str, n: int) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        said = rng.beta(0.5, 2, n)
        return estimate(metric, (rng.random(n) < said) * 1.0, said, confidence=LEVEL)

    return draw


def rare_losses(n: int) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        worse = np.where(rng.random(n) < 0.03, 3.0, -0.1)
        base = np.abs(rng.normal(size=n)) + 5
        return paired_difference("mae", np.zeros(n), base + worse, base, confidence=LEVEL)

    return draw


def areas(apart_by: float, true: int, false: int, *, paired: bool) -> Callable[[Rng], Estimate]:
    labels = np.repeat([1.0, 0.0], [true, false])

    def draw(rng: Rng) -> Estimate:
        hard = rng.normal(size=true + false)
        one, other = (apart_by * labels + 0.8 * hard + 0.6 * rng.normal(size=len(hard)) for _ in "ab")
        if paired:
            return paired_difference("roc_auc", labels, one, other, confidence=LEVEL)
        return estimate("roc_auc", labels, one, confidence=LEVEL)

    return draw


def rankings(queries: int, *, paired: bool) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        codes = np.repeat(np.arange(queries), 8)
        relevance = (rng.random(8 * queries) < 0.25) * 1.0
        relevance[::8] = 1
        scores = 1.5 * relevance + rng.normal(size=8 * queries)
        measure = Measure("ndcg", k=5)
        if not paired:
            return estimate(measure, relevance, scores, codes, LEVEL)
        other = scores + 0.5 * rng.normal(size=8 * queries)
        return paired_difference(measure, relevance, scores, other, codes, LEVEL)

    return draw


def decided(metric: str, n: int, *, paired: bool) -> Callable[[Rng], Found]:
    """Two models that decide one row in twenty differently."""

    def draw(rng: Rng) -> Found:
        labels = (rng.random(n) < 0.4) * 1.0
        ours = np.clip(0.35 + 0.3 * labels + rng.normal(0, 0.2, n), 0, 1)
        theirs = np.where(rng.random(n) < 0.05, 1 - ours, ours)
        rows = scored(Measure(metric), labels, ours, theirs if paired else None)
        found = (compare if paired else assess)(Measure(metric), rows, 0.95, Bootstrap(500)).found
        return found.low, found.high

    return draw


RIGHT = float(stats.norm.cdf(0.75))
"""The share of rows of either label that are decided rightly."""


def gain_in_f1() -> float:
    """Of the truth: one row in twenty of the other model's is decided the other way."""
    changed = 0.95 * RIGHT + 0.05 * (1 - RIGHT)
    one, other = (2 * 0.4 * right / (0.4 + 0.4 * right + 0.6 * (1 - right)) for right in (RIGHT, changed))
    return one - other


def mean_log_loss() -> float:
    """Expected entropy of a probability that is distributed as beta(1/2, 2)."""
    return 0.2 * float(digamma(3.5) - digamma(1.5)) + 0.8 * float(digamma(3.5) - digamma(3.0))


def several(n: int) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        labels = rng.integers(0, 3, n)
        raw = rng.gamma(1.0, size=(n, 3)) + 1.2 * np.eye(3)[labels]
        return estimate("macro_f1", labels.astype(float), raw / raw.sum(axis=1, keepdims=True), None, LEVEL)

    return draw


def shares_in_clusters(count: int, share: float = 0.9) -> Callable[[Rng], Found]:
    def draw(rng: Rng) -> Found:
        codes = np.repeat(np.arange(count), 40)
        right = rng.random(len(codes)) < rng.beta(20 * share, 20 * (1 - share), count)[codes]
        measure = Measure("accuracy")
        rows = scored(measure, np.ones(len(codes)), np.where(right, 0.9, 0.1), None, codes)
        found = assess(measure, rows, 0.95, Bootstrap(100)).found
        return found.low, found.high

    return draw


def f1_in_clusters(count: int) -> Callable[[Rng], Estimate]:
    def draw(rng: Rng) -> Estimate:
        codes = np.repeat(np.arange(count), 60)
        labels = (rng.random(len(codes)) < 0.3) * 1.0
        ours = np.clip(0.35 + 0.3 * labels + rng.normal(0, 0.2, len(codes)), 0, 1)
        flips = 0.15 * rng.exponential(size=count)[codes]
        theirs = np.where(rng.random(len(codes)) < flips, 1 - ours, ours)
        return paired_difference("f1", labels, ours, theirs, codes, LEVEL)

    return draw


def recipes(candidate: float, production: float, seeds: int = 5) -> Callable[[Rng], Found]:
    aim, zeros = Aim(Measure("mae"), None, 0.1, 0.1), np.zeros(300)

    def draw(rng: Rng) -> tuple[float, float]:
        rows = rng.normal(0, 0.2, 300)
        arms = [
            [5 + by * (rng.exponential() - 1) + rows + rng.normal(0, 0.02, 300) for _ in range(seeds)]
            for by in (candidate, production)
        ]
        holdout = Holdout(labels=zeros, inputs={})
        found = compare_recipes(aim, holdout, *arms, 0.95, Bootstrap(300)).comparison.found
        return found.low, found.high

    return draw


def welch(shape: str, ours: int, theirs: int) -> Callable[[Rng], Found]:
    effect, _ = SHAPES[shape]
    group = np.arange(ours + theirs) < ours

    def draw(rng: Rng) -> Found:
        values = effect(rng, ours + theirs)
        gap = values[group].mean() - values[~group].mean()
        one = Averaged(group / ours * (values - values[group].mean()), group / ours)
        other = Averaged(~group / theirs * (values[~group].mean() - values), ~group / theirs)
        return apart(gap, [one, other], np.arange(len(values)), 1.0, LEVEL)

    return draw


def rates(kind: str, ours: int = 100, theirs: int = 300) -> Callable[[Rng], Found]:
    def draw(rng: Rng) -> Found:
        one, other = Share(int(rng.binomial(ours, 0.3)), ours), Share(int(rng.binomial(theirs, 0.2)), theirs)
        return (difference_interval if kind == "difference" else ratio_interval)(one, other, LEVEL)

    return draw


def rates_by_cluster(kind: str, count: int) -> Callable[[Rng], Found]:
    """Two groups of whole clusters of unequal size whose rates lie around 0.3 and 0.4."""

    def draw(rng: Rng) -> Found:
        each = np.ceil(60 * np.exp(rng.normal(0, 1, 2 * count))).astype(int)
        codes, first = np.repeat(np.arange(2 * count), each), np.arange(2 * count) < count
        chance = rng.beta(9, 21, 2 * count) + np.where(first, 0.0, 0.1)
        chosen = rng.random(len(codes)) < chance[codes]
        rows = Judged(chosen, chosen, codes)
        if kind == "difference":
            return measures.clustered("selection rate", rows, ~first[codes], first[codes], 0.2, LEVEL)
        return measures.clustered_ratio(rows, ~first[codes], first[codes], 0.8, LEVEL)

    return draw


def conditional(rng: Rng) -> Found:
    strata = rng.integers(0, 12, 900)
    group = rng.random(900) < 0.2 + 0.05 * strata
    chosen = rng.random(900) < 0.1 + 0.05 * strata + 0.08 * group
    return measures.within(Judged(chosen, chosen, None), group, ~group, strata, 0.1, LEVEL)


def further(n: int, differing: float) -> Callable[[Rng], Found]:
    groups = np.arange(11 * n) < n

    def draw(rng: Rng) -> Found:
        before = rng.random(11 * n) < np.where(groups, 0.4, 0.3)
        after = before ^ ((rng.random(11 * n) < differing) & groups)
        each = cells.each(before, after, before)
        reference, mine = beside._drawn(each, groups.astype(int), [0, 1], rng)
        growth = beside._growth("selection rate", mine, reference)
        return beside._summary("", growth, 0.1, 0.95, n)

    return draw


def residuals(rng: Rng) -> Found:
    lost = np.exp(rng.normal(size=200)) - LOGNORMAL
    return measures.off_calibration(lost, np.zeros(200), None, np.ones(200, bool), 1.0, LEVEL)


def always_failing(rng: Rng) -> Found:
    found, _ = of_cases(np.where(rng.random(30) < 0.05, 0.0, rng.beta(20, 1, 30)), 0.05)
    return found.low, found.high


def paired_cases(rng: Rng) -> Found:
    gains = np.where(rng.random(60) < 0.05, -1.0, rng.choice([0.0, 0.2], 60))
    found, _ = of_cases(gains, 0.05, DIFFERENCE)
    return found.low, found.high


def votes(rng: Rng, cases: int) -> tuple[list[list[int]], list[str]]:
    """Three judges' ranks of two answers to each case, each at most one from the truth."""
    truth = np.repeat(rng.integers(1, 6, cases), 2)
    units = np.clip(truth[:, None] + rng.integers(-1, 2, (2 * cases, 3)), 1, 5)
    return units.tolist(), [f"c{place // 2}" for place in range(2 * cases)]


def judged(cases: int) -> Callable[[Rng], Found]:
    return lambda rng: jackknife(*votes(rng, cases), "ordinal", 0.05)


def column(n: int) -> Callable[[Rng], Found]:
    def draw(rng: Rng) -> Found:
        values = np.exp(rng.normal(size=n))
        down, up = reaches(0.05, n - 1.0, of_mean(float(stats.skew(values)), n))
        se = values.std(ddof=1) / math.sqrt(n)
        return values.mean() - down * se, values.mean() + up * se

    return draw


def missing(rng: Rng) -> Found:
    return share_increase((int(rng.binomial(300, 0.08)), 300), (int(rng.binomial(900, 0.05)), 900), LEVEL)[:2]


def leaking(rng: Rng) -> Found:
    """Of a feature of three values: of a continuous one bins cost a little of the area, as is said there."""
    labels = rng.random(1000) < 0.3
    values = np.where(labels, rng.choice(3, 1000, p=[0.2, 0.3, 0.5]), rng.choice(3, 1000, p=[0.5, 0.3, 0.2]))
    found = separation(values.astype(float), labels)
    return None if found is None else found.interval(0.1)


def volume(rng: Rng) -> Found:
    start = date(2026, 1, 5)
    counts = rng.poisson(1000 * np.exp(rng.normal(0, 0.1, 71)))
    days = {start + timedelta(days=i): int(counts[i]) for i in range(71)}
    found = expect(days, start + timedelta(days=70))
    assert isinstance(found, Volume)
    low, high = found.interval(0.1)
    drawn = float(counts[70])
    return drawn - high, drawn - low  # holds 0 where the day lies within


def clusters(shape: str, count: int, sizes: str) -> Callable[[Rng], Found]:
    """A paired loss whose rows share what their cluster gains."""
    effect, _ = SHAPES[shape]

    def draw(rng: Rng) -> Estimate:
        each = np.ceil(40 * np.exp(rng.normal(0, SIZES[sizes], count))).clip(1, 4000).astype(int)
        codes = np.repeat(np.arange(count), each)
        gain = 0.5 * effect(rng, count)[codes] + rng.normal(0, 1, len(codes))
        zeros = np.zeros(len(codes))
        return paired_difference("mae", zeros, zeros + 50, 50 + gain, codes, LEVEL)

    return draw


def passes(rng: Rng) -> Found:
    return clopper_pearson(int(rng.binomial(20, 0.9)), 20, 0.05)


def stopped(rng: Rng) -> Found:
    shares = (rng.random(200) < 0.9) * 1.0
    worst = max(range(20, 201, 20), key=lambda n: abs(float(shares[:n].mean()) - 0.9) * math.sqrt(n))
    return sequence(shares[:worst].tolist(), 0.1)


def stopped_gain(rng: Rng) -> Found:
    """Cases are asked until it is known whether the gain is above -0.05."""
    found = side_of(np.where(rng.random(400) < 0.05, -1.0, rng.choice([0.0, 0.2], 400)), -0.05, 0.05, 0.05)
    return found.low, found.high


def weak_slice(production: bool) -> Callable[[Rng], Found]:
    """The loss in a slice that the search finds nearly always: a third of the rows, errors twice as large."""

    def draw(rng: Rng) -> Found:
        carrier = rng.choice(["A", "B", "C"], 1500).astype(object)
        labels, error = rng.normal(size=1500), rng.normal(size=1500)
        holdout = Holdout(labels=labels, inputs={"carrier": carrier})
        ours = labels + error * np.where(carrier == "B", 2.0, 1.0)
        theirs = labels + rng.normal(size=1500) if production else None
        found = weak_slices(SliceCheck(min_rows=100), Measure("mse"), holdout, ours, theirs, 0.95)
        return next(((one.low, one.high) for one in found if one.subject == "carrier=B"), None)

    return draw


def rarest(rng: Rng) -> Found:
    return exact_interval(int(rng.binomial(200, 0.02)), 200, LEVEL)
