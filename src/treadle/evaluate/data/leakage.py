"""Whether a feature gives the label away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle.evaluate.data.part import Asks, Facts, Finding, Part, Sizes, Test, say
from treadle.evaluate.data.suite import Suite, present
from treadle.evaluate.data.univariate import Separation, separation
from treadle.evaluate.rules import POWER, hanley_mcneil
from treadle.evaluate.types import Planned, Verdict
from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.asks import CountMissing, CountWhere, SampleRows
from treadle.kernel.scan.columns import Column, Columns

SAMPLE = 100_000
"""So many rows tell an area of 0.95 to within a hundredth."""

_CLASSES = 10


class Leakage(Part):
    """No feature tells the label so well, alone, that it must know it.

    Of a label that is a number, what is told is whether it lies above its median; of several classes, each
    against the others.
    """

    def __init__(self, suite: Suite, columns: Columns) -> None:
        self._suite, self._columns = suite, columns
        self._label = suite.label if suite.label in columns else None
        self._names = [
            name for name in present(suite.columns, columns) if _usable(columns[name]) and name != suite.label
        ]
        wanted = (*self._names, self._label) if self._label else ()
        self._sample = SampleRows(tuple(map(str, wanted)), SAMPLE)

    @property
    def _same(self) -> dict[str, CountWhere]:
        """Whether a feature is the label, where they can be compared."""
        if self._label is None:
            return {}
        label = self._columns[self._label]
        return {
            name: CountWhere(ex.Compare("=", ex.Name(name), ex.Name(label.name)))
            for name in self._names
            if _alike(self._columns[name], label)
        }

    def asks(self) -> Asks:
        """Rows to learn from, and whether a feature is the label."""
        if self._names and self._label:
            yield self._sample
            yield CountMissing(self._label)
            yield from self._same.values()

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A verdict for each feature."""
        if not self._names or self._label is None:
            return
        sample, same = facts.found[self._sample], self._same
        targets = _targets(sample.columns[self._label], self._suite.task, self._columns[self._label])
        known = facts.rows - facts.found[CountMissing(self._label)].count
        for name in self._names:
            if name in same and known and facts.found[same[name]].true == known:
                sentence = f"{name} is the label: the two are equal in all {known:,} rows."
                yield say("leakage", name, "fail", sentence, n=known, estimate=1.0, bound=self._bound)
                continue
            found = [one for target in targets if (one := _told(sample.columns[name], *target)) is not None]
            if found:
                yield self._area(name, max(found, key=lambda one: one.area), len(found))
            else:
                sentence = f"{name}: too few labels of two classes to tell whether it gives the label away."
                yield say("leakage", name, "inconclusive", sentence, n=sample.drawn)

    @property
    def _bound(self) -> float:
        return float(self._suite.checks.max_feature_auc or 1.0)

    def _area(self, name: str, found: Separation, classes: int) -> Test:
        from scipy.special import ndtr

        bound, (low, high) = self._bound, found.interval(self._suite.alpha)
        statistic = found.statistic(bound)
        return Test(
            Verdict(
                check="leakage",
                subject=name,
                outcome="pass",
                sentence=f"{name} alone tells the label with an area under the ROC curve of {found.area:.4f} "
                f"({low:.4f} to {high:.4f}); above {bound:g} it is taken to give it away",
                hypothesis=f"the feature alone reaches at most {bound:g}",
                test="Holm-adjusted test of a cross-fitted area (DeLong's variance, logit), one-sided",
                statistic=statistic,
                estimate=found.area,
                low=low,
                high=high,
                bound=bound,
                p_value=min(1.0, classes * float(ndtr(-statistic))),
                n=found.rows,
            ),
            beyond=found.area > bound,
            passes=high <= bound,
            doubt=f"; {found.rows:,} rows can't tell",
        )

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The area that can be told from the bound, if half of the labels are true."""
        from scipy.special import ndtri

        bound, rows = self._bound, min(sizes.rows, SAMPLE)
        level = self._suite.alpha / max(sizes.tests, 1)
        spread = hanley_mcneil(bound, rows / 2, rows / 2) if rows else 0.0
        reach = float(ndtri(1 - level) + ndtri(POWER)) * spread
        for name in self._names if self._label else ():
            yield Planned(
                check="leakage",
                subject=name,
                hypothesis=f"{name} alone reaches an area of at most {bound:g}",
                sentence=f"{name} alone tells the label with an area of at most {bound:g}, in {rows:,} rows; "
                f"one that is {reach:.2g} larger would be found.",
                n=rows,
                detectable=reach,
                enough=reach <= 1 - bound,
            )


def _usable(column: Column) -> bool:
    return column.is_number or column.is_time or column.kind in {"boolean", "text"}


def _alike(one: Column, other: Column) -> bool:
    return one.kind == other.kind or (one.is_number and other.is_number)


def _told(values: npt.NDArray[Any], there: Any, target: Any) -> Separation | None:
    return separation(values[there], target[there])


def _targets(label: npt.NDArray[Any], task: str, column: Column) -> list[tuple[Any, Any]]:
    """What is to be told, each as the rows with a label and the truth of those."""
    if label.dtype == object:
        there = np.array([value is not None for value in label.tolist()], dtype=np.bool_)
        classes = [value for value, _ in Counter(label[there].tolist()).most_common(_CLASSES)]
        truths = [np.array([value == one for value in label.tolist()], dtype=np.bool_) for one in classes]
        return [(there, truth) for truth in (truths[:1] if len(classes) == 2 else truths)]
    there = ~np.isnan(label)
    if not there.any():
        return []
    if task == "regression" or column.type.startswith(("float", "decimal")):
        distinct = np.unique(label[there])
        if len(distinct) > 2:
            return [(there, label > np.median(label[there]))]
    values = Counter(label[there].tolist()).most_common(_CLASSES)
    truths = [label == value for value, _ in values]
    return [(there, truth) for truth in (truths[:1] if len(values) == 2 else truths)]
