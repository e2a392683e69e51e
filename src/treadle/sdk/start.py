"""Starting a run, or writing to one that another process started: as a job's script, or by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from treadle.experiment import JournalReader, LogParams, NewRun, RunFolder, check_run
from treadle.experiment.types import DEFAULT
from treadle.kernel.errors import Busy, InvalidInput
from treadle.kernel.files import keep_out_of_git, storage_errors, write_atomic
from treadle.kernel.ids import RandomIds
from treadle.kernel.names import check_name
from treadle.sdk import datasets, gather, inputs, origin, ranks
from treadle.sdk.handle import RunHandle, running
from treadle.sdk.journal import Journal
from treadle.sdk.sender import Sender
from treadle.sdk.spool import RUNS, marker
from treadle.sdk.system import EVERY
from treadle.sdk.values import scalars, texts

RUN = "TREADLE_RUN"
_shared = 0


def start_run(
    name: str | None = None,
    experiment: str = DEFAULT,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    *,
    id: str | None = None,  # noqa: A002 - what users call it
    shared: bool | None = None,
    parent: RunHandle | str | None = None,
    system_metrics: bool | float = True,
) -> RunHandle:
    """Starts a run; use it as a context manager, or call its ``finish``.

    What it logs is safe on the disk at once, and goes to the server, if there is one, or
    into the project's workspace when it ends. Nothing that goes wrong there disturbs the
    training: the run waits in ``.treadle/runs`` for ``treadle sync``.

    Under a job (``treadle run``) the job says which run this is and its parameters win
    over ``params``.

    Of several processes that torchrun started, rank 0 starts the run and ends it; the others
    write to the same run.

    Args:
        name: A name for people; the script's by default.
        experiment: What the run belongs to.
        params: Hyperparameters, on top of ``[train.params]``.
        tags: Anything else worth knowing.
        id: The run's identifier; made up by default. A run of that identifier that was started
            in this folder and isn't written any more is gone on with.
        shared: Whether several processes start this same run: one does, the others attach. By
            default, what torchrun's variables say.
        parent: The run that this one is a part of.
        system_metrics: Whether the machine's load is logged, as ``system/...``; or every how many
            seconds, 10 by default.

    Raises:
        InvalidInput: If a name, parameter, tag or interval can't be used, or processes share a run and
            nothing tells them which.
        ConfigError: If ``treadle.toml`` can't be used.
        Busy: If another process writes the run already, and it isn't shared.
        StorageError: If the run's folder can't be written.
    """
    given, labels = scalars(params or {}), texts(tags or {})
    every = _interval(system_metrics)
    rank = None if shared is False else ranks.seen(os.environ, asked=bool(shared))
    if folder := inputs.job_folder():
        if rank is not None and rank.number:
            return _sampled(_attached(inputs.read_job(folder).run, folder, f"rank{rank.number}"), every, rank)
        return _sampled(_in_job(folder, given, labels), every, rank)
    run_id = check_name("run", id) if id is not None else None
    if shared or rank is not None:
        run_id = run_id or _agreed(asked=bool(shared))
    root = inputs.find_root()
    setting = inputs.project_setting(root) if root else None
    told = origin.told_at_once(parent.id if isinstance(parent, RunHandle) else parent)
    new = NewRun(
        id=run_id or RandomIds().new("run"),
        name=name or origin.default_name(),
        experiment=experiment,
        source="notebook" if origin.in_notebook() else "script",
        user=origin.user(),
        started_at=datetime.now(UTC),
        params=(scalars(setting.params) if setting else {}) | given,
        tags=origin.origin_tags(told) | labels,
        seed=setting.seed if setting else 0,
        provenance=told,
        inputs=datasets.pending(),
    )
    check_run(new)
    folder = (root or Path.cwd()) / RUNS / new.id
    if run_id is not None and rank is not None and rank.number:
        return _sampled(_attached(new, folder, f"rank{rank.number}"), every, rank)
    try:
        return _sampled(_alone(new, root or Path.cwd(), setting, tuple(labels)), every, rank)
    except Busy:
        if not shared:
            raise
        return _attached(new, folder, "writer")


def _interval(asked: bool | float) -> float | None:
    """Every how many seconds the machine's load is logged; None for never.

    Raises:
        InvalidInput: If that isn't a tenth of a second or more.
    """
    if isinstance(asked, bool):
        return EVERY if asked else None
    if not isinstance(asked, int | float) or not 0.1 <= asked <= 86_400:
        raise InvalidInput(
            f"`system_metrics` can't be {asked!r:.60}", fix="use True, False, or seconds from 0.1 to 86400"
        )
    return float(asked)


def _sampled(handle: RunHandle, every: float | None, rank: ranks.Rank | None) -> RunHandle:
    """The run, with the machine's load in it: of each machine once, by its first process."""
    if every is not None and (rank is None or rank.local == 0):
        others = rank is not None and rank.number > 0
        handle.sample(every, origin.host() if others else "")
    return handle


