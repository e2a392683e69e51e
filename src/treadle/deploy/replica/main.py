"""One replica: wiring, start and graceful stop."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from treadle.deploy.listening import listen
from treadle.deploy.probing import LOADING, RESTARTED
from treadle.deploy.replica.app import App
from treadle.deploy.replica.batcher import Batcher
from treadle.deploy.replica.desks import open_desks
from treadle.deploy.replica.fleet import Fleet
from treadle.deploy.replica.guard import RESTART, Guard
from treadle.deploy.replica.holder import Holder
from treadle.deploy.replica.opening import Opener
from treadle.deploy.replica.platform import Platform
from treadle.deploy.replica.pulse import Pulse
from treadle.deploy.replica.residents import Residents
from treadle.deploy.replica.rownames import RowNames
from treadle.deploy.replica.served import Desk
from treadle.deploy.replica.server import DRAIN, Server, make_server
from treadle.deploy.replica.shipper import Shipper
from treadle.deploy.replica.shortway import Door
from treadle.deploy.types import ReplicaOptions, ReplicaReport
from treadle.kernel.decoding import prepare_decoding
from treadle.kernel.errors import InvalidInput, MissingExtra, TreadleError
from treadle.kernel.files import storage_errors
from treadle.kernel.ids import Ids, RandomIds
from treadle.kernel.lock import Holder as Owner
from treadle.kernel.lock import exclusive

if TYPE_CHECKING:
    from treadle.deploy.replica.rpc.service import Rpc

log = logging.getLogger("treadle.replica")

# Callers that wait for the first model to be loaded are answered after this many seconds all the same.
_FIRST_LOAD = 10.0
# Background threads give way to the event loop within this many seconds (Python's default is ten times it).
_SWITCH = 0.0005
# A request makes some hundred small lists and no cycles: looking for cycles every 700 is wasted.
_COLLECT = (50_000, 20, 50)


class ReplicaServer:
    """A server of one or several models.

    Args:
        options: How to run.
        platform: Tells what to serve, has the files, takes predictions.
        ids: Makes identifiers.
        listening: A socket that listens already, and that outlives this process; none opens one.
        abort: Ends the process at once, when a prediction never comes back.
        door: Another socket that listens already, at which whoever keeps this process alive asks it alone.
        restarted: Why the process before this one was ended, if it hung.

    Attributes:
        url: Where it answers; the port is known once it was made.
        fleet: Its models, once it runs.
        restarting: Whether it ended by itself, to be started again.
    """

    def __init__(
        self,
        options: ReplicaOptions,
        platform: Platform,
        ids: Ids | None = None,
        listening: socket.socket | None = None,
        abort: Callable[[], None] = lambda: None,
        door: socket.socket | None = None,
        restarted: str = "",
    ) -> None:
        self._options = options
        self._state = Path(options.state)
        self._inherited = listening is not None
        self._socket = listening or listen(options.host, options.port)
        host = f"[{options.host}]" if ":" in options.host else options.host
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self._platform = platform
        self._ids = ids or RandomIds()
        self._abort = abort
        self._door = door
        self._restarted = restarted
        self._pulse: Pulse | None = None
        self._server: Server | None = None
        self._rpc: Rpc | None = None
        self._stopping = threading.Event()
        self.restarting = False
        self.fleet = Fleet([], platform, options.poll)

    @property
    def grpc_port(self) -> int | None:
        """Where gRPC is answered, once it is; None where it isn't."""
        return self._rpc.port if self._rpc else None

    def run(self) -> None:
        """Serves until :meth:`stop`, SIGTERM or SIGINT; then drains and ships what it wrote down.

        Raises:
            Busy: If another replica uses the same state folder.
            StorageError: If the state folder can't be used.
        """
        try:
            with storage_errors(str(self._state)):
                self._state.mkdir(parents=True, exist_ok=True)
                owner = Owner(os.getpid(), f"replica {self._options.name}", self.url)
                with exclusive(self._state / "lock", owner):
                    self._serve()
        finally:
            self._socket.close()
            if self._door is not None:
                self._door.close()

    def stop(self) -> None:
        """Asks the server to end gracefully; returns at once."""
        self._stopping.set()
        if self._server is not None:
            self._server.drain()

    def restart(self) -> None:
        """Asks the server to end gracefully, to be started again; returns at once."""
        self.restarting = True
        self._stopping.set()
        if self._server is not None:
            self._server.drain(handing_over=self._inherited)

    def _serve(self) -> None:
        options = self._options
        _forget(self._state / "models", options.models)
        kept = options.journal_sync if options.log_predictions else None
        desks = open_desks(options.models, self._state / "journal", self._ids, kept)
        fleet = self.fleet = Fleet([self._holder(desk) for desk in desks], self._platform, options.poll)
        shipper = (
            Shipper(desks, self._platform, options.flush, options.journal_limit)
            if options.log_predictions
            else None
        )
        batcher = Batcher(options.max_queue, options.timeout, RowNames(self._ids))
        residents = Residents(fleet.holders, options.max_models, options.timeout)
        pulse = self._pulse = Pulse(batcher.busy_since, batcher.usual, options.timeout, self._restarted)
        app = App(options, fleet, batcher, shipper, residents, pulse, package_version("treadle"))
        guard = Guard(options.max_memory, self.restart, pulse.lost, self._abort)
        beside = self._rpc = _rpc(options, app) if options.grpc_port is not None else None
        self._server = make_server(
            app, app.drain, app.tick, options.timeout, Door(options, app, fleet, batcher), beside
        )
        if self._stopping.is_set():
            return
        before = sys.getswitchinterval(), gc.get_threshold()
        sys.setswitchinterval(_SWITCH)
        gc.set_threshold(*_COLLECT)
        prepare_decoding()
        fleet.start()
        if shipper:
            shipper.start()
        guard.start()
        if self._inherited:
            # Callers wait in the socket's queue: better than to be told to come again.
            fleet.wait(_FIRST_LOAD)
        try:
            self._server.run(sockets=[self._socket, *([self._door] if self._door else [])])
        finally:
            sys.setswitchinterval(before[0])
            gc.set_threshold(*before[1])
            guard.close()
            residents.close()
            batcher.close()
            fleet.close(timeout=1.0)
            if shipper and not shipper.close(DRAIN):
                log.warning("some predictions could not be sent; they are sent at the next start")
        if self._server.failure:
            raise self._server.failure

    def _holder(self, desk: Desk) -> Holder:
        return Holder(
            desk,
            self._state / "models" / desk.model,
            self._state / f"{LOADING}{desk.model}",
            self._platform,
            lambda: self._report(desk),
            Opener(self._options, desk.model),
            nullable=self._options.missing == "pass",
            lazy=self._options.max_models is not None and desk.model not in self._options.pinned,
        )

    def _report(self, desk: Desk) -> ReplicaReport:
        stats = desk.stats
        p50, p99 = stats.percentile_ms(0.5, 0.99)
        return ReplicaReport(
            replica=self._options.name,
            model=desk.model,
            url=self.url,
            requests=stats.requests,
            errors=stats.errors,
            rows=stats.rows,
            p50_ms=p50,
            p99_ms=p99,
            slow=stats.slow,
            unlogged=stats.unlogged,
            backlog=desk.journal.backlog() if desk.journal else 0,
            environment=self._options.environment,
            trouble=self._pulse.trouble() if self._pulse else "",
        )


