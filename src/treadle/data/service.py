"""Datasets: versions of files, and slices of versions."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from treadle.data import rules, store
from treadle.data.branches.service import Branches
from treadle.data.branches.types import DEFAULT_BRANCH
from treadle.data.local import local_files
from treadle.data.measuring import CurrentData, arrived, count, current
from treadle.data.snapshot import snapshot
from treadle.data.tables.rules import is_time_travel
from treadle.data.types import DataInput, DatasetVersion, SliceSpec
from treadle.kernel.config import DatasetConfig
from treadle.kernel.engine import quote
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace

Versions: TypeAlias = list[DatasetVersion]
Paths: TypeAlias = list[Path]
Made: TypeAlias = list[tuple[DatasetVersion, str]]


class Datasets:
    """Versions of the project's datasets.

    A version is the bytes of its files, kept in the blob store by digest. A CSV file is
    kept as it is, and beside it as Parquet, made once: everybody reads the same rows of
    the same types from then on, whatever the next release of the engine makes of CSV.

    Args:
        workspace: Where everything is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def snapshot(self, name: str, actor: str, branch: str = DEFAULT_BRANCH) -> DatasetVersion:
        """Makes a version of what a dataset's files hold now, or returns the latest if it is the same.

        All is validated before anything is kept.

        Args:
            name: One of ``[data.*]``; of a table also an earlier version, such as ``flights@delta:12``
                or ``flights@2026-01-03T10:00:00Z``.
            actor: Who asks.
            branch: The branch that moves, and has been made; a table has ``main`` only.

        Raises:
            NotFound: If no dataset has the name, or its files are missing.
            CorruptData: If a file can't be read, or changes meanwhile.
            InvalidInput: If the files don't fit each other, or a declared column is missing.
            Deleted: If the whole dataset was deleted, and can be restored.
            StorageFull: If no space is left; no version was made.
        """
        dataset, _, at = name.partition("@")
        if at and is_time_travel(at) and self._config(dataset).format == "delta":
            from treadle.data.tables.pinning import pin_table

            return pin_table(self._ws, dataset, actor, at)
        return snapshot(self._ws, name, self._config(name), actor, branch)

    def get(self, ref: str) -> DatasetVersion:
        """The version that people call ``flights`` (the head of ``main``), ``flights@v3``, ``flights@exp``.

        Also the name of a tag, or the beginning of a commit's identifier.

        Of a table also ``flights@delta:12`` and ``flights@2026-01-03T10:00:00Z``, which becomes a
        dataset version if it wasn't one, so that its files stay.

        Raises:
            InvalidInput: If it isn't written like that.
            NotFound: If there is none.
        """
        try:
            return Branches(self._ws).resolve(ref)
        except NotFound:
            self.log(ref.partition("@")[0])  # a name that nobody knows is told as one
            raise

    def log(self, name: str) -> Versions:
        """Every version of a dataset, the newest first.

        Raises:
            NotFound: If no dataset has the name.
        """
        with self._ws.database.read() as connection:
            found = store.newest_first(connection, name)
        if not found:
            self._config(name)
        return found

    def list(self) -> Versions:
        """The latest version on ``main`` of every dataset that has one, by name."""
        with self._ws.database.read() as connection:
            newest = store.latest_of_each(connection)
        branches = Branches(self._ws)
        heads = [(one, branches.head(one.dataset, DEFAULT_BRANCH)) for one in newest]
        return [head if head and not head.deleted_at else one for one, head in heads]

    def made_of(self, kind: str, name: str) -> Made:
        """The versions that were made of or by something, the oldest first, and what was done.

        Args:
            kind: What it is, as :class:`~treadle.data.Source` has it.
            name: Which.
        """
        with self._ws.database.read() as connection:
            found = store.made_of(connection, kind, name)
        return [
            (version, source.detail)
            for version in found
            for source in version.origin
            if (source.kind, source.id) == (kind, name)
        ]

    def bounds(self, version: DatasetVersion) -> tuple[datetime, datetime]:
        """The first and the last moment of a version's rows.

        Raises:
            InvalidInput: If the dataset has no time column, or no row has a time.
            CorruptData: If the version's files can't be read any more.
        """
        roles = rules.roles_of(self._config(version.dataset))
        rules.check_roles(version.dataset, roles, version.columns)
        found = self._bounds(version, roles.time)
        if found is None:
            raise InvalidInput(
                "no row has a time", where=version.ref, fix=f"declare `time` in [data.{version.dataset}]"
            )
        return found

    def slice(self, spec: SliceSpec, role: Literal["train", "holdout", "input"]) -> tuple[DataInput, Path]:
        """Cuts rows out of a version into one Parquet file, in the order of time and key; once per spec.

        Args:
            spec: Which rows.
            role: What they are for.

        Returns:
            What they are, identified by the rows and not by the spec, and the file, which is a cache:
            it may be deleted when nobody reads it.

        Raises:
            NotFound: If there is no such version.
            Deleted: If it was deleted.
            InvalidInput: If there are no such rows; says what the version covers.
            CorruptData: If the version's files can't be read any more.
            StorageFull: If no space is left.
        """
        with self._ws.database.read() as connection:
            version = store.by_digest(connection, spec.dataset, spec.version)
            version = version or store.by_digest(connection, spec.dataset, spec.version, deleted=True)
        if version is None:
            raise NotFound(f"{spec.dataset!r} has no version with digest {spec.version[:12]!r}")
        rules.check_live(version)
        roles = spec.roles or rules.roles_of(self._config(spec.dataset))
        rules.check_roles(spec.dataset, roles, version.columns)
        spec = rules.complete(spec, roles)
        cache = self._ws.state / "cache" / "slices" / version.digest
        path = cache / f"{rules.slice_digest(spec)}.parquet"
        rows, digest = self._cached(spec, path)
        if not rows:
            if not self._cut(spec, version, path):
                raise rules.nothing(spec, version, self._bounds(version, roles.time))
            rows, digest = self._look(spec, path)
        return DataInput(role=role, spec=spec, number=version.number, digest=digest, rows=rows), path

    def current(self, name: str) -> CurrentData:
        """A dataset as it is now, without making a version of it.

        Raises:
            NotFound: If no dataset has the name, or it has neither files nor a version.
            StorageError: If its files can't be looked at.
        """
        return current(self._ws, name, self._config(name))

    def count(self, now: CurrentData, spec: SliceSpec) -> int:
        """How many rows a slice of a dataset as it is now would have.

        Raises:
            InvalidInput: If it can't be cut.
            CorruptData: If the files can't be read.
        """
        return count(self._ws, now, self._config(now.dataset), spec)

    def arrived(self, now: CurrentData, after: datetime, until: datetime) -> int:
        """How many rows have a label that became known after a moment, and not later than another.

        Raises:
            CorruptData: If the files can't be read.
        """
        return arrived(self._ws, now, self._config(now.dataset), after, until)

    def paths(self, version: DatasetVersion) -> Paths:
        """The version's Parquet files on this machine.

        Raises:
            CorruptData: If they can't be had any more.
        """
        return local_files(self._ws, version)

    def _cached(self, spec: SliceSpec, path: Path) -> tuple[int, str]:
        """What a slice holds that was cut before; no rows if it wasn't or can't be read."""
        try:
            return self._look(spec, path) if path.exists() else (0, "")
        except CorruptData:
            return 0, ""

    def _look(self, spec: SliceSpec, path: Path) -> tuple[int, str]:
        """The number of rows of a slice, and what identifies them."""
        [(rows, *extent)] = self._ws.engine.rows(rules.extent_query(spec), tables={"t": path})
        return int(rows), rules.slice_digest(rules.narrow(spec, *extent))

    def _cut(self, spec: SliceSpec, version: DatasetVersion, path: Path) -> int:
        sql, params = rules.slice_query(spec, version.columns)
        engine = self._ws.engine
        try:
            rows = engine.write_parquet(path, sql, params, {"t": local_files(self._ws, version)})
        except CorruptData:  # perhaps the cache rotted: what doesn't match its digest is fetched again
            rows = engine.write_parquet(path, sql, params, {"t": local_files(self._ws, version, check=True)})
        if not rows:
            path.unlink(missing_ok=True)
        return rows

    def _bounds(self, version: DatasetVersion, column: str | None) -> tuple[datetime, datetime] | None:
        if column is None:
            return None
        micros = f"epoch_us({quote(column)})"
        sql = f"SELECT min({micros}), max({micros}) FROM t"  # noqa: S608 - the name is quoted
        [(low, high)] = self._ws.engine.rows(sql, tables={"t": local_files(self._ws, version)})
        return None if low is None else (rules.moment(low), rules.moment(high))

    def _config(self, name: str) -> DatasetConfig:
        datasets = self._ws.config.data
        if name not in datasets:
            raise unknown("dataset", name, datasets)
        return datasets[name]
