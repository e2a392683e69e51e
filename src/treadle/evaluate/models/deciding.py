"""What comparisons with production come to: pass, warn, fail or inconclusive. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from treadle.evaluate.models.clustering import too_few
from treadle.evaluate.models.comparing import Comparison, Tested
from treadle.evaluate.models.measures import Measure
from treadle.evaluate.rules import holm, needed
from treadle.evaluate.types import Outcome, Verdict
from treadle.evaluate.wording import beside, percent, signed, size, skewed, would


class Aim(NamedTuple):
    """A metric and what is asked of it.

    Attributes:
        measure: The metric.
        bound: What it must reach by itself; None if nothing is asked.
        margin: How much worse overall still counts as no worse.
        group_margin: How much worse for a group.
        gain: What a change is worth, overall.
    """

    measure: Measure
    bound: float | None
    margin: float
    group_margin: float
    gain: float = 0.0


class Part(NamedTuple):
    """The whole or a group, by one metric.

    Attributes:
        aim: What is asked.
        subject: ``overall``, or the group.
        unit: What is sampled.
        clustered: Whether rows stand or fall together.
        comparison: The gain over production.
        noise: What is known of the noise of training, in words.
    """

    aim: Aim
    subject: str
    unit: str
    clustered: bool
    comparison: Comparison
    noise: str = ""

    @property
    def whole(self) -> bool:
        """Whether it is about all rows."""
        return self.subject == "overall"

    @property
    def too_few(self) -> str:
        """Why its clusters can't tell anything, in words; empty where they can."""
        found = self.comparison.found
        unit = self.comparison.unit or self.unit
        return too_few(found.clusters, found.df, unit) if self.clustered else ""

    @property
    def margin(self) -> float:
        """How much worse counts as no worse here."""
        return self.aim.margin if self.whole else self.aim.group_margin

    @property
    def line(self) -> float:
        """What it must surely lie below to fail."""
        return self.aim.gain if self.whole and self.aim.gain > 0 else 0.0 - self.margin


class Decision(NamedTuple):
    """What was decided of a part.

    Attributes:
        outcome: What.
        line: The line that the test was about.
        p_value: One-sided, that the gain is at least the line.
        adjusted: The same, adjusted for how many were tested.
        statistic: The test's statistic.
        more: How many units would probably have decided it.
    """

    outcome: Outcome
    line: float
    p_value: float
    adjusted: float
    statistic: float
    more: int | None = None


def decide(parts: Sequence[Part], alpha: float) -> list[Decision]:
    """What each part comes to.

    A part *passes* when the lower bound of its gain is at least -margin: all parts must, which is an
    intersection-union test, so each is tested at full level and no correction is due (Berger,
    Technometrics 24, 1982). It *fails* when it is surely worse than -margin (overall, and where a gain is
    asked for: when it surely gains less). A pass becomes a *warning* when the part is surely worse than 0.
    Otherwise it is inconclusive. At a margin of 0 a part passes unless it fails.

    What is sure is decided by Holm's procedure in two families: the whole by every metric, and the groups
    by every metric. In each the chance of any false fail is at most ``alpha``, whatever the number of
    groups; that the groups are looked at makes the whole no harder to tell.
    """
    fails = [part.comparison.below(part.line) for part in parts]
    zeros = [part.comparison.below(0.0) for part in parts]
    adjusted, at_zero = _adjusted(parts, fails), _adjusted(parts, zeros)
    decisions = []
    for i, part in enumerate(parts):
        found = part.comparison.found
        decision = Decision("pass", part.line, fails[i].p_value, adjusted[i], fails[i].statistic)
        if part.too_few:
            decision = decision._replace(outcome="inconclusive")
        elif adjusted[i] <= alpha:
            decision = decision._replace(outcome="fail")
        elif part.margin > 0 and found.low < -part.margin:
            decision = decision._replace(outcome="inconclusive", more=_more(part, alpha, family(parts, part)))
        elif part.margin > 0 and at_zero[i] <= alpha:
            decision = Decision("warn", 0.0, zeros[i].p_value, at_zero[i], zeros[i].statistic)
        decisions.append(decision)
    return decisions


def family(parts: Sequence[Part], part: Part) -> int:
    """How many are tested together with a part, itself counted."""
    return sum(other.whole == part.whole for other in parts)


