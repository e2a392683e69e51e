"""Versions deleted, restored and pruned, and given up once nobody can restore them any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from treadle.data import store as versions
from treadle.data.branches import store as refs
from treadle.data.branches.adopting import adopt
from treadle.data.branches.merges import graph_of
from treadle.data.branches.service import Branches
from treadle.data.retention import rules
from treadle.data.retention.caches import unneeded
from treadle.data.retention.types import (
    DeleteVersions,
    Deletion,
    PruneVersions,
    RestoreVersions,
    VersionFate,
    VersionUse,
    fate,
)
from treadle.data.retention.uses import ActiveRuns, Uses
from treadle.data.rules import gone
from treadle.data.types import DatasetVersion
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.events import record
from treadle.kernel.keeping import Keeper
from treadle.kernel.names import unknown
from treadle.kernel.types import Event
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace

_TOLD = 5
_NAMED = 200


class Retention:
    """Deletes versions, and restores them until they are given up.

    A version that is deleted is known as before, with who deleted it, when and why; what it had can't
    be read. Nothing is deleted that something needs.

    Args:
        workspace: Where everything is kept.
        branches: The branches of data.
        keepers: The rooms that say which versions they need: all of them.
        active: Says which of some runs are there and not deleted.
    """

    def __init__(
        self, workspace: Workspace, branches: Branches, keepers: Sequence[Keeper], active: ActiveRuns
    ) -> None:
        self._ws, self._branches = workspace, branches
        self._uses = Uses(workspace, keepers, active)
        self._clock = SystemClock()  # as the collector's, also in a replay

    # ── deleting ─────────────────────────────────────────────────────────

    def delete(self, dataset: str, asked: DeleteVersions) -> Deletion:
        """Deletes versions: all that are meant, or none.

        Raises:
            InvalidInput: If a version isn't written like one, or a pointer of the project can't be read.
            NotFound: If there is no such dataset or version.
            Deleted: If one is deleted already.
            Conflict: If something needs one: names what, and what ends that. Nothing was deleted.
        """
        reason = rules.check_reason(asked.reason)
        whole = not asked.versions
        adopt(self._ws, dataset)
        pointed = self._uses.pointed(dataset)
        if asked.dry_run:
            with self._ws.database.read() as connection:
                meant, others = self._meant(connection, dataset, asked.versions)
                uses = self._uses.of(connection, dataset, meant, pointed, going=_numbers(meant), whole=whole)
            return _told(dataset, meant, uses, others, applied=False)
        with self._ws.database.write() as connection:
            meant, others = self._meant(connection, dataset, asked.versions)
            self._mark(connection, meant, asked.actor, reason)
            # What was made of it until then goes as well; what is to be made now waits, and is refused.
            while whole and (more := self._live(connection, dataset)):
                self._mark(connection, more, asked.actor, reason)
                meant = [*more, *meant]
            uses = self._uses.of(connection, dataset, meant, pointed, going=_numbers(meant), whole=whole)
            if uses:
                raise _in_use(_told(dataset, meant, uses, others, applied=False))
            self._note(connection, dataset, "deleted", meant, asked.actor, reason)
        return _told(dataset, meant, {}, others, applied=True)

    def prune(self, dataset: str, asked: PruneVersions) -> Deletion:
        """Deletes the versions that a policy doesn't keep, but for those that something needs.

        Raises:
            InvalidInput: If the policy keeps nothing, or a pointer of the project can't be read.
            NotFound: If there is no such dataset.
        """
        rules.check_policy(asked)
        reason = rules.check_reason(asked.reason) or rules.said(asked)
        since = self._ws.clock.now() - parse_duration(asked.keep_for) if asked.keep_for else None
        adopt(self._ws, dataset)
        pointed = self._uses.pointed(dataset)
        with self._ws.database.write() if asked.apply else self._ws.database.read() as connection:
            standing = [ref.number for ref in refs.refs_of(connection, dataset, "branch")]
            found = [one for one in self._all(connection, dataset) if one.deleted_at is None]
            graph = graph_of(connection, dataset)  # last: what is made meanwhile is at least in this
            commits = {one.number: one.commit_id for one in found}
            heads = [commits[number] for number in standing if number in commits]
            meant = rules.outlived(found, graph, heads, asked.keep_last, since)
            if asked.apply:
                self._mark(connection, meant, asked.actor, reason)
            uses = self._uses.of(connection, dataset, meant, pointed, going=_numbers(meant))
            told = _told(dataset, meant, uses, len(found) - len(meant), applied=asked.apply)
            gone = [one for one in meant if one.number not in uses]
            if asked.apply:
                versions.mark_live(connection, dataset, uses.keys())
            if asked.apply and gone:
                self._note(connection, dataset, "pruned", gone, asked.actor, reason)
        return told

    def _mark(self, connection: sa.Connection, meant: Sequence[DatasetVersion], by: str, reason: str) -> None:
        """Marked before anybody looks who needs them: who comes to need them meanwhile has to wait."""
        if not meant:
            return
        dataset, at = meant[0].dataset, self._clock.now()
        if versions.mark_deleted(connection, dataset, _numbers(meant), at, by, reason) != len(meant):
            raise Conflict(
                f"somebody else deletes versions of {dataset!r} right now",
                where=dataset,
                fix="nothing was deleted; look again: treadle data log " + dataset,
            )

    # ── restoring ────────────────────────────────────────────────────────

    def restore(self, dataset: str, asked: RestoreVersions) -> list[DatasetVersion]:
        """Restores deleted versions: all that are meant, or none; those that aren't deleted stay as they are.

        Returns:
            Those that were restored, the newest first.

        Raises:
            InvalidInput: If a version isn't written like one.
            NotFound: If there is no such dataset or version.
            Deleted: If what one had was given up.
        """
        with self._ws.database.write() as connection:
            found = self._all(connection, dataset)
            meant = found
            if asked.versions:
                meant = [one for text in asked.versions for one in _named(dataset, text, found)]
                for one in meant:
                    if one.freed_at is not None:
                        raise gone(one)
            meant = [one for one in meant if one.deleted_at is not None and one.freed_at is None]
            if not meant:
                return []
            if versions.mark_live(connection, dataset, _numbers(meant)) != len(_numbers(meant)):
                raise Conflict(
                    "what some of them had is given up right now",
                    where=dataset,
                    fix=f"nothing was restored; look which are left: treadle data log {dataset}",
                )
            self._note(connection, dataset, "restored", meant, asked.actor, "")
            return versions.by_numbers(connection, dataset, _numbers(meant))

    # ── giving up ────────────────────────────────────────────────────────

    def waiting(self, connection: sa.Connection, before: datetime) -> Iterator[tuple[DatasetVersion, str]]:
        """The versions that were deleted before a moment, and what needs each by now; empty mostly."""
        by_dataset: dict[str, list[DatasetVersion]] = {}
        for version in versions.waiting(connection, before):
            by_dataset.setdefault(version.dataset, []).append(version)
        for dataset, found in by_dataset.items():
            uses = self._uses.of(connection, dataset, found, self._uses.pointed(dataset))
            for version in found:
                yield version, "; ".join(use.by for use in uses.get(version.number, ()))

    def give_up(
        self, connection: sa.Connection, dataset: str, numbers: Sequence[int], before: datetime
    ) -> list[DatasetVersion]:
        """Gives up what versions had that are still deleted and that nothing needs; returns these.

        Branches and tags of a dataset that was deleted as a whole go with the versions at which they stand.
        """
        at = self._clock.now()
        freed = versions.mark_freed(connection, dataset, numbers, before, at)
        found = versions.by_numbers(connection, dataset, freed)
        uses = self._uses.of(connection, dataset, found, self._uses.pointed(dataset))
        versions.take_back(connection, dataset, uses.keys())
        found = [one for one in found if one.number not in uses]
        refs.drop_at(connection, dataset, _numbers(found))
        if not _any_left(connection, dataset):
            refs.lock_dataset(connection, dataset)
            if not _any_left(connection, dataset):  # nor has anybody begun it anew
                refs.delete_dataset(connection, dataset)
        return found

    def caches(self, connection: sa.Connection, needed: AbstractSet[str]) -> Iterator[Path]:
        """What this machine has cached of versions that were given up, and of blobs that nothing needs."""
        return unneeded(self._ws.state, connection, needed)

    # ── within ───────────────────────────────────────────────────────────

    def _all(self, connection: sa.Connection, dataset: str) -> list[DatasetVersion]:
        found = versions.newest_first(connection, dataset)
        if not found:
            known = [one.name for one in refs.all_datasets(connection)]
            if dataset in known:
                raise NotFound(f"{dataset!r} has no version yet", where=dataset)
            raise unknown("dataset", dataset, known)
        return found

    def _live(self, connection: sa.Connection, dataset: str) -> list[DatasetVersion]:
        return [one for one in versions.newest_first(connection, dataset) if one.deleted_at is None]

    def _meant(
        self, connection: sa.Connection, dataset: str, texts: Sequence[str]
    ) -> tuple[list[DatasetVersion], int]:
        """The versions that are meant, the newest first, and how many others aren't deleted."""
        found = self._all(connection, dataset)
        live = [one for one in found if one.deleted_at is None]
        meant = live
        if texts:
            chosen = {one.number for text in texts for one in _live(dataset, text, found)}
            meant = [one for one in live if one.number in chosen]
        elif not live:
            raise gone(found[0])
        return meant, len(live) - len(meant)

    def _note(
        self,
        connection: sa.Connection,
        dataset: str,
        kind: str,
        meant: Sequence[DatasetVersion],
        actor: str,
        reason: str,
    ) -> None:
        names = ", ".join(f"v{one.number}" for one in meant[:_NAMED])
        what = meant[0].ref if len(meant) == 1 else f"{len(meant):,} versions of {dataset}"
        was = "was" if len(meant) == 1 else "were"
        record(
            connection,
            Event(
                id=self._ws.ids.new("event"),
                at=self._ws.clock.now(),
                recorded_at=datetime.now(UTC),
                subject=f"data:{dataset}",
                kind=kind,
                actor=actor,
                message=f"{what} {was} {kind}" + (f": {reason}" if reason else ""),
                facts={"versions": names + (", …" if len(meant) > _NAMED else ""), "reason": reason},
            ),
        )


