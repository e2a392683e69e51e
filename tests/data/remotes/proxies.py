"""A TCP proxy in front of a real server that drops, cuts short and damages what passes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlparse

Fault = Literal["drop", "cut", "damage", "refuse"]
_BODY = 64 << 10  # what is longer than any header that passes here


@dataclass
class FlakyProxy:
    """What shall go wrong next; each fault happens once, after ``after`` bytes on a connection.

    Attributes:
        url: Where it answers.
        up: Faults of what is sent to the server.
        down: Faults of what comes from it.
        happened: What did go wrong.
    """

    url: str = ""
    after: int = _BODY
    up: list[Fault] = field(default_factory=list)
    down: list[Fault] = field(default_factory=list)
    happened: list[Fault] = field(default_factory=list)


@contextlib.contextmanager
def flaky_proxy(target: str) -> Iterator[FlakyProxy]:
    """Answers at a port of its own for a server, with faults."""
    parsed = urlparse(target)
    address = (str(parsed.hostname), int(parsed.port or 80))
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = FlakyProxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
    open_sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if "refuse" in proxy.up:
                proxy.up.remove("refuse")
                proxy.happened.append("refuse")
                client.close()
                continue
            server = socket.create_connection(address)
            open_sockets.extend((client, server))
            for one, other, faults in ((client, server, proxy.up), (server, client, proxy.down)):
                thread = threading.Thread(target=_carry, args=(proxy, one, other, faults))
                thread.start()
                threads.append(thread)

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield proxy
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for one in open_sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for one in open_sockets:
            one.close()


def _carry(proxy: FlakyProxy, one: socket.socket, other: socket.socket, faults: list[Fault]) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while data := one.recv(16 << 10):
            passed += len(data)
            if faults and passed > proxy.after and len(data) > 2000:
                fault = faults.pop(0)
                proxy.happened.append(fault)
                if fault == "damage":
                    data = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]
                else:
                    if fault == "cut":
                        other.sendall(data[: len(data) // 2])
                    break
            other.sendall(data)
    for each in (one, other):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