def _adjusted(parts: Sequence[Part], tests: Sequence[Tested]) -> list[float]:
    """Holm's p-values, the whole and the groups apart."""
    found = [0.0] * len(parts)
    for whole in (True, False):
        places = [i for i, part in enumerate(parts) if part.whole == whole]
        for i, p_value in zip(places, holm([tests[i].p_value for i in places]), strict=True):
            found[i] = p_value
    return found


def _more(part: Part, alpha: float, tested: int) -> int | None:
    """By whichever decision comes first: no worse than -margin, or worse than what fails."""
    found = part.comparison.found
    ways = [(found.value + part.margin, alpha if found.value > -part.margin else alpha / tested)]
    if part.line > -part.margin and found.value < part.line:
        ways.append((found.value - part.line, alpha / tested))
    df = found.df if part.clustered else math.inf
    sizes = [needed(found.clusters, distance, found.se, level, df, found.tilt) for distance, level in ways]
    return min((number for number in sizes if number), default=None)


def verdict(part: Part, decision: Decision, confidence: float, baseline: str, tested: int) -> Verdict:
    """The decision as a verdict.

    Args:
        part: The part.
        decision: What was decided of it.
        confidence: Of each one-sided bound.
        baseline: What it was compared with.
        tested: How many were tested together with it.
    """
    found, metric = part.comparison.found, part.aim.measure.metric
    lower = "below" if part.line > -part.margin else "worse than"
    holm_adjusted = f", Holm-adjusted over {tested} tests" if tested > 1 else ""
    return Verdict(
        check="no_worse",
        subject=part.subject,
        metric=metric,
        outcome=decision.outcome,
        sentence=_sentence(part, decision, confidence, baseline),
        hypothesis=f"the gain in {metric} is at least -{part.margin:g} (to pass) or {lower} {part.line:g}"
        f"{holm_adjusted} (to fail), one-sided at confidence {confidence:g}"
        if part.margin > 0
        else f"the gain in {metric} isn't {lower} {part.line:g}{holm_adjusted}, "
        f"one-sided at confidence {confidence:g}",
        estimate=found.value,
        low=found.low,
        high=found.high,
        bound=-part.margin,
        p_value=decision.p_value,
        adjusted=decision.adjusted if tested > 1 else None,
        test=part.comparison.test,
        statistic=decision.statistic,
        n=found.clusters,
        n_needed=decision.more,
        unit=part.comparison.unit or part.unit,
        groups=() if part.whole else (part.subject,),
    )


def _sentence(part: Part, decision: Decision, confidence: float, baseline: str) -> str:
    found, margin, outcome = part.comparison.found, part.margin, decision.outcome
    on, sure = size(found, part.comparison.unit or part.unit), percent(confidence)
    effect = f"{part.subject}: {part.aim.measure.metric} is {beside(found.value)} {baseline}'s"
    interval = f" (a gain between {signed(found.low)} and {signed(found.high)})"
    at_least = f"with {sure} confidence the gain is at least {signed(found.low)}, on {on}"
    if part.too_few:
        rest = f"; {on} {part.too_few}"
    elif outcome == "warn":
        rest = f", surely (p {_p(decision.adjusted)}) and within the {margin:g} allowed: {at_least}"
    elif outcome == "fail":
        worth = f" (a change is worth {part.aim.gain:g})" if decision.line > 0 else ""
        rest = f"; with {sure} confidence the gain is at most {signed(found.high)}{worth}, on {on}"
    elif outcome == "inconclusive":
        rest = f"{interval}: {on} can't tell whether it lost more than the {margin:g} allowed"
        rest += would(decision.more)
    elif margin == 0 and found.low < 0:
        rest = f", not significantly worse (p {_p(decision.adjusted)}): {at_least}"
    else:
        rest = f"; {at_least}"
    rare = ("rare large losses", "rare large gains")
    tilted = "" if part.too_few else skewed(found, confidence, part.comparison.unit or part.unit, rare)
    more = "; ".join(text for text in (tilted, part.comparison.detail, part.noise) if text)
    return f"{effect}{rest}{f'; {more}' if more else ''}."


def _p(value: float) -> str:
    return f"= {value:.2g}" if value >= 0.0001 else "< 0.0001"
