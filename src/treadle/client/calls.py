"""What every group of the client's calls stands on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from treadle.client.transport import Answer, Body


class Calls(ABC):
    """Calls of one group of routes; the client brings the way to the server."""

    @property
    @abstractmethod
    def server(self) -> str:
        """Where requests go."""

    @abstractmethod
    def _send(self, method: str, target: str, body: Body = b"", headers: Mapping[str, str] = {}) -> Answer:
        """Sends a request; what the server refuses is raised."""

    @abstractmethod
    def _ask(self, kind: Any, method: str, path: str, body: Any = None, /, **query: Any) -> Any:
        """Sends a value and decodes the answer as a kind of value."""
