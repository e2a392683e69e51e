"""One look at the world: what the monitors find, and what that starts."""

from __future__ import annotations

from treadle.kernel.errors import Conflict, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Monitors
from treadle.registry import Registry
from treadle.retrain.challenger import Challengers
from treadle.retrain.service import Cycles
from treadle.retrain.settling import settle
from treadle.retrain.trigger_types import Signal
from treadle.retrain.triggers import Triggers
from treadle.retrain.types import Cycle, NewCycle, Tick, Trigger
from treadle.retrain.worker import Worker


class Loop:
    """Closes the wheel: from monitoring back to training.

    Args:
        workspace: The project's workspace.
        worker: Who executes what is started.
    """

    def __init__(self, workspace: Workspace, worker: Worker) -> None:
        self._ws = workspace
        self._worker = worker
        self.triggers = Triggers(workspace)

    def look(self, model: str) -> Tick:
        """Computes the windows that have ended, raises alerts, and starts a cycle if a trigger calls for it.

        Cycles whose version was in trial end with that trial, and a challenger is compared anew where
        windows ended. Of a cycle that a trigger calls for and
        something holds back, the timeline tells, once.

        Raises:
            NotFound: If there is no such model.
        """
        monitors = Monitors(self._ws)
        known = {alert.id for alert in monitors.alerts(model)}
        windows = monitors.evaluate(model, self._ws.clock.now())
        alerts = monitors.alerts(model)
        raised = [alert for alert in alerts if alert.id not in known]
        settle(self._ws, model)
        if windows:
            Challengers(self._ws).look(model)
        cycle, held_back = self._act(model, alerts)
        return Tick(windows=windows, alerts=raised, cycle=cycle, held_back=held_back if raised else None)

    def start(self, model: str, trigger: Trigger) -> Cycle:
        """Starts a retraining: production's parameters on newer data; a new idea comes by ``treadle run``.

        Raises:
            Conflict: If a cycle of the model runs already, or as many as may run at once do.
            Busy: If another process drives the workspace.
        """
        self._worker.start()
        production = Registry(self._ws).production(model)
        asked = NewCycle(trigger=trigger, params=dict(production.params) if production else {})
        cycle = Cycles(self._ws).create(asked)
        if trigger.alert is not None:
            Monitors(self._ws).mark_cycle(trigger.alert, cycle.id)
        try:
            self._worker.submit(cycle)
        except TreadleError as error:
            Cycles(self._ws).fail(cycle.id, error)
            raise
        return cycle

    def _act(self, model: str, alerts: list[Alert]) -> tuple[str | None, str | None]:
        """Starts a cycle for the first trigger that calls for one; or says why none was started."""
        self._mend(model, alerts)
        if self._ws.config.train is None:
            return None, None
        resting = self.triggers.resting(model)
        if resting is not None:
            self.triggers.tell(model, resting)
        held_back = None
        for signal in self.triggers.signals(model):
            if not signal.fires:
                continue
            if signal.hold is None:
                return self._start(model, signal)
            self.triggers.note(model, signal)
            held_back = held_back or signal.hold.reason
        return None, held_back

    def _mend(self, model: str, alerts: list[Alert]) -> None:
        """Tells alerts of the cycles that they started right before the process died."""
        if all(alert.cycle for alert in alerts):
            return
        past = [cycle for cycle in Cycles(self._ws).list(model) if cycle.goal == "deploy"]
        begun = {cycle.trigger.alert: cycle.id for cycle in past if cycle.trigger.alert}
        for alert in alerts:
            if alert.cycle is None and alert.id in begun:
                Monitors(self._ws).mark_cycle(alert.id, begun[alert.id])

    def _start(self, model: str, signal: Signal) -> tuple[str | None, str | None]:
        actor = "monitor" if signal.kind in ("alert", "drift") else f"trigger:{signal.trigger}"
        trigger = Trigger(
            kind=signal.kind,
            actor=actor,
            reason=signal.reason,
            alert=signal.alert,
            name=signal.trigger,
            key=signal.key,
        )
        try:
            return self.start(model, trigger).id, None
        except Conflict as error:  # Busy is one
            return None, error.message
