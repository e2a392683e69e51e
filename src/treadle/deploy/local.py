"""The replicas that run beside the platform: kept alive, at one address, with a router before them or not."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import msgspec

from treadle.deploy.listening import listen, reserve
from treadle.deploy.router.main import RouterOptions
from treadle.deploy.supervisor import Supervisor, replica_command
from treadle.deploy.types import ReplicaOptions
from treadle.kernel.errors import MissingExtra

_HERE = "127.0.0.1"


class LocalReplicas:
    """Several replicas of a model at one address.

    Without a router they share the socket: whoever is free takes the next connection, and a process
    that dies takes along what was asked on those that it had. With one, each has a socket of its own,
    and what was asked of a replica that died is asked of another. The port for gRPC goes with that.

    Args:
        options: How each runs; ``name``, ``state`` and, with a router, the address are made for each.
        url: Where the platform's API answers.
        logs: The folder for what they say.
        listening: The socket at which all of it answers; without one, there is one replica, which opens
            its own as soon as it can.
        count: How many.
        router: Whether there is a router.

    Raises:
        MissingExtra: If gRPC is to be answered and isn't installed.
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
        self._kept: list[socket.socket] = []
        routed = router and listening is not None
        if options.grpc_port is not None:
            _need_grpc()
        options = msgspec.structs.replace(options, grpc_shared=count > 1 or routed)
        addresses, calls = [], []
        for number in range(1, (count if listening else 1) + 1):
            each = _numbered(options, number)
            own = listen(_HERE, 0) if routed else listening
            if routed and own is not None:
                addresses.append(own.getsockname()[:2])
                each = msgspec.structs.replace(each, host=_HERE, port=addresses[-1][1])
                if options.grpc_port is not None:
                    # Kept, so that it is the same when the replica is started again.
                    self._kept.append(reserve(_HERE, 0))
                    calls.append(self._kept[-1].getsockname()[:2])
                    each = msgspec.structs.replace(each, grpc_port=calls[-1][1])
            # Who keeps them alive asks each by itself, also where they share a socket.
            log, door = logs / f"{each.name}.log", None if routed else listen(_HERE, 0)
            command = replica_command(each, url, own, door)
            self.supervisors.append(
                Supervisor(command, log, listening=own, asked=door or own, state=Path(each.state))
            )
        if routed and listening is not None:
            command = router_command(options, addresses, listening, calls)
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
        for kept in self._kept:
            kept.close()

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
        Busy: If a port is in use.
        MissingExtra: If gRPC is to be answered and isn't installed.
    """
    rpc = None
    if options.grpc_port is not None:
        rpc = reserve(options.host, options.grpc_port)
        options = msgspec.structs.replace(options, grpc_port=rpc.getsockname()[1])
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
        at += "" if rpc is None else f", gRPC at {host}:{options.grpc_port}"
        announce(
            f"{count} replicas of {', '.join(options.models)} answer at {at}; they say how it goes in {logs}"
        )
        ended.wait()
    finally:
        replicas.close()
        if rpc is not None:
            rpc.close()
        for which, handler in before.items():
            signal.signal(which, handler)


def router_command(
    options: ReplicaOptions,
    addresses: list[tuple[str, int]],
    listening: socket.socket,
    calls: Sequence[tuple[str, int]] = (),
) -> list[str]:
    """The command of a router before replicas with such options.

    Args:
        options: Those of the replicas.
        addresses: Where they answer.
        listening: The socket at which it answers.
        calls: Where they take calls over gRPC, if they do.
    """
    routed = RouterOptions(
        replicas=tuple(addresses),
        max_body=options.max_body,
        max_waiting=options.max_queue,
        timeout=options.timeout,
        grpc=(options.host, options.grpc_port) if calls and options.grpc_port is not None else None,
        grpc_replicas=tuple(calls),
    )
    text = msgspec.json.encode(routed).decode()
    given = ["--options", text, "--listening", str(listening.fileno())]
    return [sys.executable, "-m", "treadle.deploy.router", *given]


def _need_grpc() -> None:
    """Said here, once, and not by every replica that can't start.

    Raises:
        MissingExtra: If gRPC isn't installed.
    """
    try:
        missing = [name for name in ("grpc", "google.protobuf") if find_spec(name) is None]
    except ModuleNotFoundError as error:
        missing = [str(error.name)]
    if missing:
        raise MissingExtra(
            f"[serve] grpc_port is set and {missing[0]} isn't installed", fix="pip install 'treadle[grpc]'"
        )


def _numbered(options: ReplicaOptions, number: int) -> ReplicaOptions:
    """The first keeps its name and folder; the others have their own beside it."""
    if number == 1:
        return options
    state = Path(options.state)
    return msgspec.structs.replace(
        options, name=f"{options.name}-{number}", state=str(state.with_name(f"{state.name}-{number}"))
    )
