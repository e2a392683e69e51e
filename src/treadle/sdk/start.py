"""Starting a run: as a job's script, or by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from treadle.experiment import NewRun, RunFolder, check_run
from treadle.experiment.types import DEFAULT
from treadle.kernel.files import storage_errors, write_atomic
from treadle.kernel.ids import RandomIds
from treadle.sdk import inputs, origin
from treadle.sdk.handle import RunHandle
from treadle.sdk.journal import Journal
from treadle.sdk.sender import Sender
from treadle.sdk.spool import RUNS
from treadle.sdk.values import scalars, texts


def start_run(
    name: str | None = None,
    experiment: str = DEFAULT,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
) -> RunHandle:
    """Starts a run; use it as a context manager, or call its ``finish``.

    What it logs is safe on the disk at once, and goes to the server, if there is one, or
    into the project's workspace when it ends. Nothing that goes wrong there disturbs the
    training: the run waits in ``.treadle/runs`` for ``treadle sync``.

    Under a job (``treadle run``) the job says which run this is and its parameters win
    over ``params``.

    Args:
        name: A name for people; the script's by default.
        experiment: What the run belongs to.
        params: Hyperparameters, on top of ``[train.params]``.
        tags: Anything else worth knowing.

    Raises:
        InvalidInput: If a name, parameter or tag can't be used.
        ConfigError: If ``treadle.toml`` can't be used.
        Busy: If another process of the same job writes the run already.
        StorageError: If the run's folder can't be written.
    """
    given, labels = scalars(params or {}), texts(tags or {})
    if folder := inputs.job_folder():
        return _in_job(folder, given, labels)
    root = inputs.find_root()
    setting = inputs.project_setting(root) if root else None
    new = NewRun(
        id=RandomIds().new("run"),
        name=name or origin.default_name(),
        experiment=experiment,
        source="notebook" if origin.in_notebook() else "script",
        started_at=datetime.now(UTC),
        params=(scalars(setting.params) if setting else {}) | given,
        tags=origin.origin_tags(Path.cwd()) | labels,
        seed=setting.seed if setting else 0,
    )
    check_run(new)
    return _alone(new, root or Path.cwd(), setting)


def _in_job(path: Path, params: dict[str, Any], tags: dict[str, str]) -> RunHandle:
    job = inputs.read_job(path)
    folder = RunFolder(path)
    handle = RunHandle(job.run, folder, Journal(folder.journal), inputs.job_setting(job), None)
    handle.log_params({name: value for name, value in params.items() if name not in job.run.params})
    handle.set_tags(tags)
    return handle


def _alone(new: NewRun, root: Path, setting: inputs.Setting | None) -> RunHandle:
    from treadle.client import connect, find_server

    folder = RunFolder(root / RUNS / new.id)
    journal = Journal(folder.journal)  # Before run.json: a run without a writer counts as abandoned.
    with storage_errors(str(folder.path)):
        write_atomic(folder.path / "run.json", msgspec.json.encode(new))
    sender = Sender(folder, root, connect)
    if find_server(root=root):
        sender.start()
    return RunHandle(new, folder, journal, setting, sender)
