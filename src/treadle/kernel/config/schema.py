"""The tables and keys of ``treadle.toml``, as frozen values.

Every key that a user may write stands here, with its default and its meaning.
A duration is text such as ``90d`` or ``1h30m`` (see :mod:`treadle.kernel.units`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

Scalar: TypeAlias = bool | int | float | str

Duration = Annotated[str, Meta(pattern=r"^(?=.*[1-9])(\d{1,6}(\.\d{1,6})?[smhdw])+$")]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1)]
Task = Literal["binary", "regression"]
Metric = Literal["roc_auc", "log_loss", "brier", "accuracy", "mae", "mse"]

METRICS: dict[Task, tuple[Metric, ...]] = {
    "binary": ("roc_auc", "log_loss", "brier", "accuracy"),
    "regression": ("mae", "mse"),
}


class _Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are refused."""


class Project(_Table, frozen=True):
    """``[project]``

    Attributes:
        name: The project, and by default its model.
        task: What the model predicts: the probability of a true label, or a number.
    """

    name: str
    task: Task = "binary"


class Store(_Table, frozen=True):
    """``[store]``: where everything lives; change these URLs when one machine is outgrown.

    Attributes:
        metadata: ``sqlite:///FILE`` or ``postgresql://...``; relative to the project.
        blobs: A folder, or ``s3://bucket/prefix``.
        tables: A folder, or ``s3://bucket/prefix``: prediction log and labels, as Delta tables.
        options: Options of the object store, such as ``endpoint``, ``access_key_id``,
            ``secret_access_key``, ``region``, ``allow_http``; the environment's ``AWS_*``
            variables serve as well, and are where secrets belong.
    """

    metadata: str = "sqlite:///.treadle/treadle.db"
    blobs: str = ".treadle/blobs"
    tables: str = ".treadle/tables"
    options: dict[str, str] = field(default_factory=dict)


class RemoteConfig(_Table, frozen=True):
    """``[remotes.NAME]``: where versions of data are pushed to and pulled from. ``origin`` is the default.

    Attributes:
        url: A folder, relative to the project, or ``s3://bucket/prefix``.
        options: Options of the object store, as in ``[store]``.
    """

    url: str
    options: dict[str, str] = field(default_factory=dict)


class DatasetConfig(_Table, frozen=True):
    """``[data.NAME]``: a dataset in files, or a table.

    Attributes:
        path: A Parquet or CSV file, or a folder of them; relative to the project.
            Of a table: its folder, or the address of its bucket and prefix.
        format: ``files``, or ``delta`` for a Delta table.
        options: For a table in a bucket: keys and endpoint, such as ``AWS_REGION``; what isn't
            said comes from the environment.
        evolve: What a table takes of a new schema: ``refuse`` nothing, ``add`` new columns,
            ``widen`` also types that hold more.
        time: The column that says when a row happened; training windows need it.
        key: The column that names a row; predictions and late labels are joined by it.
        label: The column to predict.
        label_time: The column that says when the label became known; without it,
            a label is known at the row's own time.
        pre_merge: Commands that are run in the project's folder before a merge moves a branch of it;
            one that fails refuses the merge.
    """

    path: str
    format: Literal["files", "delta"] = "files"
    options: dict[str, str] = field(default_factory=dict)
    evolve: Literal["refuse", "add", "widen"] = "refuse"
    time: str | None = None
    key: str | None = None
    label: str | None = None
    label_time: str | None = None
    pre_merge: list[str] = field(default_factory=list)


class TrainConfig(_Table, frozen=True):
    """``[train]``: how a model is made.

    Attributes:
        command: What to run, in the project's folder, such as ``python train.py``.
        data: The dataset to train on, one of ``[data.*]``.
        features: The columns that the model may see.
        window: How much of the past to train on; everything when left out.
        holdout: The newest part of the window, kept from training, to judge the model on.
        code: Which files make up the code version (glob patterns).
        replicas: How many times to train with different seeds; shows the noise floor.
        seed: The seed of the first replica; the others count up from it.
        timeout: When a training is taken to hang and is stopped.
        grace: How long a stopped training has to save its work before it is killed.
        params: Hyperparameters, given to the script as ``run.params``.
    """

    command: str
    data: str
    features: Annotated[list[str], Meta(min_length=1)]
    window: Duration | None = None
    holdout: Duration = "14d"
    code: list[str] = field(default_factory=lambda: ["**/*.py"])
    replicas: Annotated[int, Meta(ge=1, le=20)] = 1
    seed: Annotated[int, Meta(ge=0)] = 0
    timeout: Duration = "1h"
    grace: Duration = "25s"
    params: dict[str, Scalar] = field(default_factory=dict)


class DataCheck(_Table, frozen=True):
    """``[checks.data]``: what the data must be before a model is trained on it.

    Attributes:
        min_rows: The smallest training window that is worth training on.
        unique: Columns in which no value may appear twice.
        max_null: The largest share of missing values, by column; a column that is
            not named may have none.
        ranges: The allowed ``[low, high]``, by numeric column.
        values: The allowed values, by column.
        min_class_share: The smallest share that the rarer class may have (binary labels).
        max_null_increase: How much larger the share of missing values may be than in the
            data that production was trained on; tested, so that noise raises no alarm.
        max_loss: The largest share of the rows (of the files, where they are no table) that the merge
            of a review may take away.
        max_drift: How far the merge of a review may move the distribution of a column, as population
            stability index: below 0.1 hardly, above 0.25 much.
    """

    min_rows: Positive = 1000
    unique: list[str] = field(default_factory=list)
    max_null: dict[str, Fraction] = field(default_factory=dict)
    ranges: dict[str, Annotated[list[float], Meta(min_length=2, max_length=2)]] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    min_class_share: Fraction | None = None
    max_null_increase: Fraction = 0.05
    max_loss: Fraction = 0.1
    max_drift: Annotated[float, Meta(gt=0)] = 0.2


