"""The socket that a server answers at, opened by whoever outlives the server."""

from __future__ import annotations

import socket

from treadle.kernel.errors import Busy


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: The address.
        port: The port; 0 takes a free one.

    Raises:
        Busy: If the address is in use or isn't this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Busy(
            f"the server can't listen there: {error.strerror or error}",
            where=f"{host}:{port}",
            fix="choose another port with [serve] port or --port; 0 takes a free one",
        ) from None
