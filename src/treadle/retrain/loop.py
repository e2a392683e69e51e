"""One look at the world: what the monitors find, and what that starts."""

from __future__ import annotations

from treadle.kernel.errors import Conflict, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Monitors
from treadle.registry import Registry
from treadle.retrain import rules
from treadle.retrain.service import Cycles
from treadle.retrain.types import NewCycle, Tick, Trigger
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

    def look(self, model: str) -> Tick:
        """Computes the windows that have ended, raises alerts, and starts a cycle if one calls for it."""
        monitors = Monitors(self._ws)
        known = {alert.id for alert in monitors.alerts(model)}
        windows = monitors.evaluate(model, self._ws.clock.now())
        alerts = monitors.alerts(model)
        raised = [alert for alert in alerts if alert.id not in known]
        cycle, held_back = self._act(model, alerts)
        return Tick(windows=windows, alerts=raised, cycle=cycle, held_back=held_back if raised else None)

    def _act(self, model: str, alerts: list[Alert]) -> tuple[str | None, str | None]:
        """Starts a cycle for the latest alert that still holds; or says why none was started.

        An alert holds as long as its monitor's latest window does, for the version in
        production: so one that was held back, or raised just before a crash, is acted on
        when it can be.
        """
        now = self._ws.clock.now()
        config = self._ws.config
        held_back = None
        still = {
            (window.kind, window.version)
            for window in Monitors(self._ws).summary(model).results
            if window.state == "alert"
        }
        past = [cycle for cycle in Cycles(self._ws).list(model) if cycle.goal == "deploy"]
        begun = {cycle.trigger.alert: cycle.id for cycle in past if cycle.trigger.alert}
        for alert in reversed(alerts):
            if alert.cycle is None and alert.id in begun:
                # The process died right after it had started the cycle.
                Monitors(self._ws).mark_cycle(alert.id, begun[alert.id])
                continue
            if alert.cycle is not None or (alert.kind, alert.version) not in still:
                continue
            if alert.kind not in config.retrain.on:
                continue
            held_back = rules.holds_back(past, config.retrain.cooldown, now)
            if held_back is None:
                return self._start(model, alert)
        return None, held_back

    def _start(self, model: str, alert: Alert) -> tuple[str | None, str | None]:
        """A retraining repeats production's recipe on newer data; a new recipe comes by ``treadle run``."""
        production = Registry(self._ws).production(model)
        trigger = Trigger(kind="alert", actor="monitor", reason=alert.sentence, alert=alert.id)
        asked = NewCycle(trigger=trigger, params=dict(production.params) if production else {})
        try:
            cycle = Cycles(self._ws).create(asked)
        except Conflict as error:
            return None, error.message
        Monitors(self._ws).mark_cycle(alert.id, cycle.id)
        try:
            self._worker.submit(cycle)
        except TreadleError as error:
            Cycles(self._ws).fail(cycle.id, error)
            return None, error.message
        return cycle.id, None
