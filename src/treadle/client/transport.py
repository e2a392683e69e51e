"""How a request reaches the API: over HTTP, or straight into the application in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

Body = bytes | Iterator[bytes]


class Answer(msgspec.Struct, frozen=True):
    """What the API answered.

    Attributes:
        status: The HTTP status.
        body: The whole body, or its pieces where the caller asked for a stream.
        headers: Its headers, by their names in lower case.
    """

    status: int
    body: Iterator[bytes]
    headers: Mapping[str, str] = {}

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.body)


class Transport(Protocol):
    """Carries one request to the API and its answer back."""

    name: str

    def send(self, method: str, target: str, body: Body = b"", headers: Mapping[str, str] = {}) -> Answer:
        """Sends a request.

        Args:
            method: The HTTP method.
            target: Path and query.
            body: The body, whole or in pieces.
            headers: Headers on top of the transport's own.

        Raises:
            Unavailable: If there is no answer.
        """

    def close(self) -> None:
        """Lets go of connections and threads."""
