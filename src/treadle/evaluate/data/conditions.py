"""What must hold in every row: ranges, sets, patterns and conditions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from treadle.evaluate.data.part import Asks, Facts, Finding, Part, Sizes, say, sure
from treadle.evaluate.data.suite import WHERE, Suite
from treadle.evaluate.data.telling import numeric, ordered, plain, tell, typed
from treadle.evaluate.holdout import require
from treadle.evaluate.types import Planned, Verdict
from treadle.evaluate.wording import percent
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.answers import Extent
from treadle.kernel.scan.asks import CountWhere, FindExtent
from treadle.kernel.scan.columns import Columns
from treadle.kernel.scan.patterns import portable
from treadle.kernel.scan.port import Row
from treadle.kernel.scan.reading import read

Examples: TypeAlias = Callable[[ex.Expression, Sequence[str], int], list[Row]]
"""Gives values of some columns in rows for which a condition doesn't hold."""

_SHOWN = 3


class Rule(msgspec.Struct, frozen=True):
    """What must hold in every row.

    Attributes:
        check: Which key says it.
        subject: The column, or the condition's name.
        that: What.
        allowed: The share of rows that may break it.
        column: The column that it is about, if it is about one.
        many: How many values are allowed, of ``values``.
        ends: What is allowed, of ``ranges``.
        written: As it was written.
    """

    check: str
    subject: str
    that: ex.Expression
    allowed: float
    column: str | None = None
    many: int = 0
    ends: tuple[float, float] = (-math.inf, math.inf)
    written: str = ""