def attach(run: str | None = None) -> RunHandle:
    """Writes to a run that another process started, here or on another machine.

    What this process logs is kept like everything else: on its own disk first. ``finish`` ends
    this process's part; the run is ended by the process that started it.

    Args:
        run: The run's identifier; by default ``TREADLE_RUN``'s, or the job's.

    Raises:
        InvalidInput: If no run is named, or that can't be its identifier.
        StorageError: If the run's folder can't be written.
    """
    run_id = run or os.environ.get(RUN)
    folder = inputs.job_folder()
    job = inputs.read_job(folder).run if folder else None
    if folder and job and run_id in (None, "", job.id):
        return _attached(job, folder, _here())
    if not run_id:
        raise InvalidInput(
            "no run is named to attach to", fix=f"give its identifier, or set {RUN} to it (run.id)"
        )
    check_name("run", run_id)
    root = inputs.find_root() or Path.cwd()
    return _attached(_known(RunFolder(root / RUNS / run_id)), root / RUNS / run_id, _here())


def rejoin(run_id: str, folder: str) -> RunHandle:
    """The run of a handle that was sent to another process: what unpickling one gives."""
    for handle in running():
        if handle.id == run_id:
            return handle
    path = Path(folder)
    if path.is_dir():
        return _attached(_known(RunFolder(path)), path, _here())
    return attach(run_id)


def _known(folder: RunFolder) -> NewRun:
    """The run of a folder; only its identifier, where another machine has the folder."""
    if any((folder.path / name).exists() for name in ("run.json", "job.json")):
        return folder.read_run()
    return NewRun(id=folder.path.name, name=folder.path.name, started_at=datetime.now(UTC))


def _here() -> str:
    rank = ranks.seen(os.environ, asked=True)
    return f"rank{rank.number}" if rank else "writer"


def _agreed(*, asked: bool) -> str | None:
    """The run that all processes of this training arrive at.

    Raises:
        InvalidInput: If nothing tells, though the script says that they share one.
    """
    global _shared  # noqa: PLW0603 - counts what this process has shared before
    found = ranks.common_id(os.environ, origin.launcher(), _shared)
    _shared += 1
    if found is None and asked:
        raise InvalidInput(
            "the processes of this training share a run, but nothing tells them which",
            fix=f"give all of them the same id=, or the same {RUN} in the environment",
        )
    return found


def _in_job(path: Path, params: dict[str, Any], tags: dict[str, str]) -> RunHandle:
    job = inputs.read_job(path)
    folder = RunFolder(path)
    journal = Journal(folder.journal)
    gatherer = gather.start(gather.Order(folder=str(path), cwd=str(Path.cwd()), code=False))
    handle = RunHandle(job.run, folder, journal, inputs.job_setting(job), None, gatherer)
    handle.log_params({name: value for name, value in params.items() if name not in job.run.params})
    handle.set_tags(tags)
    return handle


def _alone(new: NewRun, root: Path, setting: inputs.Setting | None, labels: tuple[str, ...]) -> RunHandle:
    from treadle.client import connect, find_server

    keep_out_of_git((root / RUNS).parent)
    folder = RunFolder(root / RUNS / new.id)
    journal = Journal(folder.journal)  # Before run.json: a run without a writer counts as abandoned.
    if (folder.path / "run.json").exists():
        return _resumed(new, folder, journal, root, setting)
    with storage_errors(str(folder.path)):
        write_atomic(folder.path / "run.json", msgspec.json.encode(new))
    order = gather.Order(folder=str(folder.path), cwd=str(Path.cwd()), code=True, tags=labels)
    gatherer = gather.start(order)
    sender = Sender(folder, root, connect, gatherer=gatherer)
    if find_server(root=root):
        sender.start()
    return RunHandle(new, folder, journal, setting, sender, gatherer)


def _resumed(
    new: NewRun, folder: RunFolder, journal: Journal, root: Path, setting: inputs.Setting | None
) -> RunHandle:
    """Goes on with a run that a process before this one began."""
    from treadle.client import connect, find_server

    marker(folder).unlink(missing_ok=True)
    begun = folder.read_run()
    params = dict(begun.params)
    reader = JournalReader(folder.journal)
    while records := reader.read():
        for record in records:
            if isinstance(record, LogParams):
                params.update(record.values)
    sender = Sender(folder, root, connect)
    handle = RunHandle(msgspec.structs.replace(begun, params=params), folder, journal, setting, sender)
    try:
        handle.log_params(new.params)
    except BaseException:
        handle.abandon()
        raise
    if find_server(root=root):
        sender.start()
    return handle


def _attached(new: NewRun, path: Path, who: str) -> RunHandle:
    from treadle.client import connect, find_server

    folder = RunFolder(path)
    job = inputs.job_folder()
    # A name of its own for each process: two that wrote one journal would lose each other's records.
    writer = RandomIds().new(who.replace("_", "-")).replace("_", "-")
    journal = Journal(folder.writers / f"{writer}.jsonl")
    root = inputs.find_root()
    if job and job.resolve() == path.resolve():
        return RunHandle(new, folder, journal, inputs.job_setting(inputs.read_job(job)), None, writer=writer)
    setting = inputs.project_setting(root) if root else None
    sender = Sender(folder, root or Path.cwd(), connect, only=writer)
    if find_server(root=root):
        sender.start()
    return RunHandle(new, folder, journal, setting, sender, writer=writer)
