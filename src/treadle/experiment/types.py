"""What a run is, and the records by which one is written."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Literal, Self, TypeAlias

import msgspec

from treadle.kernel.origin.machine import Hardware


class NonFinite(float, enum.Enum):
    """A float that JSON has no number for: it travels as text, and is the float again on arrival."""

    NAN = "NaN"
    INFINITY = "Infinity"
    MINUS_INFINITY = "-Infinity"

    def __new__(cls, text: str) -> Self:
        """The float that the text means, with the text as the enumeration's value."""
        member = float.__new__(cls, text)
        member._value_ = text
        return member

    __format__ = float.__format__  # type: ignore[assignment]  # the parameter is called otherwise
    __repr__ = float.__repr__
    __str__ = float.__str__


def portable(value: float) -> float:
    """The same float, as one that survives JSON."""
    if value - value == 0:
        return value
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return NonFinite.NAN
    return NonFinite.INFINITY if value > 0 else NonFinite.MINUS_INFINITY


Scalar: TypeAlias = bool | int | float | str
Value: TypeAlias = float | NonFinite
RunStatus = Literal["running", "scheduled", "finished", "failed", "killed"]
RunSource = Literal["script", "job", "notebook", "mlflow"]
Lifecycle = Literal["active", "deleted"]
Link = Literal["input", "output"]
MediaKind = Literal["image", "audio", "table", "plot", "html"]
Lives = Literal["active_only", "deleted_only", "all"]

DEFAULT_ID, DEFAULT = "0", "Default"
"""The experiment that runs belong to when none is named; its identifier is DEFAULT_ID."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What runs belong to.

    Attributes:
        id: Its identifier, a number as text.
        name: Its name; no two have the same.
        lifecycle: Whether it was deleted; what was can be restored.
        created_at: When it was made.
        updated_at: When it was changed last.
        artifacts: Where the files of its runs are, as a URI.
        tags: Anything else worth knowing.
        deleted_at: When it was deleted.
    """

    id: str
    name: str
    lifecycle: Lifecycle = "active"
    created_at: datetime
    updated_at: datetime
    artifacts: str
    tags: dict[str, str] = {}
    deleted_at: datetime | None = None


