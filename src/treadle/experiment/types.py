"""What a run is, and the records by which one is written."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Literal, Self, TypeAlias

import msgspec


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
RunStatus = Literal["running", "finished", "failed"]
RunSource = Literal["script", "job", "notebook"]


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that begins.

    Attributes:
        id: Made by whoever starts the run; starting one run twice is starting it once.
        name: A name for people.
        experiment: What the run belongs to.
        source: What executes it.
        started_at: When it began.
        params: Hyperparameters.
        tags: Anything else that is known from outside: host, command, commit.
        recipe: The recipe that it executes, if it is a job.
        cycle: The cycle that it is part of, if any.
        replica: Which replica of the recipe it is, counted from 0.
        seed: The seed that it was given.
    """

    id: str
    name: str
    started_at: datetime
    experiment: str = "default"
    source: RunSource = "script"
    params: dict[str, Scalar] = {}
    tags: dict[str, str] = {}
    recipe: str | None = None
    cycle: str | None = None
    replica: int | None = None
    seed: int | None = None


class Run(NewRun, frozen=True, kw_only=True):
    """A run as it stands.

    Attributes:
        status: Whether it still runs, and how it ended.
        ended_at: When it ended.
        message: Why it failed.
        metrics: The latest value of each metric.
        applied: How many records of its journal are kept here.
    """

    status: RunStatus = "running"
    ended_at: datetime | None = None
    message: str | None = None
    metrics: dict[str, Value] = {}
    applied: int = 0


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


class LogArtifact(msgspec.Struct, frozen=True, tag="artifact"):
    """A file that the run made. Its bytes lie in ``files/PATH`` of the run's folder, then in the blob store.

    Attributes:
        path: Where it lies within the run, with forward slashes.
        digest: The BLAKE3 digest of its bytes; empty until somebody who can has computed it.
        size: In bytes.
    """

    path: str
    size: int
    digest: str = ""


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """The end of the run."""

    at: float
    status: Literal["finished", "failed"]
    message: str | None = None


Record: TypeAlias = LogMetrics | LogParams | LogTags | LogArtifact | Finish


class JournalBatch(msgspec.Struct, frozen=True):
    """Consecutive records of a run's journal.

    Attributes:
        first: The number of the first record, counted from 0; records that are kept
            already are passed over, so that sending twice is sending once.
        records: The records.
    """

    first: int
    records: list[Record]


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


class Comparison(msgspec.Struct, frozen=True):
    """Runs side by side.

    Attributes:
        runs: The runs, in the order asked for.
        params: The parameters in which they differ, with each run's value (None where it has none).
        metrics: Every metric, with each run's latest value.
        noise: For each metric, the standard deviation between replicas of one recipe, where the
            runs compared have at least two: differences within it mean nothing.
    """

    runs: list[Run]
    params: dict[str, list[Scalar | None]]
    metrics: dict[str, list[Value | None]]
    noise: dict[str, float]
