"""Who logs alone is written for in the event loop, who logs beside others in the thread; to one effect."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from treadle.api.mlflow.turns import Turns
from treadle.experiment import Experiments, MetricWriter, NewRun, curves
from treadle.experiment.types import Sample
from treadle.experiment.writes import Append
from treadle.kernel.errors import NotFound, Unavailable


class Watched(MetricWriter):
    """A writer that tells which thread wrote at once."""

    here = 0

    def write_now(self, writes):
        """Writes, and counts what was written here."""
        outcomes = super().write_now(writes)
        self.here += outcomes is not None
        return outcomes


def test_one_client_after_itself_is_written_at_once_and_several_in_the_thread(workspace):
    Experiments(workspace).create(NewRun(id="run_1", name="a", started_at=datetime(2026, 1, 1, tzinfo=UTC)))
    writer = Watched(workspace.database)
    turns = Turns(writer)

    async def log(clients: list[object]) -> None:
        for step, client in enumerate(clients):
            await turns.write(Append("run_1", [Sample("m", float(step), step, step)]), client)

    asyncio.run(log([("host", 1), ("host", 2)] * 3))
    assert writer.here == 0
    asyncio.run(log([("host", 3)] * 5))
    quick = workspace.database.engine.dialect.name == "sqlite"
    assert (writer.here > 0) is quick
    writer.close()
    with workspace.database.read() as connection:
        found = curves.read(connection, "run_1", "m").values.tolist()
    assert found == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 1.0, 2.0, 3.0, 4.0]


def test_both_ways_tell_the_same_error(workspace):
    writer = MetricWriter(workspace.database)
    turns = Turns(writer)

    async def fail() -> None:
        for _ in range(3):
            with pytest.raises(NotFound, match="id=nobody not found"):
                await turns.write(Append("nobody", []), ("host", 1))
        writer.close()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await turns.write(Append("nobody", []), ("host", 1))

    asyncio.run(fail())
