"""A blob that was just put, or claimed, is never collected: with real processes that race."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from treadle.kernel import fence
from treadle.kernel.blobs import ObjectBlobStore

OLD = 0.05
RACER = """
import os, sys, pathlib
from datetime import timedelta
from treadle.kernel.blobs import open_blobs
folder, me, rounds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
blobs = open_blobs("blobs", folder, {})
made = 0
for number in range(rounds):
    data = f"{me}".encode() * 1000
    digest = blobs.put(data)
    path = folder / "blobs" / "b3" / digest[:2] / digest[2:]
    try:
        os.utime(path, (1, 1))  # long ago: from now on a collector may take it
    except FileNotFoundError:
        pass
    if me.endswith("claims") and blobs.has(digest):
        kept = blobs.claim(digest)
    else:
        kept = blobs.put(data) == digest
    if kept:
        assert blobs.get(digest) == data, f"{me} lost its blob in round {number}"
        made += 1
print(made)
"""


def collector(blobs: ObjectBlobStore, stop: threading.Event) -> list[int]:
    removed = [0]
    while not stop.is_set():
        before = blobs.now() - timedelta(hours=1)
        for blob in list(blobs.stored()):
            removed[0] += blobs.remove(blob.digest, before)
    return removed


def test_collecting_never_takes_what_a_process_just_put_or_claimed(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    (tmp_path / "blobs").mkdir()
    blobs = ObjectBlobStore(LocalStore(tmp_path / "blobs"), "blobs", tmp_path / "blobs")
    stop = threading.Event()
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.extend(collector(blobs, stop)))
    thread.start()
    try:
        racers = [
            subprocess.Popen([*command, name, "400"], env=environment, stdout=subprocess.PIPE, text=True)
            for name in ("one", "two", "three claims")
        ]
        said = [racer.communicate(timeout=120)[0] for racer in racers]
    finally:
        stop.set()
        thread.join()
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert all(int(text) > 0 for text in said)
    assert found[0] > 20, "the collector took nothing, so that nothing was tried"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> ObjectBlobStore:
    """Blobs in a store without locks, in which every blob counts as old enough to be made young."""
    monkeypatch.setattr(fence, "_FRESH", timedelta(0))
    return ObjectBlobStore(MemoryStore(), "memory")


def test_in_a_bucket_too(bucket: ObjectBlobStore) -> None:
    stop, lost, counted, removed = threading.Event(), [], [0], [0]

    def put(name: str) -> None:
        data = name.encode() * 100
        for number in range(40):
            bucket.put(data)
            time.sleep(OLD)  # what is this old goes, unless it is put again in time
            began = time.monotonic()
            there = bucket.has(bucket.put(data))
            if time.monotonic() - began < OLD / 2:  # or it may have become old meanwhile
                counted[0] += 1
                lost.extend([] if there else [f"{name} in round {number}"])

    def collect() -> None:
        while not stop.is_set():
            before = bucket.now() - timedelta(seconds=OLD)
            for blob in list(bucket.stored()):
                if blob.at < before:
                    removed[0] += bucket.remove(blob.digest, before)

    threads = [threading.Thread(target=put, args=(name,)) for name in ("one", "two")]
    collecting = threading.Thread(target=collect)
    collecting.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    collecting.join()
    assert lost == []
    assert removed[0] > 10
    assert counted[0] > 40


def test_who_finds_a_collector_at_work_waits_and_puts_again(bucket: ObjectBlobStore) -> None:
    import obstore

    digest = bucket.put(b"old")
    marker = f"condemned/b3{digest}"
    obstore.put(bucket._store, marker, b"")
    putting = threading.Thread(target=bucket.put, args=(b"old",))
    putting.start()
    putting.join(0.3)
    assert putting.is_alive(), "it didn't wait"
    obstore.delete(bucket._store, f"b3/{digest[:2]}/{digest[2:]}")
    obstore.delete(bucket._store, marker)
    putting.join(10)
    assert bucket.get(digest) == b"old"


def test_a_young_blob_is_not_removed(tmp_path: Path, bucket: ObjectBlobStore) -> None:
    local = ObjectBlobStore(LocalStore(tmp_path), "folder", tmp_path)
    for blobs in (local, bucket):
        digest = blobs.put(b"young")
        assert not blobs.remove(digest, blobs.now() - timedelta(hours=1))
        assert blobs.remove(digest, blobs.now() + timedelta(hours=1))
        assert not blobs.has(digest)
        assert not blobs.claim(digest)
        assert not blobs.remove(digest, blobs.now() + timedelta(hours=1))
        assert [blob.digest for blob in blobs.stored()] == []
