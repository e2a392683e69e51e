"""What the client asks of the data in the project's folder."""

from __future__ import annotations

import msgspec

from treadle.client.calls import Calls
from treadle.data import AddPath, CheckedOut, Checkout, DatasetVersion, WorkStatus


class WorkCalls(Calls):
    """Calls of the routes of the working tree."""

    def add_path(self, asked: AddPath) -> DatasetVersion:
        """Makes a version of what lies at a path of the project, and writes its pointer."""
        from treadle.client.client import actor

        asked = msgspec.structs.replace(asked, actor=actor())
        version: DatasetVersion = self._ask(DatasetVersion, "POST", "/v1/data/additions", asked)
        return version

    def data_status(self, path: str = "") -> list[WorkStatus]:
        """How data differs from the versions that its pointers name; of everything when no path is given."""
        asked = {"path": path} if path else {}
        found: list[WorkStatus] = self._ask(list[WorkStatus], "GET", "/v1/data/status", **asked)
        return found

    def checkout_data(self, asked: Checkout) -> list[CheckedOut]:
        """Brings the data that pointers name into the project's folder."""
        found: list[CheckedOut] = self._ask(list[CheckedOut], "POST", "/v1/data/checkouts", asked)
        return found
