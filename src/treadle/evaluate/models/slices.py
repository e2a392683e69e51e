"""The search for groups that nobody declared and for whom the candidate is weak. No I/O.

Slices are conditions on one to three columns: a value, or an interval between eighths. They are sought
by beam search on one half of the rows (of the clusters, where rows stand or fall together) and tested on
the other half, which the search has not seen, so that the tests are honest whatever was tried; Holm's
procedure allows for how many were brought to the test. Beam search over slices: Chung et al., Slice
Finder, ICDE 2019; testing on held-out data what a search has found: Cox, Biometrika 62 (1975).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from treadle.evaluate.holdout import MISSING, Holdout, require
from treadle.evaluate.models.clustering import Averaged, spread, squared, too_few
from treadle.evaluate.models.grouping import coded
from treadle.evaluate.models.inputs import Scored, numbered, scored
from treadle.evaluate.models.linear import row_values
from treadle.evaluate.models.measures import Array, Booleans, Floats, Integers, Measure
from treadle.evaluate.rules import holm
from treadle.evaluate.skewness import Sample, Tilt, p_value, reaches, tilt
from treadle.evaluate.types import Verdict
from treadle.evaluate.wording import show
from treadle.kernel.config.checks import SliceCheck

_BINS = 8
_VALUES = 20
_BEAM = 12
_TESTED = 5
_MOST = 200_000
_WITHIN = 0.8
_FURTHER = 1.5
_CLEAR = 3.0


class Column(NamedTuple):
    """A column cut into few parts.

    Attributes:
        name: The column.
        codes: The part of each row.
        edges: The ends of the parts of a numeric column; empty where parts are values.
        values: What the parts are called; of a numeric column only the missing ones, last.
    """

    name: str
    codes: Integers
    edges: tuple[float, ...]
    values: tuple[str, ...]

    @property
    def parts(self) -> int:
        """How many there are."""
        return (len(self.edges) + 1 if self.edges else 0) + len(self.values)

    def said(self, first: int, last: int) -> str:
        """A run of parts, in words."""
        ordered = len(self.edges) + 1 if self.edges else 0
        if first >= ordered:
            return f"{self.name}={self.values[first - ordered]}"
        if first == 0:
            return f"{self.name} < {self.edges[last]:g}"
        low = f"{self.edges[first - 1]:g}"
        if last == ordered - 1:
            return f"{self.name} >= {low}"
        return f"{low} <= {self.name} < {self.edges[last]:g}"


class Condition(NamedTuple):
    """A run of a column's parts.

    Attributes:
        column: Which column, by its place.
        first: The first part.
        last: The last.
    """

    column: int
    first: int
    last: int


class Found(NamedTuple):
    """A slice that the search thinks weak.

    Attributes:
        conditions: What its rows have in common.
        strength: The statistic of slice against rest, on the half that was searched.
    """

    conditions: tuple[Condition, ...]
    strength: float


def weak_slices(
    check: SliceCheck,
    measure: Measure,
    holdout: Holdout,
    candidate: npt.ArrayLike,
    production: npt.ArrayLike | None,
    confidence: float,
    seed: int = 0,
) -> list[Verdict]:
    """Slices in which the candidate is surely worse than production and than elsewhere.

    Without production: in which it is surely worse than elsewhere. What is compared is a loss a row: that
    of the metric where it has one, the squared error of probabilities or the share of wrong decisions
    otherwise. A verdict for each slice that was confirmed; all are exploratory.

    Args:
        check: Where to search, and how deep.
        measure: What the candidate is judged by.
        holdout: The rows.
        candidate: The candidate's scores.
        production: Production's; None when nothing is in production.
        confidence: That no slice is proposed where there is none.
        seed: Of the halves.

    Raises:
        InvalidInput: If the scores can't be used.
    """
    require(check.columns, holdout.inputs, "treadle.toml [checks.slices] columns")
    columns = {name: holdout.inputs[name] for name in check.columns or holdout.inputs}
    rows = scored(measure, holdout.labels, candidate, production, holdout.clusters)
    how = _per_row(measure, rows)
    if how is None or not columns:
        return []
    compared = production is not None
    weakness = _weakness(how, rows, compared=compared)
    search, confirm = _halves(rows.codes, len(weakness), seed)
    search = search[:_MOST]
    cut = [part for part in (_cut(key, values, search) for key, values in columns.items()) if part.parts > 1]
    confirming = _Confirming(how, cut, weakness, confirm, rows.codes, compared, confidence)
    return confirming.verdicts(_search(cut, weakness, search, check))


def _weakness(how: Measure, rows: Scored, *, compared: bool) -> Floats:
    """How much more is lost on each row than by production; simply how much where there is none."""
    sign = 1 if how.loss else -1
    ours, _ = row_values(how, rows.labels, rows.ours)
    if not compared:
        return sign * ours
    return sign * (ours - row_values(how, rows.labels, rows.theirs)[0])


def _per_row(measure: Measure, rows: Scored) -> Measure | None:
    """A metric that each row has by itself."""
    if measure.metric == "ndcg":
        return None
    if measure.loss or measure.metric == "top_k_accuracy":
        return measure
    if rows.ours.ndim == 2 or measure.metric != "roc_auc":
        return Measure("accuracy", measure.threshold)
    both = (rows.ours, rows.theirs)
    if any(one.min() < 0 or one.max() > 1 for one in both):
        return None
    return Measure("brier")


def _halves(codes: Integers | None, rows: int, seed: int) -> tuple[Integers, Integers]:
    """The rows to search and those to confirm on, in random order; clusters stay together."""
    generator = np.random.default_rng(seed)
    if codes is None:
        order = generator.permutation(rows)
        return order[: rows // 2], order[rows // 2 :]
    clusters = generator.permutation(int(codes.max()) + 1)
    searched = np.isin(codes, clusters[: len(clusters) // 2])
    order = generator.permutation(rows)
    return order[searched[order]], order[~searched[order]]


def _cut(name: str, values: Array, search: Integers) -> Column:
    """A column in parts: eighths of the rows that are searched, or its most frequent values."""
    mask = np.ma.getmaskarray(values)
    plain: Array = np.ma.getdata(values)
    if plain.dtype.kind in "iuf":
        numbers = plain.astype(np.float64)
        missing = mask | np.isnan(numbers)
        known = numbers[search][~missing[search]]
        if len(np.unique(known[:10_000])) > _BINS:
            edges = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS))
            codes = np.where(missing, len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
            return Column(name, codes.astype(np.intp), tuple(edges.tolist()), (MISSING,))
    whole = coded(name, values, len(values))
    sizes = np.bincount(whole.codes[search], minlength=len(whole.names))
    kept = np.argsort(-sizes, kind="stable")[:_VALUES]
    place = np.full(len(whole.names), len(kept))
    place[kept] = np.arange(len(kept))
    names = [whole.names[i] for i in kept.tolist()]
    return Column(
        name, place[whole.codes], (), (*names, *(["(others)"] if len(whole.names) > len(kept) else []))
    )


def _search(columns: Sequence[Column], weakness: Floats, search: Integers, check: SliceCheck) -> list[Found]:
    """The strongest slices that differ from one another."""
    values = weakness[search]
    codes = [column.codes[search] for column in columns]
    least = max(check.min_rows // 2, 2)
    beam: list[Found] = [Found((), 0.0)]
    everything: list[Found] = []
    for _ in range(check.depth):
        found = [one for start in beam for one in _deeper(start, columns, codes, values, least)]
        beam = sorted({one.conditions: one for one in found}.values(), key=lambda one: -one.strength)[:_BEAM]
        everything += beam
    return _different(sorted(everything, key=lambda one: -one.strength), codes, values, least)


def _deeper(
    start: Found, columns: Sequence[Column], codes: Sequence[Integers], values: Floats, least: int
) -> list[Found]:
    """A slice with one more condition, on any column that it has none on."""
    inside = _inside(start.conditions, codes)
    used = {condition.column for condition in start.conditions}
    chosen = values[inside]
    total = np.array([len(values), values.sum(), values @ values])
    found = []
    for place, column in enumerate(columns):
        if place in used:
            continue
        part = codes[place][inside]
        sums = [np.bincount(part, weights, column.parts) for weights in (None, chosen, chosen**2)]
        upto = np.concatenate([np.zeros((3, 1)), np.cumsum(sums, axis=1)], axis=1)
        for first, last in _runs(column):
            here = upto[:, last + 1] - upto[:, first]
            if here[0] < least or total[0] - here[0] < least or here[0] == len(chosen):
                continue
            strength = _statistic(here, total - here)
            if strength > start.strength:
                conditions = tuple(sorted([*start.conditions, Condition(place, first, last)]))
                found.append(Found(conditions, strength))
    return found


def _runs(column: Column) -> list[tuple[int, int]]:
    """Intervals of a numeric column (not all of it), and single values."""
    ordered = len(column.edges) + 1 if column.edges else 0
    runs = [(i, j) for i in range(ordered) for j in range(i, ordered) if (i, j) != (0, ordered - 1)]
    return runs + [(i, i) for i in range(ordered, column.parts)]


def _statistic(here: Floats, rest: Floats) -> float:
    """Welch's statistic of slice against rest, from counts, sums and sums of squares."""
    means, errors = [], []
    for n, total, squares in (here, rest):
        mean = total / n
        means.append(mean)
        errors.append(max(squares / n - mean**2, 0.0) / max(n - 1, 1))
    error = sum(errors)
    return float((means[0] - means[1]) / np.sqrt(error)) if error > 0 else 0.0


