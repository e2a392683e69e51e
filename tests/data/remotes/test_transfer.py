"""Blobs arrive whole, over lines that drop, cut short and damage, and go on after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.remotes.proxies import FlakyProxy, flaky_proxy
from servers import S3, fill
from treadle.data.remotes.pace import Pace, parse_rate
from treadle.data.remotes.transfer import Item, Moved, Mover
from treadle.kernel import pieces, progress
from treadle.kernel.blobs import ObjectBlobStore, open_blobs
from treadle.kernel.errors import Conflict, CorruptData, InvalidInput, NotFound, StorageError, StorageFull
from treadle.kernel.ids import digest_bytes

SMALL = 256 << 10


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", SMALL)
    monkeypatch.setattr("treadle.kernel.blobs.PIECE", SMALL)


@pytest.fixture
def local(tmp_path: Path) -> ObjectBlobStore:
    return open_blobs("local", tmp_path, {})


def bucket(s3: S3, url: str | None = None) -> ObjectBlobStore:
    options = s3.options | ({"endpoint": url} if url else {})
    return open_blobs(f"s3://{s3.bucket}/remote", Path(), options, retries=0)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectBlobStore:
    if request.param == "folder":
        return open_blobs("remote", tmp_path, {})
    return bucket(request.getfixturevalue("s3"))


@pytest.fixture
def proxy(s3: S3) -> Iterator[FlakyProxy]:
    with flaky_proxy(s3.endpoint) as found:
        yield found


def move(source: ObjectBlobStore, target: ObjectBlobStore, *digests: str, again: bool = False) -> Moved:
    mover = Mover(source, target, Pace(), jitter=lambda: 0.0)
    return mover.move([Item(digest, f"data/{digest[:4]}") for digest in digests], again=again)


@pytest.mark.usefixtures("small_pieces")
def test_blobs_of_all_sizes_go_there_and_back(
    local: ObjectBlobStore, remote: ObjectBlobStore, tmp_path: Path
) -> None:
    data = [os.urandom(size) for size in (0, 1, 1000, SMALL, SMALL + 1, 10 * SMALL + 5)]
    digests = [local.put(one) for one in data]
    sent = move(local, remote, *digests, digests[0])
    assert (sent.blobs, sent.bytes, sent.there, sent.failed) == (6, sum(map(len, data)), 0, ())
    assert move(local, remote, *digests).there == 6
    other = open_blobs("other", tmp_path, {})
    assert move(remote, other, *digests).blobs == 6
    assert [other.get(digest) for digest in digests] == data
    assert list((tmp_path / "other" / "tmp").iterdir()) == []


@pytest.mark.usefixtures("small_pieces")
def test_from_bucket_to_bucket(s3: S3, local: ObjectBlobStore) -> None:
    one, two = bucket(s3), open_blobs(f"s3://{s3.bucket}/two", Path(), s3.options)
    data = os.urandom(3 * SMALL)
    digest = local.put(data)
    move(local, one, digest)
    assert move(one, two, digest).blobs == 1
    assert two.get(digest) == data


def test_what_is_missing_or_damaged_at_its_source_is_told_and_the_rest_is_moved(
    local: ObjectBlobStore, remote: ObjectBlobStore
) -> None:
    whole, rotten, absent = local.put(b"whole"), local.put(b"rotten"), digest_bytes(b"absent")
    path = local.path(rotten)
    assert path is not None
    path.write_bytes(b"rotted")
    found = move(local, remote, rotten, absent, whole)
    assert found.blobs == 1
    assert {(one.item.digest, type(one.error)) for one in found.failed} == {
        (rotten, CorruptData),
        (absent, NotFound),
    }
    assert remote.get(whole) == b"whole"
    assert not remote.has(rotten)


def test_what_is_damaged_at_its_target_is_moved_again_on_request(
    local: ObjectBlobStore, remote: ObjectBlobStore
) -> None:
    digest = local.put(b"right")
    move(local, remote, digest)
    assert move(local, remote, digest).blobs == 0
    assert move(local, remote, digest, again=True).blobs == 1


@pytest.mark.s3
@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("fault", ["drop", "cut", "damage", "refuse"])
def test_a_line_that_fails_on_the_way_up(
    local: ObjectBlobStore, s3: S3, proxy: FlakyProxy, fault: str
) -> None:
    data = os.urandom(6 * SMALL)
    digest = local.put(data)
    through = bucket(s3, proxy.url)
    proxy.up += [fault, fault]  # type: ignore[list-item]
    assert move(local, through, digest).blobs == 1
    assert proxy.happened == [fault, fault]
    assert bucket(s3).get(digest) == data


@pytest.mark.s3
@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("fault", ["drop", "cut", "damage"])
@pytest.mark.parametrize("size", [SMALL, 6 * SMALL])
def test_a_line_that_fails_on_the_way_down(
    local: ObjectBlobStore, s3: S3, proxy: FlakyProxy, fault: str, size: int
) -> None:
    data = os.urandom(size)
    digest = digest_bytes(data)
    bucket(s3).put(data) if size == SMALL else move(_with(local, data), bucket(s3), digest)
    target = open_blobs("target", Path(local.folder or "").parent, {})
    proxy.down += [fault, fault]  # type: ignore[list-item]
    assert move(bucket(s3, proxy.url), target, digest).blobs == 1
    assert proxy.happened == [fault, fault]
    assert target.get(digest) == data


@pytest.mark.s3
@pytest.mark.usefixtures("small_pieces")
def test_only_a_piece_that_came_damaged_is_brought_again(
    local: ObjectBlobStore, s3: S3, proxy: FlakyProxy
) -> None:
    data = os.urandom(6 * SMALL)
    digest = local.put(data)
    move(local, bucket(s3), digest)
    target = open_blobs("target", Path(local.folder or "").parent, {})
    came: list[int] = []
    pace = Pace()
    pace.take = came.append  # type: ignore[method-assign]
    proxy.down.append("damage")
    assert Mover(bucket(s3, proxy.url), target, pace).move([Item(digest, "data")]).blobs == 1
    assert (proxy.happened, sum(came)) == (["damage"], 7 * SMALL)
    assert target.get(digest) == data


def _with(store: ObjectBlobStore, data: bytes) -> ObjectBlobStore:
    store.put(data)
    return store


@pytest.mark.s3
@pytest.mark.usefixtures("small_pieces")
def test_a_line_that_always_damages_is_given_up(local: ObjectBlobStore, s3: S3, proxy: FlakyProxy) -> None:
    data = os.urandom(3 * SMALL)
    digest = local.put(data)
    move(local, bucket(s3), digest)
    target = open_blobs("target", Path(local.folder or "").parent, {})
    proxy.down += ["damage"] * 99
    found = move(bucket(s3, proxy.url), target, digest)
    assert [type(one.error) for one in found.failed] == [CorruptData]
    assert not target.has(digest)


@pytest.mark.s3
def test_a_remote_that_does_not_answer_is_told_with_what_was_moved(
    local: ObjectBlobStore, s3: S3, proxy: FlakyProxy
) -> None:
    digest = local.put(b"x" * 1000)
    proxy.up += ["refuse"] * 99
    mover = Mover(local, bucket(s3, proxy.url), Pace(), jitter=lambda: -0.5)
    with pytest.raises(StorageError):
        mover.move([Item(digest, "data/x")])


def test_a_full_disk_is_told_at_once_and_room_lets_it_go_on(local: ObjectBlobStore, full_disk: Path) -> None:
    digest = local.put(os.urandom(1 << 20))
    remote = open_blobs("remote", full_disk, {})
    filler = fill(full_disk, leave=100_000)
    with pytest.raises(StorageFull, match=r"(?s)data/.*no space.*free some space"):
        move(local, remote, digest)
    assert not remote.has(digest)
    filler.unlink()
    assert move(local, remote, digest).blobs == 1


@pytest.mark.usefixtures("small_pieces")
def test_many_movers_at_once_bring_each_blob_whole(local: ObjectBlobStore, tmp_path: Path) -> None:
    data = [os.urandom(size) for size in (100, 3 * SMALL, 5 * SMALL)]
    digests = [local.put(one) for one in data]
    found: list[Moved] = []
    remote = open_blobs("remote", tmp_path, {})
    threads = [threading.Thread(target=lambda: found.append(move(local, remote, *digests))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert [remote.get(digest) for digest in digests] == data


MOVER = """
import os, sys
from pathlib import Path
from treadle.data.remotes.pace import Pace
from treadle.data.remotes.transfer import Item, Mover
from treadle.kernel import pieces
from treadle.kernel.blobs import open_blobs
pieces.PIECE = 1 << 16
import treadle.kernel.blobs
treadle.kernel.blobs.PIECE = 1 << 16
root, digests, steps = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
count = 0
def step(name):
    global count
    if name in ("os.rename", "os.truncate", "os.remove") or name == "open":
        count += 1
        if count == steps:
            os.kill(os.getpid(), 9)
