"""Where means lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from treadle.evaluate.data.part import Asks, Facts, Finding, Part, Sizes, Test, say
from treadle.evaluate.data.suite import WHERE, Suite
from treadle.evaluate.data.telling import numeric, ordered
from treadle.evaluate.rules import POWER, needed
from treadle.evaluate.skewness import of_mean, p_value, reaches
from treadle.evaluate.types import Planned, Verdict
from treadle.evaluate.wording import would
from treadle.kernel.scan.answers import Moments
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
        return (FindMoments(name, _middle(ends)) for name, ends in self._ends.items())

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """A test for each."""
        for name, (low, high) in self._ends.items():
            found = facts.found[FindMoments(name, _middle((low, high)))]
            allowed = f"[{low:g}, {high:g}]"
            if found.infinite:
                sentence = f"{name}: {found.infinite:,} values are infinite, so there is no mean."
                yield say("means", name, "inconclusive", sentence, n=facts.rows)
            elif found.count < 2:
                sentence = f"{name}: there are too few values to hold their mean against {allowed}."
                yield say("means", name, "inconclusive", sentence, n=facts.rows)
            else:
                yield self._mean(name, found, (low, high))

    def _mean(self, name: str, found: Moments, ends: tuple[float, float]) -> Test:
        mean, n, se = found.mean, found.count, math.sqrt(found.variance / found.count)
        tilted = of_mean(found.skewness(_middle(ends)), n)
        down, up = reaches(self._suite.alpha / 2, n - 1.0, tilted)
        low, high = mean - down * se, mean + up * se
        bound = min(ends, key=lambda end: abs(mean - end))
        beyond = not ends[0] <= mean <= ends[1]
        away = abs(mean - bound)
        statistic = math.copysign(away / se, 1 if beyond else -1) if se else math.inf if beyond else -math.inf
        below = tilted if bound == ends[0] else tilted.mirrored  # of a mean that lies below the upper end
        more = needed(n, mean - bound, se, self._suite.alpha / 2, tilted=tilted)
        return Test(
            Verdict(
                check="means",
                subject=name,
                outcome="pass",
                sentence=f"{name}: the mean is {mean:.6g} ({low:.6g} to {high:.6g}); "
                f"it must lie in [{ends[0]:g}, {ends[1]:g}]",
                hypothesis="the mean lies there",
                test="Holm-adjusted one-sample t test, one-sided; t interval; allowing for skewness",
                statistic=statistic,
                estimate=mean,
                low=low,
                high=high,
                bound=bound,
                p_value=p_value(-statistic, n - 1.0, below),
                n=n,
                n_needed=more,
            ),
            beyond=beyond,
            passes=ends[0] <= low and high <= ends[1],
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


def _middle(ends: Sequence[float]) -> float:
    """Where a mean that is as it must be lies nearby: cubes around it lose no digits."""
    there = [end for end in ends if math.isfinite(end)]
    return sum(there) / len(there) if there else 0.0
