"""What a request is answered with, and the errors that end one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")


class Reply(NamedTuple):
    """An answer; its headers lack the length alone."""

    status: int
    headers: tuple[Header, ...]
    body: bytes


class Denied(Exception):
    """Ends a request with a status and a sentence.

    Attributes:
        status: The HTTP status.
        headers: More than the content type.
    """

    def __init__(self, status: int, message: str, *headers: Header) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class Gone(Exception):
    """The caller hung up."""


def retry_after(seconds: float) -> Header:
    """When to come again: whole seconds, from 1 to 60."""
    return b"retry-after", b"%d" % min(max(-int(-seconds // 1), 1), 60)
