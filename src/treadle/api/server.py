"""``treadle up``: the API, the cycles and the monitors in one process, the inference server beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from treadle.api.app import Api, create_app
from treadle.api.rooms import Rooms
from treadle.deploy import (
    Environment,
    LocalReplicas,
    ReplicaOptions,
    declared_environments,
    listen,
    replica_options,
)
from treadle.kernel.decoding import prepare_decoding
from treadle.kernel.errors import Busy, Conflict, TreadleError, Unavailable
from treadle.kernel.lock import Holder, exclusive
from treadle.monitor import Monitors, ServiceWatch
from treadle.registry import Backoff, OpenLineage
from treadle.retrain.worker import LOCK

_log = logging.getLogger("treadle.up")
_LOOK_EVERY = 10.0
_WATCH_EVERY = 2.0


def serve(root: Path, host: str = "127.0.0.1", port: int = 8090) -> None:
    """Serves a workspace until it is told to stop.

    Args:
        root: The project's folder.
        host: The address to listen on.
        port: The port; 0 takes a free one.

    Raises:
        Busy: If another process drives the workspace.
        Conflict: If the port is taken.
    """
    # First, for the one that drives the workspace may well be the one that has the port.
    with exclusive(root / LOCK, Holder(os.getpid(), "treadle up")):
        pass
    listener = _listen(host, port)
    url = _url(host, listener.getsockname()[1])
    app = create_app(root, "treadle up", url)
    rooms: Rooms = app.rooms
    prepare_decoding()
    try:
        interrupted = rooms.worker.start()
        with (
            _inference(rooms, url) as (serving, close),
            _clockwork(rooms),
            _lineage(rooms),
            _watch(rooms) as end_watch,
        ):
            _greet(rooms, url, serving, len(interrupted))

            def leave() -> None:
                end_watch()  # replicas that are told to go aren't missed
                close()

            _Server(app, leave).run(sockets=[listener])
    finally:
        rooms.close()
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)  # from now on, or another process could bind it as well until we serve
    except OSError as error:
        listener.close()
        raise Conflict(
            f"can't listen on {host}:{port}: {error.strerror}",
            where=f"{host}:{port}",
            fix="stop what listens there, or choose another with --port",
        ) from None
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greet(rooms: Rooms, url: str, serving: str | Busy | None, interrupted: int) -> None:
    config = rooms.workspace.config
    lines = [f"Treadle drives {config.project.name}: API at {url}"]
    if isinstance(serving, Busy):
        lines.append(
            f"no inference yet: {serving.where}: {serving.message}. It is tried again until the port is "
            "free; or choose another with [serve] port"
        )
    elif serving:
        lines.append(f"inference at {serving}/v2/models/{config.model}/infer")
        if config.serve.grpc_port:
            lines.append(f"  gRPC: {_url(config.serve.host, config.serve.grpc_port).removeprefix('http://')}")
        lines += [
            f"  {one.name}: {_url(config.serve.host, one.asks.port)}"
            for one in declared_environments(config)[:-1]
            if one.asks.port is not None
        ]
    if interrupted:
        lines.append(f"going on with {interrupted} interrupted cycle{'s' if interrupted > 1 else ''}")
    print(*lines, sep="\n", flush=True)  # noqa: T201 - this is what the command says


class _Parting:
    """Tells whoever the server can't wait for at its end; uvicorn would answer with a bare 500.

    Args:
        app: The application.
    """

    def __init__(self, app: Api) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Has the application answer; once that is cancelled, says so."""
        begun = False

        async def pass_on(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, pass_on)
        except asyncio.CancelledError:
            if begun:
                raise
            error = Unavailable(
                "the server is shutting down and did not wait for this to end",
                where=f"{scope['method']} {scope['path']}",
                fix="when it runs again, look whether it was done before asking again",
            )
            answer = Response(msgspec.json.encode(error.body()), error.status, media_type="application/json")
            await answer(scope, receive, send)


class _Server(uvicorn.Server):
    """A server that, told to stop, first lets the inference server hand in its last predictions.

    Args:
        app: The application.
        before: What to do first; takes seconds.
    """

    def __init__(self, app: Api, before: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                _Parting(app),
                access_log=False,
                proxy_headers=False,
                log_level="warning",
                lifespan="off",
                timeout_graceful_shutdown=5,
            )
        )
        self._before = before
        self._leaving = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's own
        """Takes the signal; a second one doesn't wait."""
        if self._leaving:
            self.should_exit = True
            return
        self._leaving = True
        threading.Thread(target=self._leave, daemon=True).start()

    def _leave(self) -> None:
        self._before()
        self.should_exit = True


