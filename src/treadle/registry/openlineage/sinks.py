"""Where events go: an address that takes them by HTTP, or a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from treadle.kernel.errors import Refused, Unavailable
from treadle.kernel.files import storage_errors
from treadle.registry.openlineage.types import RunEvent

_TIMEOUT = 10.0
_UNUSABLE = frozenset({400, 413, 422})
"""The event itself is refused: it would be again."""


class Sink(Protocol):
    """Takes events."""

    def send(self, event: RunEvent) -> None:
        """Hands one over.

        Raises:
            Refused: If this event isn't wanted, now or later.
            Unavailable: If it wasn't taken, and may be later.
            StorageError: The same, of a file.
        """


class HttpSink:
    """Posts events as OpenLineage's own HTTP transport does.

    Args:
        url: Where, such as ``http://marquez:5000/api/v1/lineage``.
        key: Sent as a bearer token, if there is one.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def send(self, event: RunEvent) -> None:
        """Posts an event, once."""
        import urllib3

        body, timeout = msgspec.json.encode(event), urllib3.Timeout(total=_TIMEOUT)
        try:
            with urllib3.PoolManager(retries=False, timeout=timeout) as pool:
                status = pool.request("POST", self._url, body=body, headers=self._headers).status
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"no answer: {error}", where=self._url) from error
        if status in _UNUSABLE:
            raise Refused(f"it answered {status} to an event", where=self._url)
        if status >= 300:
            raise Unavailable(f"it answered {status}", where=self._url)


class FileSink:
    """Adds events to a file, a line of JSON each.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, event: RunEvent) -> None:
        """Adds an event, durably."""
        with storage_errors(str(self._path)):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(msgspec.json.encode(event) + b"\n")
                os.fsync(file.fileno())


def sink_of(target: str, root: Path, environment: Mapping[str, str]) -> Sink:
    """The sink that ``[lineage] openlineage`` names.

    Args:
        target: An address on the web, or a file relative to the project.
        root: The project's folder.
        environment: ``OPENLINEAGE_API_KEY`` is the bearer token, as for OpenLineage's own clients.
    """
    if target.startswith(("http://", "https://")):
        return HttpSink(target, environment.get("OPENLINEAGE_API_KEY", ""))
    return FileSink(root / target)
