"""Which blobs, runs and versions of data cycles need."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from treadle.kernel.keeping import DataUse, Needed, digests
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

    def uses(self, connection: sa.Connection, dataset: str) -> Iterator[DataUse]:
        """The versions that cycles under way work on; later their runs and models need them."""
        query = sa.select(cycles.c.id, cycles.c.work).where(cycles.c.state == "running")
        for identity, work in connection.execute(query):
            for rows in (work.train, work.holdout):
                if rows is not None and rows.spec.dataset == dataset:
                    by = f"cycle {identity} is working on it ({rows.role})"
                    fix = f"wait until cycle {identity} has ended"
                    yield DataUse(digest=rows.spec.version, number=rows.number, by=by, fix=fix)