def _inside(conditions: Sequence[Condition], codes: Sequence[Integers]) -> Booleans:
    found = np.ones(len(codes[0]) if codes else 0, dtype=bool)
    for column, first, last in conditions:
        found &= (codes[column] >= first) & (codes[column] <= last)
    return found


def _different(found: Sequence[Found], codes: Sequence[Integers], values: Floats, least: int) -> list[Found]:
    """The strongest slices of which none is explained by those before it.

    What overlaps a stronger slice must be weak in its other rows too. What lies within one must be clearly
    weaker than the rest of it: half again as far from the mean, and by more than chance among many.
    """
    kept: list[Found] = []
    taken: list[Booleans] = []
    for one in found:
        rows = _inside(one.conditions, codes)
        free = ~np.any(taken, axis=0) if taken else np.ones(len(values), dtype=bool)
        outer = next((other for other in taken if (rows & other).sum() >= _WITHIN * rows.sum()), None)
        if outer is None:
            new = (rows & free).sum() >= least and _apart(values, rows & free, ~rows & free) >= _CLEAR
        else:
            excess, outer_excess = (float(values[part].mean() - values.mean()) for part in (rows, outer))
            new = excess >= _FURTHER * outer_excess and _apart(values, rows & outer, outer & ~rows) >= _CLEAR
        if new:
            kept.append(one)
            taken.append(rows)
        if len(kept) == _TESTED:
            break
    return kept


