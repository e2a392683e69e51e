"""Where means lie."""

from __future__ import annotations

import math
from collections.abc import Iterator

from treadle.evaluate.data.part import Asks, Facts, Finding, Part, Sizes, Test, say
from treadle.evaluate.data.suite import WHERE, Suite
from treadle.evaluate.data.telling import numeric, ordered
from treadle.evaluate.rules import POWER, needed
from treadle.evaluate.types import Planned, Verdict
from treadle.evaluate.wording import would
from treadle.kernel.scan.asks import FindMoments
from treadle.kernel.scan.columns import Columns


class Means(Part):
    """Where means lie, with confidence: the rows are taken for a sample of more of their kind."""

    def __init__(self, suite: Suite, columns: Columns) -> None:
        self._suite = suite
        self._ends = {name: ends for name, ends in suite.checks.means.items() if name in columns}
        for name, (low, high) in suite.checks.means.items():
            ordered(name, low, high, f"{WHERE} means")
            if name in columns:
                numeric(columns[name], f"{WHERE} means")

    def asks(self) -> Asks:
        """Means and variances."""
        return map(FindMoments, self._ends)

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A test for each."""
        for name, (low, high) in self._ends.items():
            found = facts.found[FindMoments(name)]
            allowed = f"[{low:g}, {high:g}]"
            if found.infinite:
                sentence = f"{name}: {found.infinite:,} values are infinite, so there is no mean."
                yield say("means", name, "inconclusive", sentence, n=facts.rows)
            elif found.count < 2:
                sentence = f"{name}: there are too few values to hold their mean against {allowed}."
                yield say("means", name, "inconclusive", sentence, n=facts.rows)
            else:
                se = math.sqrt(found.variance / found.count)
                yield self._mean(name, found.mean, se, found.count, (low, high))

    def _mean(self, name: str, mean: float, se: float, n: int, ends: tuple[float, float]) -> Test:
        from scipy.special import stdtr, stdtrit

        half = float(stdtrit(n - 1, 1 - self._suite.alpha / 2)) * se
        bound = min(ends, key=lambda end: abs(mean - end))
        beyond = not ends[0] <= mean <= ends[1]
        away = abs(mean - bound)
        statistic = math.copysign(away / se, 1 if beyond else -1) if se else math.inf if beyond else -math.inf
        more = needed(n, away, se, self._suite.alpha / 2)
        return Test(
            Verdict(
                check="means",
                subject=name,
                outcome="pass",
                sentence=f"{name}: the mean is {mean:.6g} ({mean - half:.6g} to {mean + half:.6g}); "
                f"it must lie in [{ends[0]:g}, {ends[1]:g}]",
                hypothesis="the mean lies there",
                test="Holm-adjusted one-sample t test, one-sided; t interval",
                statistic=statistic,
                estimate=mean,
                low=mean - half,
                high=mean + half,
                bound=bound,
                p_value=float(stdtr(n - 1, -statistic)),
                n=n,
                n_needed=more,
            ),
            beyond=beyond,
            passes=ends[0] <= mean - half and mean + half <= ends[1],
            doubt=f"; {n:,} rows can't tell{would(more)}",
        )

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """Each mean; what can be detected depends on the spread, which isn't known yet."""
        for name, (low, high) in self._ends.items():
            yield Planned(
                check="means",
                subject=name,
                hypothesis="the mean lies there",
                sentence=f"{name}: the mean lies in [{low:g}, {high:g}], in {sizes.rows:,} rows; a distance "
                f"of {self._reach(sizes):.3g} standard deviations from an end would be found.",
                n=sizes.rows,
            )

    def _reach(self, sizes: Sizes) -> float:
        from scipy.special import ndtri

        level = self._suite.alpha / max(sizes.tests, 1)
        return float(ndtri(1 - level) + ndtri(POWER)) / math.sqrt(max(sizes.rows, 1))
