"""Asking a tracking server by MLflow's protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from treadle.client import Transport
from treadle.kernel.errors import AlreadyExists, InvalidInput, NotFound, Unavailable

_API = "/api/2.0/mlflow"
_TAKEN = "RESOURCE_ALREADY_EXISTS"


class Wire:
    """Requests to a tracking server.

    Args:
        transport: How requests get there.
        name: What the server is called in errors.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self.name = name
        self._transport = transport

    def close(self) -> None:
        """Lets go of the connections."""
        self._transport.close()

    def raw(
        self,
        method: str,
        target: str,
        body: bytes | Iterator[bytes] = b"",
        headers: Mapping[str, str] = {},
    ) -> Iterator[bytes]:
        """The answer to a request, piece by piece.

        Raises:
            NotFound: If there is nothing of that kind.
            AlreadyExists: If there is something of that name already.
            InvalidInput: If the server refuses it.
            Unavailable: If the server doesn't answer, or fails.
        """
        answer = self._transport.send(method, target, body, headers)
        if answer.status < 300:
            return answer.body
        said = answer.read()
        code = ""
        try:
            told = msgspec.json.decode(said)
            message, code = str(told["message"]), str(told.get("error_code"))
        except (msgspec.DecodeError, TypeError, KeyError, AttributeError):
            message = f"the server answered {answer.status}"
        where = f"{self.name}{target}"[:300]
        if code == _TAKEN:
            raise AlreadyExists(message, where=where)
        kind = NotFound if answer.status == 404 else Unavailable if answer.status >= 500 else InvalidInput
        raise kind(message, where=where)

    def ask(self, method: str, route: str, body: Any = None, /, **query: Any) -> dict[str, Any]:
        """What the server answers; raises as :meth:`raw`, and NotFound if it answers something else."""
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{_API}{route}" + (f"?{urlencode(given, doseq=True)}" if given else "")
        sent = b"" if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json"} if sent else {}
        raw = b"".join(self.raw(method, target, sent, headers))
        try:
            found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.MsgspecError:
            raise NotFound("that is no tracking server", where=self.name) from None
        return found

    def pages(self, ask: Callable[[str | None], dict[str, Any]], key: str) -> Iterator[dict[str, Any]]:
        """What there is on all pages of an answer."""
        token: str | None = None
        while True:
            found = ask(token)
            yield from found.get(key, [])
            token = found.get("next_page_token")
            if not token:
                return
