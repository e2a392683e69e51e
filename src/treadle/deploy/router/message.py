"""Requests and answers as the router passes them on: read whole, and written anew.

What concerns one connection only (RFC 9110, section 7.6.1) stays there. Since lengths are written by who
knows them, no two servers can disagree about where a message ends.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeAlias

Header: TypeAlias = tuple[bytes, bytes]

_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
     b"content-length", b"expect")
)  # fmt: skip
_LINES = {int(status): f"HTTP/1.1 {status:d} {status.phrase}\r\n".encode() for status in HTTPStatus}
_CLOSE = b"connection: close\r\n"
# What is asked there changes nothing, or may be done twice as well as once.
_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_AGAIN = (b"/infer", b"/invocations", b"/v2/repository/index")


def may_repeat(method: bytes, target: bytes) -> bool:
    """Whether a request may be sent a second time when nobody knows what became of the first.

    A prediction is one: the same row has the same answer, and whoever names it has one prediction of
    that name. Unnamed, one whose replica died after it was written down is in the log twice.
    """
    return method in _SAFE or target.partition(b"?")[0].endswith(_AGAIN)


def request(method: bytes, target: bytes, headers: list[Header], body: bytes) -> bytes:
    """A request as it is sent on."""
    kept = b"".join([b"%s: %s\r\n" % header for header in headers if header[0] not in _HOP])
    length = b"content-length: %d\r\n" % len(body) if body or method not in _SAFE else b""
    return b"%s %s HTTP/1.1\r\n%s%s\r\n%s" % (method, target, kept, length, body)


def answer(
    status: int, headers: list[Header], body: bytes, *, close: bool, length: int | None = None
) -> bytes:
    """An answer as it is sent back.

    Args:
        status: Its status.
        headers: Its headers, with names in lower case.
        body: Its body.
        close: Whether its connection is closed after it.
        length: The length to tell where there is no body, as in an answer to HEAD.
    """
    line = _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    kept = b"".join([b"%s: %s\r\n" % header for header in headers if header[0] not in _HOP])
    told = len(body) if length is None else length
    return b"%s%s%scontent-length: %d\r\n\r\n%s" % (line, kept, _CLOSE if close else b"", told, body)


def trouble(status: int, message: str, *, close: bool, retry_after: int | None = None) -> bytes:
    """An answer of the router's own."""
    import msgspec

    headers = [(b"content-type", b"application/json")]
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % retry_after))
    return answer(status, headers, msgspec.json.encode({"error": message}), close=close)
