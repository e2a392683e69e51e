"""Telling somebody of an alert."""

from __future__ import annotations

import http.client
import time
from typing import Protocol

import msgspec

from treadle.kernel.errors import Unavailable
from treadle.monitor.incidents.posting import check_address, exchange
from treadle.monitor.types import Alert

_WITHIN = 5.0
"""So many seconds all attempts have together; a receiver that is slow may use them in one."""

_PAUSES = 0, 0, 0.2, 0.4


class Notifier(Protocol):
    """Takes alerts to where somebody looks."""

    def notify(self, alert: Alert) -> None:
        """Hands an alert over; raises Unavailable if it wasn't taken."""


class WebhookNotifier:
    """Posts alerts as JSON.

    An alert may be posted twice (a receiver that took it and failed to say so): its ``id``,
    also sent as ``Idempotency-Key``, tells.

    Args:
        url: Where.

    Raises:
        ConfigError: If that is no address on the web.
    """

    def __init__(self, url: str) -> None:
        self._url = check_address(url, "treadle.toml [monitor] webhook")

    def notify(self, alert: Alert) -> None:
        """Posts an alert; tries up to four times within five seconds.

        Raises:
            Unavailable: If it wasn't answered with a status below 300.
        """
        body, headers, why = msgspec.json.encode(alert), {"Idempotency-Key": alert.id}, ""
        ends = time.monotonic() + _WITHIN
        for pause in _PAUSES:
            time.sleep(pause)
            if (left := ends - time.monotonic()) <= 0:
                break
            try:
                status, said = exchange(self._url, body, headers, left, left)
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = str(error) or type(error).__name__
                continue
            if status < 300:
                return
            why = f"it answered {status}" + (f": {said}" if said else "")
            if status != 429 and status < 500:
                break
        raise self._refused(why)

    def _refused(self, why: str) -> Unavailable:
        return Unavailable(
            f"the webhook didn't take the alert: {why}",
            where=self._url,
            fix="it is tried again at the next look; check `webhook` in [monitor]",
        )
