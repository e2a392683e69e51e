"""The tables and keys of ``treadle.toml``, as frozen values.

Every key that a user may write stands here, with its default and its meaning.
A duration is text such as ``90d`` or ``1h30m`` (see :mod:`treadle.kernel.units`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from treadle.kernel.config.base import Duration, Positive, Scalar, Size, Table, Task
from treadle.kernel.config.checks import ChecksConfig
from treadle.kernel.config.deploy import DeployConfig, EnvironmentConfig, ObjectiveConfig
from treadle.kernel.config.monitor import MonitorConfig
from treadle.kernel.config.retrain import RetrainConfig


class Project(Table, frozen=True):
    """``[project]``

    Attributes:
        name: The project, and by default its model.
        task: What the model predicts: the probability of a true label (``binary``), a number
            (``regression``), one of several classes, or an order (``ranking``). Models of the last
            two can't be trained, served or monitored yet; files of their predictions can be judged.
    """

    name: str
    task: Task = "binary"


class Store(Table, frozen=True):
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


class RemoteConfig(Table, frozen=True):
    """``[remotes.NAME]``: where versions of data are pushed to and pulled from. ``origin`` is the default.

    Attributes:
        url: A folder, relative to the project, or ``s3://bucket/prefix``.
        options: Options of the object store, as in ``[store]``.
    """

    url: str
    options: dict[str, str] = field(default_factory=dict)


class DatasetConfig(Table, frozen=True):
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


class TrainConfig(Table, frozen=True):
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


Part = Literal[
    "run", "recipe", "code", "environment", "data", "params", "metrics", "curves", "evaluations",
    "signature", "example", "files", "profile", "serve", "licence", "hardware", "owner", "description",
]  # fmt: skip
"""What a version's passport may have."""


class ModelConfig(Table, frozen=True):
    """``[model]``: what nobody can find out of the project's model by looking at it.

    Attributes:
        licence: Under which licence it may be used, such as ``Apache-2.0``.
        hardware: What it needs to run, such as ``1 GPU with 16 GB``.
        owner: Who answers for it.
        description: What it is for.
    """

    licence: str = ""
    hardware: str = ""
    owner: str = ""
    description: str = ""


class StageConfig(Table, frozen=True):
    """``[registry.stages.NAME]``: what a version needs to go there.

    Stages lie between candidate and production in the order of the file, and a version goes from
    each to the next. ``production`` may be among them, to say what it needs.

    Attributes:
        needs: ``verdict``: only what passed its evaluations goes there, and nobody can override it.
        approvals: By how many people a version must be approved; 1 where roles or four eyes are asked for.
        roles: Which teams' members may approve.
        four_eyes: Whether nobody who made or registered a version may approve it.
    """

    needs: list[Literal["verdict"]] = field(default_factory=list)
    approvals: Annotated[int, Meta(ge=0, le=20)] = 0
    roles: list[str] = field(default_factory=list)
    four_eyes: bool = False

    @property
    def needed(self) -> int:
        """By how many people a version must be approved."""
        return max(self.approvals, 1 if self.roles or self.four_eyes else 0)


class TeamConfig(Table, frozen=True):
    """``[teams.NAME]``: people, by the names under which they act.

    Attributes:
        members: Who they are, as ``TREADLE_ACTOR`` or the machine says.
    """

    members: list[str] = field(default_factory=list)


PublicKey = Annotated[
    str, Meta(pattern=r"^(ssh-ed25519|sk-ssh-ed25519@openssh\.com) [A-Za-z0-9+/]+=*( [^\n]*)?$")
]
PicklePolicy = Literal["refuse", "warn", "allow"]


class RegistryConfig(Table, frozen=True):
    """``[registry]``

    Attributes:
        model: The model's name; the project's by default.
        trusted_keys: Whose signatures of archives are believed: public ed25519 keys as OpenSSH writes
            them, such as ``ssh-ed25519 AAAA... ada@shop``.
        signed: Whether an archive is taken in only if one of them signed it.
        approval: Whether a version that passed the gate goes to production by itself,
            or waits for ``treadle models approve``.
        require: What a version must have to be registered, whoever registers it. When left out,
            what Treadle itself makes has all that it can know, and what an MLflow client
            registers needs nothing.
        pickle: Which models that come as pickles may be deployed and loaded: none (``refuse``), those
            in which nothing dangerous was found (``warn``), or all (``allow``).
        govern: Which versions move between stages by their guards only: those that Treadle
            made or runs (``own``), or also all that are registered from then on (``all``).
    """

    model: str | None = None
    trusted_keys: list[PublicKey] = field(default_factory=list)
    signed: bool = False
    approval: Literal["automatic", "manual"] = "automatic"
    require: list[Part] | None = None
    pickle: PicklePolicy = "warn"
    govern: Literal["own", "all"] = "own"
    stages: dict[str, StageConfig] = field(default_factory=dict)

    @property
    def by_hand(self) -> bool:
        """Whether no version goes to production by itself."""
        between = [name for name in self.stages if name != "production"]
        return self.approval == "manual" or bool(between) or any(s.needed for s in self.stages.values())


