"""Requests over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from treadle.client.transport import Answer, Body
from treadle.kernel.errors import InvalidInput, Unavailable

_PIECE = 1 << 20


class HttpTransport:
    """Requests to a server, over kept-alive connections.

    Args:
        url: The server's address, such as ``http://127.0.0.1:8080``.
        timeout: Seconds to wait for a connection; a server that is there may take ten minutes to answer.

    Raises:
        InvalidInput: If that is no address.
    """

    def __init__(self, url: str, timeout: float = 6.0) -> None:
        import urllib3

        if not url.startswith(("http://", "https://")):
            raise InvalidInput(
                f"{url!r} is not a server's address", fix="write it as http://HOST:PORT (--url, TREADLE_URL)"
            )
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

        unreadable: list[Exception] = []
        given = body if isinstance(body, bytes) else _noting(body, unreadable)

        def ask() -> urllib3.BaseHTTPResponse:
            return self._pool.request(
                method, self.name + target, body=given, headers=dict(headers), preload_content=False
            )

        try:
            try:
                response = ask()
            except urllib3.exceptions.ProtocolError:
                # A server may hang up on an idle connection just as it is used again. What only reads
                # can be asked once more; anything else may have been done already.
                if method != "GET":
                    raise
                response = ask()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if unreadable:
                raise unreadable[0] from None
            raise Unavailable(
                f"no answer: {_told(error)}",
                where=self.name,
                fix="is `treadle up` running there, or just ending? `treadle doctor` looks",
            ) from error
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, self._pieces(response), told)

    def _pieces(self, response: object) -> Iterator[bytes]:
        import urllib3

        assert isinstance(response, urllib3.response.BaseHTTPResponse)  # noqa: S101 - narrows the type
        whole = False
        try:
            while piece := response.read(_PIECE):
                yield piece
            whole = True
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable("the answer broke off", where=self.name) from error
        finally:
            if not whole:
                response.close()  # the next request must not find the rest of this answer
            response.release_conn()

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()


def _noting(pieces: Iterator[bytes], errors: list[Exception]) -> Iterator[bytes]:
    """The pieces; an error of theirs is the caller's own, not the server's, and is noted."""
    try:
        yield from pieces
    except Exception as error:
        errors.append(error)
        raise


def _told(error: Exception) -> str:
    """What went wrong on the way, in words."""
    import urllib3

    if isinstance(error.__cause__, ConnectionRefusedError):
        return "nothing listens there"
    kinds: dict[type[Exception], str] = {
        urllib3.exceptions.NameResolutionError: "no host of that name is known",
        urllib3.exceptions.ConnectTimeoutError: "it can't be reached",
        urllib3.exceptions.ReadTimeoutError: "it took too long",
        urllib3.exceptions.ProtocolError: "it hung up",
        urllib3.exceptions.SSLError: "it speaks no TLS, or its certificate isn't trusted",
    }
    return next((told for kind, told in kinds.items() if isinstance(error, kind)), type(error).__name__)
