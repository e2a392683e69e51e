"""Takes in a request's body: bounded in bytes, and in time by whoever watches the request."""

from __future__ import annotations

import zlib
from collections.abc import MutableMapping
from typing import Any

from treadle.deploy.replica.reply import CLOSE, Denied, Gone, Receive, Scope, retry_after
from treadle.deploy.replica.watch import Watch

# All bodies that are being received together may have this many times what one may have.
_TOGETHER = 8
# gzip (with its header) and deflate, as `Content-Encoding` has them.
_WINDOW = {b"gzip": 31, b"deflate": 15}


async def read_body(scope: Scope, receive: Receive, limit: int, watch: Watch) -> bytes:
    """A request's body.

    Raises:
        Denied: If it is larger than ``limit`` bytes (413), or so many large ones come at
            once that there is no room (503).
        Gone: If the caller hung up.
    """
    message = await receive()
    if not message.get("more_body"):
        if message["type"] == "http.disconnect":
            raise Gone
        body: bytes = message["body"]
        if len(body) > limit:
            raise _too_large(len(body), limit)
        return body
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise _too_large(int(value), limit)
    return await _gather(message, receive, limit, watch)


async def _gather(message: MutableMapping[str, Any], receive: Receive, limit: int, watch: Watch) -> bytes:
    """A body that comes in pieces, the first of which is here."""
    pieces, held = bytearray(), 0
    try:
        while True:
            pieces += message["body"]
            watch.bytes += len(pieces) - held
            held = len(pieces)
            if held > limit:
                raise _too_large(held, limit)
            if watch.bytes > limit * _TOGETHER:
                raise Denied(
                    503, "too many large requests are being received; try again", retry_after(1), CLOSE
                )
            if not message.get("more_body"):
                return bytes(pieces)
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
    finally:
        watch.bytes -= held


def unpacked(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """A body as it was before its ``Content-Encoding``.

    Raises:
        Denied: If the encoding isn't known (415), the body isn't of it (400) or too large (413).
    """
    if encoding is None or encoding == b"identity":
        return body
    if encoding not in _WINDOW:
        shown = encoding[:40].decode("latin-1")
        raise Denied(415, f"bodies of Content-Encoding {shown!r} can't be read; send gzip, deflate or none")
    reader = zlib.decompressobj(_WINDOW[encoding])
    try:
        plain = reader.decompress(body, limit + 1)
    except zlib.error:
        raise Denied(400, f"the body is not {encoding.decode()}, as Content-Encoding says") from None
    if len(plain) > limit:
        raise _too_large(len(plain), limit)
    if not reader.eof:
        raise Denied(400, f"the {encoding.decode()} body ends too early")
    return plain


def _too_large(size: int, limit: int) -> Denied:
    # The rest of the body is not worth reading: the connection ends here.
    return Denied(
        413, f"the body has at least {size} bytes, at most {limit} are allowed; send fewer rows", CLOSE
    )
