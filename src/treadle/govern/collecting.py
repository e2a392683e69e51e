"""Garbage collection: what was deleted goes for good, and the blobs that nothing needs any more.

Rows go first, in small transactions, then blobs. A blob goes only if no row needs it and
nobody has put or claimed it for a day, so that an upload under way keeps what it has put
(:mod:`treadle.kernel.fence`). Whenever it is killed, what is left is garbage for the next time.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import sqlalchemy as sa

from treadle.data import DatasetVersion, Retention
from treadle.experiment import (
    Deleted,
    count_beside,
    deleted_experiments,
    deleted_models,
    deleted_runs,
    erase_experiment,
    erase_models,
    erase_runs,
    inside,
)
from treadle.govern.collecting_types import Collect, Collected, Gone, GoneKind
from treadle.kernel import events
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import InvalidInput
from treadle.kernel.fence import StoredBlob
from treadle.kernel.keeping import Keeper
from treadle.kernel.names import unknown
from treadle.kernel.types import Event
from treadle.kernel.units import format_bytes
from treadle.kernel.workspace import Workspace

T = TypeVar("T")
SAFETY = timedelta(days=1)
"""A blob that was put more recently stays: its row may not be written yet."""

_ABANDONED = timedelta(days=7)
_BATCH, _TOLD = 100, 1000
_LONGEST = 100 * 365 * 86_400
_GRACE = "give 0 to 100 years, in seconds"
_COMPACTED = "SQLite's file was rewritten: what was freed is the disk's again."
_REUSED = "SQLite reuses what was freed; --compact gives it back to the disk."
_VACUUMED = "Postgres reuses what was freed once it has vacuumed its tables."


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What goes, and what is kept and why."""

    homes: list[str]
    experiments: list[Deleted]
    runs: list[Deleted]
    models: list[Deleted]
    versions: list[DatasetVersion]
    kept: list[Gone]

    @property
    def owners(self) -> set[str]:
        return {*(one.id for one in (*self.runs, *self.models)), *(one.ref for one in self.versions)}


