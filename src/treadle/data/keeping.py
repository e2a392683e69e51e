"""Which blobs dataset versions need."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from treadle.data.needs import Walk, tables
from treadle.data.remotes.remote import Remote
from treadle.data.staging.store import staged
from treadle.data.store import versions
from treadle.kernel.keeping import DataUse, Needed, digests
from treadle.kernel.workspace import Workspace


class KeptByData:
    """Commits of versions, their packs, and the contents that are blobs of their own."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of all that versions need that weren't given up, and staged changes.

        Raises:
            NotFound: If a version isn't whole, so that nobody can say what it needs.
            CorruptData: The same.
        """
        kept = versions.c.freed_at.is_(None)
        query = sa.select(versions.c.dataset, versions.c.number, versions.c.commit_id, versions.c.files)
        commits: set[str] = set()
        for dataset, number, commit_id, files in connection.execute(query.where(kept)):
            if f"{dataset}@v{number}" not in without:
                yield from (digest for file in files for digest in (file.digest, file.parquet) if digest)
                commits.add(commit_id)
        yield from digests(connection, staged.c.entry)
        # What was pushed here by others is known by the list that lies beside it, not by rows.
        remote = Remote.of(workspace.blobs)
        listed = list(remote.listed())
        for one in listed:
            yield from (need.digest for need in tables(remote.version(*one)))
        pushed = {one.commit for one in listed}
        walk = Walk(workspace.blobs)
        for commit_id in sorted((pushed | commits) - {""}):
            yield from (need.digest for need in walk.needed(commit_id))

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """Nothing."""
        del connection
        return iter(())

    def uses(self, connection: sa.Connection, dataset: str) -> Iterator[DataUse]:
        """Nothing: what needs versions here, :class:`treadle.data.Retention` knows."""
        del connection, dataset
        return iter(())
