"""Blobs stream both ways: what is moved is never held in memory whole."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live import Up, environment, until
from treadle.client import Client
from treadle.kernel.errors import CorruptData, NotFound, StorageError, TreadleError

SIZE = 300 << 20
# Moves a blob there and back, and tells how much memory that took at its highest.
MOVE = """
import sys
from pathlib import Path
from treadle.client import Client

where, file, back = sys.argv[1:]
with Client.http(where) if "://" in where else Client.in_process(Path(where)) as client:
    client.health()
    digest = client.put_blob(Path(file))
    client.fetch_blob(digest, Path(back))
# Not ru_maxrss: that outlives exec, and would tell of the process that started this one.
status = Path("/proc/self/status").read_text().splitlines()
print(digest, next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("large") / "blob"
    with path.open("wb") as file:
        for number in range(SIZE >> 20):
            file.write(hashlib.sha256(str(number).encode()).digest() * (1 << 15))
    yield path
    path.unlink()


def sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def peak(pid: int) -> int:
    """The most memory that a process has ever had, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


@pytest.mark.parametrize("way", ["in process", "http"])
def test_a_large_blob_passes_through_little_memory(way: str, live: Up, large: Path, tmp_path: Path) -> None:
    before = peak(live.process.pid)
    where = live.url if way == "http" else str(live.root)
    back = tmp_path / "back"
    done = subprocess.run(
        [sys.executable, "-c", MOVE, where, str(large), str(back)],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    digest, memory = done.stdout.split()
    assert sha(back) == sha(large)
    assert len(digest) == 64
    assert int(memory) * 1024 < SIZE * 2 / 3
    if way == "http":
        assert (peak(live.process.pid) - before) * 1024 < SIZE / 2
    assert not list((live.root / ".treadle" / "tmp").glob("tmp*"))


def test_an_empty_blob(transport: Any, tmp_path: Path) -> None:
    client = Client(transport)
    empty = tmp_path / "empty"
    empty.touch()
    client.fetch_blob(client.put_blob(empty), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_the_same_bytes_are_the_same_blob(transport: Any, tmp_path: Path) -> None:
    client = Client(transport)
    (tmp_path / "a").write_bytes(b"same")
    (tmp_path / "b").write_bytes(b"same")
    assert client.put_blob(tmp_path / "a") == client.put_blob(tmp_path / "b")


def test_a_part_of_a_blob(transport: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    digest = Client(transport).put_blob(tmp_path / "a")
    answer = transport.send("GET", f"/v1/blobs/{digest}", b"", {"Range": "bytes=2-4"})
    assert (answer.status, answer.read()) == (206, b"234")


def test_a_blob_that_is_not_there_leaves_the_file_as_it_was(transport: Any, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("before")
    with pytest.raises(NotFound):
        Client(transport).fetch_blob("0" * 64, target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert target.read_text() == "before"


def test_an_answer_that_is_not_read_to_its_end_disturbs_no_other(
    transport: Any, live: Up, large: Path
) -> None:
    client = Client(transport)
    digest = client.put_blob(large)
    for _ in range(3):
        pieces = transport.send("GET", f"/v1/blobs/{digest}").body
        assert next(pieces)
        pieces.close()
        assert client.health().project == "toy"
    until(lambda: not list((live.root / ".treadle" / "tmp").glob("tmp*")))


def test_a_body_that_can_not_be_read_is_the_caller_s_own_error(transport: Any, live: Up) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise OSError("the stick was pulled out")

    with pytest.raises(OSError, match="the stick was pulled out") as caught:
        transport.send("POST", "/v1/blobs", broken())
    assert not isinstance(caught.value, TreadleError)
    assert Client(transport).health().project == "toy"
    until(lambda: not list((live.root / ".treadle" / "tmp").glob("tmp*")))


def test_a_blob_that_rotted_is_not_handed_out(transport: Any, live: Up, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"precious" + transport.name.encode())
    digest = Client(transport).put_blob(tmp_path / "a")
    stored = next(path for path in (live.root / ".treadle" / "blobs").rglob("*") if digest[4:] in path.name)
    stored.chmod(0o644)
    stored.write_bytes(b"worthless")
    with pytest.raises((CorruptData, StorageError)):
        Client(transport).fetch_blob(digest, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    stored.unlink()
