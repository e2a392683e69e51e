"""Which blobs and runs cycles need."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from treadle.kernel.keeping import Needed, digests
from treadle.kernel.workspace import Workspace
from treadle.retrain.store import cycles


class KeptByCycles:
    """What cycles have come to, those under way too."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of models, profiles and recipes that cycles have come to."""
        del workspace, without  # other rooms need them
        return digests(connection, cycles.c.cycle, cycles.c.asked, cycles.c.work)

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """The runs that cycles trained."""
        for identity, work in connection.execute(sa.select(cycles.c.id, cycles.c.work)):
            for training in work.trainings:
                yield Needed(training.run, f"cycle {identity}")
