"""Treadle's inference server on a model in a folder, or the floor beneath it: a fixed answer.

Usage: ``treadle_replica.py FOLDER STATE PORT journal|plain SWAP_SECONDS [MODELS [MOST]]``, or
``floor PORT``. Of MODELS at most MOST are in memory. GRPC_PORT in the environment has gRPC answered
as well. With SWAP_SECONDS above 0 the platform wants the other version every so many seconds, and
the number of swaps that were seen to be done is kept in ``STATE/swaps``.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from treadle.deploy.replica.main import ReplicaServer
from treadle.deploy.replica.server import make_server
from treadle.deploy.types import DesiredRevision, ReplicaOptions, ReplicaReport
from treadle.kernel.ids import digest_file

ANSWER = (
    b'{"model_name":"bench","model_version":"1","outputs":[{"name":"probability","shape":[1],'
    b'"datatype":"FP64","data":[0.5]},{"name":"prediction_id","shape":[1],"datatype":"BYTES",'
    b'"data":["prediction_01-0000000001"]}],"id":"42"}'
)


class LocalPlatform:
    """A platform that has its models in a folder, and writes down what it is sent, as into a socket."""

    def __init__(self, folder: Path, state: Path, swap: float) -> None:
        versions = {int(path.name): sorted(path.iterdir()) for path in sorted(folder.iterdir())}
        self.files = {v: {p.name: digest_file(p) for p in paths} for v, paths in versions.items()}
        self.paths = {digest_file(path): path for paths in versions.values() for path in paths}
        self.swaps = state / "swaps"
        self.inbox = os.open(state / "inbox", os.O_RDWR | os.O_CREAT)
        self.every = swap
        self.wanted = self.seen = 1
        self.since = time.monotonic()

    def report(self, report: ReplicaReport) -> DesiredRevision | None:
        if report.revision == self.wanted and self.seen != self.wanted:
            self.seen = self.wanted
            self.swaps.write_text(str(self.wanted - 1))
        due = self.every and time.monotonic() - self.since > self.every
        if due and self.seen == self.wanted:
            self.wanted, self.since = self.wanted + 1, time.monotonic()
        version = 2 - self.wanted % 2
        return DesiredRevision(revision=self.wanted, version=version, files=self.files[version])

    def report_all(self, reports: Sequence[ReplicaReport]) -> list[DesiredRevision | None]:
        return [self.report(one) for one in reports]

    def fetch_blob(self, digest: str, path: Path) -> None:
        shutil.copy(self.paths[digest], path)

    def send_segment(self, _: str, __: str, ___: int, data: bytes) -> None:
        os.pwrite(self.inbox, data, 0)


def floor(port: int) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]

    async def app(_, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})

    make_server(app).run(sockets=[socket.create_server(("127.0.0.1", port))])


def replica(
    folder: Path, state: Path, port: int, journal: bool, swap: float, count: int = 1, most: int | None = None
) -> None:
    state.mkdir()
    rpc = int(os.environ["GRPC_PORT"]) if "GRPC_PORT" in os.environ else None
    names = ("bench", *(f"bench-{number}" for number in range(1, count)))
    options = ReplicaOptions(
        models=names, state=str(state), port=port, log_predictions=journal, max_models=most, grpc_port=rpc
    )
    ReplicaServer(options, LocalPlatform(folder, state, swap)).run()


if sys.argv[1] == "floor":
    floor(int(sys.argv[2]))
else:
    folder, state, port, journal, swap, *more = sys.argv[1:]
    replica(Path(folder), Path(state), int(port), journal == "journal", float(swap), *map(int, more))
