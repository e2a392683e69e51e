"""What the triggers say just now, read from what is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

import msgspec

from treadle.data import DataInput, Datasets
from treadle.govern import Usages
from treadle.kernel.config import RetrainConfig, TriggerConfig
from treadle.kernel.errors import BudgetExceeded, NotFound
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Monitors
from treadle.registry import ModelVersion, Registry
from treadle.retrain import rules, signals
from treadle.retrain.service import Cycles
from treadle.retrain.trigger_types import Hold, Signal, Streak
from treadle.retrain.types import Cycle

Signals: TypeAlias = list[Signal]
_ANEW = timedelta(hours=1)


class _Counted(NamedTuple):
    mark: str
    after: datetime
    until: datetime
    rows: int


class Triggers:
    """The triggers that ``[retrain]`` declares.

    Args:
        workspace: The project's workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._noted: set[str] = set()
        self._counted: dict[str, _Counted] = {}

    def signals(self, model: str) -> Signals:
        """What every trigger says, and what holds back those that fire; changes nothing.

        Those on alerts come first, the latest alert before the others; then in the file's order.

        Raises:
            NotFound: If there is no such model.
        """
        config = self._ws.config.retrain
        past = self._past(model)
        found = [
            self._held(model, signal, config.declared()[signal.trigger], past)
            for signal in self._signals(model, config, past)
        ]
        return sorted(found, key=lambda signal: signal.kind != "alert")

    def declared(self, on: str) -> tuple[str, TriggerConfig]:
        """The first trigger of a kind, with its name.

        Raises:
            NotFound: If none is declared.
        """
        for name, trigger in self._ws.config.retrain.declared().items():
            if trigger.on == on:
                return name, trigger
        raise NotFound(
            f"no trigger on {on!r} is declared",
            where="treadle.toml [retrain.triggers]",
            fix=f'declare one: [retrain.triggers.NAME] with on = "{on}"',
        )

    def hold(self, model: str, trigger: TriggerConfig) -> Hold | None:
        """What holds a trigger back; None if it would start a cycle now."""
        return self._hold(model, trigger, self._past(model))

    def resting(self, model: str) -> Streak | None:
        """The latest cycles, if so many ended for one reason that triggers rest; None otherwise."""
        return signals.streak(self._past(model), self._ws.config.retrain)

    def note(self, model: str, signal: Signal) -> None:
        """Writes a decision not to start a cycle on the model's timeline; the same one once.

        It is the same as long as the trigger fires for the same, is held back by the same, and no
        cycle came in between.
        """
        assert signal.hold is not None  # noqa: S101 - the caller looked
        last = self._past(model)[-1:]
        cause = f"{signal.hold.cause}:{last[0].id if last else ''}"
        self._once(
            Event(
                id=f"held_back:{model}:{signal.trigger}:{signal.key}:{cause}",
                at=self._ws.clock.now(),
                recorded_at=datetime.now(UTC),
                subject=f"model:{model}",
                kind="held_back",
                actor=f"trigger:{signal.trigger}",
                message=f"no cycle was started: {signal.hold.reason}",
                facts={"trigger": signal.trigger, "cause": signal.hold.cause, "because": signal.reason},
            )
        )

    def tell(self, model: str, streak: Streak) -> None:
        """Raises an alert, and so an incident, of cycles that end for one reason again and again; once."""
        name = f"retraining:{model}:{streak.cycles[0]}:{streak.cause}"
        if name in self._noted:
            return
        production = Registry(self._ws).production(model)
        count = len(streak.cycles)
        Monitors(self._ws).report(
            Alert(
                id=name,
                model=model,
                kind="retraining",
                at=self._ws.clock.now(),
                subjects=(streak.cause,),
                sentence=f"{count} cycles in a row ended for the same reason, so triggers rest until "
                f"{streak.until:%Y-%m-%d %H:%M}: {streak.sentence}",
                version=production.number if production else 0,
            )
        )
        self._noted.add(name)

    def _once(self, event: Event) -> None:
        if event.id not in self._noted:
            with self._ws.database.write() as connection:
                record(connection, event)
            self._noted.add(event.id)

    def _past(self, model: str) -> list[Cycle]:
        return [cycle for cycle in Cycles(self._ws).list(model) if cycle.goal == "deploy"]

    # ── what fires ───────────────────────────────────────────────────────

    def _signals(self, model: str, config: RetrainConfig, past: Sequence[Cycle]) -> Signals:
        declared = config.declared()
        on_alerts = {name: one for name, one in declared.items() if one.on in signals.ALERTS}
        found: Signals = []
        results = []
        if on_alerts or any(one.on == "drift" for one in declared.values()):
            summary = Monitors(self._ws).summary(model)
            results = [one for one in summary.results if one.version == summary.version]
            holding = {(one.kind, one.version) for one in summary.results if one.state == "alert"}
            found += signals.alert_signals(on_alerts, summary.alerts, holding)
        now = self._ws.clock.now()
        for name, one in declared.items():
            if one.on == "drift":
                found.append(signals.drift_signal(name, one, results))
            elif one.on == "schedule":
                since = max((cycle.as_of for cycle in past), default=None)
                found.append(signals.schedule_signal(name, one, since, now))
            elif one.on == "data":
                found.append(self._data(model, name, one))
            elif one.on == "webhook":
                why = f"waits for a signed POST /v1/retrain/{model}/trigger"
                if not os.environ.get(one.secret):
                    why = f"can't be called: {one.secret}, its secret, isn't set where `treadle up` runs"
                found.append(Signal(trigger=name, kind="webhook", fires=False, reason=why))
        return found

    def _data(self, model: str, name: str, trigger: TriggerConfig) -> Signal:
        production = Registry(self._ws).production(model)
        learned = _learned(production)
        if production is None or learned is None:
            why = "nothing is in production yet" if production is None else "its data isn't known"
            return Signal(trigger=name, kind="data", fires=False, reason=why)
        datasets = Datasets(self._ws)
        try:
            now = datasets.current(learned.spec.dataset)
            before = next(
                (one.bytes for one in datasets.log(learned.spec.dataset) if one.number == learned.number), 0
            )
        except NotFound as error:
            return Signal(trigger=name, kind="data", fires=False, reason=error.message)
        rows = 0
        after = learned.spec.known_by
        if trigger.rows is not None and after is not None:
            until = self._ws.clock.now()
            known = self._counted.get(name)
            fresh = known is not None and (known.mark, known.after) == (now.mark, after)
            if known is None or not fresh or not known.until <= until < known.until + _ANEW:
                known = _Counted(now.mark, after, until, datasets.arrived(now, after, until))
                self._counted[name] = known
            rows = known.rows
        return signals.data_signal(
            name, trigger, rows=rows, bytes_=now.bytes - before, version=production.ref, key=now.ref
        )

    # ── what holds back ──────────────────────────────────────────────────

    def _held(self, model: str, signal: Signal, trigger: TriggerConfig, past: Sequence[Cycle]) -> Signal:
        if not signal.fires:
            return signal
        return msgspec.structs.replace(signal, hold=self._hold(model, trigger, past))

    def _hold(self, model: str, trigger: TriggerConfig, past: Sequence[Cycle]) -> Hold | None:
        config, now = self._ws.config.retrain, self._ws.clock.now()
        over = None
        try:
            Usages(self._ws).check(model, rules.typical_cost(past), now)
        except BudgetExceeded as error:
            over = error.message
        running = Cycles(self._ws).list(running=True) if config.max_running is not None else []
        return signals.hold(
            past,
            signals.cooldown_of(trigger, config),
            now,
            resting=signals.streak(past, config),
            others=sum(cycle.model != model for cycle in running),
            limit=config.max_running,
            over_budget=over,
        )


def _learned(production: ModelVersion | None) -> DataInput | None:
    """What a version learned from; None of one that wasn't made by a cycle."""
    data = production.data if production else ()
    return next((one for one in data if one.role == "train"), None)
