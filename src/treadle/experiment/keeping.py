"""Which blobs and versions of data runs and logged models need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

import msgspec
import sqlalchemy as sa

from treadle.experiment.store import pieces
from treadle.experiment.tables import artifacts, inputs, media, provenance, runs
from treadle.kernel.keeping import DataUse, Needed, digests
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

    def uses(self, connection: sa.Connection, dataset: str) -> Iterator[DataUse]:
        """The versions that runs read; those of deleted runs don't count."""
        return data_uses(connection, dataset)


def data_uses(
    connection: sa.Connection, dataset: str, of: Mapping[str, tuple[str, str]] | None = None
) -> Iterator[DataUse]:
    """The versions of a dataset that runs read.

    Args:
        connection: Where the rows are.
        dataset: The dataset.
        of: Only these runs, deleted or not, and of each what needs it and what ends that; all that
            aren't deleted when None.
    """
    table = inputs
    query = sa.select(table.c.run, table.c.digest, table.c.source, table.c.context)
    query = query.where(table.c.name == dataset).order_by(table.c.run, table.c.position)
    if of is None:
        query = query.join(runs, runs.c.id == table.c.run).where(runs.c.lifecycle == "active")
    for run, digest, source, context in connection.execute(query):
        if of is None:
            by, fix = f"run {run} read it", f"treadle runs delete {run}"
        elif run in of:
            by, fix = of[run]
        else:
            continue
        yield DataUse(
            digest=digest, number=_number(source), by=f"{by} ({context})" if context else by, fix=fix
        )


class _Noted(msgspec.Struct):
    number: int = 0


def _number(source: str) -> int:
    """The version's number, if the run noted it; runs of other trackers don't."""
    try:
        return msgspec.json.decode(source, type=_Noted).number
    except msgspec.MsgspecError:
        return 0


def active_runs(connection: sa.Connection, ids: Iterable[str]) -> set[str]:
    """Those of some runs that are there and not deleted."""
    found: set[str] = set()
    for piece in pieces(sorted(set(ids))):
        query = sa.select(runs.c.id).where(runs.c.id.in_(piece), runs.c.lifecycle == "active")
        found.update(connection.execute(query).scalars())
    return found
