"""The label: it has classes to learn, and enough rows of each."""

from __future__ import annotations

import math
from collections.abc import Iterator

from treadle.evaluate.data.part import Asks, Facts, Finding, Part, Sizes, Test, say
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.data.telling import tell
from treadle.evaluate.models.proportions import exact_interval
from treadle.evaluate.rules import POWER, needed
from treadle.evaluate.types import Planned, Verdict
from treadle.evaluate.wording import percent, would
from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.asks import CountMissing, CountWhere, FindTop
from treadle.kernel.scan.columns import Column, Columns

MOST_CLASSES = 1000
"""A label of more values than this has no classes."""


def label_parts(suite: Suite, columns: Columns) -> list[Part]:
    """The check of the label, if it is there and has classes."""
    if not suite.label or suite.label not in columns or suite.task in {"regression", "ranking"}:
        return []
    column = columns[suite.label]
    return [Binary(suite, column) if suite.task == "binary" else Classes(suite, column)]


class Binary(Part):
    """A label of two classes, 0 and 1 or false and true, neither of them too rare."""

    def __init__(self, suite: Suite, column: Column) -> None:
        self._suite, self._name = suite, column.name
        self._asks: tuple[CountWhere, CountWhere] | None = None
        if column.is_number or column.kind == "boolean":
            values = (True, False) if column.kind == "boolean" else (1, 0)
            one, zero = (CountWhere(ex.Compare("=", ex.Name(column.name), ex.Value(v))) for v in values)
            self._asks = one, zero

    def asks(self) -> Asks:
        """How many labels are true, how many false."""
        yield CountMissing(self._name)
        yield from self._asks or ()

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """Whether there are two classes, and the test of the rarer one's share."""
        name, known = self._name, facts.rows - facts.found[CountMissing(self._name)].count
        true, false = (facts.found[ask].true for ask in self._asks) if self._asks else (0, 0)
        if true + false < known:
            other = known - true - false
            sentence = f"{name}: {other:,} of {known:,} labels are neither 0 nor 1 (false nor true)."
            yield say("label", name, "fail", sentence, n=known)
            return
        rarer, bound = min(true, false), self._suite.checks.min_class_share
        if known and not rarer:
            sentence = f"{name}: all {known:,} labels are {int(true > 0)}; there is nothing to learn."
            yield say("label", name, "fail", sentence, n=known)
        elif known and bound is not None:
            yield class_share(name, "the rarer class", (rarer, known), bound, self._suite, 1)

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The share."""
        yield from _planned(self._name, "the rarer class", self._suite, sizes)


class Classes(Part):
    """A label of several classes, none of them too rare."""

    def __init__(self, suite: Suite, column: Column) -> None:
        self._suite, self._name = suite, column.name

    def asks(self) -> Asks:
        """The classes and their rows."""
        return (FindTop(self._name, MOST_CLASSES),)

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """Whether there are classes, and the test of the rarest one's share: if it has enough, all have."""
        found, name = facts.found[FindTop(self._name, MOST_CLASSES)], self._name
        known = sum(found.counts.values()) + found.other
        if not known:
            yield say("label", name, "inconclusive", f"{name}: no row has a label.", n=facts.rows)
            return
        if found.other:
            sentence = f"{name}: the label has more than {MOST_CLASSES:,} values: they can't be classes."
            yield say("label", name, "fail", sentence, n=known)
            return
        if len(found.counts) == 1:
            only = tell(list(found.counts))
            sentence = f"{name}: all {known:,} labels are {only}; there is nothing to learn."
            yield say("label", name, "fail", sentence, n=known)
            return
        classes = len(found.counts)
        yield say("label", name, "pass", f"{name}: there are {classes:,} classes.", n=known)
        bound = self._suite.checks.min_class_share
        if bound is not None:
            rarest, count = list(found.counts.items())[-1]
            called = f"the rarest of {classes:,} classes, {tell([rarest])},"
            yield class_share(name, called, (count, known), bound, self._suite, classes)

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The share."""
        yield from _planned(self._name, "the rarest class", self._suite, sizes)


def class_share(
    label: str, called: str, counted: tuple[int, int], bound: float, suite: Suite, classes: int
) -> Test:
    """The test of a class's share: the interval of the rarest decides for all, its p-value is for all."""
    count, known = counted
    share, (low, high) = count / known, exact_interval(count, known, suite.confidence)
    null = math.sqrt(bound * (1 - bound) / known)
    statistic = (share - bound) / null if null else math.inf
    from scipy.special import ndtr

    more = needed(known, share - bound, math.sqrt(share * (1 - share) / known), suite.alpha / 2)
    return Test(
        Verdict(
            check="min_class_share",
            subject=label,
            outcome="pass",
            sentence=f"{label}: {called} is {percent(share)} of the labels ({percent(low)} to "
            f"{percent(high)}); at least {percent(bound)} is needed",
            hypothesis=f"{called.rstrip(',')} is at least {percent(bound)} of the labels",
            test="Holm-adjusted score test of a share, one-sided; Clopper and Pearson's interval",
            statistic=statistic,
            estimate=share,
            low=low,
            high=high,
            bound=bound,
            p_value=min(1.0, classes * float(ndtr(statistic))),
            n=known,
            n_needed=more,
        ),
        beyond=share < bound,
        passes=low >= bound,
        doubt=f"; {known:,} rows can't tell{would(more)}",
    )


def _planned(label: str, called: str, suite: Suite, sizes: Sizes) -> Iterator[Planned]:
    bound = suite.checks.min_class_share
    if bound is None:
        return
    from scipy.special import ndtri

    level = suite.alpha / max(sizes.tests, 1)
    reach = float(ndtri(1 - level) + ndtri(POWER)) * math.sqrt(bound * (1 - bound) / max(sizes.rows, 1))
    yield Planned(
        check="min_class_share",
        subject=label,
        hypothesis=f"{called} is at least {percent(bound)} of the labels",
        sentence=f"{label}: {called} is at least {percent(bound)}, in {sizes.rows:,} rows; a share "
        f"{percent(reach)} below that would be found.",
        n=sizes.rows,
        detectable=reach,
        enough=reach <= bound,
    )
