"""The socket that a server answers at, opened by whoever outlives the server."""

from __future__ import annotations

import socket

from treadle.kernel.errors import Busy

_FIX = "choose another port with [serve] port or --port; 0 takes a free one"


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
        raise _taken(error, host, port, _FIX) from None


def reserve(host: str, port: int) -> socket.socket:
    """Keeps a port for processes that open it themselves, with ``SO_REUSEPORT``; it takes no connections.

    Args:
        host: The address.
        port: The port; 0 takes a free one.

    Raises:
        Busy: If the address is in use or isn't this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kept = socket.socket(family)
    try:
        with socket.socket(family) as probe:  # what listens there with that option would be shared
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind((host, port))
    except OSError as error:
        kept.close()
        fix = "choose another port with [serve] grpc_port or --grpc-port; 0 takes a free one"
        raise _taken(error, host, port, fix) from None
    return kept


def _taken(error: OSError, host: str, port: int, fix: str) -> Busy:
    return Busy(f"the server can't listen there: {error.strerror or error}", where=f"{host}:{port}", fix=fix)
