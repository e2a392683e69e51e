"""JSON posted to a receiver, within a time that holds whatever the receiver does."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Self
from urllib.parse import quote, urlsplit

from treadle.kernel.errors import ConfigError, Unavailable

TIMEOUT = 5.0
"""So many seconds a receiver may be silent."""

DEADLINE = 10.0
"""So many seconds an answer may take in all."""

_SAID = 200


class Deadline:
    """Ends a conversation that takes too long, however lively it is.

    A socket's own timeout begins anew with every byte, so a receiver that sends one a second holds its
    caller for ever.

    Args:
        seconds: How long it may take.
        sock: The connection to shut then, if there is one.

    Attributes:
        passed: Whether it was shut.
    """

    def __init__(self, seconds: float, sock: Callable[[], socket.socket | None]) -> None:
        self.seconds = seconds
        self.passed = False
        self._sock = sock
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _shut(self) -> None:
        self.passed = True
        if (found := self._sock()) is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(found, socket.SHUT_RDWR)  # beneath TLS, which would wait for its peer


def check_address(url: str, where: str) -> str:
    """An address that can be posted to.

    Raises:
        ConfigError: If it is none.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise ConfigError(
            "this is no address that can be posted to",
            where=where,
            fix="write it with http:// or https:// and a host",
        )
    return url


def exchange(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float = TIMEOUT,
    within: float = DEADLINE,
) -> tuple[int, str]:
    """Posts JSON once; redirects aren't followed.

    Args:
        url: Where.
        body: The JSON.
        headers: More headers.
        timeout: So many seconds the receiver may be silent.
        within: So many seconds its answer may take in all.

    Returns:
        The status, and the first line of what was said with one that is no success.

    Raises:
        OSError: If nothing was answered; a TimeoutError if not in time.
        http.client.HTTPException: If what was answered is no HTTP.
        ValueError: If the address can't be asked for.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=ssl.create_default_context())
        if secure
        else http.client.HTTPConnection(host, parts.port, timeout=timeout)
    )
    target = quote(
        f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", safe="%/:=&?~+!$,;'@()*[]"
    )
    with contextlib.closing(connection):
        connection.connect()
        sock = connection.sock
        with Deadline(within, lambda: sock) as deadline:
            try:
                connection.request("POST", target, body, {"Content-Type": "application/json", **headers})
                answer = connection.getresponse()
                said = "" if answer.status < 300 else answer.read(4 * _SAID).decode(errors="replace")
            except (OSError, http.client.HTTPException):
                if not deadline.passed:
                    raise
        if deadline.passed:  # headers that break off look whole
            raise TimeoutError(f"its answer took more than {within:g} seconds")
    first = next(iter(said.strip().splitlines()), "")
    return answer.status, first[:_SAID]


def distrust(error: ssl.SSLCertVerificationError) -> str:
    """Why a certificate isn't trusted, in words."""
    return f"its certificate isn't trusted: {error.verify_message}"


def post(url: str, body: bytes, headers: Mapping[str, str], shown: str = "") -> None:
    """Posts JSON once.

    Args:
        url: Where.
        body: The JSON.
        headers: More headers.
        shown: What errors call the address; the address itself when empty.

    Raises:
        Unavailable: If it wasn't answered with a status below 300.
    """
    where = shown or url
    try:
        status, said = exchange(url, body, headers)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = type(error).__name__ if shown else str(error) or type(error).__name__
        why = distrust(error) if isinstance(error, ssl.SSLCertVerificationError) else why
        raise Unavailable(f"the notice wasn't taken: {why}", where=where, fix="it is tried again") from error
    if status >= 300:
        told = f"{status}: {said}" if said else f"{status}"
        raise Unavailable(
            f"the notice wasn't taken: it answered {told}", where=where, fix="it is tried again"
        )