def _any_left(connection: sa.Connection, dataset: str) -> bool:
    """Whether a dataset has branches, tags or versions that weren't given up."""
    return refs.any_of(connection, dataset) or versions.any_left(connection, dataset)


def _numbers(found: Sequence[DatasetVersion]) -> set[int]:
    return {one.number for one in found}


def _named(dataset: str, text: str, found: Sequence[DatasetVersion]) -> list[DatasetVersion]:
    """The versions that a text names, deleted or not.

    Raises:
        InvalidInput: If it names none by number or commit.
        NotFound: If there is none.
    """
    bounds = rules.parse_range(text)
    if bounds is not None:
        named = [one for one in found if bounds[0] <= one.number <= bounds[1]]
    else:
        kind, value = rules.parse_version(dataset, text)
        named = [
            one
            for one in found
            if (str(one.number) == value if kind == "number" else one.commit_id.startswith(value))
        ]
        if len(named) > 1:
            raise InvalidInput(f"several commits begin with {value}", where=dataset, fix="give more of it")
    if not named:
        raise NotFound(
            f"{dataset!r} has no version {text}", where=dataset, fix=f"the latest is v{found[0].number}"
        )
    return named


def _live(dataset: str, text: str, found: Sequence[DatasetVersion]) -> list[DatasetVersion]:
    """Those of them that aren't deleted.

    Raises:
        Deleted: If all of them are.
    """
    named = _named(dataset, text, found)
    live = [one for one in named if one.deleted_at is None]
    if not live:
        raise gone(named[0])
    return live


