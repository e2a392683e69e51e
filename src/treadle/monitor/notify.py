"""Telling somebody of an alert."""

from __future__ import annotations

from typing import Protocol

import msgspec

from treadle.kernel.errors import ConfigError, Unavailable
from treadle.monitor.types import Alert

_TIMEOUT = 1.0
_RETRIES = 3
_BACKOFF = 0.1
# Four attempts of a second and pauses of 0, 0.2 and 0.4 seconds: under five in all.


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
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{url!r} is no address that can be posted to",
                where="treadle.toml [monitor] webhook",
                fix="write it with http:// or https://",
            )
        self._url = url

    def notify(self, alert: Alert) -> None:
        """Posts an alert; tries up to four times within five seconds.

        Raises:
            Unavailable: If it wasn't answered with a status below 300.
        """
        import urllib3

        retry = urllib3.Retry(
            total=_RETRIES,
            backoff_factor=_BACKOFF,
            status_forcelist=(429, *range(500, 600)),
            allowed_methods=None,
            redirect=False,
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        headers = {"Content-Type": "application/json", "Idempotency-Key": alert.id}
        try:
            with urllib3.PoolManager(retries=retry, timeout=urllib3.Timeout(total=_TIMEOUT)) as pool:
                status = pool.request(
                    "POST", self._url, body=msgspec.json.encode(alert), headers=headers
                ).status
        except urllib3.exceptions.HTTPError as error:
            raise self._refused(str(error)) from error
        if status >= 300:
            raise self._refused(f"it answered {status}")

    def _refused(self, why: str) -> Unavailable:
        return Unavailable(
            f"the webhook didn't take the alert: {why}",
            where=self._url,
            fix="it is tried again at the next look; check `webhook` in [monitor]",
        )
