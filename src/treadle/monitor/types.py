"""What was predicted, what became true, and what the monitors make of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

Value: TypeAlias = bool | int | float | str | None
MonitorKind = Literal[
    "performance",
    "estimated",
    "prediction",
    "quality",
    "input",
    "multivariate",
    "fairness",
    "operations",
    "retraining",
]
"""What is watched, in the order in which it is shown: the metric where labels are known; its estimate where
they aren't; the predictions' shift; missing, impossible and unseen inputs; each input's drift; that of whole
rows; the metric of groups beside each other; the service itself; cycles that end for one reason again and
again."""

WindowState = Literal["ok", "alert", "inconclusive"]
Severity = Literal["info", "warning", "critical"]
DropKind = Literal["predictions", "labels"]
DropState = Literal["taken", "refused", "waiting"]


class PredictionBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Predictions that were served, in columns of equal length.

    Attributes:
        batch: The batch's identity: sending it twice is sending it once.
        ids: The prediction's key, chosen by the caller or the server; labels refer to it.
        at: When each was asked for, in seconds since 1970.
        version: The model version that answered.
        inputs: Each feature's values.
        outputs: The probability or value predicted.
        revision: The deployment revision that answered; 0 for all when left out: another server's.
        latency_ms: How long the request took that each was part of; 0 for all when left out: not known.
        embeddings: The vectors of what texts or images came with each, under the names of
            ``[monitor.embeddings]``; None where one is missing.
        groups: The group that each belongs to, by ``[monitor.fairness.NAME]`` that declares `groups`; None
            where it isn't known, or comes with the label. It is kept as it is sent.
    """

    batch: str
    ids: list[str]
    at: list[float]
    version: list[int]
    inputs: dict[str, list[Value]]
    outputs: list[float]
    revision: list[int] = []
    latency_ms: list[float] = []
    embeddings: dict[str, list[list[float] | None]] = {}
    groups: dict[str, list[str | None]] = {}


class LabelBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Labels that became known; a later one for the same prediction corrects an earlier.

    Attributes:
        batch: The batch's identity: sending it twice is sending it once.
        ids: The predictions' keys.
        values: The labels, 0 or 1 for a binary task.
        known_at: When each became known, in seconds since 1970.
        groups: The group that each belongs to, by ``[monitor.fairness.NAME]`` that declares `groups`; None
            where it isn't known. It is kept as it is sent.
    """

    batch: str
    ids: list[str]
    values: list[float]
    known_at: list[float]
    groups: dict[str, list[str | None]] = {}


class NumericProfile(msgspec.Struct, frozen=True, tag="numeric"):
    """How a numeric column was distributed.

    Attributes:
        edges: Inner bin edges, increasing; bin *i* holds ``edges[i-1] < x <= edges[i]``.
        counts: Rows in each of the ``len(edges) + 1`` bins.
        nulls: Rows without a value.
        mean: Of the values.
        deviation: Their standard deviation, where it was computed.
        low: The least value at training: what lies below is counted apart. None in profiles of the
            first format, whose outer bins are open.
        high: The greatest value at training.
        below: Rows under ``low``.
        above: Rows over ``high``.
        least: The least finite value of the rows that are counted here.
        greatest: The greatest finite value of the rows that are counted here.
        centres: The mean of the rows below, in each bin, and above; None where there are none.
        values: All values at training, where they are few: then each has a bin.
    """

    edges: list[float]
    counts: list[int]
    nulls: int
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    below: int = 0
    above: int = 0
    least: float | None = None
    greatest: float | None = None
    centres: list[float | None] = []
    values: list[float] = []


class CategoryProfile(msgspec.Struct, frozen=True, tag="category"):
    """How a column of categories was distributed.

    Attributes:
        counts: Rows of each of the most frequent categories.
        other: Rows of all the rest.
        nulls: Rows without a value.
        distinct: About how many categories there were, where it was counted.
    """

    counts: dict[str, int]
    other: int
    nulls: int
    distinct: int | None = None


class PartFigure(msgspec.Struct, frozen=True, kw_only=True):
    """How good the model is in one segment, on held-out rows.

    Attributes:
        rows: How many rows of the segment there were.
        value: The metric.
        se: Its standard error.
        estimated: The metric as it would be estimated of these rows without their labels, where it can be.
        estimated_se: Its standard error.
    """

    rows: int
    value: float
    se: float
    estimated: float | None = None
    estimated_se: float | None = None


class SegmentProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How inputs were distributed in the segments that one input makes.

    Attributes:
        column: The input.
        values: What makes a segment each: texts or numbers; empty if edges do.
        edges: Where numbers are cut.
        tallies: For each segment and input the rows of its histogram, in the bins of the profile of all
            rows, the missing ones last.
        figures: How good the model is in each segment, where held-out rows tell.
    """

    column: str
    values: list[str | float]
    edges: list[float]
    tallies: dict[str, dict[str, list[int]]] = {}
    figures: dict[str, PartFigure] = {}