class Collector:
    """Frees what a workspace doesn't need any more.

    Args:
        workspace: Whose.
        keepers: The rooms that say what they need: all of them, or what one needs would go.
        retention: Gives up what deleted dataset versions had.
        safety: A blob that was put more recently stays; an hour at least but in tests.
    """

    def __init__(
        self,
        workspace: Workspace,
        keepers: Sequence[Keeper],
        retention: Retention,
        safety: timedelta = SAFETY,
    ) -> None:
        self._safety = safety
        self._retention = retention
        self._workspace = workspace
        self._database = workspace.database
        self._blobs = workspace.blobs
        self._keepers = keepers
        self._clock = SystemClock()

    def collect(self, asked: Collect) -> Collected:
        """Says what goes, and takes it away if that is asked for.

        Raises:
            NotFound: If there is no such run, experiment or dataset version.
            InvalidInput: If one that was named isn't deleted.
            StorageError: If a store fails; what went until then has gone, all else is as it was.
        """
        if not 0 <= asked.older_than <= _LONGEST:
            raise InvalidInput(
                f"a grace of {asked.older_than:g} seconds can't be", where="older_than", fix=_GRACE
            )
        before = self._clock.now() - timedelta(seconds=asked.older_than)
        with self._database.read() as connection:
            choice = self._choose(connection, asked, before)
            rows, files = count_beside(
                connection, [one.id for one in choice.runs], [one.id for one in choice.models]
            )
        if asked.apply:
            choice = self._erase(choice, before)
        # Listed before the rows are read: a blob that is put from now on is not among them.
        limit = self._blobs.now() - self._safety
        stored = list(self._blobs.stored())
        needed = self._needed_blobs(set() if asked.apply else choice.owners)
        unneeded = [blob for blob in stored if blob.digest not in needed]
        old = [blob for blob in unneeded if blob.at < limit]
        if asked.apply:
            old = [blob for blob in old if self._blobs.remove(blob.digest, limit)]
        debris = self._debris(needed, apply=asked.apply)
        found = self._told(choice, old, len(unneeded), asked, rows, files, debris)
        if asked.apply:
            self._note(found, asked)
        return found

    # ── choosing ─────────────────────────────────────────────────────────

    def _choose(self, connection: sa.Connection, asked: Collect, before: datetime) -> _Choice:
        reasons: dict[str, str] = {}
        for keeper in self._keepers:
            for needed in keeper.needed(connection):
                reasons.setdefault(needed.id, needed.reason)
        homes = deleted_experiments(connection, before)
        runs = deleted_runs(connection, before)
        models = deleted_models(connection, before, [home.id for home in homes])
        if asked.runs or asked.experiments or asked.data:
            homes = _named(homes, asked.experiments, "experiment", by_name=True)
            wanted = {home.id for home in homes}
            named = {one.id for one in _named(runs, asked.runs, "run")}
            runs = [run for run in runs if run.experiment in wanted or run.id in named]
            models = [model for model in models if model.experiment in wanted]
        kept: list[Gone] = []

        def going(found: list[Deleted], kind: GoneKind) -> list[Deleted]:
            kept.extend(
                Gone(kind=kind, id=o.id, name=o.name, deleted_at=o.at, kept=f"{reasons[o.id]} needs it")
                for o in found
                if o.id in reasons
            )
            return [one for one in found if one.id not in reasons]

        runs, models = going(runs, "run"), going(models, "logged model")
        given: list[DatasetVersion] = []
        for version, needed_by in self._meant(connection, asked, before):
            if needed_by:
                kept.append(_version(version, needed_by))
            else:
                given.append(version)
        return _Choice(
            homes=[home.id for home in homes],
            experiments=self._empty(connection, homes, runs, models, kept),
            runs=runs,
            models=models,
            versions=given,
            kept=kept,
        )

    def _meant(
        self, connection: sa.Connection, asked: Collect, before: datetime
    ) -> Iterator[tuple[DatasetVersion, str]]:
        """The dataset versions that may go, and what needs each."""
        if (asked.runs or asked.experiments) and not asked.data:
            return
        waiting = list(self._retention.waiting(connection, before))
        known = {name for version, _ in waiting for name in (version.dataset, version.ref)}
        for name in asked.data:
            if name not in known:
                raise unknown("version of data that was deleted that long ago", name, known)
        for version, needed_by in waiting:
            if not asked.data or {version.dataset, version.ref} & set(asked.data):
                yield version, needed_by

    def _empty(
        self,
        connection: sa.Connection,
        homes: list[Deleted],
        runs: list[Deleted],
        models: list[Deleted],
        kept: list[Gone],
    ) -> list[Deleted]:
        """The experiments of which nothing is left."""
        gone = {one.id for one in (*runs, *models)}
        found = []
        for home in homes:
            left = inside(connection, home.id) - gone
            if not left:
                found.append(home)
                continue
            reason = f"{len(left)} of its runs and logged models are kept"
            kept.append(Gone(kind="experiment", id=home.id, name=home.name, deleted_at=home.at, kept=reason))
        return found

    def _needed_blobs(self, without: set[str]) -> set[str]:
        with self._database.read() as connection:
            return {
                digest
                for keeper in self._keepers
                for digest in keeper.blobs(self._workspace, connection, without)
            }

    # ── erasing ──────────────────────────────────────────────────────────

    def _erase(self, choice: _Choice, before: datetime) -> _Choice:
        """Erases what was chosen and hasn't been restored or needed since; returns what went."""
        runs: set[str] = set()
        models: set[str] = set()
        for piece in _pieces([run.id for run in choice.runs]):
            with self._database.write() as connection:
                runs.update(erase_runs(connection, self._free(connection, piece), before))
        for piece in _pieces([model.id for model in choice.models]):
            with self._database.write() as connection:
                free = self._free(connection, piece)
                models.update(erase_models(connection, free, before, choice.homes))
        gone: set[str] = set()
        for home in [one.id for one in choice.experiments]:
            with self._database.write() as connection:
                if erase_experiment(connection, home, before):
                    gone.add(home)
        return _Choice(
            homes=choice.homes,
            experiments=[one for one in choice.experiments if one.id in gone],
            runs=[one for one in choice.runs if one.id in runs],
            models=[one for one in choice.models if one.id in models],
            versions=list(self._give_up(choice.versions, before)),
            kept=choice.kept,
        )

    def _give_up(self, versions: Sequence[DatasetVersion], before: datetime) -> Iterator[DatasetVersion]:
        numbers: dict[str, list[int]] = {}
        for version in versions:
            numbers.setdefault(version.dataset, []).append(version.number)
        for dataset, some in numbers.items():
            for piece in _pieces(some):
                with self._database.write() as connection:
                    given = self._retention.give_up(connection, dataset, piece, before)
                yield from given

    def _free(self, connection: sa.Connection, ids: list[str]) -> list[str]:
        """Those that nothing has come to need since they were chosen."""
        needed = {one.id for keeper in self._keepers for one in keeper.needed(connection)}
        return [one for one in ids if one not in needed]

    def _debris(self, needed: set[str], *, apply: bool) -> int:
        """Pieces of uploads that broke off, copies of runs that were sent, caches of what is gone."""
        long_ago = self._clock.now() - _ABANDONED
        if apply:
            self._blobs.drop_stale(long_ago)
            self._blobs.sweep(long_ago)
        with self._database.read() as connection:
            caches = [path for path in self._retention.caches(connection, needed) if self._is_old(path)]
        count = 0
        for path in (*self._leftovers(long_ago), *caches):
            count += 1
            if apply:
                with contextlib.suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return count

    def _is_old(self, path: Path) -> bool:
        return _older(path, self._clock.now() - self._safety)

    def _leftovers(self, before: datetime) -> Iterator[Path]:
        state = self._workspace.state
        for path in (state / "tmp").glob("*"):
            if _older(path, before):
                yield path
        for marker in (state / "runs").glob("*/synced"):
            if _older(marker, before):
                yield marker.parent

    # ── telling ──────────────────────────────────────────────────────────

    def _told(
        self,
        choice: _Choice,
        old: list[StoredBlob],
        unneeded: int,
        asked: Collect,
        rows: int,
        files: int,
        debris: int,
    ) -> Collected:
        kinds: tuple[tuple[GoneKind, list[Deleted]], ...] = (
            ("experiment", choice.experiments),
            ("run", choice.runs),
            ("logged model", choice.models),
        )
        going = [
            Gone(kind=kind, id=one.id, name=one.name, deleted_at=one.at)
            for kind, found in kinds
            for one in found[:_TOLD]
        ]
        going += [_version(version) for version in choice.versions[:_TOLD]]
        return Collected(
            applied=asked.apply,
            experiments=len(choice.experiments),
            runs=len(choice.runs),
            logged_models=len(choice.models),
            versions=len(choice.versions),
            rows=rows,
            files=files,
            blobs=len(old),
            bytes=sum(blob.size for blob in old),
            young=unneeded - len(old),
            debris=debris,
            items=(*going, *choice.kept[:_TOLD]),
            note=self._space(asked) if asked.apply else "",
        )

    def _space(self, asked: Collect) -> str:
        engine = self._database.engine
        if engine.dialect.name != "sqlite":
            return _VACUUMED
        if not asked.compact:
            return _REUSED
        self._database.compact()
        return _COMPACTED

    def _note(self, found: Collected, asked: Collect) -> None:
        now = self._clock.now()
        facts = {
            name: str(getattr(found, name))
            for name in ("experiments", "runs", "logged_models", "versions", "blobs", "bytes")
        }
        event = Event(
            id=self._workspace.ids.new("gc"),
            at=now,
            recorded_at=now,
            subject="workspace",
            kind="collected",
            actor=asked.actor,
            message=f"{found.runs:,} runs and {found.versions:,} versions of data were erased, "
            f"and {format_bytes(found.bytes)} were freed",
            facts=facts,
        )
        with self._database.write() as connection:
            events.record(connection, event)


def _named(found: list[Deleted], names: Sequence[str], kind: str, *, by_name: bool = False) -> list[Deleted]:
    """Those that were named.

    Raises:
        NotFound: If one isn't among them.
    """
    known = {one.name if by_name else one.id: one for one in found}
    for name in names:
        if name not in known:
            raise unknown(f"{kind} that was deleted that long ago", name, known)
    return [known[name] for name in names]


def _version(version: DatasetVersion, needed_by: str = "") -> Gone:
    return Gone(
        kind="dataset version",
        id=version.ref,
        name=version.deleted_reason or version.message,
        deleted_at=version.deleted_at,
        kept=needed_by,
    )


def _pieces(ids: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]


def _older(path: Path, before: datetime) -> bool:
    try:
        return path.stat().st_mtime < before.timestamp()
    except OSError:
        return False
