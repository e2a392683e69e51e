"""How much a dataset holds just now, without making a version of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from treadle.data import files, rules
from treadle.data.branches.service import Branches
from treadle.data.branches.types import DEFAULT_BRANCH
from treadle.data.local import local_files
from treadle.data.types import SliceSpec
from treadle.kernel.config import DatasetConfig
from treadle.kernel.engine import quote
from treadle.kernel.errors import NotFound
from treadle.kernel.workspace import Workspace


class CurrentData(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as it is now.

    Attributes:
        dataset: Its name.
        ref: The newest version on ``main``, such as ``flights@v3``; empty before the first.
        changed: Whether the files in the project's folder have another size than that version.
        paths: Parquet files with its rows.
        bytes: The size of its files.
        mark: What differs whenever its files do.
    """

    dataset: str
    ref: str
    changed: bool
    paths: tuple[Path, ...]
    bytes: int
    mark: str


def current(workspace: Workspace, name: str, config: DatasetConfig) -> CurrentData:
    """A dataset's Parquet files as they lie in the project's folder.

    Of CSV files and of tables it is the newest version: to look into them anew would read all of them.

    Raises:
        NotFound: If there are no files, or no version where one is needed.
        StorageError: If they can't be looked at.
    """
    head = Branches(workspace).head(name, DEFAULT_BRANCH)
    ref, known = (head.ref, head.bytes) if head else ("", 0)
    found = files.scan(workspace.root / config.path, name) if config.format == "files" else []
    size = sum(file.stat.size for file in found)
    if found and not any(file.is_csv for file in found):
        mark = repr([(file.path, file.stat) for file in found])
        paths = tuple(file.at for file in found)
        return CurrentData(dataset=name, ref=ref, changed=size != known, paths=paths, bytes=size, mark=mark)
    if head is None:
        raise NotFound(f"{name!r} has no version yet", fix=f"make one: treadle data add {name}")
    return CurrentData(
        dataset=name,
        ref=ref,
        changed=bool(found) and size != known,
        paths=tuple(local_files(workspace, head)),
        bytes=size or head.bytes,
        mark=head.digest,
    )


def count(workspace: Workspace, now: CurrentData, config: DatasetConfig, spec: SliceSpec) -> int:
    """How many rows a slice of a dataset as it is now would have.

    Raises:
        InvalidInput: If it can't be cut.
        CorruptData: If the files can't be read.
    """
    spec = rules.complete(spec, rules.roles_of(config))
    where, params = rules.conditions(spec)
    sql = f"SELECT count(*) FROM t{where}"  # noqa: S608 - names are quoted
    return _ask(workspace, now, sql, params)


def arrived(
    workspace: Workspace, now: CurrentData, config: DatasetConfig, after: datetime, until: datetime
) -> int:
    """How many rows have a label that became known after a moment, and not later than another.

    Raises:
        CorruptData: If the files can't be read.
    """
    roles = rules.roles_of(config)
    known = f"epoch_us({quote(roles.label_time or roles.time or '')})"
    labelled = f" AND {quote(roles.label)} IS NOT NULL" if roles.label else ""
    sql = f"SELECT count(*) FROM t WHERE {known} > ? AND {known} <= ?{labelled}"  # noqa: S608 - names are quoted
    return _ask(workspace, now, sql, [rules.micros(after), rules.micros(until)])


def _ask(workspace: Workspace, now: CurrentData, sql: str, params: list[int]) -> int:
    [(rows,)] = workspace.engine.rows(sql, params, {"t": list(now.paths)})
    return int(rows)
