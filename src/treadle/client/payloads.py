"""What the client tells of another server's requests and responses."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from treadle.client.calls import Calls

if TYPE_CHECKING:
    from treadle.monitor import InferenceEvent, Unpaired

_TYPE = "org.kubeflow.serving.inference."


class PayloadCalls(Calls):
    """Calls of the route of inference events."""

    def send_inference_event(self, model: str, event: InferenceEvent) -> None:
        """Logs a request or a response; sending it twice is sending it once.

        When both are there they become predictions, at the next look.
        """
        headers = {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": quote(event.id, safe=_PLAIN),
            "ce-type": _TYPE + event.side,
            "ce-source": "treadle-client",
            "ce-inferenceservicename": quote(event.service, safe=_PLAIN),
        }
        if event.at is not None:
            headers["ce-time"] = event.at.isoformat()
        told = {"version": event.version, "output": event.output or None}
        query = urlencode({name: value for name, value in told.items() if value is not None})
        path = f"/v1/predictions/{quote(model, safe='')}/events"
        self._send("POST", f"{path}?{query}" if query else path, event.body, headers).read()

    def unpaired_events(self, model: str) -> Unpaired:
        """How many logged requests and responses of other servers wait for each other."""
        from treadle.monitor import Unpaired

        path = f"/v1/predictions/{quote(model, safe='')}/events"
        found: Unpaired = self._ask(Unpaired, "GET", path)
        return found


_PLAIN = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"