class Calibrator(msgspec.Struct, frozen=True, kw_only=True):
    """What a score means: the probability of a true label, by straight lines between knots.

    Attributes:
        scores: The knots' scores, increasing; none where scores are probabilities already.
        probabilities: The probability at each knot, increasing; constant beyond the first and the last.
        rows: Held-out rows that it was made of.
    """

    scores: list[float]
    probabilities: list[float]
    rows: int


class PairTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What two columns add to the loss of a row together, beyond what each adds.

    Attributes:
        one: A column, or ``prediction``.
        other: Another one.
        terms: For each bin of the one in turn what each bin of the other adds; 0 on average on held-out data.
    """

    one: str
    other: str
    terms: list[float]

    @property
    def name(self) -> str:
        """What its histogram is called."""
        return f"{self.one} and {self.other}"


class LossModel(msgspec.Struct, frozen=True, kw_only=True):
    """What each bin of each column adds to the loss of a row, and some pairs of columns.

    Attributes:
        loss: What was modelled: ``absolute`` or ``squared``.
        base: The mean loss on held-out data.
        terms: For each column, and ``prediction``, what each bin adds, in the order of the profile's
            histogram; 0 on average on held-out data.
        spread: The standard deviation of a row's loss on held-out data.
        rows: Held-out rows that it was made of.
        pairs: The pairs of columns that say more together than each by itself.
    """

    loss: str
    base: float
    terms: dict[str, list[float]]
    spread: float
    rows: int
    pairs: list[PairTerms] = []


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a model saw when it was made; live traffic is held against it.

    Attributes:
        rows: How many rows were profiled.
        inputs: The profile of each feature, on the training data.
        prediction: The profile of the model's own predictions on held-out data.
        metric: The metric's name.
        value: Its value on held-out data.
        importance: How much the metric suffers on held-out data when a feature is shuffled, as a
            share of what all do; empty where it isn't known.
        segments: The same inputs segment by segment, where segments were declared.
        calibrator: What a binary classifier's scores mean, by which its metric is estimated without labels.
        losses: What makes a regression's loss large, likewise.
    """

    rows: int
    inputs: dict[str, NumericProfile | CategoryProfile]
    prediction: NumericProfile
    metric: str
    value: float
    importance: dict[str, float] = {}
    segments: dict[str, SegmentProfile] = {}
    calibrator: Calibrator | None = None
    losses: LossModel | None = None


class WindowResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one monitor found in one window of time.

    Attributes:
        model: The model.
        kind: What is watched.
        subject: The column, ``prediction``, or the metric's name.
        since: The window's start.
        until: The window's end, exclusive.
        version: The version in production at the window's end.
        state: Fine, an alert, or too little data to tell.
        statistic: The statistic's name, such as ``psi`` or ``roc_auc``.
        value: Its value.
        low: Lower end of its interval, where it has one.
        high: Upper end of its interval, where it has one.
        limit: The value from which it is an alert.
        n: Rows behind it.
        base_rate: Share of true labels (performance of a binary model).
        mean_prediction: Mean of the predictions in the window.
        sentence: The finding in words.
        segment: Of which rows, such as ``country=NL``; empty for all.
        severity: How bad an alert is; None where there is none.
        threshold: From where on the effect matters.
        chance: What the statistic exceeds by chance alone only at the level tested.
        p_value: The probability of such a value or a larger one when nothing has changed.
        e_value: The evidence against nothing having changed; at most 1 on average while that holds.
        importance: How much the model leans on the column: its share of all columns' importance.
        explained_by: The monitor whose finding explains this one, so that it raises no alert itself.
    """

    model: str
    kind: MonitorKind
    subject: str
    since: datetime
    until: datetime
    version: int
    state: WindowState
    statistic: str
    value: float | None
    n: int
    sentence: str
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    base_rate: float | None = None
    mean_prediction: float | None = None
    segment: str = ""
    severity: Severity | None = None
    threshold: float | None = None
    chance: float | None = None
    p_value: float | None = None
    e_value: float | None = None
    importance: float | None = None
    explained_by: str = ""


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """Past windows that were computed again.

    Attributes:
        model: The model.
        windows: How many.
        changed: The findings that came out otherwise than they were kept, as they are now.
        last: When the last of them ended; None if there were none.
        left: How many more there are, where only some were asked for.
    """

    model: str
    windows: int
    changed: tuple[WindowResult, ...]
    last: datetime | None = None
    left: int = 0


class Hindsight(msgspec.Struct, frozen=True, kw_only=True):
    """A window's performance as it was known at another moment.

    Attributes:
        then: What was found when the window ended; None if no such figure was made.
        now: The same by what was known at ``as_of``.
        as_of: The moment.
        came: Labels that were known by then, and not at the window's end.
        corrected: Labels that were others by then than at the window's end.
    """

    then: WindowResult | None
    now: WindowResult
    as_of: datetime
    came: int
    corrected: int


class DroppedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file that was dropped for the log.

    Attributes:
        file: Its path below ``[monitor] drop``, as it was found.
        kind: What it holds.
        state: ``taken``, whole; ``refused``, whole, and set aside; ``waiting``, untouched.
        rows: How many rows were taken.
        reason: Why it was not taken, or that a file of the same content had been; else empty.
    """

    file: str
    kind: DropKind
    state: DropState
    rows: int
    reason: str = ""


class WrittenMonitors(msgspec.Struct, frozen=True, kw_only=True):
    """Monitors as the lines of ``treadle.toml`` that declare them.

    Attributes:
        version: The model version by whose profile they were written.
        toml: The lines.
    """

    version: int
    toml: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody, or a cycle, should act on.

    Attributes:
        id: Its identity: model, monitor, subject and window.
        model: The model.
        kind: Which monitor.
        at: When it was raised: the window's end.
        subjects: The columns or metrics concerned, worst first.
        sentence: What happened.
        version: The version in production.
        delivered: Whether the webhook has taken it (True when none is configured).
        cycle: The cycle that it started, if any.
    """

    id: str
    model: str
    kind: MonitorKind
    at: datetime
    subjects: tuple[str, ...]
    sentence: str
    version: int
    delivered: bool = False
    cycle: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model's monitors stand.

    Attributes:
        model: The model.
        version: The version in production now; None if there is none.
        predictions: How many predictions are logged; one that was sent again counts once.
        until: The end of the last window that was computed; None before the first.
        results: The latest result of each monitor: performance, predictions, then the inputs
            with the largest drift first.
        alerts: The alerts raised, oldest first.
    """

    model: str
    version: int | None
    predictions: int
    until: datetime | None
    results: tuple[WindowResult, ...]
    alerts: tuple[Alert, ...]
