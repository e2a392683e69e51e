"""The replicas that run beside the platform: kept alive, at one address, with a router before them or not."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from treadle.deploy.listening import listen
from treadle.deploy.router.main import RouterOptions
from treadle.deploy.supervisor import Supervisor, replica_command
from treadle.deploy.types import ReplicaOptions

_HERE = "127.0.0.1"


class LocalReplicas:
    """Several replicas of a model at one address.

    Without a router they share the socket: whoever is free takes the next connection, and a process
    that dies takes along what was asked on those that it had. With one, each has a socket of its own,
    and what was asked of a replica that died is asked of another. At the port for gRPC they answer
    themselves in either case.

    Args:
        options: How each runs; ``name``, ``state`` and, with a router, the address are made for each.
        url: Where the platform's API answers.
        logs: The folder for what they say.
        listening: The socket at which all of it answers; without one, there is one replica, which opens
            its own as soon as it can.
        count: How many.
        router: Whether there is a router.
    """

    def __init__(
        self,
        options: ReplicaOptions,
        url: str,
        logs: Path,
        listening: socket.socket | None,
        *,
        count: int = 1,
        router: bool = False,
    ) -> None:
        self.supervisors: list[Supervisor] = []
        self.router: Supervisor | None = None
        routed = router and listening is not None
        options = msgspec.structs.replace(options, grpc_shared=count > 1)
        addresses = []
        for number in range(1, (count if listening else 1) + 1):
            each = _numbered(options, number)
            own = listen(_HERE, 0) if routed else listening
            if routed and own is not None:
                addresses.append(own.getsockname()[:2])
                each = msgspec.structs.replace(each, host=_HERE, port=addresses[-1][1])
            log = logs / f"{each.name}.log"
            self.supervisors.append(Supervisor(replica_command(each, url, own), log, listening=own))
        if routed and listening is not None:
            command = router_command(options, addresses, listening)
            self.router = Supervisor(command, logs / "router.log", first_pause=0.1, listening=listening)

    def start(self) -> None:
        """Begins."""
        for supervisor in self._all():
            supervisor.start()

    def close(self) -> None:
        """Ends all of them: the router first, so that nobody is asked who is about to go."""
        if self.router:
            self.router.close()
        with ThreadPoolExecutor(len(self.supervisors)) as pool:
            list(pool.map(Supervisor.close, self.supervisors))

    def _all(self) -> list[Supervisor]:
        return [*self.supervisors, *([self.router] if self.router else [])]


def serve_replicas(
    options: ReplicaOptions,
    url: str,
    logs: Path,
    *,
    count: int,
    router: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Runs several replicas until SIGTERM or SIGINT; one that dies is started again.

    Args:
        options: How each runs; see :class:`LocalReplicas`.
        url: Where the platform's API answers.
        logs: The folder for what they say.
        count: How many.
        router: Whether there is a router before them.
        announce: Is told where they answer.

    Raises:
        Busy: If the port is in use.
    """
    listening = listen(options.host, options.port)
    host = f"[{options.host}]" if ":" in options.host else options.host
    replicas = LocalReplicas(options, url, logs, listening, count=count, router=router)
    ended = threading.Event()
    before = {
        which: signal.signal(which, lambda *_: ended.set()) for which in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        replicas.start()
        at = f"http://{host}:{listening.getsockname()[1]}"
        announce(
            f"{count} replicas of {', '.join(options.models)} answer at {at}; they say how it goes in {logs}"
        )
        ended.wait()
    finally:
        replicas.close()
        for which, handler in before.items():
            signal.signal(which, handler)


def router_command(
    options: ReplicaOptions, addresses: list[tuple[str, int]], listening: socket.socket
) -> list[str]:
    """The command of a router before replicas with such options."""
    routed = RouterOptions(
        replicas=tuple(addresses),
        max_body=options.max_body,
        max_waiting=options.max_queue,
        timeout=options.timeout,
    )
    text = msgspec.json.encode(routed).decode()
    given = ["--options", text, "--listening", str(listening.fileno())]
    return [sys.executable, "-m", "treadle.deploy.router", *given]


def _numbered(options: ReplicaOptions, number: int) -> ReplicaOptions:
    """The first keeps its name and folder; the others have their own beside it."""
    if number == 1:
        return options
    state = Path(options.state)
    return msgspec.structs.replace(
        options, name=f"{options.name}-{number}", state=str(state.with_name(f"{state.name}-{number}"))
    )
