"""Whether columns are distributed as before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate.data.part import NEGLIGIBLE, Asks, Facts, Finding, Part, Sizes, Test, say
from treadle.evaluate.data.schema import group_of
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.distributions import (
    BINS,
    MAX_VALUES,
    bin_edges,
    pool_bins,
    psi,
    psi_detectable,
    psi_p_value,
)
from treadle.evaluate.rules import POWER
from treadle.evaluate.types import Planned, Verdict
from treadle.kernel.scan.answers import Sample, Scalar
from treadle.kernel.scan.asks import CountBins, CountValues, SampleRows
from treadle.kernel.scan.columns import Column, Columns

SAMPLE = 200_000
"""So many rows of the reference stand for it: chance then moves the index by 0.0001."""

_LEVELS = [i / BINS for i in range(1, BINS)]


class Reference(msgspec.Struct, frozen=True):
    """How a column was distributed.

    Attributes:
        ask: Counts rows in the same bins.
        counts: Rows of the reference in each, those of other values and missing ones last.
    """

    ask: CountBins | CountValues
    counts: tuple[int, ...]


def reference_of(column: Column, values: npt.NDArray[Any], *, categories: bool = False) -> Reference:
    """Bins for a column, and the reference's rows in them.

    Numbers have ten bins between quantiles, or a bin a value where there are at most 50; texts have their
    50 most frequent values and the rest. Missing values are a bin of their own.

    Args:
        column: The column.
        values: Its values in the reference, as samples have them.
        categories: Whether each value of a number counts by itself.
    """
    if column.kind == "text" or categories:
        return _of_categories(column, values)
    there = values[~np.isnan(values)]
    finite = there[np.isfinite(there)]
    distinct = np.unique(finite)
    quantiles = np.quantile(finite, _LEVELS, method="inverted_cdf").tolist() if len(finite) else []
    edges = tuple(bin_edges(distinct.tolist(), quantiles))
    tally = np.bincount(np.searchsorted(edges, there), minlength=len(edges) + 1).tolist()
    return Reference(CountBins(column.name, edges), (*tally, len(values) - len(there)))


def _of_categories(column: Column, values: npt.NDArray[Any]) -> Reference:
    if values.dtype == object:
        there = [value for value in values.tolist() if value is not None]
    else:
        there = [_typed(column, value) for value in values[~np.isnan(values)].tolist()]
    ranked = sorted(Counter(there).items(), key=lambda one: (-one[1], one[0]))
    named = ranked[:MAX_VALUES]
    counts = [count for _, count in named]
    ask = CountValues(column.name, tuple(value for value, _ in named))
    return Reference(ask, (*counts, len(there) - sum(counts), len(values) - len(there)))


def _typed(column: Column, value: float) -> Scalar:
    if column.kind == "boolean":
        return bool(value)
    return int(value) if column.kind == "integer" else value


def _counted(facts: Facts, ask: CountBins | CountValues) -> tuple[int, ...]:
    if isinstance(ask, CountBins):
        bins = facts.found[ask]
        return (*bins.counts, bins.missing)
    values = facts.found[ask]
    return (*values.counts, values.other, values.missing)


def sample_ask(names: Sequence[str]) -> SampleRows:
    """What is asked of the reference."""
    return SampleRows(tuple(names), SAMPLE)


def comparable(names: Sequence[str], columns: Columns, before: Columns) -> list[str]:
    """Those of some columns whose distributions can be compared: numbers and texts, of one kind in both."""
    return [
        name
        for name in dict.fromkeys(names)
        if name in columns
        and name in before
        and group_of(columns[name]) in {"numbers", "text"}
        and group_of(columns[name]) == group_of(before[name])
    ]


class Drift(Part):
    """The distribution of each column is that of the reference, but for what is allowed.

    Args:
        suite: The suite.
        columns: The data's columns.
        names: The columns to look at; see :func:`comparable`.
        sample: Rows of the reference.
        check: What the verdicts are called.
        categories: Whether each value of a number counts by itself.
    """

    def __init__(
        self,
        suite: Suite,
        columns: Columns,
        names: Sequence[str],
        sample: Sample | None,
        *,
        check: str = "drift",
        categories: bool = False,
    ) -> None:
        self._suite, self._check, self._names = suite, check, list(names)
        self._references: Mapping[str, Reference] = {
            name: reference_of(columns[name], sample.columns[name], categories=categories)
            for name in self._names
            if sample is not None and sample.drawn
        }

    def asks(self) -> Asks:
        """The rows in the reference's bins."""
        return (one.ask for one in self._references.values())

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A test for each column."""
        for name, reference in self._references.items():
            yield self._moved(name, reference.counts, _counted(facts, reference.ask))

    def _moved(self, name: str, before: Sequence[int], after: Sequence[int]) -> Finding:
        then, now = pool_bins(before, after)
        n, m = sum(after), sum(before)
        different = sum(old + new > 0 for old, new in zip(before, after, strict=True))
        if len(then) < 2 <= different:
            few = f"{name}: {min(n, m):,} rows are too few to compare {different} bins"
            return say(self._check, name, "inconclusive", f"{few}; {5 * different:,} would do.", n=n)
        index = psi(then, now) if len(then) > 1 else 0.0
        bound = self._suite.checks.max_drift
        scale = 1 / n + 1 / m
        return Test(
            Verdict(
                check=self._check,
                subject=name,
                outcome="pass",
                sentence=f"{name}: its distribution moved by {index:.3g} (population stability index); "
                f"{bound:.3g} is allowed",
                hypothesis="the distribution has not moved",
                test=f"Holm-adjusted chi-square of the stability index, {max(len(then) - 1, 0)} degrees of "
                "freedom",
                statistic=index / scale,
                estimate=index,
                bound=bound,
                p_value=psi_p_value(index, m, n, len(then)),
                n=n,
            ),
            beyond=index > bound,
            passes=index <= bound,
            notable=index >= NEGLIGIBLE * bound,
            doubt=f", but {n:,} rows can't tell that from chance",
        )

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The move that can be detected of each column."""
        bound, rows = self._suite.checks.max_drift, sizes.rows
        before = min(sizes.before or 0, SAMPLE)
        found = None
        if rows and before:
            level = self._suite.alpha / max(sizes.tests, 1)
            found = psi_detectable(before, rows, BINS + 1, level, POWER)
        can = f"; a move by {found:.3g} would be found" if found is not None else ""
        for name in self._names:
            yield Planned(
                check=self._check,
                subject=name,
                hypothesis="the distribution has not moved",
                sentence=f"{name}: its distribution moved by at most {bound:.3g} (population stability "
                f"index), in {rows:,} rows beside {before:,}{can}.",
                n=rows,
                detectable=found,
                enough=None if found is None else found <= bound,
            )
