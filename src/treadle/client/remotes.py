"""What the client asks of remotes of data."""

from __future__ import annotations

import msgspec

from treadle.client.calls import Calls
from treadle.data import Fetch, FetchedVersion, Pull, Pulled, Push, PushedVersions, Verified, Verify


class RemoteCalls(Calls):
    """Calls of the routes of remotes."""

    def push_data(self, asked: Push) -> PushedVersions:
        """Pushes versions to a remote."""
        found: PushedVersions = self._ask(PushedVersions, "POST", "/v1/data/pushes", asked)
        return found

    def fetch_data(self, asked: Fetch) -> list[FetchedVersion]:
        """Brings versions from a remote."""
        from treadle.client.client import actor

        asked = msgspec.structs.replace(asked, actor=actor())
        found: list[FetchedVersion] = self._ask(list[FetchedVersion], "POST", "/v1/data/fetches", asked)
        return found

    def pull_data(self, asked: Pull) -> Pulled:
        """Brings what pointers name from a remote, and into the project's folder."""
        from treadle.client.client import actor

        asked = msgspec.structs.replace(asked, actor=actor())
        found: Pulled = self._ask(Pulled, "POST", "/v1/data/pulls", asked)
        return found

    def verify_data(self, asked: Verify) -> Verified:
        """Reads versions bit for bit, here or at a remote."""
        found: Verified = self._ask(Verified, "POST", "/v1/data/verifications", asked)
        return found