class RunInput(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run used.

    Attributes:
        name: Its name.
        digest: Of its content.
        source_type: What ``source`` is, such as ``treadle`` or ``local``.
        source: Where it came from, as its type writes it.
        schema: Its columns, as its type writes them.
        profile: Its statistics, as its type writes them.
        context: What it was used for, such as ``training``; empty if that wasn't said.
        tags: Anything else worth knowing.
    """

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None
    context: str = ""
    tags: dict[str, str] = {}


TOLD = frozenset({"command", "commit", "dirty", "host", "python"})
"""Tags by which runs are found; what they say is told in full by their provenance."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a run comes from, as far as it is known; None and empty are what isn't.

    Attributes:
        command: What was run, word by word, without secrets.
        notebook: The notebook that it was run from.
        folder: The working folder, within the repository if there is one.
        commit: The Git commit that was checked out.
        branch: The branch that was checked out.
        repository: Where the repository was cloned from, without credentials.
        dirty: Whether tracked files differed from the commit.
        patch: The run's file with what differed from the commit, as ``git apply`` takes it.
        lock: The run's file with the installed packages, as ``pip install -r`` takes it.
        environment: The SHA-256 of that list: the same for the same packages.
        packages: How many there are.
        python: The interpreter and its version.
        platform: Operating system and processor.
        host: The machine's name.
        hardware: Processor, memory, GPUs.
        parent: The run that started this one.
        trigger: What had it started: a cycle and who asked for it, a batch system's job.
        problems: What could not be found out or kept, and why.
    """

    command: tuple[str, ...] = ()
    notebook: str | None = None
    folder: str | None = None
    commit: str | None = None
    branch: str | None = None
    repository: str | None = None
    dirty: bool | None = None
    patch: str | None = None
    lock: str | None = None
    environment: str | None = None
    packages: int | None = None
    python: str | None = None
    platform: str | None = None
    host: str | None = None
    hardware: Hardware | None = None
    parent: str | None = None
    trigger: str | None = None
    problems: tuple[str, ...] = ()


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that begins.

    Attributes:
        id: Made by whoever starts the run; starting one run twice is starting it once.
        name: A name for people.
        experiment: The name of the experiment that the run belongs to; made if there is none.
        source: What executes it.
        user: Who executes it; empty if that isn't known.
        started_at: When it began.
        params: Hyperparameters.
        tags: Anything else that is known from outside: host, command, commit.
        recipe: The recipe that it executes, if it is a job.
        cycle: The cycle that it is part of, if any.
        replica: Which replica of the recipe it is, counted from 0.
        seed: The seed that it was given.
        provenance: Where it comes from; lists of runs leave it out.
        inputs: The datasets that it uses; lists of runs leave them out.
    """

    id: str
    name: str
    started_at: datetime
    experiment: str = DEFAULT
    source: RunSource = "script"
    user: str = ""
    params: dict[str, Scalar] = {}
    tags: dict[str, str] = {}
    recipe: str | None = None
    cycle: str | None = None
    replica: int | None = None
    seed: int | None = None
    provenance: Provenance | None = None
    inputs: tuple[RunInput, ...] = ()


class Run(NewRun, frozen=True, kw_only=True):
    """A run as it stands.

    Attributes:
        status: Whether it still runs, and how it ended.
        ended_at: When it ended.
        message: Why it failed.
        metrics: The latest value of each metric.
        applied: How many records of its journal, or of the journal that was just sent, are kept here.
        lifecycle: Whether it was deleted; what was can be restored.
        deleted_at: When it was deleted.
    """

    status: RunStatus = "running"
    lifecycle: Lifecycle = "active"
    deleted_at: datetime | None = None
    ended_at: datetime | None = None
    message: str | None = None
    metrics: dict[str, Value] = {}
    applied: int = 0

    def _repr_html_(self) -> str:
        from treadle.experiment.display import run_html

        return run_html(self)


class LogMetrics(msgspec.Struct, frozen=True, tag="metrics"):
    """Metrics that were measured together.

    Attributes:
        at: When, in seconds since 1970.
        values: The value of each metric; NaN and infinities are written as text.
        step: The training step; without one, a metric's values count up from 0.
    """

    at: float
    values: dict[str, Value]
    step: int | None = None

    def __post_init__(self) -> None:
        """Makes every value one that survives JSON."""
        for name, value in self.values.items():
            if value - value != 0:
                self.values[name] = portable(value)


class LogParams(msgspec.Struct, frozen=True, tag="params"):
    """Hyperparameters that became known; one that is known already can't change."""

    values: dict[str, Scalar]


class LogTags(msgspec.Struct, frozen=True, tag="tags"):
    """Tags; a later value replaces an earlier one."""

    values: dict[str, str]


class MediaInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a file of a run shows.

    Attributes:
        kind: What it is.
        name: What it was logged as, as a metric is.
        step: The training step.
        caption: What it says about itself.
        index: Which it is of several that were logged together.
    """

    kind: MediaKind
    name: str
    step: int
    caption: str = ""
    index: int = 0


class LogArtifact(msgspec.Struct, frozen=True, tag="artifact", omit_defaults=True):
    """A file that the run made. Its bytes lie in ``files/PATH`` of the run's folder, then in the blob store.

    Attributes:
        path: Where it lies within the run, with forward slashes.
        digest: The BLAKE3 digest of its bytes; empty until somebody who can has computed it.
        size: In bytes.
        media: What it shows, if it is a picture, a sound, a table, a plot or a page.
    """

    path: str
    size: int
    digest: str = ""
    media: MediaInfo | None = None


class LogInput(msgspec.Struct, frozen=True, tag="input"):
    """A dataset that the run uses; the same name and digest again replaces what was noted."""

    input: RunInput


class LogProvenance(msgspec.Struct, frozen=True, tag="provenance"):
    """Where the run comes from, as far as it has become known; adds to what was known."""

    provenance: Provenance


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """The end of the run."""

    at: float
    status: Literal["finished", "failed"]
    message: str | None = None


Record: TypeAlias = LogMetrics | LogParams | LogTags | LogArtifact | LogInput | LogProvenance | Finish


class JournalBatch(msgspec.Struct, frozen=True):
    """Consecutive records of a run's journal.

    Attributes:
        first: The number of the first record, counted from 0; records that are kept
            already are passed over, so that sending twice is sending once.
        records: The records.
        writer: Whose journal it is; empty for that of the process that started the run. Each
            writer's records are counted by themselves.
    """

    first: int
    records: list[Record]
    writer: str = ""


class Point(msgspec.Struct, frozen=True):
    """One value of a metric's curve."""

    step: int
    at: datetime
    value: Value


class Artifact(msgspec.Struct, frozen=True):
    """A file that a run made."""

    path: str
    digest: str
    size: int


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run that shows something.

    Attributes:
        path: Where it lies among the run's files.
        info: What it shows.
        digest: Of its bytes.
        size: In bytes.
        at: When it was kept.
    """

    path: str
    info: MediaInfo
    digest: str
    size: int
    at: datetime


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One value of a metric.

    Attributes:
        name: The metric.
        value: Any float.
        at: In microseconds since 1970.
        step: The training step.
    """

    name: str
    value: float
    at: int
    step: int


class DatasetSummary(msgspec.Struct, frozen=True):
    """A dataset that runs of an experiment used.

    Attributes:
        experiment: The experiment.
        name: What the dataset is called.
        digest: What tells its contents from others of that name.
        context: What it was used for, such as ``training``; empty if that isn't said.
    """

    experiment: str
    name: str
    digest: str
    context: str = ""


class ModelLink(msgspec.Struct, frozen=True):
    """A logged model that a run used or made.

    Attributes:
        model: The logged model.
        kind: Whether the run used or made it.
        step: At which step it was made.
    """

    model: str
    kind: Link
    step: int = 0


class TrackedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with all that is logged of it one by one.

    Attributes:
        run: The run, without the latest values of its metrics.
        experiment: The identifier of its experiment.
        artifacts: Where the files of its experiment's runs are.
        latest: The latest value of each metric, by name.
        inputs: The datasets that it used.
        models: The logged models that it used and made.
    """

    run: Run
    experiment: str
    artifacts: str
    latest: tuple[Sample, ...] = ()
    inputs: tuple[RunInput, ...] = ()
    models: tuple[ModelLink, ...] = ()
