"""Sends what is to be sent: retried with growing pauses, by one process at a time, never lost.

A notice is written in the transaction that opens, worsens or resolves an incident. Whoever sends it takes it
for a minute first; a process that is killed with it in hand leaves it to be taken again after that, so that
every notice is sent at least once, and its identity tells a receiver that got it twice. What waits about one
incident by one way is sent in its order.
Alerts that ``[monitor] webhook`` is to get go the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from treadle.kernel.clock import Clock, SystemClock
from treadle.kernel.errors import TreadleError
from treadle.kernel.workspace import Workspace
from treadle.monitor import store as monitor_store
from treadle.monitor.incidents import rules, store
from treadle.monitor.incidents.channels import ALERTS, Channel
from treadle.monitor.incidents.types import Delivery

_log = logging.getLogger("treadle.monitor")


class Outbox:
    """The notices of a workspace that are on their way.

    Args:
        workspace: Where they are kept.
        channels: The ways out, by name. What is meant for another one waits until that is declared again.
        clock: Tells when something is due: the machine's, also while the past is replayed.
    """

    def __init__(
        self, workspace: Workspace, channels: Mapping[str, Channel], clock: Clock | None = None
    ) -> None:
        self._ws = workspace
        self._channels = channels
        self._clock = clock or SystemClock()

    def add_alerts(self, model: str) -> None:
        """Has a model's alerts sent that nobody has taken and that aren't on their way."""
        if ALERTS not in self._channels:
            return
        with self._ws.database.read() as connection:
            on_way = store.alerts_on_way(connection)
            waiting = monitor_store.read_alerts(connection, model, delivered=False)
        new = [alert for alert in waiting if alert.id not in on_way]
        if not new:
            return
        with self._ws.database.write() as connection:
            for alert in new:
                incident = store.incident_of(connection, alert.id) or rules.opened(alert, 0, "info", alert.at)
                notice = rules.alert_notice(incident, alert)
                store.add_delivery(connection, notice, ALERTS, self._clock.now())

    def deliver(self) -> int:
        """Sends what is due; a channel that fails is left alone until the next time.

        Returns:
            How many notices were taken.
        """
        taken, failing = 0, set[str]()
        while waiting := self._due(failing):
            for delivery in waiting:
                if delivery.channel not in failing:
                    error = self._send(delivery)
                    taken += error is None
                    if error:
                        failing.add(delivery.channel)
        return taken

    def _due(self, failing: AbstractSet[str]) -> list[Delivery]:
        with self._ws.database.read() as connection:
            waiting = store.due(connection, self._clock.now())
        return [one for one in waiting if one.channel in self._channels and one.channel not in failing]

    def _send(self, delivery: Delivery) -> str | None:
        """Why it wasn't taken; None if it was, or if another process has it."""
        now = self._clock.now()
        with self._ws.database.write() as connection:
            if not store.claim(connection, delivery, now + store.LEASE):
                return None
        try:
            self._channels[delivery.channel].send(delivery.notice)
        except TreadleError as error:
            self._settle(delivery, str(error))
            return str(error)
        except Exception as error:  # noqa: BLE001 - a channel that stumbles must not stop the others
            _log.exception("the channel %s stumbled", delivery.channel)
            self._settle(delivery, repr(error))
            return repr(error)
        with self._ws.database.write() as connection:
            store.settle(connection, delivery, delivered_at=self._clock.now())
        return None

    def _settle(self, delivery: Delivery, error: str) -> None:
        _log.warning("%s was not taken by %s: %s", delivery.notice.id, delivery.channel, error)
        again = self._clock.now() + rules.wait(delivery.attempts + 1)
        with self._ws.database.write() as connection:
            store.settle(connection, delivery, next_at=again, error=error[:500])
