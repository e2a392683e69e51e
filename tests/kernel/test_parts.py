"""Blobs that come in pieces: whole or absent, and never twice over the wire after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import obstore
import pytest
from obstore.store import MemoryStore

from treadle.kernel import fence, parts, pieces
from treadle.kernel.blobs import ObjectBlobStore, open_blobs
from treadle.kernel.errors import CorruptData, NotFound, StorageError
from treadle.kernel.ids import digest_bytes
from treadle.kernel.parts import Part
from treadle.kernel.pieces import piece_size

SMALL = 1 << 16


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", SMALL)
    monkeypatch.setattr("treadle.kernel.blobs.PIECE", SMALL)


@pytest.fixture(
    params=[
        "folder",
        "memory",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("azure", marks=pytest.mark.azure),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectBlobStore:
    if request.param == "folder":
        return open_blobs("blobs", tmp_path, {})
    if request.param == "memory":
        return ObjectBlobStore(MemoryStore(), "memory", plain=True)
    if request.param == "azure":
        azure = request.getfixturevalue("azure")
        return open_blobs(f"az://{azure.container}/deep", tmp_path, azure.options)
    s3 = request.getfixturevalue("s3")
    return open_blobs(f"s3://{s3.bucket}/deep", tmp_path, s3.options)


def bring(store: ObjectBlobStore, data: bytes, *, only: int | None = None) -> str:
    """Brings a blob, or its first pieces only, as a process that is killed would; returns its digest."""
    digest = digest_bytes(data)
    part = store.part(digest, len(data))
    for number in range(part.count if only is None else only):
        begin = number * part.piece
        part.write(number, data[begin : begin + part.piece])
    if only is None:
        assert part.finish(digest)
    part.close()
    return digest


@pytest.mark.parametrize("size", [0, 1, SMALL, SMALL + 1, 5 * SMALL, 5 * SMALL - 3])
def test_what_came_in_pieces_is_read_like_any(store: ObjectBlobStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    digest = bring(store, data)
    assert store.get(digest) == data
    assert store.has(digest)
    assert store.claim(digest)
    assert store.size(digest) == size
    assert b"".join(store.stream(digest)) == data
    assert b"".join(store.stream(digest, 3, size - 2)) == data[3 : max(3, size - 2)]
    for length in (1, 100, SMALL + 7, 10 * SMALL):
        assert store.tail(digest, length) == data[-length:] if size else True
    store.fetch(digest, tmp_path / "out" / "file")
    assert (tmp_path / "out" / "file").read_bytes() == data
    buffer = bytearray(size)
    assert sum(store.fill(digest, 0, memoryview(buffer))) == size
    assert bytes(buffer) == data
    assert [(one.digest, one.size) for one in store.stored()] == [(digest, size)]


def test_a_blob_is_absent_until_it_is_whole(store: ObjectBlobStore) -> None:
    data = os.urandom(4 * SMALL)
    digest = bring(store, data, only=3)
    assert not store.has(digest)
    assert not store.claim(digest)
    assert list(store.stored()) == []
    with pytest.raises(NotFound):
        store.get(digest)


def test_what_a_killed_process_brought_is_not_brought_again(store: ObjectBlobStore) -> None:
    data = os.urandom(4 * SMALL)
    digest = bring(store, data, only=3)
    part = store.part(digest, len(data))
    buffer = bytearray(SMALL)
    if store.folder is not None:
        kept = [number for number in range(4) if part.kept(number, memoryview(buffer))]
        assert kept == [0, 1, 2]
        assert bytes(buffer) == data[2 * SMALL : 3 * SMALL]
        part.write(3, data[3 * SMALL :])
    else:
        before = {one["path"]: one["last_modified"] for one in obstore.list(store.objects).collect()}
        for number in range(4):
            part.write(number, data[number * SMALL : (number + 1) * SMALL])
        after = {one["path"]: one["last_modified"] for one in obstore.list(store.objects).collect()}
        assert len(after) == 4
        assert before.items() <= after.items()
    assert part.finish(digest)
    assert store.get(digest) == data


def test_what_is_something_else_is_refused(store: ObjectBlobStore) -> None:
    data = os.urandom(3 * SMALL)
    digest = digest_bytes(data)
    part = store.part(digest, len(data))
    for number in range(3):
        part.write(number, bytes(SMALL))
    with pytest.raises(CorruptData, match="something else"):
        part.finish(digest_bytes(bytes(3 * SMALL)))
    part.close()
    assert not store.has(digest)
    bring(store, data)  # and what came wrong is not in its way
    assert store.get(digest) == data


def test_a_file_is_taken_at_once_but_for_what_is_there(store: ObjectBlobStore, tmp_path: Path) -> None:
    data = os.urandom(5 * SMALL - 3)
    file = tmp_path / "file"
    file.write_bytes(data)
    bring(store, data, only=2)
    part = store.part(digest_bytes(data), len(data))
    came: list[int] = []
    digest = part.copy(file, came.append)
    if store.folder is None:
        assert (digest, came) == (None, [])
    else:
        assert came == [SMALL, SMALL, SMALL - 3]
        assert digest == digest_bytes(data)
        assert part.copy(file, came.append, anew=True) == digest
        assert sum(came[3:]) == len(data)
        assert part.finish(digest)
        assert store.get(digest) == data
    part.close()


@pytest.mark.parametrize("more", [b"", b"more"])
def test_a_file_shares_blocks_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    """What shares them is a copy here, where the file system seldom can; what is longer isn't shared."""
    store, data, file = open_blobs("blobs", tmp_path, {}), os.urandom(3 * SMALL), tmp_path / "file"
    file.write_bytes(data + more)

    def share(source: int, target: int) -> bool:
        return os.copy_file_range(source, target, len(data), 0, 0) == len(data)

    monkeypatch.setattr(parts, "reflink", share)
    part, came = store.part(digest_bytes(data), len(data)), list[int]()
    assert part.copy(file, came.append) == digest_bytes(data)
    assert came == ([SMALL] * 3 if more else [])
    assert part.finish(digest_bytes(data))
    assert store.get(digest_bytes(data)) == data
    part.close()


