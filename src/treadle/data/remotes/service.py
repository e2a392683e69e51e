"""Remotes of a project: pushing to them, fetching from them, verifying what is here and there."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.data import store
from treadle.data.branches.service import Branches
from treadle.data.remotes.fetching import fetch
from treadle.data.remotes.naming import wanted
from treadle.data.remotes.pace import Pace
from treadle.data.remotes.pulling import pull
from treadle.data.remotes.pushing import push
from treadle.data.remotes.remote import Remote
from treadle.data.remotes.types import (
    Fetch,
    FetchedVersion,
    Pull,
    Pulled,
    Push,
    PushedVersions,
    Verified,
    Verify,
)
from treadle.data.remotes.verifying import Verifier
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import NotFound
from treadle.kernel.workspace import Workspace

_TOLD = 1000


class Remotes:
    """The remotes of a project.

    Args:
        workspace: The project's workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def push(self, asked: Push) -> PushedVersions:
        """Pushes versions with all that they follow; each is listed at the remote when all of it is there.

        Raises:
            NotFound: If there is no such version or remote.
            InvalidInput: If the remote is the project's own blob store, or the limit is no rate.
            Conflict: If the remote's branch has versions that aren't here, or went another way.
            CorruptData: If something here is damaged or missing: names it.
            StorageFull: If the remote is full; what was sent is there for the next try.
            StorageError: If the remote fails again and again.
        """
        return push(self._ws, asked)

    def fetch(self, asked: Fetch) -> list[FetchedVersion]:
        """Brings versions from a remote; each becomes known when its pages are here.

        Raises:
            NotFound: If there is no such remote, or the remote has no such version.
            InvalidInput: If the limit is no rate, or a reference names several versions.
            CorruptData: If something is damaged or missing at the remote: names it.
            StorageFull: If no space is left here; what has come is here for the next try.
            StorageError: If the remote fails again and again.
        """
        return fetch(self._ws, asked)

    def pull(self, asked: Pull) -> Pulled:
        """Brings what pointers name from a remote, and into the project's folder meanwhile.

        Raises:
            NotFound: If there is no such pointer or remote, or the remote has no such version.
            InvalidInput: If the limit is no rate, or a pointer can't be read.
            Conflict: If changes would be lost; what came from the remote is here.
            CorruptData: If something is damaged or missing at the remote: names it.
            StorageFull: If no space is left here; what has come is here for the next try.
            StorageError: If the remote fails again and again.
        """
        return pull(self._ws, asked)

    def verify(self, asked: Verify) -> Verified:
        """Reads versions bit for bit, here or at a remote, and mends them if that is asked for.

        Raises:
            NotFound: If there is no such version or remote.
            Deleted: If one that was named was deleted, and isn't looked for at a remote.
            StorageError: If a store can't be read.
        """
        remote = None
        if asked.at_remote or asked.remote or self._ws.config.default_remote:
            try:
                remote = Remote.open(self._ws.config, self._ws.root, asked.remote)
            except NotFound:
                if asked.at_remote or asked.remote:
                    raise
        there = remote.blobs if remote else None
        at_remote = remote if asked.at_remote else None
        blobs, other = (there, self._ws.blobs) if at_remote and there else (self._ws.blobs, there)
        verifier = Verifier(
            blobs,
            other,
            Pace(),
            repair=asked.repair,
            partial=at_remote is None,
            buckets=self._ws.buckets,
        )
        chosen = list(self._chosen(asked, at_remote))
        found = verifier.verify(chosen)
        return Verified(
            where=f"remote {at_remote.name}" if at_remote else "here",
            versions=len(chosen),
            files=found.files,
            blobs=found.blobs,
            bytes=found.bytes,
            elsewhere=found.elsewhere,
            external=found.external,
            damaged=len(found.damages),
            repaired=sum(damage.repaired for damage, _ in found.damages),
            damages=tuple(damage for damage, _ in found.damages[:_TOLD]),
        )

    def _chosen(self, asked: Verify, remote: Remote | None) -> Iterator[DatasetVersion]:
        branches = Branches(self._ws)
        if asked.refs:
            for one in wanted(self._ws, asked.refs):
                version = branches.resolve(one.ref, deleted=remote is not None)
                yield remote.version(version.dataset, version.commit_id) if remote else version
        elif remote is not None:
            yield from (remote.version(*one) for one in remote.listed())
        else:
            for dataset in branches.datasets():
                branches.head(dataset.name, "main")  # versions of older Treadles get their commits
                with self._ws.database.read() as connection:
                    found = store.newest_first(connection, dataset.name)
                yield from (one for one in reversed(found) if one.commit_id and one.deleted_at is None)
