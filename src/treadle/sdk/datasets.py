"""Data for a script: any version of any dataset, noted as what the run used."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.experiment.types import RunInput
from treadle.kernel.errors import InvalidInput, NotFound, TreadleError
from treadle.kernel.names import unknown
from treadle.sdk.inputs import find_root, job_folder, read_job
from treadle.sdk.observing import unseen

if TYPE_CHECKING:
    from treadle.client import Client
    from treadle.data import DatasetVersion
    from treadle.sdk.frames import Frame

_pending: dict[tuple[str, str], RunInput] = {}


def data(name: str, *, frame: Frame | None = None) -> Any:
    """The local path of data, or a frame of it; the run keeps which version it was as its input.

    The run that is under way keeps it, or else those that follow.

    A name alone, such as ``flights`` of ``[data.flights]``, is a Parquet file of the rows to train
    on: under a job, the very slice that the job's recipe names; otherwise what a training would see
    now. ``flights@v12`` is a version that never changes: all of its rows as one Parquet file where
    ``treadle.toml`` describes the dataset, and the folder with its files for others; their files
    are read-only. Also ``flights@exp/new-labels`` (a branch), ``flights@TAG``, ``flights@COMMIT``,
    and a file or folder in it: ``images@v3/train/cats``.

    Args:
        name: Which.
        frame: ``pandas``, ``polars`` or ``arrow`` for a frame instead of the path.

    Raises:
        NotFound: If there is no such dataset, version or path.
        InvalidInput: If the name isn't written like that, or a frame is wanted of what is no table.
        CorruptData: If what came isn't what was stored.
        Unavailable: If a server holds the data and doesn't answer.
        MissingExtra: If there is no server and the platform isn't installed, or the frame's library isn't.
    """
    if frame is None:
        return str(_find(name))
    from treadle.sdk.frames import check_frame, read_frame

    check_frame(frame)
    return read_frame(_find(name), frame)


def pending() -> tuple[RunInput, ...]:
    """The datasets that were asked for while no run was under way: of each run that follows."""
    return tuple(_pending.values())


def note(used: RunInput) -> None:
    """Keeps data as the input of the runs that are under way, or else of those that follow."""
    from treadle.sdk.handle import running

    runs = running()
    for run in runs:
        with contextlib.suppress(TreadleError):  # a full disk must not keep the data from the script
            run.note_input(used)
    if not runs:
        _pending[used.name, used.digest] = used


def _find(name: str) -> Path:
    from treadle.client import connect

    if folder := job_folder():
        given = read_job(folder).data
        if name in given:
            return Path(given[name])
        if "@" not in name:
            raise unknown("dataset of this job", name, given)
    root = project()
    cache = (root or Path.cwd()) / ".treadle" / "cache"
    with unseen(), connect(root=root) as client:
        find = _version if "@" in name or "/" in name else _rows
        path, used = find(client, name, cache)
    if used is not None:
        note(used)
    return path


def _rows(client: Client, name: str, cache: Path) -> tuple[Path, RunInput | None]:
    """The rows to train on of a dataset of ``treadle.toml``; the latest version of another one."""
    from treadle.train import run_input

    try:
        rows = client.training_rows(name, cache / "data")
    except NotFound as error:
        try:
            return _version(client, name, cache)
        except NotFound:
            raise error from None
    return rows.path, run_input(rows.input) if rows.input else None


def _version(client: Client, name: str, cache: Path) -> tuple[Path, RunInput | None]:
    from treadle.paths import bring, find_place
    from treadle.train import run_input

    place = find_place(client, name)
    version = client.data_version(place.dataset, place.ref)
    if version.files and not place.path:  # a table that treadle.toml describes
        with contextlib.suppress(NotFound):
            rows = client.version_rows(version, cache / "rows")
            if rows.input is not None:
                return rows.path, run_input(rows.input)
    path = bring(client, version, place.path, cache / "versions")
    return path, whole(version)


def whole(version: DatasetVersion) -> RunInput:
    """All of a version as a run's input."""
    from treadle.data import DataInput, SliceSpec
    from treadle.train import run_input

    spec = SliceSpec(dataset=version.dataset, version=version.digest)
    return run_input(
        DataInput(role="input", spec=spec, number=version.number, digest=version.digest, rows=version.rows)
    )


def add_data(run: str, path: str | os.PathLike[str], name: str, message: str) -> str:
    """Makes a version of what a run made; see :meth:`treadle.sdk.RunHandle.log_data`."""
    from treadle.client import connect
    from treadle.data import AddPath, Source
    from treadle.sdk.origin import default_name

    root = project()
    if root is None:
        raise NotFound("there is no project here", where=str(Path.cwd()), fix="make one: treadle init")
    target = Path(path).absolute()
    if not target.is_relative_to(root):
        raise InvalidInput("that lies outside of the project", where=str(target), fix=f"put it below {root}")
    origin = (Source("run", run, default_name()),)
    asked = AddPath(path=target.relative_to(root).as_posix(), name=name, message=message, origin=origin)
    with unseen(), connect(root=root) as client:
        return client.add_path(asked).ref


def project() -> Path | None:
    """The project's folder; of a job's script, whose code is a copy, that of the project that has the job."""
    folder = job_folder()
    return folder.parents[2] if folder else find_root()
