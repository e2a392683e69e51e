"""Each file is in one chunk, whatever order packs come in."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.types import Entries
from treadle.data.work.arriving import Arrivals
from treadle.data.work.chunks import Chunks
from treadle.data.work.plans import Plan
from treadle.kernel.blobs import ObjectBlobStore, open_blobs
from treadle.kernel.errors import NotFound
from treadle.kernel.ids import digest_bytes


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> ObjectBlobStore:
    return open_blobs("blobs", tmp_path_factory.mktemp("chunks"), {})


def target(contents: list[bytes]) -> Entries:
    digests = np.frombuffer(bytes.fromhex("".join(map(digest_bytes, contents))), np.uint8).reshape(-1, 32)
    sizes = np.array([len(one) for one in contents], np.uint64)
    paths = [f"{n:05d}" for n in range(len(contents))]
    return Entries(paths, sizes, digests, np.zeros(len(contents), np.uint8))


def plan(count: int, skipped: int = 0) -> Plan:
    rows = np.arange(skipped, count)
    return Plan(rows, rows % 2 == 0, np.arange(skipped), np.arange(skipped), [], [])


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=60),
    st.integers(0, 2),
    st.randoms(use_true_random=False),
    st.integers(1, 9),
)
def test_each_file_is_given_once(blobs, names, skipped, chance, most):
    contents = [f"content {name}".encode() * (name + 1) if name else b"" for name in names]
    packed = [one for n, one in enumerate(dict.fromkeys(contents)) if n % 5]  # others lie in no pack
    with PackWriter(blobs, size=300) as writer:
        for one in packed:
            writer.put(one)
        packs = list(writer.finish().packs)
    skipped = min(skipped, len(contents) - 1)
    arrivals = Arrivals()
    whole, asked = target(contents), plan(len(contents), skipped)
    chunks = Chunks(whole, asked, Contents(blobs, packs), most, arrivals)
    assert chunks.last(wait=False) is None
    assert chunks
    given, before = [], False
    chance.shuffle(packs)
    for pack in packs:
        arrivals.add(pack.digest)
        while chunk := chunks.last(wait=False):
            there = {row for row, _ in chunk.contents.many(whole.digests[chunk.rows])}
            assert there == set(range(len(chunk.rows)))
            given.append(chunk)
            before = True
    assert before == bool(set(packed) & set(contents[skipped:]) - {b""})
    arrivals.end()
    while chunk := chunks.first():
        given.append(chunk)
    assert not chunks
    rows = np.concatenate([chunk.rows for chunk in given])
    assert sorted(rows.tolist()) == list(range(skipped, len(contents)))
    assert (np.concatenate([chunk.replace for chunk in given]) == (rows % 2 == 0)).all()
    assert max(len(chunk.rows) for chunk in given) <= most


def test_who_waits_is_told_of_a_failure_and_let_go_by_a_stop(blobs, tmp_path: Path):
    whole = target([b"one", b"two"])
    arrivals = Arrivals()
    chunks = Chunks(whole, plan(2), Contents(blobs), 9, arrivals)
    failing = threading.Timer(0.05, arrivals.end, [NotFound("it is gone")])
    failing.start()
    with pytest.raises(NotFound, match="gone"):
        chunks.first()
    assert chunks.last(wait=True) is None
    failing.join()

    chunks = Chunks(whole, plan(2), Contents(blobs), 9, Arrivals())
    stopping = threading.Timer(0.05, chunks.stop)
    stopping.start()
    assert chunks.last(wait=True) is None
    stopping.join()
