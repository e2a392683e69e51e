"""Whether the columns are there, of the right type, and enough rows of them."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.evaluate.data.part import Asks, Facts, Finding, Part, Sizes, say, sure
from treadle.evaluate.data.suite import WHERE, Suite
from treadle.evaluate.types import Planned, Verdict
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.kernel.scan.asks import CountRows
from treadle.kernel.scan.columns import TYPES, Column, Columns


class Schema(Part):
    """Columns by name, type and order; holds also where there are no rows."""

    def __init__(self, suite: Suite, columns: Columns, before: Columns | None) -> None:
        self._suite, self._columns, self._before = suite, columns, before
        for name, kind in suite.checks.types.items():
            if not known_type(kind):
                raise InvalidInput(
                    f"there is no type {kind!r} ({name})",
                    where=f"{WHERE} types",
                    fix=did_you_mean(kind, TYPES),
                )

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A verdict for each column that isn't as it should be, or one for all."""
        del facts  # the columns say it
        yield from self._there()
        yield from self._typed()
        if self._before is not None:
            yield from self._same(self._before)

    def _there(self) -> Iterator[Verdict]:
        modelled, columns = self._suite.modelled, self._columns
        wanted = dict.fromkeys([*modelled, *self._suite.checks.types])
        missing = [name for name in wanted if name not in columns]
        for name in missing:
            hint = did_you_mean(name, columns)
            sentence = f"Column {name!r} is missing{f' ({hint})' if hint else ''}."
            yield say("schema", name, "fail", sentence)
        if self._suite.checks.extra == "refuse":
            for name in columns:
                if name not in {*wanted, self._suite.key, self._suite.time}:
                    yield say("schema", name, "fail", f"Column {name!r} is not expected.")
        if not missing and wanted:
            yield say("schema", "columns", "pass", self._all_there())

    def _all_there(self) -> str:
        features, label = len(self._suite.columns), self._suite.label
        if not self._suite.modelled:
            return f"The {len(self._suite.checks.types)} declared columns are there."
        named = f"{features} feature{'s' * (features != 1)}"
        return f"The {named} and the label {label!r} are there." if label else f"The {named} are there."

    def _typed(self) -> Iterator[Verdict]:
        types, columns = self._suite.checks.types, self._columns
        there = [name for name in types if name in columns]
        wrong = [name for name in there if not is_a(columns[name], types[name])]
        for name in wrong:
            sentence = f"Column {name!r} is {columns[name].type}, not {types[name]}."
            yield say("types", name, "fail", sentence)
        if there and not wrong:
            yield say("types", "columns", "pass", f"All {len(there)} declared types are right.")
        if self._suite.checks.ordered and there:
            found = [name for name in columns if name in types]
            first = next((name for name, other in zip(there, found, strict=True) if name != other), None)
            sentence = "The declared columns come in order."
            if first is not None:
                sentence = f"Column {first!r} is not in its place: the order is {', '.join(found)}."
            yield say("order", "columns", "fail" if first else "pass", sentence)

    def _same(self, before: Columns) -> Iterator[Verdict]:
        """A column that was numbers and is text now is another column, whatever its name."""
        for name in self._suite.modelled:
            if name in self._columns and name in before:
                now, then = self._columns[name], before[name]
                if group_of(now) != group_of(then):
                    yield say(
                        "schema",
                        name,
                        "fail",
                        f"Column {name!r} is {_told(now)} and was {_told(then)} in the reference.",
                    )

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The columns."""
        count = len(dict.fromkeys([*self._suite.modelled, *self._suite.checks.types]))
        if count:
            yield sure("schema", "columns", f"{count} columns are there and hold the right kind", sizes)


class MinRows(Part):
    """Whether there are enough rows; holds also where there are none."""

    def __init__(self, suite: Suite) -> None:
        self._least = suite.checks.min_rows

    def asks(self) -> Asks:
        """Their number."""
        return (CountRows(),)

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """One verdict."""
        yield say(
            "min_rows",
            "rows",
            "pass" if facts.rows >= self._least else "fail",
            f"There are {facts.rows:,} rows; at least {self._least:,} are needed.",
            estimate=float(facts.rows),
            bound=float(self._least),
            n=facts.rows,
        )

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The bound."""
        yield sure("min_rows", "rows", f"there are at least {self._least:,} rows", sizes)


def _told(column: Column) -> str:
    group = group_of(column)
    return group if group == column.type else f"{group} ({column.type})"


def known_type(kind: str) -> bool:
    """Whether a type can be declared."""
    return kind in TYPES or kind.startswith("decimal(")


def is_a(column: Column, kind: str) -> bool:
    """Whether a column is of a declared kind or type; whole numbers are numbers."""
    if kind == "number":
        return column.is_number
    return kind in {column.kind, column.type}


def group_of(column: Column) -> str:
    """What a column holds: numbers of any size are one group, and so are booleans for a model."""
    if column.is_number or column.kind == "boolean":
        return "numbers"
    if column.is_time or column.kind == "time":
        return "times"
    return "text" if column.kind == "text" else column.type
