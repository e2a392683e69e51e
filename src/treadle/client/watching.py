"""What the client asks of incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from treadle.client.calls import Calls

if TYPE_CHECKING:
    from treadle.monitor import ChannelTest, Delivery, Incident, IncidentChange, IncidentReport, Mute, NewMute


class IncidentCalls(Calls):
    """Calls of the routes of incidents."""

    def incidents(self, model: str, state: str | None = None) -> list[Incident]:
        """A model's incidents, oldest first."""
        from treadle.monitor import Incident

        path = f"/v1/models/{quote(model, safe='')}/incidents"
        found: list[Incident] = self._ask(list[Incident], "GET", path, state=state)
        return found

    def incident(self, incident: str) -> IncidentReport:
        """All that is known of an incident."""
        from treadle.monitor import IncidentReport

        found: IncidentReport = self._ask(IncidentReport, "GET", _of(incident))
        return found

    def incident_page(self, incident: str) -> bytes:
        """An incident as one HTML page."""
        return self._send("GET", f"{_of(incident)}/page").read()

    def change_incident(self, incident: str, change: IncidentChange) -> Incident:
        """Takes an incident, or says that it is over."""
        from treadle.monitor import Incident

        found: Incident = self._ask(Incident, "POST", f"{_of(incident)}/changes", change, actor=_actor())
        return found

    def deliveries(self, incident: str) -> list[Delivery]:
        """What was sent about an incident, or is on its way."""
        from treadle.monitor import Delivery

        found: list[Delivery] = self._ask(list[Delivery], "GET", f"{_of(incident)}/deliveries")
        return found

    def test_notices(self, model: str) -> list[ChannelTest]:
        """Sends a test notice by every declared way, and says what became of it."""
        from treadle.monitor import ChannelTest

        path = f"/v1/models/{quote(model, safe='')}/notices/test"
        found: list[ChannelTest] = self._ask(list[ChannelTest], "POST", path, actor=_actor())
        return found

    def mute(self, model: str, new: NewMute) -> Mute:
        """Keeps a model, a kind of monitor or a column quiet for some time."""
        from treadle.monitor import Mute

        path = f"/v1/models/{quote(model, safe='')}/mutes"
        found: Mute = self._ask(Mute, "POST", path, new, actor=_actor())
        return found

    def mutes(self, model: str) -> list[Mute]:
        """What is kept quiet now."""
        from treadle.monitor import Mute

        found: list[Mute] = self._ask(list[Mute], "GET", f"/v1/models/{quote(model, safe='')}/mutes")
        return found

    def unmute(self, mute: str) -> None:
        """Ends a mute."""
        self._ask(None, "DELETE", f"/v1/mutes/{quote(mute, safe='')}", actor=_actor())


def _of(incident: str) -> str:
    return f"/v1/incidents/{quote(incident, safe='')}"


def _actor() -> str:
    from treadle.client.client import actor

    return actor()
