"""Requests over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from treadle.client.transport import Answer, Body
from treadle.kernel.errors import Unavailable

_PIECE = 1 << 20


class HttpTransport:
    """Requests to a server, over kept-alive connections.

    Args:
        url: The server's address, such as ``http://127.0.0.1:8080``.
        timeout: Seconds to wait for a connection; a server that is there may take ten minutes to answer.
    """

    def __init__(self, url: str, timeout: float = 6.0) -> None:
        import urllib3

        self.name = url.rstrip("/")
        self._pool = urllib3.PoolManager(
            maxsize=8,
            retries=False,
            timeout=urllib3.Timeout(connect=timeout, read=600.0),
        )

    def send(self, method: str, target: str, body: Body = b"", headers: Mapping[str, str] = {}) -> Answer:
        """Sends a request.

        Raises:
            Unavailable: If there is no answer.
        """
        import urllib3

        try:
            response = self._pool.request(
                method, self.name + target, body=body, headers=dict(headers), preload_content=False
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(
                f"no answer: {error.__class__.__name__}",
                where=self.name,
                fix="is `treadle up` running there? `treadle doctor` looks",
            ) from error
        return Answer(response.status, self._pieces(response))

    def _pieces(self, response: object) -> Iterator[bytes]:
        import urllib3

        assert isinstance(response, urllib3.response.BaseHTTPResponse)  # noqa: S101 - narrows the type
        try:
            while piece := response.read(_PIECE):
                yield piece
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable("the answer broke off", where=self.name) from error
        finally:
            response.release_conn()

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()
