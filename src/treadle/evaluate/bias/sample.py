"""What bias is judged on, and what is found of a group beside the reference group. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from treadle.evaluate.bias.measures import Codes, Floats, Gap, Judged, Rows
from treadle.evaluate.models.clustering import MIN_CLUSTERS
from treadle.evaluate.models.measures import Measure

FEW = f"one of the groups has fewer than {MIN_CLUSTERS} clusters, or nearly all of its rows in one or two"
"""Why clusters can't tell a gap."""


class Grouping(NamedTuple):
    """Rows by group.

    Attributes:
        name: The column, or the columns together, such as ``sex, race``.
        names: The groups' names, such as ``sex=female``.
        codes: The number of each row's group.
        reference: The number of the group that the others are compared with.
    """

    name: str
    names: Sequence[str]
    codes: Codes
    reference: int


class Sample(NamedTuple):
    """Decisions that bias is judged on.

    Attributes:
        labels: The truth, 0 or 1; of several classes whether it is the one that is selected.
        scores: The candidate's probabilities of that.
        ours: What the candidate decides.
        theirs: What production decides; None where nothing is in production.
        clusters: The number of each row's cluster; None when rows are independent.
        strata: The number of each row's combination of the columns ``given``; None without any.
        chosen: The class that is selected, of several; empty otherwise.
    """

    labels: Floats
    scores: Floats
    ours: Rows
    theirs: Rows | None
    clusters: Codes | None = None
    strata: Codes | None = None
    chosen: str = ""

    def judged(self, decisions: Rows) -> Judged:
        """Labels and what somebody decides."""
        return Judged(self.labels == 1, decisions, self.clusters)

    def named(self, rate: str) -> str:
        """What a rate is called: of several classes, of which."""
        return f"{rate} of {self.chosen}" if self.chosen else rate


class Numbers(NamedTuple):
    """Predicted numbers that bias is judged on.

    Attributes:
        labels: The truth.
        scores: The candidate's predictions.
        production: Production's; None where nothing is in production.
        loss: The loss that the model is judged by.
        clusters: The number of each row's cluster; None when rows are independent.
    """

    labels: Floats
    scores: Floats
    production: Floats | None
    loss: Measure
    clusters: Codes | None = None


class Found(NamedTuple):
    """One comparison, before its p-value is adjusted.

    Attributes:
        check: Such as ``bias.demographic_parity``.
        group: Which group.
        rate: Which rate, or mean.
        what: What was compared, in words.
        gap: What was found; None where nothing could be.
        limits: Between which values it has to be.
        n: On how many rows.
        why: Why nothing could be found.
        test: How.
    """

    check: str
    group: str
    rate: str
    what: str
    gap: Gap | None
    limits: tuple[float, float]
    n: int
    why: str
    test: str


class Further(NamedTuple):
    """How much further from the reference group's a rate, or mean, is than production's.

    Attributes:
        rate: Which.
        value: The growth of the absolute difference.
        low: Lower end of its interval.
        high: Upper end of its interval.
        p_value: One-sided, of the hypothesis that it is at most the margin.
        se: Its standard error.
        n: Rows of both groups.
        test: What was computed.
        why: Why it can't be told, in words; empty where it can.
    """

    rate: str
    value: float
    low: float
    high: float
    p_value: float
    se: float
    n: int
    test: str
    why: str = ""