class PerformanceCheck(_Table, frozen=True):
    """``[checks.performance]``: how good a candidate must be, by itself and beside production.

    Attributes:
        metric: What is measured.
        bound: The value that the metric must reach, with confidence: a floor for
            ``roc_auc`` and ``accuracy``, a ceiling for losses.
        margin: How much worse than production, overall, still counts as no worse, in the
            metric's unit.
        gain: The gain that a change is worth, in the metric's unit: a candidate that surely
            gains less is refused. 0 refuses only what is surely worse.
        confidence: Of every interval and test.
        cluster: A column whose rows stand or fall together (a day, a customer, a
            patient): the unit that is sampled. Rows count as independent without it.
    """

    metric: Metric = "roc_auc"
    bound: float | None = None
    margin: Annotated[float, Meta(ge=0)] = 0.01
    gain: Annotated[float, Meta(ge=0)] = 0.0
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    cluster: str | None = None


class GroupCheck(_Table, frozen=True):
    """``[checks.groups]``: no worse than production for anybody.

    Attributes:
        by: The columns whose values are the groups.
        margin: How much worse than production still counts as no worse for a group, in the
            metric's unit. Groups are smaller than the whole and their intervals wider: what
            is less than an interval's half can't be told.
        min_rows: A group smaller than this is reported and not tested.
    """

    by: list[str] = field(default_factory=list)
    margin: Annotated[float, Meta(ge=0)] = 0.02
    min_rows: Positive = 500


class ChecksConfig(_Table, frozen=True):
    """``[checks]``: the gate that every candidate passes."""

    data: DataCheck = field(default_factory=DataCheck)
    performance: PerformanceCheck = field(default_factory=PerformanceCheck)
    groups: GroupCheck = field(default_factory=GroupCheck)


class RegistryConfig(_Table, frozen=True):
    """``[registry]``

    Attributes:
        model: The model's name; the project's by default.
        approval: Whether a version that passed the gate goes to production by itself,
            or waits for ``treadle models approve``.
    """

    model: str | None = None
    approval: Literal["automatic", "manual"] = "automatic"


class ServeConfig(_Table, frozen=True):
    """``[serve]``: the inference server.

    Attributes:
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        max_rows: The largest batch that one request may bring.
        max_queue: How many requests may wait before new ones are told to come later.
        log_predictions: Whether predictions are kept for monitoring.
        flush: How often the log is handed on.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8100
    max_rows: Positive = 10_000
    max_queue: Positive = 1024
    log_predictions: bool = True
    flush: Duration = "1s"


class MonitorConfig(_Table, frozen=True):
    """``[monitor]``

    Attributes:
        every: The length of a window: each is computed once, when it has ended.
        performance_window: How far back a performance figure looks.
        tolerance: How much worse than at registration the metric may become, in its unit.
        drift: The population stability index from which a drift matters.
        false_alarms: How many false alarms a year are acceptable, per monitor.
        min_rows: A window with fewer rows is inconclusive.
        webhook: Where alerts are posted as JSON.
    """

    every: Duration = "7d"
    performance_window: Duration = "28d"
    tolerance: Annotated[float, Meta(ge=0)] = 0.02
    drift: Annotated[float, Meta(gt=0)] = 0.1
    false_alarms: Annotated[float, Meta(gt=0)] = 1.0
    min_rows: Positive = 200
    webhook: str | None = None


class RetrainConfig(_Table, frozen=True):
    """``[retrain]``

    Attributes:
        on: Which alerts start a cycle: performance that fell, inputs or predictions that drifted.
        cooldown: How long after a cycle no alert starts another.
    """

    on: list[Literal["performance", "input", "prediction"]] = field(default_factory=lambda: ["performance"])
    cooldown: Duration = "28d"


class Budget(_Table, frozen=True):
    """``[budget]``: compute that may be spent, in CPU time of training jobs.

    Attributes:
        cycle: In one cycle.
        month: In any 30 days.
    """

    cycle: Duration | None = None
    month: Duration | None = None


class Config(_Table, frozen=True):
    """The whole of ``treadle.toml``."""

    project: Project
    data: dict[str, DatasetConfig] = field(default_factory=dict)
    train: TrainConfig | None = None
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    budget: Budget = field(default_factory=Budget)
    store: Store = field(default_factory=Store)
    remotes: dict[str, RemoteConfig] = field(default_factory=dict)

    @property
    def default_remote(self) -> str | None:
        """The remote that is meant when none is named: ``origin``, or the only one."""
        if "origin" in self.remotes or len(self.remotes) != 1:
            return "origin" if "origin" in self.remotes else None
        return next(iter(self.remotes))

    @property
    def model(self) -> str:
        """The name of the project's model."""
        return self.registry.model or self.project.name

    @property
    def training(self) -> tuple[TrainConfig, DatasetConfig]:
        """How the model is trained and on what.

        Raises:
            ConfigError: If the file has no ``[train]``.
        """
        from treadle.kernel.errors import ConfigError

        if self.train is None:
            raise ConfigError(
                "there is no [train] table",
                where="treadle.toml",
                fix="say how the model is made: [train] with command, data and features",
            )
        return self.train, self.data[self.train.data]
