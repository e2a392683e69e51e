"""One replica: wiring, start and graceful stop."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as package_version
from itertools import count
from pathlib import Path

import msgspec
import uvicorn

from treadle.deploy.replica.app import App
from treadle.deploy.replica.batcher import Batcher
from treadle.deploy.replica.holder import Holder
from treadle.deploy.replica.journal import Journal
from treadle.deploy.replica.platform import Platform
from treadle.deploy.replica.shipper import Shipper
from treadle.deploy.replica.stats import Stats
from treadle.deploy.types import ReplicaOptions, ReplicaReport
from treadle.kernel.errors import Busy, InvalidInput, TreadleError
from treadle.kernel.files import storage_errors
from treadle.kernel.ids import Ids, RandomIds
from treadle.kernel.lock import Holder as Owner
from treadle.kernel.lock import exclusive

log = logging.getLogger("treadle.replica")

_DRAIN = 5.0
# Background threads give way to the event loop within this many seconds (Python's default is ten times it).
_SWITCH = 0.0005
# A request makes some hundred small lists and no cycles: looking for cycles every 700 is wasted.
_COLLECT = (50_000, 20, 50)


class ReplicaServer:
    """A server of one model.

    Args:
        options: How to run.
        platform: Tells what to serve, has the files, takes predictions.
        ids: Makes identifiers.

    Attributes:
        url: Where it answers; the port is known once it was made.
    """

    def __init__(self, options: ReplicaOptions, platform: Platform, ids: Ids | None = None) -> None:
        ids = ids or RandomIds()
        self._options = options
        self._state = Path(options.state)
        self._socket = _listen(options.host, options.port)
        host = f"[{options.host}]" if ":" in options.host else options.host
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self._platform = platform
        self._ids = ids
        self._stats = Stats()
        self._journal: Journal | None = None
        self._server: uvicorn.Server | None = None
        self._stopping = threading.Event()

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

    def stop(self) -> None:
        """Asks the server to end gracefully; returns at once."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True

    def _serve(self) -> None:
        options, stats = self._options, self._stats
        shipper = None
        if options.log_predictions:
            self._journal = Journal(self._state / "journal", self._ids)
            shipper = Shipper(
                self._journal, self._platform, options.model, stats, options.flush, options.journal_limit
            )
            stats.backlog = self._journal.backlog
        holder = Holder(options.model, self._state / "models", self._platform, self._report, options.poll)
        batcher = Batcher(options.max_queue, stats, self._journal, _row_namer(self._ids))
        stats.queue = batcher.__len__
        stats.model = lambda: _model_labels(options.model, holder)
        app = App(options, holder, batcher, stats, shipper, package_version("treadle"))
        self._server = make_server(app)
        if self._stopping.is_set():
            return
        before = sys.getswitchinterval(), gc.get_threshold()
        sys.setswitchinterval(_SWITCH)
        gc.set_threshold(*_COLLECT)
        holder.start()
        if shipper:
            shipper.start()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            sys.setswitchinterval(before[0])
            gc.set_threshold(*before[1])
            batcher.close()
            holder.close(timeout=1.0)
            if shipper and not shipper.close(_DRAIN):
                log.warning("some predictions could not be sent; they are sent at the next start")

    def _report(self) -> ReplicaReport:
        stats = self._stats
        p50, p99 = stats.percentile_ms(0.5, 0.99)
        return ReplicaReport(
            replica=self._options.name,
            model=self._options.model,
            url=self.url,
            requests=stats.requests,
            errors=stats.errors,
            rows=stats.rows,
            p50_ms=p50,
            p99_ms=p99,
            unlogged=stats.unlogged,
            backlog=self._journal.backlog() if self._journal else 0,
        )


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends gracefully on a signal, and does not raise it again afterwards: this was the answer."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {which: signal.signal(which, self.handle_exit) for which in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)


def make_server(app: Callable[..., object]) -> uvicorn.Server:
    """A uvicorn server as replicas use it; given an ASGI application, to be run on sockets."""
    return _Server(
        uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(_DRAIN),
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Busy(
            f"the server can't listen there: {error.strerror or error}",
            where=f"{host}:{port}",
            fix="choose another port with [serve] port or --port; 0 takes a free one",
        ) from None


def _row_namer(ids: Ids) -> Callable[[], str]:
    """Names for rows: one identifier a process, and a count."""
    prefix, number = ids.new("prediction"), count()
    return lambda: f"{prefix}-{next(number):010d}"


def _model_labels(model: str, holder: Holder) -> dict[str, str] | None:
    served = holder.current
    if served is None:
        return None
    return {"model": model, "version": str(served.version), "revision": str(served.revision)}


def serve(options: ReplicaOptions, platform: Platform, announce: Callable[[str], None] = print) -> None:
    """Runs a replica until it is stopped by SIGTERM or SIGINT.

    Args:
        options: How to run.
        platform: Tells what to serve, has the files, takes predictions.
        announce: Is told where the server answers, before it does.

    Raises:
        Busy: If the port or the state folder is in use.
        StorageError: If the state folder can't be used.
    """
    server = ReplicaServer(options, platform)
    announce(f"{options.model} answers at {server.url}")
    server.run()


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m treadle.deploy.replica``: a replica as a process of its own."""
    from treadle.client import connect

    parser = argparse.ArgumentParser(prog="python -m treadle.deploy.replica", description=__doc__)
    parser.add_argument("--url", required=True, help="where the platform's API answers")
    parser.add_argument(
        "--options", required=True, type=lambda text: msgspec.json.decode(text, type=ReplicaOptions)
    )
    parser.add_argument("--leash", action="store_true", help="end when standard input ends")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with connect(given.url) as client:
            server = ReplicaServer(given.options, client)
            if given.leash:
                threading.Thread(target=_leash, args=(server,), daemon=True).start()
            log.info("%s answers at %s", given.options.model, server.url)
            server.run()
    except TreadleError as error:
        log.critical("%s", error)
        return 2 if isinstance(error, InvalidInput) else 1
    return 0


def _leash(server: ReplicaServer) -> None:
    """Stops the server when the process that started it is gone, however it went."""
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    server.stop()
