"""``[checks]`` of ``treadle.toml``: the gate that every candidate passes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from treadle.kernel.config.base import (
    Duration,
    Fraction,
    Metric,
    NotNegative,
    Positive,
    Scalar,
    Table,
)
from treadle.kernel.config.behaviour import BehaviourCheck

Named = Annotated[str, Meta(min_length=1)]
Ends = Annotated[list[float], Meta(min_length=2, max_length=2)]


class DataCheck(Table, frozen=True):
    """``[checks.data]``: what the data must be before a model is trained on it.

    Attributes:
        min_rows: The smallest training window that is worth training on.
        types: What a column holds: ``number``, ``integer``, ``boolean``, ``text``, ``date``,
            ``timestamp``, or an exact type such as ``int32``; by column, each of which must be there.
        extra: Whether columns that neither ``types`` names nor the model uses may be there.
        ordered: Whether the columns of ``types`` must come in that order.
        unique: Columns in which no value may appear twice; a list within the list is a key of
            several columns.
        max_null: The largest share of missing values, by column; a column that is
            not named may have none.
        ranges: The allowed ``[low, high]``, by numeric column.
        values: The allowed values, by column.
        patterns: The regular expression that every text as a whole must match, by column.
        conditions: What must hold in every row, by a name of yours, such as ``price * amount <= total``.
        max_violations: The share of rows that may break what ``ranges``, ``values``, ``patterns`` or
            ``conditions`` say, by column or by a condition's name; 0 where nothing is said.
        means: Where the mean of a column must lie, with confidence: ``[low, high]``, by numeric column.
        freshness: How old the newest row may be, by the dataset's ``time``.
        max_volume_change: How far the rows of the newest whole day may be from what days of the same
            weekday and their trend let expect, as a share: 0.5 is half as many or half as many more. Tested.
        min_class_share: The smallest share that a class of the label may have.
        max_null_increase: How much larger the share of missing values may be than in the
            data that production was trained on; tested, so that noise raises no alarm.
        max_feature_auc: How well a feature alone may tell the label, as area under the ROC curve,
            before it is taken to give it away. Not looked at when left out.
        max_overlap: The share of held-out rows that may also be among those trained on, by
            ``overlap_by``. Not looked at when left out.
        overlap_by: The columns by which a row is known again; the dataset's ``key`` when left out.
        drift: Whether the features must be distributed as in the data that production was trained on,
            but for ``max_drift``. Merges of reviews are always held to it.
        max_drift: How far the distribution of a column may move, as population stability index:
            below 0.1 hardly, above 0.25 much. Tested.
        max_loss: The largest share of the rows (of the files, where they are no table) that the merge
            of a review may take away.
        engine: What scans the rows: ``duckdb``, ``polars``, ``spark``, or ``auto`` for DuckDB or Polars,
            whichever is the quicker of those installed. Spark is reached as its own settings say.
    """

    min_rows: Positive = 1000
    types: dict[str, Named] = field(default_factory=dict)
    extra: Literal["allow", "refuse"] = "allow"
    ordered: bool = False
    unique: list[Named | Annotated[list[Named], Meta(min_length=1)]] = field(default_factory=list)
    max_null: dict[str, Fraction] = field(default_factory=dict)
    ranges: dict[str, Ends] = field(default_factory=dict)
    values: dict[str, list[Scalar]] = field(default_factory=dict)
    patterns: dict[str, Named] = field(default_factory=dict)
    conditions: dict[str, Named] = field(default_factory=dict)
    max_violations: dict[str, Fraction] = field(default_factory=dict)
    means: dict[str, Ends] = field(default_factory=dict)
    freshness: Duration | None = None
    max_volume_change: Annotated[float, Meta(gt=0)] | None = None
    min_class_share: Fraction | None = None
    max_null_increase: Fraction = 0.05
    max_feature_auc: Annotated[float, Meta(gt=0.5, lt=1)] | None = None
    max_overlap: Fraction | None = None
    overlap_by: list[Named] = field(default_factory=list)
    drift: bool = False
    max_drift: Annotated[float, Meta(gt=0)] = 0.2
    max_loss: Fraction = 0.1
    engine: Literal["auto", "duckdb", "polars", "spark"] = "auto"


class AlsoCheck(Table, frozen=True):
    """A metric of ``[checks.performance.also]``: judged beside the primary one, and as binding.

    Attributes:
        margin: How much worse than production, overall, still counts as no worse, in its unit.
        group_margin: The same for a group; ``margin`` when left out.
        bound: The value that it must reach, with confidence.
    """

    margin: NotNegative
    group_margin: NotNegative | None = None
    bound: float | None = None


class PerformanceCheck(Table, frozen=True):
    """``[checks.performance]``: how good a candidate must be, by itself and beside production.

    Attributes:
        metric: What is measured.
        bound: The value that the metric must reach, with confidence: a floor, or for losses
            a ceiling.
        margin: How much worse than production, overall, still counts as no worse, in the
            metric's unit. At 0 a candidate passes unless it is significantly worse.
        gain: The gain that a change is worth, in the metric's unit: a candidate that surely
            gains less is refused. 0 asks for no gain.
        also: More metrics, each with a margin of its own: ``recall = { margin = 0.02 }``.
        confidence: Of every interval and test.
        threshold: The probability from which a row counts as true, for metrics of decisions
            such as ``accuracy`` and ``recall``.
        quantile: Which quantile is predicted, for ``pinball``.
        k: How many are looked at, for ``top_k_accuracy`` and ``ndcg``.
        cluster: A column whose rows stand or fall together (a day, a customer, a
            patient): the unit that is sampled. Rows count as independent without it. For a
            ranking: the query.
        recipe: Whether the recipe is judged too, over at least five seeds on each side, and not
            only the model that would be shipped.
        resamples: How many bootstrap samples are drawn where no formula gives an interval.
    """

    metric: Metric = "roc_auc"
    bound: float | None = None
    margin: NotNegative = 0.01
    gain: NotNegative = 0.0
    also: dict[Metric, AlsoCheck] = field(default_factory=dict)
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    threshold: Fraction = 0.5
    quantile: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    k: Positive = 10
    cluster: str | None = None
    recipe: bool = False
    resamples: Annotated[int, Meta(ge=1000, le=1_000_000)] = 10_000


class GroupCheck(Table, frozen=True):
    """``[checks.groups]``: no worse than production for anybody.

    Attributes:
        by: The columns whose values are the groups.
        intersections: Columns whose combined values are groups too, such as ``[["sex", "race"]]``.
        margin: How much worse than production still counts as no worse for a group, in the
            metric's unit. Groups are smaller than the whole and their intervals wider: what
            is less than an interval's half can't be told.
        min_rows: A group smaller than this is reported and not tested.
    """

    by: list[str] = field(default_factory=list)
    intersections: list[Annotated[list[str], Meta(min_length=2)]] = field(default_factory=list)
    margin: NotNegative = 0.02
    min_rows: Positive = 500

    @property
    def columns(self) -> list[str]:
        """Every column that a group is made of, once."""
        return list(dict.fromkeys([*self.by, *(name for names in self.intersections for name in names)]))


BiasMeasure = Literal[
    "demographic_parity",
    "equal_opportunity",
    "equalised_odds",
    "predictive_parity",
    "calibration",
    "equal_loss",
]


class BiasCheck(Table, frozen=True):
    """``[checks.bias]``: a model treats groups alike; of binary, multiclass and regression models.

    Attributes:
        by: The columns whose values are the groups.
        intersections: Columns whose values together are groups, such as ``[["sex", "race"]]``.
        reference: The group that the others are compared with, by column; the largest where none is named.
        favourable: Of several classes the one that is selected, such as ``approved``; each in turn where
            none is named.
        measures: What has to be alike: the share that is selected (``demographic_parity``), that of the
            true labels (``equal_opportunity``), that of true and of false labels (``equalised_odds``), the
            share of the selected that is right (``predictive_parity``), labels and probabilities within
            each group (``calibration``). The first and the third when left out. Of a regression: the mean
            prediction (``demographic_parity``), the loss that it is judged by (``equal_loss``), labels and
            predictions within each group (``calibration``); the first two when left out.
        max_difference: How far a rate may be from the reference group's: 0.1 when left out. Of a regression
            how far a mean, in the label's unit; it must be said.
        min_ratio: How small the ratio of the selection rates may be, and its inverse: 0.8 is the
            four-fifths rule. Not looked at when left out.
        given: Columns within whose values the selection rates are compared as well (conditional
            demographic parity).
        margin: How much further from the reference group than production's a rate may be: 0.05 when left
            out, of a regression half of ``max_difference``.
        min_rows: A group with fewer rows is reported and not tested.
    """

    by: list[str] = field(default_factory=list)
    intersections: list[Annotated[list[str], Meta(min_length=2)]] = field(default_factory=list)
    reference: dict[str, str] = field(default_factory=dict)
    favourable: Named | None = None
    measures: list[BiasMeasure] | None = None
    max_difference: Annotated[float, Meta(gt=0)] | None = None
    min_ratio: Annotated[float, Meta(gt=0, lt=1)] | None = None
    given: list[str] = field(default_factory=list)
    margin: NotNegative | None = None
    min_rows: Positive = 100

    @property
    def columns(self) -> list[str]:
        """The columns that are needed, each once."""
        together = [name for names in self.intersections for name in names]
        return list(dict.fromkeys([*self.by, *together, *self.given]))


class SliceCheck(Table, frozen=True):
    """``[checks.slices]``: the search for groups that nobody declared and for whom the candidate is weak.

    What it finds is proposed, and decides nothing.

    Attributes:
        search: Whether to search.
        columns: Where; the features when empty.
        depth: How many conditions a slice may have at most.
        min_rows: A smaller slice isn't looked at.
    """

    search: bool = True
    columns: list[str] = field(default_factory=list)
    depth: Annotated[int, Meta(ge=1, le=3)] = 2
    min_rows: Positive = 200


class PredictionsConfig(Table, frozen=True):
    """``[checks.predictions]``: a file of predictions that ``treadle check`` judges, of any model anywhere.

    Groups, cluster and the columns of ``[checks.bias]`` are columns of it, too.

    Attributes:
        path: A Parquet or CSV file with labels and the candidate's scores; relative to the project.
        label: The truth.
        candidate: The candidate's scores; of several columns each is a seed of the same recipe, and the
            first is the model that would be shipped. With ``classes``, the first part of the columns'
            names: ``ours`` for ``ours_cat`` and ``ours_dog``.
        production: Production's, likewise; none where nothing is in production.
        baseline: A file with production's scores, paired by ``key``; ``path`` has them when left out.
        key: What names a row.
        classes: The classes of a multiclass task; the label holds their names.
        features: Columns in which weak slices are searched.
    """

    path: str
    label: str
    candidate: Annotated[list[str], Meta(min_length=1)]
    production: list[str] = field(default_factory=list)
    baseline: str | None = None
    key: str = ""
    classes: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)


class ChecksConfig(Table, frozen=True):
    """``[checks]``: the gate that every candidate passes."""

    data: DataCheck = field(default_factory=DataCheck)
    performance: PerformanceCheck = field(default_factory=PerformanceCheck)
    groups: GroupCheck = field(default_factory=GroupCheck)
    slices: SliceCheck = field(default_factory=SliceCheck)
    bias: BiasCheck = field(default_factory=BiasCheck)
    behaviour: dict[str, BehaviourCheck] = field(default_factory=dict)
    predictions: PredictionsConfig | None = None
