"""Every route of incidents, in a project that has none."""

from __future__ import annotations

import pytest

from treadle.client import Client
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.monitor import IncidentChange, NewMute


def of_incidents(client: Client) -> None:
    """Asks all of them; what an incident is and does is tested in tests/monitor/incidents."""
    assert client.incidents("toy") == []
    for asked in (client.incident, client.deliveries, client.incident_page):
        with pytest.raises(NotFound, match="toy-1"):
            asked("toy-1")
    with pytest.raises(NotFound):
        client.change_incident("toy-1", IncidentChange(state="resolved"))
    mute = client.mute("toy", NewMute(hours=1, reason="a rehearsal"))
    assert client.mutes("toy") == [mute]
    client.unmute(mute.id)
    assert client.mutes("toy") == []
    with pytest.raises(InvalidInput, match="no channel is declared"):
        client.test_notices("toy")
