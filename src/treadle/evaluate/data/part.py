"""What every check of data is made of: asks, a judgement, a plan; and how tests are judged together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from treadle.evaluate.data.suite import Suite
from treadle.evaluate.rules import holm
from treadle.evaluate.types import Outcome, Planned, Verdict
from treadle.kernel.scan.answers import Answer
from treadle.kernel.scan.asks import Answers, Ask, CountRows

NEGLIGIBLE = 0.1
"""A significant effect below this part of what is allowed is not worth a warning: with enough rows
everything is significant."""

A = TypeVar("A", bound=Answer)
Asks: TypeAlias = Iterable[Ask[Any]]


class Facts(msgspec.Struct, frozen=True):
    """What is known of the rows when they are judged.

    Attributes:
        found: The answers to what was asked of them.
        before: The answers of the reference; None without one.
        held: The answers of the held-out rows; None without them.
    """

    found: Answers
    before: Answers | None = None
    held: Answers | None = None

    def overall(self, ask: Ask[A]) -> A:
        """The answer over the rows and the held-out ones together."""
        found = self.found[ask]
        return found.merge(self.held[ask]) if self.held is not None and ask in self.held else found

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.found[CountRows()].rows


class Sizes(msgspec.Struct, frozen=True):
    """How many rows there are, for plans.

    Attributes:
        rows: Of the data.
        before: Of the reference; None without one.
        tests: How many tests share the level.
    """

    rows: int
    before: int | None
    tests: int


class Test(msgspec.Struct, frozen=True):
    """A verdict that rests on chance, before the tests of a suite are corrected for how many they are.

    Attributes:
        verdict: All but its outcome and what follows from it; its p-value is that of the effect.
        beyond: Whether the estimate lies beyond what is allowed: then it fails if it is significant.
        passes: Whether it passes if it doesn't fail.
        notable: Whether a significant effect within what is allowed is worth a warning.
        doubt: What to add to the sentence when it is inconclusive.
    """

    __test__ = False  # pytest takes names like this for tests

    verdict: Verdict
    beyond: bool
    passes: bool
    notable: bool = False
    doubt: str = ""

    def decided(self, adjusted: float, alpha: float) -> Verdict:
        """The verdict."""
        significant = adjusted <= alpha
        outcome: Outcome = "pass"
        if self.beyond or not self.passes:
            outcome = "fail" if self.beyond and significant else "inconclusive"
        elif significant and self.notable:
            outcome = "warn"
        doubt = self.doubt if outcome == "inconclusive" else ""
        return msgspec.structs.replace(
            self.verdict,
            outcome=outcome,
            adjusted=adjusted,
            sentence=f"{self.verdict.sentence}{doubt}.",
            n_needed=self.verdict.n_needed if outcome == "inconclusive" else None,
        )


Finding: TypeAlias = Verdict | Test


class Part:
    """A check, or several of one kind."""

    def asks(self) -> Asks:
        """What it asks of the rows."""
        return ()

    def asks_before(self) -> Asks:
        """What it asks of the reference."""
        return ()

    def asks_held(self) -> Asks:
        """What it asks of the held-out rows, which are the newest ones."""
        return ()

    def judge(self, facts: Facts) -> Iterator[Finding]:
        """What it makes of the answers; asked only of rows that there are."""
        raise NotImplementedError

    def plan(self, sizes: Sizes) -> Iterator[Planned]:
        """What it will test."""
        raise NotImplementedError


def decide(findings: Sequence[Finding], suite: Suite) -> list[Verdict]:
    """All verdicts, in order; tests at one level together, by Holm's procedure."""
    tests = [one for one in findings if isinstance(one, Test)]
    adjusted = iter(holm([_p_value(one) for one in tests]))
    return [one.decided(next(adjusted), suite.alpha) if isinstance(one, Test) else one for one in findings]


def _p_value(test: Test) -> float:
    return 1.0 if test.verdict.p_value is None else test.verdict.p_value


def say(check: str, subject: str, outcome: Outcome, sentence: str, **evidence: Any) -> Verdict:
    """A verdict without chance."""
    return Verdict(check=check, subject=subject, outcome=outcome, sentence=sentence, **evidence)


def sure(check: str, subject: str, hypothesis: str, sizes: Sizes) -> Planned:
    """The plan of a check without chance."""
    return Planned(
        check=check,
        subject=subject,
        hypothesis=hypothesis,
        sentence=f"{hypothesis}, in {sizes.rows:,} rows.",
        n=sizes.rows,
    )
