"""What a training is: its recipe, its job, its outcome."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from treadle.data.types import DataInput
from treadle.experiment.types import NewRun
from treadle.kernel.config.base import Task

Scalar: TypeAlias = bool | int | float | str
JobOutcome = Literal["finished", "crashed", "timed_out", "cancelled", "lost"]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that makes a model what it is. Two runs of one recipe are replicas.

    Attributes:
        code: Digest of the code's manifest (see :class:`treadle.train.types.CodeVersion`).
        command: What is run.
        data: The data, by content.
        features: The columns that the model may see.
        label: The column that it predicts.
        params: Hyperparameters.
        seed: The seed of the first replica; replica *i* gets ``seed + i``.
        environment: Digest of interpreter, platform and installed packages.
        resources: The class of machine, such as ``local-cpu2``.
    """

    code: str
    command: str
    data: tuple[DataInput, ...]
    features: tuple[str, ...]
    label: str
    params: dict[str, Scalar]
    seed: int
    environment: str
    resources: str


class CodeFile(msgspec.Struct, frozen=True, order=True):
    """A file of the code version: path within the project, BLAKE3 of its bytes, and whether it may be run."""

    path: str
    digest: str
    executable: bool = False


class CodeVersion(msgspec.Struct, frozen=True):
    """The code that a training runs, kept in the blob store.

    Attributes:
        files: The files, sorted.
        commit: The Git commit, if the project is in a repository.
        dirty: Whether the files differ from that commit.
    """

    files: tuple[CodeFile, ...]
    commit: str | None = None
    dirty: bool = False


class Package(msgspec.Struct, frozen=True, order=True):
    """An installed distribution."""

    name: str
    version: str


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What code runs in, as far as it can change a model.

    Attributes:
        python: The interpreter and its version, such as ``CPython 3.11.9``.
        platform: Operating system and processor, such as ``Linux x86_64``.
        packages: What is installed, sorted.
    """

    python: str
    platform: str
    packages: tuple[Package, ...]


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A command to be executed in a folder of its own.

    Attributes:
        id: The job's identity: submitting it twice is submitting it once.
        folder: Where it leaves its files (``log.txt``, ``exit.json`` and what the command writes).
        cwd: Where the command runs.
        command: What to run, as a shell would split it.
        env: Environment variables on top of the executor's own.
        timeout: Seconds until it is taken to hang.
        grace: Seconds between SIGTERM and SIGKILL.
    """

    id: str
    folder: str
    cwd: str
    command: str
    env: dict[str, str]
    timeout: float
    grace: float


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended.

    Attributes:
        outcome: Finished (exit code 0), crashed, timed out, cancelled, or lost: whoever watched
            it died with the machine or was killed, so that nobody knows; what it cost isn't known either.
        exit_code: The command's own; negative for a signal.
        wall_seconds: From start to end.
        cpu_seconds: User and system time of the command and its children.
        peak_bytes: The largest resident memory of one process.
    """

    outcome: JobOutcome
    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """One replica of a recipe that was trained, and what it cost.

    Attributes:
        run: The run that it wrote.
        recipe: The recipe's identity.
        replica: Which replica.
        seed: The seed that it was given.
        job: How its job ended.
        cached: Whether this recipe had been trained before, so that nothing was spent now.
    """

    run: str
    recipe: str
    replica: int
    seed: int
    job: JobResult
    cached: bool = False


class JobContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a training script is told, as ``job.json`` in the folder that ``TREADLE_JOB`` names.

    Attributes:
        run: The run that the script writes; its journal goes into the same folder.
        data: The Parquet file to train on, by dataset name.
        features: The columns that the model may see.
        label: The column that it predicts.
        task: ``binary`` or ``regression``.
        weight: The column that says how much each row counts; None where all count alike.
    """

    run: NewRun
    data: dict[str, str]
    features: tuple[str, ...]
    label: str
    task: Task
    weight: str | None = None