class Rules(Part):
    """Ranges, sets, patterns and conditions: rows that break one are counted.

    Args:
        suite: The suite.
        columns: The data's columns.
        examples: Shows rows that break a condition; asked only where there are some.
    """

    def __init__(self, suite: Suite, columns: Columns, examples: Examples) -> None:
        self._suite, self._columns, self._examples = suite, columns, examples
        self._rules = [*_ranges(suite, columns), *_values(suite, columns), *_patterns(suite, columns)]
        self._rules += _conditions(suite, columns)
        named = {rule.subject for rule in self._rules} | {*suite.checks.ranges}
        unused = [name for name in suite.checks.max_violations if name not in named and name in columns]
        if unused:
            raise InvalidInput(
                f"{unused[0]!r} has no range, values, pattern or condition that could be violated",
                where=f"{WHERE} max_violations",
            )
        require(suite.checks.max_violations, [*named, *suite.modelled], f"{WHERE} max_violations")

    def asks(self) -> Asks:
        """For how many rows each holds; of ranges also from where to where the values go."""
        for rule in self._rules:
            yield CountWhere(rule.that)
            if rule.check == "ranges" and rule.column:
                yield FindExtent(rule.column)

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A verdict for each."""
        for rule in self._rules:
            yield self._verdict(rule, facts)

    def _verdict(self, rule: Rule, facts: Facts) -> Verdict:
        truth, rows = facts.found[CountWhere(rule.that)], facts.rows
        share = truth.false / rows
        extent = facts.found[FindExtent(rule.column)] if rule.check == "ranges" and rule.column else None
        if truth.unknown == rows:
            return say(rule.check, rule.subject, "inconclusive", _nothing(rule), n=rows)
        outside = f"; up to {percent(rule.allowed)} may" if rule.allowed and truth.false else ""
        shown = self._shown(rule) if truth.false else ""
        estimate, bound = (_nearest(rule, extent) if extent else None) or (share, rule.allowed)
        return say(
            rule.check,
            rule.subject,
            "fail" if share > rule.allowed else "pass",
            f"{rule.subject}: {_counted(rule, truth.false, rows, extent)}{outside}{shown}"
            f"{_untold(rule, truth.unknown)}.",
            estimate=estimate,
            bound=bound,
            n=rows,
        )

    def _shown(self, rule: Rule) -> str:
        """Some of the rows that break it, with their key."""
        names = [rule.column] if rule.column else list(ex.names(rule.that))
        key = self._suite.key
        keyed = key in self._columns and key not in names
        found = self._examples(rule.that, [*names, *([str(key)] if keyed else [])], _SHOWN)
        if not found:
            return ""
        told = []
        for row in found:
            values, rest = row[: len(names)], row[len(names) :]
            pairs = ", ".join(f"{name} {tell([value])}" for name, value in zip(names, values, strict=True))
            of = f" ({key} {tell(rest)})" if rest else ""
            told.append((tell(values) if rule.column else pairs) + of)
        return f", such as {'; '.join(dict.fromkeys(told))}"

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """Each condition."""
        for rule in self._rules:
            yield sure(rule.check, rule.subject, f"{rule.subject} keeps to `{rule.check}`", sizes)


def _nothing(rule: Rule) -> str:
    if rule.check == "ranges":
        return f"{rule.subject}: there are no values to hold against [{rule.ends[0]:g}, {rule.ends[1]:g}]."
    return f"{rule.subject}: every row misses a value that it needs."


def _counted(rule: Rule, false: int, rows: int, extent: Extent | None) -> str:
    if extent is not None:
        found = f"they go from {plain(extent.low)} to {plain(extent.high)}"
        count = f"{false:,} of {rows:,}" if false else "no"
        return f"{count} values lie outside [{rule.ends[0]:g}, {rule.ends[1]:g}]; {found}"
    if rule.check == "values":
        if not false:
            return f"all values are among the {rule.many} allowed"
        return f"{false:,} of {rows:,} values are none of the {rule.many} allowed"
    if rule.check == "patterns":
        if not false:
            return f"all values match {rule.written}"
        return f"{false:,} of {rows:,} values don't match {rule.written}"
    return f"`{rule.written}` {f'does not hold in {false:,} of' if false else 'holds in all'} {rows:,} rows"


def _untold(rule: Rule, unknown: int) -> str:
    if rule.check != "conditions" or not unknown:
        return ""
    return f"; for {unknown:,} a value is missing"


def _nearest(rule: Rule, extent: Extent) -> tuple[float, float] | None:
    """The end that is broken by most, and the bound that it breaks."""
    if not isinstance(extent.low, int | float) or not isinstance(extent.high, int | float):
        return None
    low, high = rule.ends
    return (float(extent.high), high) if extent.high > high else (float(extent.low), low)


def _ranges(suite: Suite, columns: Columns) -> Iterator[Rule]:
    where = f"{WHERE} ranges"
    for name, (low, high) in suite.checks.ranges.items():
        ordered(name, low, high, where)
        if name not in columns:
            continue
        numeric(columns[name], where)
        that = ex.between(columns[name], low, high)
        if that is None:  # open at both ends: every value that is there
            that = ex.Any(
                (ex.Compare(">=", ex.Name(name), ex.Value(0)), ex.Compare("<", ex.Name(name), ex.Value(0)))
            )
        allowed = suite.checks.max_violations.get(name, 0.0)
        yield Rule("ranges", name, that, allowed, name, ends=(low, high))


def _values(suite: Suite, columns: Columns) -> Iterator[Rule]:
    for name, listed in suite.checks.values.items():
        if name not in columns:
            continue
        allowed = tuple(dict.fromkeys(typed(columns[name], value) for value in listed))
        that: ex.Expression = ex.In(ex.Name(name), allowed) if allowed else ex.IsMissing(ex.Name(name))
        violations = suite.checks.max_violations.get(name, 0.0)
        yield Rule("values", name, that, violations, name, many=len(listed))


def _patterns(suite: Suite, columns: Columns) -> Iterator[Rule]:
    for name, pattern in suite.checks.patterns.items():
        where = f"{WHERE} patterns.{name}"
        found = portable(pattern, where)
        if name not in columns:
            continue
        if columns[name].kind != "text":
            raise InvalidInput(f"{name!r} is {columns[name].type}, and a pattern is of texts", where=where)
        allowed = suite.checks.max_violations.get(name, 0.0)
        yield Rule("patterns", name, ex.Matches(ex.Name(name), found), allowed, name, written=pattern)


def _conditions(suite: Suite, columns: Columns) -> Iterator[Rule]:
    for name, written in suite.checks.conditions.items():
        where = f"{WHERE} conditions.{name}"
        that = read(written, where)
        lacking = [one for one in ex.names(that) if one not in columns]
        if not (lacking and set(lacking) <= set(suite.modelled)):
            ex.check(that, columns, where)
            allowed = suite.checks.max_violations.get(name, 0.0)
            yield Rule("conditions", name, that, allowed, written=written)
