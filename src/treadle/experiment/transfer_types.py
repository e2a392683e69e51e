"""Runs and logged models as they are copied from another tracking server, whole or not at all."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.experiment.logged_types import LoggedModel
from treadle.experiment.types import Artifact, Lifecycle, ModelLink, RunInput, RunStatus

CopyKind = Literal["run", "model"]


class Tally(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What belongs to a run or a logged model, counted.

    Attributes:
        params: Parameters.
        tags: Tags.
        metrics: Metrics that have a curve.
        points: Points of all curves, exact repetitions counted once.
        datasets: Datasets that the run used.
        models: Logged models that the run used or made.
        files: Files.
        bytes: The size of all files.
        digest: BLAKE3 over all of it, the files by their digests.
    """

    params: int = 0
    tags: int = 0
    metrics: int = 0
    points: int = 0
    datasets: int = 0
    models: int = 0
    files: int = 0
    bytes: int = 0
    digest: str = ""


class ExperimentCopy(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment of another server.

    Attributes:
        id: Its identifier there; kept if it is free here.
        name: Its name; an experiment here that has it already is the same one.
        lifecycle: Whether it was deleted there.
        created_at: When it was made.
        updated_at: When it was changed last.
        tags: Its tags.
    """

    id: str
    name: str
    lifecycle: Lifecycle = "active"
    created_at: datetime
    updated_at: datetime
    tags: dict[str, str] = {}


class RunCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A run of another server, without its curves.

    Attributes:
        id: Its identifier, which it keeps.
        experiment: The identifier of its experiment.
        name: Its name.
        user: Who executed it.
        status: How it ended, or that it hasn't.
        lifecycle: Whether it was deleted.
        started_at: When it began.
        ended_at: When it ended.
        deleted_at: When it was deleted, if that is known.
        params: Its parameters.
        tags: Its tags.
        inputs: The datasets that it used.
        models: The logged models that it used and made.
        files: Its files, whose bytes are in the blob store.
    """

    id: str
    experiment: str
    name: str
    user: str = ""
    status: RunStatus = "running"
    lifecycle: Lifecycle = "active"
    started_at: datetime
    ended_at: datetime | None = None
    deleted_at: datetime | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    inputs: tuple[RunInput, ...] = ()
    models: tuple[ModelLink, ...] = ()
    files: tuple[Artifact, ...] = ()


class CurveCopy(msgspec.Struct, frozen=True):
    """Points of one metric in the order in which they came, as columns of little-endian numbers.

    Attributes:
        name: The metric.
        values: 64-bit floats.
        at: 64-bit integers: microseconds since 1970.
        steps: 64-bit integers.
    """

    name: str
    values: bytes
    at: bytes
    steps: bytes


class ImportRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run to be taken in.

    Attributes:
        source: Where it comes from, such as ``sqlite:////srv/mlflow.db``.
        stamp: Tells whether it has changed there since.
        run: The run.
        curves: Its curves, or pieces of them.
        blobs: Digests of blobs that hold more of them, each a JSON list as ``curves``.
        whole: Whether all of its files could be read.
    """

    source: str
    stamp: str
    run: RunCopy
    curves: list[CurveCopy] = []
    blobs: list[str] = []
    whole: bool = True


class ImportRuns(msgspec.Struct, frozen=True, kw_only=True):
    """Runs to be taken in together.

    Attributes:
        runs: The runs; up to 1,000, and as many as fit into one request.
    """

    runs: list[ImportRun]


class ImportModel(msgspec.Struct, frozen=True, kw_only=True):
    """A logged model to be taken in.

    Attributes:
        source: Where it comes from.
        stamp: Tells whether it has changed there since.
        model: The logged model, its experiment by its identifier here.
        files: Its files, whose bytes are in the blob store.
        whole: Whether all of its files could be read.
    """

    source: str
    stamp: str
    model: LoggedModel
    files: tuple[Artifact, ...] = ()
    whole: bool = True


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What came of taking a run or a logged model in.

    Attributes:
        kind: What it is.
        id: Its identifier.
        source: Where it came from.
        stamp: What told whether it has changed there since.
        whole: Whether all of its files could be read.
        tally: What belonged to it then.
        added: Whether it is new here, rather than known and the same.
    """

    kind: CopyKind
    id: str
    source: str
    stamp: str
    whole: bool
    tally: Tally
    added: bool = False


class NotImported(msgspec.Struct, frozen=True):
    """A run that was not taken in.

    Attributes:
        id: Its identifier.
        code: The error's code.
        reason: What is wrong.
    """

    id: str
    code: str
    reason: str


class ImportedRuns(msgspec.Struct, frozen=True, kw_only=True):
    """What came of taking runs in.

    Attributes:
        done: Those that are here now.
        refused: Those that are not; nothing of them was kept.
    """

    done: list[Imported]
    refused: list[NotImported]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be counted and read again.

    Attributes:
        runs: Identifiers of runs.
        models: Identifiers of logged models.
        files: Whether the bytes of all files are read again.
    """

    runs: list[str] = []
    models: list[str] = []
    files: bool = True


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to a run or a logged model as it is kept here.

    Attributes:
        kind: What it is.
        id: Its identifier.
        tally: What belongs to it; None if it isn't here.
        broken: Files whose bytes are lost or not what was put.
    """

    kind: CopyKind
    id: str
    tally: Tally | None = None
    broken: tuple[str, ...] = ()