def _rpc(options: ReplicaOptions, app: App) -> Rpc:
    """The server of gRPC.

    Raises:
        MissingExtra: If gRPC isn't installed.
    """
    try:
        from treadle.deploy.replica.rpc.service import Rpc
    except ImportError as error:
        raise MissingExtra(
            f"[serve] grpc_port is set and gRPC isn't installed: {error}", fix="pip install 'treadle[grpc]'"
        ) from None
    return Rpc(options, app)


def _forget(folder: Path, models: Sequence[str]) -> None:
    """Removes copies of models that are not served here any more."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in models:
            shutil.rmtree(path, ignore_errors=True)


def serve(options: ReplicaOptions, platform: Platform, announce: Callable[[str], None] = print) -> int:
    """Runs a replica until it is stopped by SIGTERM or SIGINT.

    Args:
        options: How to run.
        platform: Tells what to serve, has the files, takes predictions.
        announce: Is told where the server answers, before it does.

    Returns:
        The process's exit status: 75 if it ended by itself and is to be started again.

    Raises:
        Busy: If the port or the state folder is in use.
        StorageError: If the state folder can't be used.
    """
    server = ReplicaServer(options, platform, abort=_abort)
    answer = "answers" if len(options.models) == 1 else "answer"
    announce(f"{', '.join(options.models)} {answer} at {server.url}")
    server.run()
    return RESTART if server.restarting else 0


def _abort() -> None:
    # What was answered is in the journal; native code that hangs leaves no other way out.
    os._exit(RESTART)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m treadle.deploy.replica``: a replica as a process of its own."""
    from treadle.client import connect

    parser = argparse.ArgumentParser(prog="python -m treadle.deploy.replica", description=__doc__)
    parser.add_argument("--url", required=True, help="where the platform's API answers")
    parser.add_argument(
        "--options", required=True, type=lambda text: msgspec.json.decode(text, type=ReplicaOptions)
    )
    parser.add_argument("--listening", type=int, metavar="FD", help="a socket that listens already")
    parser.add_argument("--door", type=int, metavar="FD", help="another one, for who keeps this alive")
    parser.add_argument("--leash", action="store_true", help="end when standard input ends")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with connect(given.url) as client:
            listening, door = (
                None if one is None else socket.socket(fileno=one) for one in (given.listening, given.door)
            )
            restarted = os.environ.get(RESTARTED, "")
            server = ReplicaServer(
                given.options, client, listening=listening, abort=_abort, door=door, restarted=restarted
            )
            if given.leash:
                threading.Thread(target=_leash, args=(server,), daemon=True).start()
            log.info("%s answers at %s", ", ".join(given.options.models), server.url)
            server.run()
    except TreadleError as error:
        log.critical("%s", error)
        return 2 if isinstance(error, InvalidInput) else 1
    return RESTART if server.restarting else 0


def _leash(server: ReplicaServer) -> None:
    """Stops the server when the process that started it is gone, however it went."""
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    server.stop()
