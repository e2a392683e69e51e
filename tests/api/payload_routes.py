"""The route of other servers' requests and responses, with its real effect."""

from __future__ import annotations

import pytest

from live import AT
from treadle.client import Client
from treadle.kernel.errors import InvalidInput
from treadle.monitor import InferenceEvent


def of_payloads(client: Client) -> None:
    """One side is kept; the other doesn't fit the model."""
    request, response = (
        InferenceEvent(id="z", side=side, body=body, at=AT, service="toy", version=1, output="p")
        for side, body in (("request", b'{"inputs": []}'), ("response", b'{"outputs": []}'))
    )
    client.send_inference_event("toy", request)
    found = client.unpaired_events("toy")
    assert (found.requests, found.responses, found.since is None) == (1, 0, False)
    with pytest.raises(InvalidInput, match="inputs 'hour', 'carrier' are missing"):
        client.send_inference_event("toy", response)
