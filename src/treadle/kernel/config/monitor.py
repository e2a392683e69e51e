"""``[monitor]``: what is watched in live traffic, and from where on it matters."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from treadle.kernel.config.base import Duration, Fraction, NotNegative, Positive, Table
from treadle.kernel.config.notify import NotifyConfig

DriftStatistic = Literal["psi", "js", "ks", "wasserstein"]
"""How far apart two distributions are; see :mod:`treadle.evaluate.distances`."""

FairnessMeasure = Literal["demographic_parity", "equal_opportunity", "equalised_odds", "predictive_parity"]
"""What groups are compared by over time, as by ``[checks.bias]``."""

Threshold = Annotated[float, Meta(gt=0)]


class DriftConfig(Table, frozen=True):
    """``[monitor.drift]``: when an input, or the predictions, have moved.

    Attributes:
        statistic: ``psi``, the population stability index (natural logarithm); ``js``, the
            Jensen-Shannon distance (base 2, from 0 to 1); ``ks``, the largest distance of the
            distribution functions at the edges of the bins; ``wasserstein``, the distance that rows
            moved on average, in standard deviations at training. The last two are for numbers:
            texts, and numbers without a spread at training, are held to ``psi`` at its default.
        threshold: From where on it matters; by default 0.1 for each of them.
    """

    statistic: DriftStatistic = "psi"
    threshold: Threshold = 0.1


class QualityConfig(Table, frozen=True):
    """``[monitor.quality]``: what inputs may be that they weren't at training.

    Attributes:
        nulls: By how much the share of missing values may be larger than at training.
        outside: The share of rows that may lie below the least or above the greatest value at training.
        unseen: The share of rows that may have a text that wasn't there at training. It is looked at
            where training had at most 50 of them, so that all are known.
    """

    nulls: Fraction = 0.01
    outside: Fraction = 0.01
    unseen: Fraction = 0.01


class SegmentConfig(Table, frozen=True):
    """``[monitor.segments.NAME]``: rows that are watched apart, by what they have in one input.

    Attributes:
        column: Which input; the segment's own name when left out.
        values: The texts, or numbers written as text, that make a segment each; when left out, the
            most frequent ones at training.
        edges: Where to cut an input of numbers, increasing: ``[6, 12]`` makes three segments.
        most: At how many segments to stop, where neither is given.
    """

    column: str | None = None
    values: list[str] | None = None
    edges: list[float] | None = None
    most: Annotated[int, Meta(ge=1, le=50)] = 10


class FairnessConfig(Table, frozen=True):
    """``[monitor.fairness.NAME]``: whether groups are treated alike over time.

    ``NAME`` is that of ``[monitor.segments.NAME]``, which makes the groups of an input; or, with ``groups``,
    of what is sent with predictions or labels. Each group is held beside the reference group.

    Attributes:
        groups: The groups, where they are none of an input: a protected attribute seldom is one. They come
            with predictions or with labels; where no more than half of the predictions of a window brought
            theirs, all measures wait for labels.
        measures: What is compared: ``demographic_parity``, how often the decision is true;
            ``equal_opportunity``, how often where the label is; ``equalised_odds``, that and how often where
            it isn't; ``predictive_parity``, how often the label is where the decision is. The last three wait
            for labels.
        reference: The group that the others are held beside, by its value, such as ``"NL"``, or its name,
            such as ``"price<=10"``; when left out the largest at training, or the first of ``groups``.
        max_difference: How far apart the rates may be.
        min_rows: How many rows each group needs.
    """

    groups: Annotated[list[str], Meta(min_length=2)] | None = None
    measures: Annotated[list[FairnessMeasure], Meta(min_length=1)] = field(
        default_factory=lambda: ["demographic_parity", "equal_opportunity"]
    )
    reference: str | None = None
    max_difference: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    min_rows: Positive = 100


class MultivariateConfig(Table, frozen=True):
    """``[monitor.multivariate]``: drift of whole rows, which no input shows by itself.

    It needs the rows of training, and is passed over once they have been deleted.

    Attributes:
        watch: Whether whole rows are watched.
        sample: How many rows of a window, and of training, are compared.
        auc: How well a classifier may tell rows of a window from those of training, from 0.5 to 1.
        reconstruction: By how many standard deviations the error may move that principal
            components of training leave.
    """

    watch: bool = True
    sample: Annotated[int, Meta(ge=200, le=100_000)] = 2000
    auc: Annotated[float, Meta(ge=0.5, le=1)] = 0.6
    reconstruction: Threshold = 0.3


class EmbeddingConfig(Table, frozen=True):
    """``[monitor.embeddings.NAME]``: vectors that are watched as a whole, of texts, images or anything else.

    They are inputs of the model whose names begin alike, or are logged beside the inputs.

    Attributes:
        inputs: How the names of the inputs begin that make the vector; they aren't watched one by one then.
        size: How many numbers a logged vector has; left out where ``inputs`` is given.
        reference: A Parquet file of vectors at training, in a column of the embedding's name. Left out where
            ``inputs`` is given, whose training rows are known, or with ``reference = "season"``.
        statistic: ``mmd``, the maximum mean discrepancy; or ``auc``, how well a classifier tells rows apart.
        threshold: From where on it matters; by default 0.1 for ``mmd`` and 0.6 for ``auc``.
        sample: How many rows of either side are compared.
    """

    inputs: str | None = None
    size: Annotated[int, Meta(ge=1, le=16_384)] | None = None
    reference: str | None = None
    statistic: Literal["mmd", "auc"] = "mmd"
    threshold: Threshold | None = None
    sample: Annotated[int, Meta(ge=100, le=5000)] = 1000

    @property
    def matters(self) -> float:
        """From where on it matters."""
        return self.threshold or {"mmd": 0.1, "auc": 0.6}[self.statistic]

    @property
    def problem(self) -> str:
        """What is wrong with it; empty if nothing is."""
        if bool(self.inputs) == bool(self.size):
            return "say either how the names of its `inputs` begin, or the `size` of vectors that are logged"
        if self.inputs and self.reference:
            return "its inputs' training rows are its reference"
        return ""


class ColumnConfig(Table, frozen=True):
    """``[monitor.columns.NAME]``: what holds for one input alone.

    Attributes:
        watch: Whether it is watched at all.
        statistic: As in ``[monitor.drift]``, which holds when left out.
        threshold: As in ``[monitor.drift]``, which holds when left out.
        nulls: As in ``[monitor.quality]``, which holds when left out.
        outside: As in ``[monitor.quality]``, which holds when left out.
        unseen: As in ``[monitor.quality]``, which holds when left out.
        keep: What the prediction log has of it: its ``value``; for texts a keyed ``hash``, by which it is
            still watched (of a number nothing is kept then); or ``nothing``.
    """

    watch: bool = True
    keep: Literal["value", "hash", "nothing"] = "value"
    statistic: DriftStatistic | None = None
    threshold: Threshold | None = None
    nulls: Fraction | None = None
    outside: Fraction | None = None
    unseen: Fraction | None = None


class MonitorConfig(Table, frozen=True):
    """``[monitor]``

    Attributes:
        every: The length of a window: each is computed once, when it has ended.
        performance_window: How far back a performance figure looks.
        performance_rows: Of how many predictions a performance figure is made at most; of more an even sample
            is taken, by their keys.
        labels_after: How old a prediction is when its label is due: performance is that of predictions at
            least so old. Windows are then judged so much later.
        mature: Of the labels that predictions will ever get, the share that must be there: with fewer a
            performance figure isn't published, for labels that come early may differ from the rest.
        tolerance: How much worse than at registration the metric may become, in its unit.
        drift: The population stability index from which a drift matters; or a table, to say more.
        reference: What inputs, whole rows and predictions are held against: ``training`` (predictions: those
            at registration), or ``season``, the same stretch of the week in each of the weeks before, where
            traffic has its hours and weekdays. Until so much is logged it is training, and findings say so.
        season_weeks: How many weeks before.
        prediction: When the predictions have shifted; as ``drift`` when left out.
        quality: What inputs may be that they weren't at training.
        multivariate: Drift of whole rows.
        embeddings: Vectors that are watched as a whole.
        columns: What holds for single inputs.
        segments: Which rows are watched apart.
        fairness: Which of these segments are held beside each other as groups.
        persist: In how many windows of `among` something must be in alert, with the latest, before an alert
            is raised of it.
        among: Of how many of the latest windows.
        false_alarms: How many false alarms a year are acceptable of a model: its monitors share them.
        min_rows: A window with fewer rows is inconclusive.
        sample: The share of predictions that is logged, chosen by their ids: the same ones on every replica.
            Monitors see these; how many there were is counted exactly.
        drop: A folder, or ``s3://bucket/prefix`` with the options of ``[store]``: Parquet files under
            ``predictions/MODEL`` and ``labels/MODEL`` there are taken into the log.
        keep_log: How long predictions and labels are kept; for ever when left out. What is older is
            deleted day by day, and the model's timeline says so.
        webhook: Where alerts are posted as JSON.
        notify: Who is told of incidents, and how.
    """

    every: Duration = "7d"
    performance_window: Duration = "28d"
    performance_rows: Annotated[int, Meta(ge=10_000)] = 1_000_000
    labels_after: Duration | None = None
    mature: Fraction = 0.8
    tolerance: NotNegative = 0.02
    drift: Threshold | DriftConfig = 0.1
    reference: Literal["training", "season"] = "training"
    season_weeks: Annotated[int, Meta(ge=1, le=52)] = 4
    prediction: DriftConfig | None = None
    quality: QualityConfig = field(default_factory=QualityConfig)
    multivariate: MultivariateConfig = field(default_factory=MultivariateConfig)
    embeddings: dict[str, EmbeddingConfig] = field(default_factory=dict)
    columns: dict[str, ColumnConfig] = field(default_factory=dict)
    segments: dict[str, SegmentConfig] = field(default_factory=dict)
    fairness: dict[str, FairnessConfig] = field(default_factory=dict)
    persist: Positive = 1
    among: Positive = 1
    false_alarms: Annotated[float, Meta(gt=0)] = 1.0
    min_rows: Positive = 200
    sample: Annotated[float, Meta(gt=0, le=1)] = 1.0
    drop: str | None = None
    keep_log: Duration | None = None
    webhook: str | None = None
    notify: NotifyConfig = field(default_factory=NotifyConfig)

    def of_inputs(self) -> DriftConfig:
        """When an input has moved, where nothing else is said of it."""
        return self.drift if isinstance(self.drift, DriftConfig) else DriftConfig(threshold=self.drift)

    def of_column(self, name: str) -> DriftConfig:
        """When an input has moved."""
        common, own = self.of_inputs(), self.columns.get(name, ColumnConfig())
        return DriftConfig(
            statistic=own.statistic or common.statistic, threshold=own.threshold or common.threshold
        )

    def quality_of(self, name: str) -> QualityConfig:
        """What an input may be that it wasn't at training."""
        common, own = self.quality, self.columns.get(name, ColumnConfig())
        return QualityConfig(
            nulls=common.nulls if own.nulls is None else own.nulls,
            outside=common.outside if own.outside is None else own.outside,
            unseen=common.unseen if own.unseen is None else own.unseen,
        )

    def of_predictions(self) -> DriftConfig:
        """When the predictions have shifted."""
        return self.prediction or self.of_inputs()

    def watches(self, name: str) -> bool:
        """Whether an input is watched by itself."""
        one = self.columns.get(name, ColumnConfig())
        part = any(e.inputs and name.startswith(e.inputs) for e in self.embeddings.values())
        return one.watch and one.keep != "nothing" and not part
