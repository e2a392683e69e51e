"""What a verdict is: three values, and the evidence for each."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Outcome = Literal["pass", "fail", "inconclusive"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question about data or a model.

    Attributes:
        check: Which check, such as ``nulls``, ``bound`` or ``no_worse``.
        subject: What it looked at: a column, ``overall``, or a group such as ``origin=JFK``.
        outcome: Pass, fail, or inconclusive (the data can't tell).
        sentence: The verdict in words, with its numbers.
        hypothesis: What was tested, in words; empty for checks without chance.
        estimate: The effect measured, in the metric's unit.
        low: Lower end of its interval.
        high: Upper end of its interval.
        bound: What it was held against.
        p_value: Where a test has one, before any correction.
        n: Rows (or clusters, see ``unit``) behind it.
        n_needed: How many would probably have decided it; only when inconclusive.
        unit: What ``n`` counts.
    """

    check: str
    subject: str
    outcome: Outcome
    sentence: str
    hypothesis: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    p_value: float | None = None
    n: int = 0
    n_needed: int | None = None
    unit: str = "rows"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All verdicts of one gate, kept for ever with what they were about.

    Attributes:
        id: Its identity; evaluating under a known identity returns what was found then.
        kind: Data before training, or a model after it.
        at: When.
        outcome: Fail if any verdict fails, inconclusive if any is, pass otherwise.
        verdicts: The verdicts.
        subject: What was judged: a dataset version or a run.
        baseline: What it was compared with: a model version such as ``flights/3``, if any.
        data: Digest of the data that it was judged on.
        metrics: Point values of the candidate on that data.
        noise: Standard deviation of the metric between replicas, if there were any.
    """

    id: str
    kind: Literal["data", "model"]
    at: datetime
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    subject: str
    baseline: str | None = None
    data: str | None = None
    metrics: dict[str, float] = {}
    noise: float | None = None


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its uncertainty.

    Attributes:
        value: The point value.
        se: Its standard error.
        low: Lower end of its two-sided interval.
        high: Upper end of its two-sided interval.
        n: Rows behind it.
        clusters: Independent units behind it; the rows themselves when they aren't clustered.
        df: Degrees of freedom of its interval.
    """

    value: float
    se: float
    low: float
    high: float
    n: int
    clusters: int
    df: float
