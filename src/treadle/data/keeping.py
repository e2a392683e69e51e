"""Which blobs dataset versions need."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from treadle.data.store import versions
from treadle.kernel.keeping import Needed, digests
from treadle.kernel.workspace import Workspace


class KeptByData:
    """The files of dataset versions."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of their files."""
        del workspace, without  # other rooms need them
        return digests(connection, versions.c.files)

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """Nothing."""
        del connection
        return iter(())