def _told(
    dataset: str,
    meant: Sequence[DatasetVersion],
    uses: Mapping[int, tuple[VersionUse, ...]],
    others: int,
    *,
    applied: bool,
) -> Deletion:
    return Deletion(
        dataset=dataset,
        applied=applied,
        versions=tuple(fate(one) for one in meant if one.number not in uses),
        kept=tuple(fate(one, uses[one.number]) for one in meant if one.number in uses),
        others=others,
    )


def _in_use(found: Deletion) -> Conflict:
    """The error for versions that something needs."""
    first, fix = found.kept[0], found.kept[0].uses[0].fix
    meant = len(found.kept) + len(found.versions)
    if meant == 1:
        return Conflict(f"it is in use; nothing was deleted: {_by(first)}", where=first.ref, fix=fix)
    told = "; ".join(f"{one.ref}: {_by(one)}" for one in found.kept[:_TOLD])
    more = f"; and {len(found.kept) - _TOLD:,} more" if len(found.kept) > _TOLD else ""
    return Conflict(
        f"{len(found.kept):,} of {meant:,} versions are in use; nothing was deleted. {told}{more}",
        where=found.dataset,
        fix=f"{fix}; --dry-run tells all of it",
    )


def _by(one: VersionFate) -> str:
    more = f" and {len(one.uses) - 2} more" if len(one.uses) > 2 else ""
    return ", ".join(use.by for use in one.uses[:2]) + more
