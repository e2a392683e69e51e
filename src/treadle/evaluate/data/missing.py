"""Values that are missing: as many as are allowed, and no more than before."""

from __future__ import annotations

import math
from collections.abc import Iterator

from treadle.evaluate.data.part import NEGLIGIBLE, Asks, Facts, Finding, Part, Sizes, Test, say, sure
from treadle.evaluate.data.suite import Suite, present
from treadle.evaluate.rules import POWER, share_increase
from treadle.evaluate.types import Planned, Verdict
from treadle.evaluate.wording import percent
from treadle.kernel.scan.asks import CountMissing, CountRows
from treadle.kernel.scan.columns import Columns


class Nulls(Part):
    """No more is missing than is allowed: nothing, in a column that is modelled and not named."""

    def __init__(self, suite: Suite, columns: Columns) -> None:
        self._allowed = suite.checks.max_null
        self._names = present([*suite.modelled, *self._allowed], columns)

    def asks(self) -> Asks:
        """The missing values of each column."""
        return map(CountMissing, self._names)

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A verdict for each column."""
        rows = facts.rows
        for name in self._names:
            nulls, bound = facts.found[CountMissing(name)].count, self._allowed.get(name, 0.0)
            allowed = f"up to {percent(bound)} may be" if bound else "none may be"
            yield say(
                "nulls",
                name,
                "pass" if nulls / rows <= bound else "fail",
                f"{name}: {nulls:,} of {rows:,} values ({percent(nulls / rows)}) are missing; {allowed}.",
                estimate=nulls / rows,
                bound=bound,
                n=rows,
            )

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The bound of each column."""
        for name in self._names:
            bound = self._allowed.get(name, 0.0)
            least = (
                f"at most {percent(bound)} of {name} is missing" if bound else f"nothing of {name} is missing"
            )
            yield sure("nulls", name, least, sizes)


class NullIncrease(Part):
    """No more is missing than in the reference: significantly *and* by much fails."""

    def __init__(self, suite: Suite, columns: Columns, before: Columns) -> None:
        self._suite, self._bound = suite, suite.checks.max_null_increase
        self._names = present(present([*suite.modelled, *suite.checks.max_null], columns), before)

    def asks(self) -> Asks:
        """The missing values of each column."""
        return map(CountMissing, self._names)

    def asks_before(self) -> Asks:
        """The same."""
        return (CountRows(), *map(CountMissing, self._names))

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A test for each column."""
        if facts.before is None or not facts.before[CountRows()].rows:
            return
        rows, old = facts.rows, facts.before[CountRows()].rows
        for name in self._names:
            now, then = facts.found[CountMissing(name)].count, facts.before[CountMissing(name)].count
            yield self._increase(name, (now, rows), (then, old))

    def _increase(self, name: str, now: tuple[int, int], then: tuple[int, int]) -> Test:
        low, high, p_value = share_increase(now, then, self._suite.confidence)
        share, before, bound = now[0] / now[1], then[0] / then[1], self._bound
        return Test(
            Verdict(
                check="null_increase",
                subject=name,
                outcome="pass",
                sentence=f"{name}: {percent(share)} of the values are missing, {percent(before)} were in the "
                f"reference; an increase of {percent(bound)} is allowed",
                hypothesis="the share of missing values has not grown",
                test="Holm-adjusted two-proportion z test, one-sided; Newcombe's interval",
                statistic=z_of(now, then),
                estimate=share - before,
                low=low,
                high=high,
                bound=bound,
                p_value=p_value,
                n=now[1],
            ),
            beyond=share - before > bound,
            passes=share - before <= bound,
            notable=share - before >= NEGLIGIBLE * bound,
            doubt=f", but {now[1]:,} rows can't tell that from chance",
        )

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """The increase that can be detected of each column."""
        for name in self._names:
            yield self._planned(name, sizes)

    def _planned(self, name: str, sizes: Sizes) -> Planned:
        rows, before = sizes.rows, sizes.before or 0
        found = None
        if rows and before:
            usual = self._suite.checks.max_null.get(name, 0.0) / 2
            found = detectable_increase(usual, rows, before, self._suite.alpha / max(sizes.tests, 1))
        can = f"; an increase of {percent(found)} would be found" if found is not None else ""
        return Planned(
            check="null_increase",
            subject=name,
            hypothesis="the share of missing values has not grown",
            sentence=f"{name}: at most {percent(self._bound)} more is missing than before, "
            f"in {rows:,} rows beside {before:,}{can}.",
            n=rows,
            detectable=found,
            enough=None if found is None else found <= self._bound,
        )


def z_of(now: tuple[int, int], before: tuple[int, int]) -> float:
    """The statistic of the two-proportion z test with pooled variance; 0 where nothing varies."""
    (x, n), (y, m) = now, before
    pooled = (x + y) / (n + m)
    se = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return (x / n - y / m) / se if se else 0.0


def detectable_increase(usual: float, rows: int, before: int, alpha: float) -> float:
    """The growth of a share that a one-sided z test finds with 90 % power.

    By the normal approximation, each variance at its own share, found by iterating (Fleiss, Statistical
    Methods for Rates and Proportions, 2003, ch. 4).

    Args:
        usual: The share before.
        rows: Rows now.
        before: Rows before.
        alpha: One-sided level.
    """
    from scipy.special import ndtri

    level, power = float(ndtri(1 - alpha)), float(ndtri(POWER))
    growth = 1 / rows
    for _ in range(50):
        share = min(usual + growth, 1.0)
        pooled = (share * rows + usual * before) / (rows + before)
        null = math.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / before))
        real = math.sqrt(share * (1 - share) / rows + usual * (1 - usual) / before)
        growth = level * null + power * real
    return min(growth, 1 - usual)
