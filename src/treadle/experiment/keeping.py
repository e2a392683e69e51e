"""Which blobs runs and logged models need."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from treadle.experiment.tables import artifacts, media, provenance
from treadle.kernel.keeping import Needed, digests
from treadle.kernel.workspace import Workspace

_PIECE = 1000


class KeptByRuns:
    """The files of runs and logged models, and what is noted beside them."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of their files."""
        del workspace  # other rooms need them
        query = sa.select(artifacts.c.owner, artifacts.c.digest)
        for owner, digest in connection.execution_options(yield_per=_PIECE).execute(query):
            if owner not in without:
                yield digest
        yield from digests(connection, provenance.c.data, media.c.data)

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """Nothing: that a run is here doesn't keep it."""
        del connection
        return iter(())
