"""Cycles: started, looked at, planned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeAlias

import sqlalchemy as sa

from treadle.govern import Usages
from treadle.kernel.errors import Conflict, TreadleError
from treadle.kernel.events import record
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import rules, store, telling
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
            Conflict: If the model has a cycle that runs already, or as many as may run at once do.
        """
        config = self._ws.config
        asked = self._complete(asked)
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
                store.lock(connection)
                self._check_room(connection, cycle.model)
                store.insert(connection, cycle, asked)
                record(connection, telling.started(cycle))
        except sa.exc.IntegrityError:
            raise _runs(cycle.model) from None
        return cycle

    def check(self, asked: NewCycle) -> None:
        """Whether a cycle could be created now; before anything is done for it.

        Raises:
            ConfigError: If ``treadle.toml`` says nothing of training.
            NotFound: If ``like`` names no run.
            Conflict: If the model has a cycle that runs already, or as many as may run at once do.
        """
        self._complete(asked)
        model = self._ws.config.model
        with self._ws.database.read() as connection:
            if store.select(connection, model, "running"):
                raise _runs(model)
            self._check_room(connection, model)

    def _complete(self, asked: NewCycle) -> NewCycle:
        _ = self._ws.config.training
        if asked.like is None:
            return asked
        from treadle.experiment import Experiments

        return _like(asked, dict(Experiments(self._ws).get(asked.like).params))

    def _check_room(self, connection: sa.Connection, model: str) -> None:
        limit = self._ws.config.retrain.max_running
        if limit is None:
            return
        others = [c for c in store.select(connection, state="running") if c.model != model]
        if len(others) >= limit:
            raise Conflict(
                f"{len(others)} cycles run, and {limit} may run at once",
                where="treadle.toml [retrain] max_running",
                fix=f"wait until {others[0].id} of {others[0].model} has ended",
            )

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
        """What was in production when, oldest first.

        Raises:
            NotFound: If there is no such model.
        """
        Registry(self._ws).check_model(model)
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
            broke = ""
            for stage in cycle.stages:
                if stage.state == "running":
                    broke = stage.name
                    cycle = store.replace_stage(
                        cycle, stage.name, state="failed", ended_at=now, summary=error.message
                    )
            cycle = msgspec.structs.replace(
                cycle,
                state="failed",
                ended_at=now,
                cpu_seconds=used,
                error=str(error),
                cause=f"{broke} {error.code}".strip(),
            )
            store.update(connection, cycle)
            record(connection, telling.ended(cycle, self._ws.clock.now()))
        return cycle


def _runs(model: str) -> Conflict:
    return Conflict(
        f"a cycle of {model} is running already",
        fix="wait for it (`treadle cycles`), or go on with it: `treadle run`",
    )


def _like(asked: NewCycle, params: dict[str, bool | int | float | str]) -> NewCycle:
    import msgspec

    return msgspec.structs.replace(asked, params={**params, **asked.params})