def test_a_small_blob_that_is_something_else_is_never_put(store: ObjectBlobStore) -> None:
    digest = digest_bytes(b"right")
    part = store.part(digest, 5)
    with pytest.raises(CorruptData, match="something else"):
        _send(part, b"wrong")
    part.close()
    assert not store.has(digest)


def _send(part: Part, data: bytes) -> None:
    part.write(0, data)
    part.finish(digest_bytes(data))


def test_a_piece_that_rotted_is_found(store: ObjectBlobStore) -> None:
    data = os.urandom(3 * SMALL)
    digest = bring(store, data)
    if store.folder is not None:
        path = store.path(digest)
        assert path is not None
        path.write_bytes(data[:-1] + b"x")
    else:
        key = f"b3/{digest[:2]}/{digest[2:]}.pieces/{digest_bytes(data[SMALL : 2 * SMALL])}"
        obstore.put(store.objects, key, bytes(SMALL))
    with pytest.raises(CorruptData):
        b"".join(store.stream(digest))
    assert store.set_aside(digest)
    assert not store.has(digest)
    assert not store.set_aside(digest)
    bring(store, data)
    assert store.get(digest) == data


def test_a_blob_in_pieces_is_collected_whole_when_it_is_old(store: ObjectBlobStore) -> None:
    data = os.urandom(3 * SMALL)
    digest = bring(store, data)
    assert not store.remove(digest, store.now() - timedelta(hours=1))
    assert store.get(digest) == data
    assert store.remove(digest, store.now() + timedelta(seconds=10))
    assert not store.has(digest)
    assert obstore.list(store.objects).collect() == []


def test_pieces_whose_list_never_came_are_swept_when_they_are_old() -> None:
    store = ObjectBlobStore(MemoryStore(), "memory")
    data = os.urandom(3 * SMALL)
    bring(store, data, only=2)
    whole = bring(store, data[:-1])
    store.sweep(store.now() - timedelta(hours=1))
    assert len(obstore.list(store.objects, prefix="b3").collect()) == 2 + 4
    store.sweep(store.now() + timedelta(seconds=10))
    assert store.get(whole) == data[:-1]
    assert len(obstore.list(store.objects, prefix="b3").collect()) == 4


def test_collecting_and_sending_never_leave_half_a_blob() -> None:
    """A collector that finds everything old removes all the time while a sender sends the same blob."""
    store = ObjectBlobStore(MemoryStore(), "memory")
    data = os.urandom(4 * SMALL)
    digest, stop, removed = digest_bytes(data), threading.Event(), [0]

    def collect() -> None:
        while not stop.is_set():
            removed[0] += store._pieces.remove(store._key(digest), store.now() + timedelta(seconds=10))

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        made = 0
        while made < 50 or removed[0] < 5:
            part = store.part(digest, len(data))
            for number in range(4):
                part.write(number, data[number * SMALL : (number + 1) * SMALL])
            made += part.finish(digest)
    finally:
        stop.set()
        thread.join()
    # At rest it is all there or all gone: never a list without its pieces.
    if store.has(digest):
        assert store.get(digest) == data