def _apart(values: Floats, here: Booleans, rest: Booleans) -> float:
    """Welch's statistic of some rows against others; 0 where there are too few."""
    if min(here.sum(), rest.sum()) < 2:
        return 0.0
    one, other = values[here], values[rest]
    return _statistic(
        np.array([len(one), one.sum(), one @ one]), np.array([len(other), other.sum(), other @ other])
    )


class _Checked(NamedTuple):
    """A slice on the half that the search hasn't seen."""

    name: str
    n: int
    here: float
    elsewhere: float
    p_value: float
    statistic: float
    low: float
    high: float


class _Confirming(NamedTuple):
    """The half of the rows that the search hasn't seen.

    Attributes:
        how: What is compared on each row.
        columns: The columns.
        weakness: How much more is lost on each row, of all rows.
        rows: The places of this half.
        codes: The cluster of each row, of all rows; None when rows are independent.
        compared: Whether there is something in production.
        confidence: That no slice is proposed where there is none.
    """

    how: Measure
    columns: Sequence[Column]
    weakness: Floats
    rows: Integers
    codes: Integers | None
    compared: bool
    confidence: float

    def verdicts(self, found: Sequence[Found]) -> list[Verdict]:
        """Those slices that are weak here too."""
        codes = [column.codes[self.rows] for column in self.columns]
        checked = []
        for one in found:
            name = ", ".join(self.columns[c.column].said(c.first, c.last) for c in one.conditions)
            inside = _inside(one.conditions, codes)
            if 2 <= inside.sum() <= len(inside) - 2:
                checked.append(self._check(name, inside))
        adjusted = holm([one.p_value for one in checked])
        return [
            self._verdict(one, p_value, len(checked))
            for one, p_value in zip(checked, adjusted, strict=True)
            if p_value <= 1 - self.confidence
        ]

    def _check(self, name: str, inside: Booleans) -> _Checked:
        """Whether the slice is worse than the rest, and (beside production) worse than production."""
        values = self.weakness[self.rows]
        clusters = None if self.codes is None else self.codes[self.rows]
        here, elsewhere = float(values[inside].mean()), float(values[~inside].mean())
        own = Averaged(np.where(inside, values - here, 0.0) / inside.sum(), inside / inside.sum())
        rest = (~inside).sum()
        other = Averaged(np.where(inside, 0.0, elsewhere - values) / rest, ~inside / rest)
        error = _error([own], inside, clusters)
        tests = [(here - elsewhere, _error([own, other], np.ones_like(inside), clusters))]
        if self.compared:
            tests.append((here, error))
        statistics = [distance / one.se if one.se > 0 else 0.0 for distance, one in tests]
        p_values = [
            p_value(-statistic, one.df, one.tilt.mirrored)
            for statistic, (_, one) in zip(statistics, tests, strict=True)
        ]
        down, up = reaches(1 - self.confidence, error.df, error.tilt)
        return _Checked(
            name,
            int(inside.sum()),
            here,
            elsewhere,
            max(p_values),
            min(statistics),
            here - down * error.se,
            here + up * error.se,
        )

    def _verdict(self, one: _Checked, adjusted: float, tested: int) -> Verdict:
        metric = self.how.metric
        unit = metric if self.how.loss else f"1 - {metric}"
        if self.compared:
            told = f"{unit} is {show(one.here)} worse than production's, and elsewhere {_more(one.elsewhere)}"
        else:
            told = f"{unit} is {show(one.here)}, and elsewhere {show(one.elsewhere)}"
        return Verdict(
            check="slice",
            subject=one.name,
            metric=metric,
            outcome="warn",
            sentence=f"{one.name}: {told}; found on half of the rows and confirmed on {one.n:,} others "
            f"(p = {adjusted:.2g}). Nobody declared this group: if it matters, say so in [checks.groups].",
            hypothesis="the candidate is no worse in the slice than elsewhere"
            + (" and than production" if self.compared else "")
            + f", one-sided, Holm-adjusted over {tested} slices that the search brought",
            estimate=one.here,
            low=one.low,
            high=one.high,
            p_value=one.p_value,
            adjusted=adjusted,
            test="t on rows that were not searched",
            statistic=one.statistic,
            n=one.n,
            groups=(one.name,),
            exploratory=True,
        )


class _Error(NamedTuple):
    """How sure a sum of averages is.

    Attributes:
        se: Its standard error; 0 where clusters are too few.
        df: Degrees of freedom of that.
        tilt: How skewed it is.
    """

    se: float
    df: float
    tilt: Tilt


def _error(parts: Sequence[Averaged], among: Booleans, clusters: Integers | None) -> _Error:
    if clusters is None:
        n = int(among.sum())
        whole = np.sum([part.deviations for part in parts], axis=0)
        own = [Sample(part.deviations[part.weights > 0]) for part in parts]
        return _Error(float(np.sqrt(n / (n - 1) * squared(whole))), n - 1.0, tilt(own))
    known = spread(parts, numbered(clusters))
    few = too_few(min(known.sizes), known.df, "clusters")
    return _Error(0.0 if few else math.sqrt(known.variance), known.df, known.tilt)


def _more(value: float) -> str:
    return f"{show(abs(value))} {'worse' if value > 0 else 'better'}"
