"""Rows that somebody names: a file, a folder of files, a dataset, or a version of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

from treadle.data import DEFAULT_BRANCH, Datasets, DatasetVersion, Tables, csv_to_parquet
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.ids import digest_bytes, digest_file
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace

_SUFFIXES = frozenset({".parquet", ".csv"})


class Rows(NamedTuple):
    """Rows on this machine.

    Attributes:
        name: What people call them: a version, or a path in the project.
        digest: Identifies them.
        files: They, as Parquet.
        history: How many rows the dataset's versions before had, by the day that they were made: of
            several in a day the last. None of rows that are no dataset's.
    """

    name: str
    digest: str
    files: list[Path]
    history: Mapping[date, int] | None = None


def rows_of(workspace: Workspace, named: str) -> Rows:
    """The rows that somebody names.

    Args:
        workspace: The workspace.
        named: ``flights@v3`` for a version (also a branch, tag or commit), ``flights`` for what
            ``[data.flights]`` holds now (of a table, its latest version), or the path of a Parquet or CSV
            file or a folder of them.

    Raises:
        NotFound: If there is nothing of that name.
        InvalidInput: If a folder holds no such file, or is a Delta table.
        CorruptData: If a file can't be read.
    """
    dataset, at, _ = named.partition("@")
    path = Path(named) if Path(named).is_absolute() else workspace.root / named
    if path.exists() and not (named in workspace.config.data and path.is_dir()):
        return _files(workspace, named, path)
    declared = workspace.config.data.get(dataset)
    if (
        not at and declared is not None and declared.format == "delta"
    ):  # its folder has rows that are gone, too
        named = f"{dataset}@delta:{Tables(workspace).state(dataset).version}"
    if "@" in named:
        datasets = Datasets(workspace)
        version = datasets.get(named)
        before = _history(workspace, dataset, version)
        return Rows(version.ref, version.digest, datasets.paths(version), before)
    if declared is not None:
        found = _files(workspace, named, workspace.root / declared.path)
        return found._replace(history=_history(workspace, dataset))
    if Path(named).suffix.lower() in _SUFFIXES or "/" in named:
        raise NotFound(f"there is no file {named!r}", where=str(workspace.root), fix="check the path")
    raise unknown("dataset", named, workspace.config.data)


def _history(workspace: Workspace, dataset: str, until: DatasetVersion | None = None) -> dict[date, int]:
    """The rows of a dataset's versions on a branch: those before one, or all on ``main``."""
    branch = until.branch if until else DEFAULT_BRANCH
    try:
        versions = Datasets(workspace).log(dataset)
    except NotFound:  # no version was made of it yet
        return {}
    return {
        one.created_at.date(): one.rows
        for one in reversed(versions)
        if one.branch == branch and (until is None or one.number < until.number)
    }


def _files(workspace: Workspace, name: str, path: Path) -> Rows:
    if not path.exists():
        raise NotFound(f"{name!r} isn't there", where=str(path), fix="check the path, or bring the data")
    if (path / "_delta_log").is_dir():
        raise InvalidInput(
            f"{name!r} is a Delta table, whose folder has rows that are gone, too",
            where=str(path),
            fix='declare it as a dataset with format = "delta", and name that',
        )
    found = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    found = [one for one in found if one.suffix.lower() in _SUFFIXES]
    if not found:
        raise InvalidInput(f"{name!r} holds no Parquet or CSV file", where=str(path))
    digests = [digest_file(one) for one in found]
    files = [_parquet(workspace, one, digest) for one, digest in zip(found, digests, strict=True)]
    whole = digests[0] if len(digests) == 1 else digest_bytes("".join(digests).encode())
    return Rows(name, whole, files)


def _parquet(workspace: Workspace, source: Path, digest: str) -> Path:
    """A file as Parquet; of a CSV file one is made, once."""
    if source.suffix.lower() != ".csv":
        return source
    made = workspace.state / "cache" / "checked" / f"{digest}.parquet"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        csv_to_parquet(workspace.engine, source, made)
    return made