@contextlib.contextmanager
def _inference(rooms: Rooms, url: str) -> Iterator[tuple[str | Busy | None, Callable[[], None]]]:
    """An inference server beside the API, kept alive; none where nothing is trained here.

    Gives where it answers, or why it doesn't yet, and what ends it.
    """
    config = rooms.workspace.config
    if config.train is None:
        yield None, lambda: None
        return
    serve = config.serve
    listening: socket.socket | None = None
    port = serve.port
    taken: Busy | None = None
    try:
        listening = listen(serve.host, serve.port)
        port = listening.getsockname()[1]
    except Busy as error:
        taken = error  # the platform has other work; the inference server tries again until the port is free
    state, pickle = rooms.workspace.state / "replica", config.registry.pickle
    options = replica_options(
        serve, [config.model], state, port=port, pickle=pickle, grpc_port=serve.grpc_port
    )
    logs = rooms.workspace.state / "logs"
    replicas = LocalReplicas(options, url, logs, listening, count=serve.replicas, router=serve.router)
    others = [_elsewhere(options, url, logs, one) for one in declared_environments(config)[:-1]]
    running = [replicas, *(one for one in others if one is not None)]
    for one in running:
        one.start()

    def close() -> None:
        for one in running:
            one.close()

    try:
        yield taken or _url(serve.host, port), close
    finally:
        close()


def _elsewhere(options: ReplicaOptions, url: str, logs: Path, place: Environment) -> LocalReplicas | None:
    """A replica of an environment before the last, at the port of its own; None if it has none."""
    if place.asks.port is None:
        return None
    state = Path(options.state)
    options = msgspec.structs.replace(
        options,
        name=place.name,
        state=str(state.with_name(f"{state.name}-{place.name}")),
        port=place.asks.port,
        grpc_port=None,
        environment=place.key,
        log_predictions=False,
    )
    return LocalReplicas(options, url, logs, None)


@contextlib.contextmanager
def _lineage(rooms: Rooms) -> Iterator[None]:
    """Tells the collector of lineage, if there is one, in a thread of its own: nothing waits for it."""
    teller = OpenLineage(rooms.workspace)
    if not teller.wanted:
        yield
        return
    stop, pace = threading.Event(), Backoff()

    def tell() -> None:
        wait = 0.0
        while not stop.wait(wait):
            wait = pace.after(teller.deliver)

    thread = threading.Thread(target=tell, name="treadle-lineage", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=15)


@contextlib.contextmanager
def _clockwork(rooms: Rooms) -> Iterator[None]:
    """Looks at the world every few seconds; what has not ended yet costs nothing."""
    for name, trigger in rooms.workspace.config.retrain.triggers.items():
        if trigger.on == "webhook" and not os.environ.get(trigger.secret):
            _log.warning("the trigger %r refuses webhooks: %s isn't set here", name, trigger.secret)
    model, monitors = rooms.workspace.config.model, Monitors(rooms.workspace)
    looks = partial(rooms.loop.look, model)
    # The past is looked at step by step, and people are told of it by the machine's clock.
    with _every(_LOOK_EVERY, "treadle-clockwork", rooms, looks, partial(monitors.deliver, model)):
        yield


@contextlib.contextmanager
def _watch(rooms: Rooms) -> Iterator[Callable[[], None]]:
    """Watches over the service, beside the clockwork: a window may take minutes to compute.

    Gives what ends it.
    """
    monitors, watch = Monitors(rooms.workspace), ServiceWatch()
    monitors.check_notify()
    model = rooms.workspace.config.model
    with _every(
        _WATCH_EVERY, "treadle-watch", rooms, lambda: monitors.watch_service(model, watch=watch)
    ) as end:
        yield end


@contextlib.contextmanager
def _every(
    seconds: float,
    name: str,
    rooms: Rooms,
    look: Callable[[], object],
    replaying: Callable[[], object] = lambda: None,
) -> Iterator[Callable[[], None]]:
    """Does something again and again in a thread of its own; something else while the past is replayed."""
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(seconds):
            try:
                (look if rooms.workspace.replayed_time() is None else replaying)()
            except TreadleError as error:
                _log.warning("the monitors could not look: %s", error)
            except Exception:  # noqa: BLE001 - the thread must outlive a bug in one look
                _log.exception("the monitors stumbled")

    thread = threading.Thread(target=tick, name=name, daemon=True)
    thread.start()
    try:
        yield stop.set
    finally:
        stop.set()
        thread.join(timeout=30)
