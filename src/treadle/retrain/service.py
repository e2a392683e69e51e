"""Cycles: started, looked at, planned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeAlias

import sqlalchemy as sa

from treadle.govern import Usages
from treadle.kernel.errors import Conflict, TreadleError
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import rules, store
from treadle.retrain.explain import explain
from treadle.retrain.types import Cycle, NewCycle, Plan, Reign, Stage

Several: TypeAlias = list[Cycle]
Reigns: TypeAlias = list[Reign]


class Cycles:
    """The cycles of a workspace.

    Args:
        workspace: Where they are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def create(self, asked: NewCycle) -> Cycle:
        """Writes down a cycle that is to run; :class:`treadle.retrain.Worker` runs it.

        Raises:
            ConfigError: If ``treadle.toml`` says nothing of training.
            NotFound: If ``like`` names no run.
            Conflict: If the model has a cycle that runs already.
        """
        config = self._ws.config
        _ = config.training
        if asked.like is not None:
            from treadle.experiment import Experiments

            asked = _like(asked, dict(Experiments(self._ws).get(asked.like).params))
        cycle = Cycle(
            id=self._ws.ids.new("cycle"),
            model=config.model,
            goal=asked.goal,
            trigger=asked.trigger,
            as_of=self._ws.clock.now(),
            state="running",
            stages=tuple(Stage(name=name) for name in rules.STAGES[asked.goal]),
            started_at=datetime.now(UTC),
        )
        try:
            with self._ws.database.write() as connection:
                store.insert(connection, cycle, asked)
        except sa.exc.IntegrityError:
            raise Conflict(
                f"a cycle of {cycle.model} is running already",
                fix="wait for it (`treadle cycles`), or go on with it: `treadle run`",
            ) from None
        return cycle

    def get(self, cycle_id: str) -> Cycle:
        """A cycle as it stands.

        Raises:
            NotFound: If there is none of that name.
        """
        with self._ws.database.read() as connection:
            found = store.load(connection, cycle_id)
        if found is None:
            raise self.missing(cycle_id)
        return found[0]

    def missing(self, cycle_id: str) -> TreadleError:
        """The error for a cycle that isn't there, with the nearest that is."""
        return unknown("cycle", cycle_id, [cycle.id for cycle in self.list()])

    def list(self, model: str | None = None, *, running: bool = False) -> Several:
        """Cycles, oldest first."""
        with self._ws.database.read() as connection:
            return store.select(connection, model, "running" if running else None)

    def plan(self, asked: NewCycle) -> Plan:
        """What a cycle would do now, without doing any of it."""
        return explain(self._ws, asked, [c for c in self.list(self._ws.config.model) if c.goal == asked.goal])

    def reigns(self, model: str) -> Reigns:
        """What was in production when, oldest first."""
        return rules.reigns(Registry(self._ws).history(model), self.list(model))

    def fail(self, cycle_id: str, error: TreadleError) -> Cycle:
        """Ends a cycle that can't go on."""
        import msgspec

        used = Usages(self._ws).cycle_used(cycle_id)
        with self._ws.database.write() as connection:
            found = store.load(connection, cycle_id)
            if found is None or found[0].state != "running":
                return self.get(cycle_id)
            now = datetime.now(UTC)
            cycle = found[0]
            for stage in cycle.stages:
                if stage.state == "running":
                    cycle = store.replace_stage(
                        cycle, stage.name, state="failed", ended_at=now, summary=error.message
                    )
            cycle = msgspec.structs.replace(
                cycle, state="failed", ended_at=now, cpu_seconds=used, error=str(error)
            )
            store.update(connection, cycle)
        return cycle


def _like(asked: NewCycle, params: dict[str, bool | int | float | str]) -> NewCycle:
    import msgspec

    return msgspec.structs.replace(asked, params={**params, **asked.params})
