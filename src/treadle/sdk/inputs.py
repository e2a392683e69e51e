"""What a script is given: the project, or the job that runs it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from treadle.data.types import WEIGHT
from treadle.experiment.types import Scalar
from treadle.kernel.config import Config, find_project, load_config
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.train.types import JobContext

JOB = "TREADLE_JOB"


class Setting(msgspec.Struct, frozen=True):
    """What a script is to learn, from the job or from ``[train]``.

    Attributes:
        features: The columns that the model may see.
        label: The column that it predicts.
        task: ``binary`` or ``regression``.
        params: Hyperparameters.
        seed: The seed.
        weight: The column that says how much each row counts; None where all count alike.
    """

    features: list[str]
    label: str
    task: str
    params: dict[str, Scalar]
    seed: int
    weight: str | None = None


def job_folder() -> Path | None:
    """The folder of the job that runs this process, if one does."""
    named = os.environ.get(JOB)
    return Path(named) if named else None


def read_job(folder: Path) -> JobContext:
    """What the job tells its script.

    Raises:
        InvalidInput: If the folder has no readable ``job.json``.
    """
    file = folder / "job.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=JobContext)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidInput(
            f"{JOB} names a folder without a readable job.json: {error}",
            where=str(file),
            fix=f"unset {JOB} to run the script by itself",
        ) from error


def job_setting(job: JobContext) -> Setting:
    """The setting that a job gives."""
    return Setting(list(job.features), job.label, job.task, job.run.params, job.run.seed or 0, job.weight)


def find_root() -> Path | None:
    """The folder of the project that the working folder is in, if it is in one."""
    try:
        return find_project(Path.cwd())
    except NotFound:
        return None


def project_setting(root: Path) -> Setting | None:
    """The setting that a project's ``[train]`` gives, if it has one.

    Raises:
        ConfigError: If ``treadle.toml`` can't be used.
    """
    config: Config = load_config(root)
    if config.train is None:
        return None
    train, dataset = config.training
    return Setting(
        list(train.features),
        dataset.label or "",
        config.project.task,
        dict(train.params),
        train.seed,
        WEIGHT if config.retrain.window.policy == "weighted" else None,
    )