class LineageConfig(Table, frozen=True):
    """``[lineage]``: who is told of runs, data and models.

    Attributes:
        openlineage: Where events of OpenLineage go: the address of a collector, such as
            ``http://marquez:5000/api/v1/lineage``, or a file, relative to the project.
        namespace: Of jobs and datasets in them; ``treadle://PROJECT`` by default.
    """

    openlineage: str | None = None
    namespace: str | None = None


class ServeConfig(Table, frozen=True):
    """``[serve]``: the inference server.

    Attributes:
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        grpc_port: The port for the same over gRPC (``pip install 'treadle[grpc]'``); none by default.
        max_rows: The largest batch that one request may bring.
        max_queue: How many requests may wait before new ones are told to come later.
        max_concurrency: How many requests may be begun and not answered.
        max_body: The largest body of a request.
        max_memory: Memory of the server's process over which it ends gracefully and is started
            again, such as ``2GiB``; no limit by default.
        max_models: How many models a server keeps in memory. It loads one when it is asked, and lets go
            of the one that was not asked longest. By default all are loaded at the start, and stay.
        pinned: Models that are loaded at the start even so, and stay.
        timeout: How long a request may take, from its headers to its answer.
        missing: Whether a missing number (``null``, NaN) is given to the model as NaN, or refused.
        log_predictions: Whether predictions are kept for monitoring.
        environments: Where a model in MLflow's format runs: in an environment made from its own
            requirements, or in the server's.
        flush: How often the log is handed on.
        journal_sync: When a prediction that was answered is surely on the server's disk. A process
            that is killed loses none in any case. If the machine loses power: ``system`` leaves it to the
            operating system, half a minute or so; ``flush`` loses what was answered since the log
            was handed on; ``answer`` loses nothing, and each answer waits for the disk.
        replicas: How many processes serve under ``treadle up``; they share the port.
        router: Whether a process before them passes requests on, and asks another one where the first
            died. It costs more CPU than serving a small model.
        objective: What its callers are promised.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8100
    grpc_port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    max_rows: Positive = 10_000
    max_queue: Positive = 1024
    max_concurrency: Positive = 2048
    max_body: Size = "32MiB"
    max_memory: Size | None = None
    max_models: Positive | None = None
    pinned: tuple[str, ...] = ()
    timeout: Duration = "30s"
    missing: Literal["pass", "refuse"] = "pass"
    log_predictions: bool = True
    environments: Literal["own", "local"] = "own"
    flush: Duration = "1s"
    journal_sync: Literal["system", "flush", "answer"] = "system"
    replicas: Annotated[int, Meta(ge=1, le=64)] = 1
    router: bool = False
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)


class Budget(Table, frozen=True):
    """``[budget]``: compute that may be spent, in CPU time of training jobs.

    Attributes:
        cycle: In one cycle. Once it is used up no further replica is trained; what runs is stopped by
            ``[train] timeout`` alone.
        month: In any 30 days.
    """

    cycle: Duration | None = None
    month: Duration | None = None


class Config(Table, frozen=True):
    """The whole of ``treadle.toml``."""

    project: Project
    data: dict[str, DatasetConfig] = field(default_factory=dict)
    train: TrainConfig | None = None
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    about: ModelConfig = field(default_factory=ModelConfig, name="model")
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    deploy: DeployConfig = field(default_factory=DeployConfig)
    environments: dict[str, EnvironmentConfig] = field(default_factory=dict)
    serve: ServeConfig = field(default_factory=ServeConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    budget: Budget = field(default_factory=Budget)
    store: Store = field(default_factory=Store)
    teams: dict[str, TeamConfig] = field(default_factory=dict)
    remotes: dict[str, RemoteConfig] = field(default_factory=dict)
    lineage: LineageConfig = field(default_factory=LineageConfig)

    @property
    def default_remote(self) -> str | None:
        """The remote that is meant when none is named: ``origin``, or the only one."""
        if "origin" in self.remotes or len(self.remotes) != 1:
            return "origin" if "origin" in self.remotes else None
        return next(iter(self.remotes))

    @property
    def by_hand(self) -> bool:
        """Whether no version goes to production by itself."""
        last = next(reversed(self.environments.values()), None)
        return self.registry.by_hand or len(self.environments) > 1 or bool(last and last.roles)

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