target = open_blobs("remote", root, {})
source = open_blobs("local", root, {})
Mover(source, target, Pace())
sys.addaudithook(lambda name, _: step(name))
Mover(source, target, Pace()).move([Item(d, d) for d in digests])
"""


def test_killed_at_any_step_it_goes_on_and_nothing_half_is_visible(
    local: ObjectBlobStore, tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    data = [os.urandom(1000), os.urandom(3 << 16), os.urandom(20 << 16)]
    digests = [local.put(one) for one in data]
    remote = open_blobs("remote", tmp_path, {})
    killed = 0
    for steps in (3, 8, 13, 18, 23, 28, 33, 10_000):
        command = [sys.executable, "-c", MOVER, str(tmp_path), ",".join(digests), str(steps)]
        done = subprocess.run(command, check=False, env=environment, capture_output=True)
        assert done.returncode in (0, -9), done.stderr
        killed += done.returncode == -9
        for digest, one in zip(digests, data, strict=True):
            if remote.has(digest):
                assert remote.get(digest) == one
        if done.returncode == 0:
            break
    assert killed >= 3
    assert [remote.get(digest) for digest in digests] == data


def test_a_limit_is_kept(local: ObjectBlobStore) -> None:
    """By a clock of its own: so many bytes may pass in so many seconds."""
    at = [0.0]
    pace = Pace(1000.0, lambda: at[0])
    waited: list[float] = []
    pace.wait = waited.append  # type: ignore[method-assign]
    for _ in range(5):
        pace.take(500)
    assert waited == [0.0, 0.5, 1.0, 1.5, 2.0]
    at[0] = 10.0
    pace.take(1)
    assert waited[-1] == 0.0


def test_what_was_stopped_goes_on_no_more(local: ObjectBlobStore, tmp_path: Path) -> None:
    pace = Pace()
    pace.stop()
    with pytest.raises(Conflict, match="stopped"):
        Mover(local, open_blobs("remote", tmp_path, {}), pace).move([Item(local.put(b"x"), "x")])


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50MB/s", 50e6), ("800k", 800e3), ("1.5GiB/s", 1.5 * 2**30), ("100", 100.0), ("2 KiB", 2048.0)],
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "0MB/s", "-1", "1 parsec", "MB"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a rate"):
        parse_rate(text)


def test_how_far_it_is_is_told(local: ObjectBlobStore, tmp_path: Path) -> None:
    digest = local.put(b"x" * 1000)
    done, due = [0, 0], [0, 0]

    def add(to: list[int], files: int, size: int) -> None:
        to[0], to[1] = to[0] + files, to[1] + size

    with progress.listening(lambda *more: add(done, *more), lambda *more: add(due, *more)):
        move(local, open_blobs("remote", tmp_path, {}), digest)
    assert done == due == [1, 1000]
