"""A replica of a version that gets no traffic but a load test's.

A process of its own, ``python -m treadle.deploy.loadtest.candidate``: the same server with the same
limits as any replica, on a platform that is a folder. It writes predictions down and hands them in, as
every replica does; what is handed in goes nowhere.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from treadle.deploy.listening import listen
from treadle.deploy.loadtest.watching import Watch
from treadle.deploy.types import DesiredRevision, ReplicaOptions, ReplicaReport
from treadle.kernel.errors import JobFailed

_START = 60.0
# An environment of the model's own may have to be made first.
_MADE = 1800.0
_POLL = 0.05
_STOP = 10.0
_MLMODEL = "MLmodel"


class Folder:
    """A platform that wants one revision for ever.

    Args:
        folder: Holds the model's files, named by their digests.
        wanted: The revision.
        failed: Is called when it can't be loaded.
    """

    def __init__(
        self, folder: Path, wanted: DesiredRevision, failed: Callable[[], None] = lambda: None
    ) -> None:
        self._folder = folder
        self._wanted = wanted
        self._failed = failed

    def report(self, report: ReplicaReport) -> DesiredRevision:
        """Takes a report and forgets it."""
        msgspec.json.encode(report)
        if report.failed == self._wanted.revision:
            self._failed()
        return self._wanted

    def report_all(self, reports: Sequence[ReplicaReport]) -> list[DesiredRevision | None]:
        """Takes reports and forgets them."""
        return [self.report(one) for one in reports]

    def fetch_blob(self, digest: str, path: Path) -> None:
        """Writes the bytes of a digest to a file."""
        shutil.copyfile(self._folder / digest, path)

    def send_segment(self, model: str, segment: str, rows: int, data: bytes) -> None:
        """Takes a segment of the journal and forgets it."""


@contextlib.contextmanager
def candidate(
    options: ReplicaOptions, wanted: DesiredRevision, folder: Path, watch: Watch
) -> Iterator[tuple[str, int]]:
    """A replica of a version in a process of its own, ready to answer.

    Args:
        options: How to run; the port is chosen here.
        wanted: The revision to serve.
        folder: Holds the model's files, named by their digests.
        watch: May stop it, while it starts and later.

    Yields:
        Host and port.

    Raises:
        JobFailed: If it doesn't become ready.
        Cancelled: If it was stopped before it was ready.
    """
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(contextlib.closing(listen("127.0.0.1", 0)))
        log = stack.enter_context(tempfile.TemporaryFile())
        options = msgspec.structs.replace(options, host="127.0.0.1", port=0)
        given = [msgspec.json.encode(one).decode() for one in (options, wanted)]
        command = [sys.executable, "-m", "treadle.deploy.loadtest.candidate", *given, str(folder)]
        process = subprocess.Popen(
            [*command, str(listening.fileno())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(listening.fileno(),),
            start_new_session=True,  # Ctrl-C is for whoever asked
        )
        stack.callback(_end, process, watch)
        host, port = listening.getsockname()[:2]
        own = options.environments == "own" and _MLMODEL in wanted.files
        if not _ready(process, host, port, watch, _MADE if own else _START):
            log.seek(0)
            raise JobFailed(
                f"the version did not become ready: {_last(log.read())}",
                where=f"version {wanted.version}",
                fix="see whether its model loads: treadle models show",
            )
        yield host, port


def _ready(process: subprocess.Popen[bytes], host: str, port: int, watch: Watch, limit: float) -> bool:
    import urllib3

    deadline = time.monotonic() + limit
    url = f"http://{host}:{port}/v2/health/ready"
    while process.poll() is None and time.monotonic() < deadline:
        watch.look()
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", url, retries=False, timeout=2).status == 200:
                return True
        time.sleep(_POLL)
    return False


def _last(log: bytes) -> str:
    lines = log.decode(errors="replace").strip().splitlines()
    return lines[-1][-500:] if lines else "it said nothing"


def _end(process: subprocess.Popen[bytes], watch: Watch) -> None:
    """Ends it as its own end of input does; by force if that takes too long, or the test was stopped."""
    if watch.why:
        process.kill()
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Serves until standard input ends."""
    from treadle.deploy.replica import ReplicaServer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("options", type=lambda text: msgspec.json.decode(text, type=ReplicaOptions))
    parser.add_argument("wanted", type=lambda text: msgspec.json.decode(text, type=DesiredRevision))
    parser.add_argument("folder", type=Path)
    parser.add_argument("listening", type=int)
    given = parser.parse_args()
    listening = socket.socket(fileno=given.listening)
    # What is the matter is in the log by then.
    platform = Folder(given.folder, given.wanted, failed=lambda: os._exit(1))
    server = ReplicaServer(given.options, platform, listening=listening)

    def leash() -> None:
        while os.read(0, 1024):
            pass
        server.stop()

    threading.Thread(target=leash, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main()
