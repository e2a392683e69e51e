"""Which runs evaluations need."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from treadle.evaluate.store import evaluations
from treadle.kernel.keeping import DataUse, Needed, digests
from treadle.kernel.workspace import Workspace


class KeptByEvaluations:
    """What was judged stays as evidence."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests that evaluations name."""
        del workspace, without  # other rooms need them
        return digests(connection, evaluations.c.data, evaluations.c.subject, evaluations.c.basis)

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """The runs that were judged."""
        for identity, subject in connection.execute(sa.select(evaluations.c.id, evaluations.c.subject)):
            yield Needed(subject, f"evaluation {identity}")

    def uses(self, connection: sa.Connection, dataset: str) -> Iterator[DataUse]:
        """Nothing: verdicts stay as they are; the data that a model was judged on, the model needs."""
        del connection, dataset
        return iter(())
