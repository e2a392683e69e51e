"""Which parameters a metric depends on, over many runs, and how sure that is. Pure.

The method: a random forest learns the metric from the parameters, and the variance of what it
learnt is divided among them (:mod:`treadle.experiment.forest`). Three things keep it honest:

- *explained*: the share of the metric's variance that the forest predicts for runs it was not
  shown (out of bag). Where that is near nothing, no importance is given: it would be noise.
- *intervals*: the forest is grown in bags of trees, each on its own bootstrap of the runs; the
  spread between bags, less the spread that few trees in a bag cause, is the standard error
  (bootstrap of little bags: Sexton and Laake, 2009; Athey, Tibshirani and Wager, 2019).
- *chance*: each bag also has a shuffled copy of one parameter, which can't matter; what that
  gets is what chance gives (Kursa and Rudnicki, "Boruta", 2010).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from treadle.experiment import forest
from treadle.experiment.columns import Column, categories, category, columns
from treadle.experiment.comparison import Importance, NoImportance, ParamImportance
from treadle.experiment.forest import Floats, Ints
from treadle.experiment.types import Run, Scalar

LEAST_RUNS = 20
LEAST_EXPLAINED = 0.1
_BAGS, _TREES = 24, 4
_BINS = 24
_T = 2.07  # Student's t for 95 % and 23 degrees of freedom
_LARGEST = 5_000


def importance(
    runs: Sequence[Run], metric: str, seed: int = 0, params: Sequence[str] | None = None
) -> Importance:
    """How much of a metric each parameter accounts for.

    Args:
        runs: The runs; those without the metric, or with one that isn't finite, are passed over. Of more
            than 5,000 a random 5,000 are looked at.
        metric: The metric.
        seed: Of what is drawn by chance: the same runs and seed give the same answer.
        params: Only these; every parameter that varies by default.
    """
    random = np.random.default_rng(seed)
    usable = [run for run in runs if math.isfinite(run.metrics.get(metric, math.nan))]
    if len(usable) > _LARGEST:
        usable = [usable[place] for place in np.sort(random.permutation(len(usable))[:_LARGEST])]
    found, ignored = _varying([run.params for run in usable], params)
    none = _too_little(len(usable), len(found), {run.metrics[metric] for run in usable})
    if none is not None:
        reason, sentence = none
        return Importance(metric=metric, runs=len(usable), reason=reason, sentence=sentence, ignored=ignored)
    y, fenced = _fenced(np.array([float(run.metrics[metric]) for run in usable]))
    explained, alone, total = _forest([_bins(one) for one in found], y, random)
    if explained < LEAST_EXPLAINED:
        return Importance(
            metric=metric,
            runs=len(usable),
            explained=explained,
            fenced=fenced,
            ignored=ignored,
            reason="unexplained",
            sentence=f"the parameters predict {max(explained, 0):.0%} of the variance of {metric} in runs "
            f"that the model wasn't shown: too little to say which of them matter. More runs, or wider "
            f"ranges, may show it; or it is noise",
        )
    ranked, chance = _ranked(found, alone, total, y)
    clear = [one.name for one in ranked if one.clear]
    said = (
        f"{', '.join(clear[:3])} matter{'s' if len(clear) == 1 else ''} most" if clear else "none stands out"
    )
    return Importance(
        metric=metric,
        runs=len(usable),
        explained=explained,
        params=ranked,
        chance=chance,
        fenced=fenced,
        ignored=ignored,
        sentence=f"{said}; the parameters explain {explained:.0%} of {metric} over {len(usable):,} runs",
    )


def _too_little(runs: int, params: int, values: set[float]) -> tuple[NoImportance, str] | None:
    if runs < LEAST_RUNS:
        return "too_few_runs", f"{runs} runs have the metric; fewer than {LEAST_RUNS} can't tell importance"
    if not params:
        return "nothing_varies", "the runs don't differ in any parameter"
    if len(values) == 1:
        return "metric_constant", "the metric is the same in every run"
    return None


def _varying(
    params: Sequence[Mapping[str, Scalar]], wanted: Sequence[str] | None
) -> tuple[list[Column], dict[str, str]]:
    """The columns to look at; and those passed over, with the reason."""
    found, ignored = [], {}
    for column in columns(params):
        if wanted is not None and column.name not in wanted:
            continue
        if column.kind == "category" and column.distinct > max(_BINS, len(params) / 2):
            ignored[column.name] = "nearly every run has a value of its own"
        else:
            found.append(column)
    return found, ignored


def _fenced(y: Floats) -> tuple[Floats, int]:
    """The metric with its far outliers moved to Tukey's outer fences; and how many were moved.

    One run whose loss went to 1e9 would otherwise be all that there is to explain.
    """
    low, high = np.quantile(y, (0.25, 0.75))
    if high > low:
        fences = (low - 3 * (high - low), high + 3 * (high - low))
        fenced = np.clip(y, *fences)
        return fenced, int((fenced != y).sum())
    return y, 0


def _bins(column: Column) -> tuple[Ints, int, bool]:
    """A column in bins: how many there are, and whether they are in order.

    Numbers have bins of equal counts, and what has no value is in the last; rare categories share one.
    """
    if column.kind == "category":
        kept = {name: place for place, name in enumerate(categories(column, _BINS - 1))}
        codes = [kept.get(category(value), len(kept)) for value in column.values]
        return np.array(codes, np.int64), max(codes) + 1, False
    values = np.array([math.nan if value is None else float(value) for value in column.values])
    there = np.isfinite(values)
    known = np.unique(values[there])
    if len(known) <= _BINS - 1:
        edges = known[1:]
    else:
        edges = np.unique(np.quantile(values[there], np.linspace(0, 1, _BINS)[1:-1]))
    bins = np.searchsorted(edges, values, side="right")
    bins[~there] = len(edges) + 1
    return bins.astype(np.int64), len(edges) + 1 + int((~there).any()), True


def _forest(
    columns: list[tuple[Ints, int, bool]], y: Floats, random: np.random.Generator
) -> tuple[float, Floats, Floats]:
    """What the forest explains out of bag, and each tree's effects; shape (bags, trees, columns + shadow)."""
    rows, count = len(y), len(columns)
    leaf = max(3, rows // 64)
    predicted, seen = np.zeros(rows), np.zeros(rows)
    alone = np.zeros((_BAGS, _TREES, count + 1))
    total = np.zeros_like(alone)
    for bag in range(_BAGS):
        bins, size, ordered = columns[bag % count]
        drawn = random.integers(0, rows, rows)
        data = forest.table([*columns, (random.permutation(bins), size, ordered)], drawn)
        left_out = np.setdiff1d(np.arange(rows), drawn)
        for number in range(_TREES):
            tree = forest.grow(data, drawn, y, leaf, random)
            first, every, whole = forest.effects(tree, data.weights)
            if whole > 0:
                alone[bag, number], total[bag, number] = first / whole, every / whole
            predicted[left_out] += tree.predict(data.bins[left_out])
            seen[left_out] += 1
    known = seen > 0
    errors = y[known] - predicted[known] / seen[known]
    return 1 - float(errors @ errors) / float(((y[known] - y[known].mean()) ** 2).sum()), alone, total


def _ranked(
    found: Sequence[Column], alone: Floats, total: Floats, y: Floats
) -> tuple[list[ParamImportance], float]:
    """The parameters, the most important first, and what chance gives one that can't matter."""
    shares, errors = _little_bags(total)
    by_chance = total[:, :, -1].mean(axis=1)
    chance = float(by_chance.mean() + 2 * by_chance.std(ddof=1))
    made = []
    for place, column in enumerate(found):
        share, error = float(shares[place]), float(errors[place])
        made.append(
            ParamImportance(
                name=column.name,
                share=share,
                low=max(0.0, share - _T * error),
                high=min(1.0, share + _T * error),
                alone=float(alone[:, :, place].mean()),
                correlation=_correlation(column, y),
                clear=share > chance and share - error > float(by_chance.mean()),
            )
        )
    return sorted(made, key=lambda one: (-one.share, one.name)), chance


def _little_bags(shares: Floats) -> tuple[Floats, Floats]:
    """The mean over all trees, and its standard error over other runs of the same search."""
    bags = shares.mean(axis=1)
    within = shares.var(axis=1, ddof=1).mean(axis=0) / shares.shape[1]
    between = bags.var(axis=0, ddof=1)
    return bags.mean(axis=0), np.sqrt(np.maximum(between - within, between / 10))


def _correlation(column: Column, y: Floats) -> float | None:
    """Spearman's rank correlation with the metric; None for categories."""
    if column.kind == "category":
        return None
    values = np.array([math.nan if value is None else float(value) for value in column.values])
    there = np.isfinite(values)
    a, b = _ranks(values[there]), _ranks(y[there])
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Ranks, ties at their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    found: Floats = (ends - (counts - 1) / 2)[places]
    return found