def test_a_list_that_is_claimed_while_a_collector_takes_its_pieces_counts_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The copy that makes a list young brings it back after the collector took it, but not its pieces."""
    monkeypatch.setattr(fence, "_FRESH", timedelta(0))
    store = ObjectBlobStore(MemoryStore(), "memory")
    data = os.urandom(3 * SMALL)
    digest = bring(store, data)
    real = obstore.copy
    removed: list[bool] = []

    def copy(where: MemoryStore, one: str, other: str) -> None:
        real(where, one, other)
        if not removed:
            removed.append(store.remove(digest, store.now() + timedelta(seconds=10)))

    monkeypatch.setattr(obstore, "copy", copy)
    assert not store.claim(digest)
    assert removed == [True]
    assert not store.has(digest)
    bring(store, data)
    assert store.claim(digest)
    assert store.get(digest) == data


def test_all_senders_cut_a_blob_alike_and_its_list_stays_short() -> None:
    assert piece_size(1) == SMALL
    assert piece_size(4096 * SMALL) == SMALL
    assert piece_size(4096 * SMALL + 1) == 2 * SMALL


def test_a_list_that_cannot_be_read_is_said_to_be_damaged() -> None:
    store = ObjectBlobStore(MemoryStore(), "memory")
    digest = digest_bytes(b"x")
    key = f"b3/{digest[:2]}/{digest[2:]}.pieces.json"
    for text, why in ((b"{", "can't be read"), (b'{"size":1,"piece":1,"digests":[],"format":2}', "format 2")):
        obstore.put(store.objects, key, text)
        with pytest.raises(CorruptData, match=why):
            store.get(digest)


def test_what_arrives_damaged_over_an_open_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectBlobStore(MemoryStore(), "memory", plain=True)
    real = obstore.put

    def damaged(where: MemoryStore, path: str, data: memoryview, **more: bool) -> object:
        return real(where, path, bytes(len(data)) if ".pieces/" in path else data, **more)

    monkeypatch.setattr(obstore, "put", damaged)
    with pytest.raises(StorageError, match="what arrived is not what was sent"):
        bring(store, os.urandom(2 * SMALL))
    assert obstore.list(store.objects).collect() == []


def test_the_end_of_a_blob_is_read_over_an_open_line_until_the_same_came_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ObjectBlobStore(MemoryStore(), "memory", plain=True)
    digest = store.put(b"0123456789")
    real, came = obstore.get, [b"?89", b"7?9"]

    class Came(NamedTuple):
        bytes: Callable[[], bytes]

    def get(where: MemoryStore, path: str, **more: Any) -> object:
        return Came(partial(came.pop, 0)) if came else real(where, path, **more)

    monkeypatch.setattr(obstore, "get", get)
    assert store.tail(digest, 3) == b"789"


KILLED = """
import os, sys
from pathlib import Path
from treadle.kernel.blobs import open_blobs
from treadle.kernel.ids import digest_bytes
data = bytes(range(256)) * 262144 * 2
store = open_blobs("blobs", Path(sys.argv[1]), {})
part = store.part(digest_bytes(data), len(data))
part.write(0, data[:part.piece])
part.write(1, data[part.piece : 2 * part.piece])
print("written", flush=True)
sys.stdin.read()
"""


def test_two_processes_that_bring_the_same_blob_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    data = bytes(range(256)) * 262144 * 2
    digest = digest_bytes(data)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"written\n"
        store = open_blobs("blobs", tmp_path, {})
        got: list[int] = []

        def go_on() -> None:
            part = store.part(digest, len(data))
            buffer = bytearray(part.piece)
            for number in range(part.count):
                if part.kept(number, memoryview(buffer)):
                    got.append(number)
                else:
                    part.write(number, data[number * part.piece : (number + 1) * part.piece])
            assert part.finish(digest)

        thread = threading.Thread(target=go_on)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()  # the other has it
        other.kill()
        thread.join()
    assert got == [0, 1]
    assert store.get(digest) == data
