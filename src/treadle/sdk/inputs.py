"""What a script is given: the project, or the job that runs it, and data."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from treadle.experiment.types import RunInput, Scalar
from treadle.kernel.config import Config, find_project, load_config
from treadle.kernel.errors import InvalidInput, NotFound, TreadleError
from treadle.kernel.names import unknown
from treadle.train.types import JobContext

JOB = "TREADLE_JOB"
_pending: dict[str, RunInput] = {}


class Setting(msgspec.Struct, frozen=True):
    """What a script is to learn, from the job or from ``[train]``.

    Attributes:
        features: The columns that the model may see.
        label: The column that it predicts.
        task: ``binary`` or ``regression``.
        params: Hyperparameters.
        seed: The seed.
    """

    features: list[str]
    label: str
    task: str
    params: dict[str, Scalar]
    seed: int


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
    return Setting(list(job.features), job.label, job.task, job.run.params, job.run.seed or 0)


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
        list(train.features), dataset.label or "", config.project.task, dict(train.params), train.seed
    )


def data(name: str) -> str:
    """The path of a Parquet file with a dataset's rows to train on.

    Under a job, the very slice that the job's recipe names; otherwise the rows that a
    training would see now. The run that is under way, or else those that follow, keep which
    version it was as their input.

    Args:
        name: The dataset, as ``[data.NAME]`` calls it.

    Raises:
        NotFound: If there is no such dataset.
        Unavailable: If a server holds the data and doesn't answer.
        MissingExtra: If there is no server and the platform isn't installed.
    """
    if folder := job_folder():
        given = read_job(folder).data
        if name not in given:
            raise unknown("dataset of this job", name, given)
        return given[name]
    from treadle.client import connect
    from treadle.train import run_input

    root = find_root()
    with connect(root=root) as client:
        cache = (root or Path.cwd()) / ".treadle" / "cache" / "data"
        rows = client.training_rows(name, cache)
    if rows.input is not None:
        _note(run_input(rows.input))
    return str(rows.path)


def pending() -> tuple[RunInput, ...]:
    """The datasets that were asked for while no run was under way: of each run that follows."""
    return tuple(_pending.values())


def _note(used: RunInput) -> None:
    from treadle.sdk.handle import running

    runs = running()
    for run in runs:
        with contextlib.suppress(TreadleError):  # a full disk must not keep the data from the script
            run.note_input(used)
    if not runs:
        _pending[used.name] = used
