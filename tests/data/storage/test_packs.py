"""Packs and what reads them: everything comes back, and damage is told."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from treadle.data.storage import packs
from treadle.data.storage.contents import EMPTY, Contents
from treadle.data.storage.packs import Kind, decode_index, read_index
from treadle.data.storage.recipes import OWN, Recipe
from treadle.data.storage.writing import PackWriter
from treadle.kernel.blobs import open_blobs
from treadle.kernel.errors import CorruptData, NotFound
from treadle.kernel.ids import digest_bytes


@pytest.fixture
def blobs(tmp_path):
    return open_blobs("blobs", tmp_path, {})


def rows(digests: list[str]) -> np.ndarray:
    return np.frombuffer(b"".join(map(bytes.fromhex, digests)), np.uint8).reshape(-1, 32)


def test_contents_come_back_from_packs_of_a_small_size(blobs):
    contents = [os.urandom(random.Random(i).randrange(1, 3000)) for i in range(500)]
    contents += [f"line {i}\n".encode() * 200 for i in range(100)]
    with PackWriter(blobs, size=50_000) as writer:
        digests = [writer.put(content) for content in contents]
        assert [writer.put(content) for content in contents] == digests
        page = writer.put_page(b"a page")
        assert writer.put(b"") == EMPTY
        written = writer.finish()
    assert len(written.packs) > 5
    assert len(written.pages) == 1
    kinds = np.concatenate([read_index(blobs, pack.digest).kinds for pack in written.packs])
    assert len(kinds) == 600
    assert set(kinds) == {Kind.RAW, Kind.ZSTD}

    found = Contents(blobs, written.packs, written.pages)
    assert found.page(page) == b"a page"
    assert [found.read(d, len(c)) for d, c in zip(digests, contents, strict=True)] == contents
    assert found.read(digests[3], len(contents[3]), 10, 20) == contents[3][10:20]
    assert found.read(digests[3], len(contents[3]), 5, 10**9) == contents[3][5:]
    assert found.read(EMPTY, 0) == b""
    assert dict(found.many(rows(digests))) == dict(enumerate(contents))
    assert all(map(found.has, [*digests, EMPTY]))
    assert not found.has(digest_bytes(b"other"))
    missing = found.indexes.missing(rows([digests[0], digest_bytes(b"other"), digests[-1]]))
    assert missing.tolist() == [False, True, False]
    with pytest.raises(NotFound):
        found.read(digest_bytes(b"other"), 5)
    with pytest.raises(NotFound, match="in none of the version's packs"):
        found.page(digest_bytes(b"other"))


def test_what_is_known_is_not_kept_again(blobs):
    with PackWriter(blobs, known={bytes.fromhex(digest_bytes(b"old"))}.__contains__) as writer:
        writer.put(b"old")
        writer.put_page(b"old")
        assert writer.finish().packs == ()


def test_the_same_contents_make_the_same_pack(blobs):
    found = []
    for _ in range(2):
        with PackWriter(blobs) as writer:
            for i in range(50):
                writer.put(b"%d" % i * 100)
            found.append(writer.finish())
    assert found[0] == found[1]


def test_what_is_dropped_leaves_nothing(blobs, tmp_path):
    with PackWriter(blobs) as writer:
        writer.put(os.urandom(5_000_000))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_content_that_rotted_is_told(blobs):
    with PackWriter(blobs) as writer:
        digest = writer.put(os.urandom(1000))
        other = writer.put(b"words and words " * 100)
        [kept] = writer.finish().packs
    pack = kept.digest
    path = blobs.path(pack)
    assert path.stat().st_size == kept.size
    damaged = bytearray(path.read_bytes())
    index = read_index(blobs, pack)
    for row in range(2):
        damaged[int(index.offsets[row]) + 20] ^= 1
    path.write_bytes(damaged)
    found = Contents(blobs, [kept])
    for one, size in ((digest, 1000), (other, 1600)):
        with pytest.raises(CorruptData, match="is not what was stored") as error:
            found.read(one, size)
        assert error.value.where == f"pack {pack[:12]}"
        with pytest.raises(CorruptData, match=one[:12]):
            list(found.many(rows([one])))


@pytest.mark.parametrize("cut", [0, 5, 19])
def test_what_is_no_pack_is_told(cut):
    rows = packs.Rows()
    rows.add(bytes(32), 0, 1, 1, 0)
    whole = packs.encode_index(rows)
    with pytest.raises(CorruptData, match="can't be read"):
        decode_index("ab" * 32, whole[: len(whole) - 1 - cut])
    assert decode_index("ab" * 32, whole[-30:]) == len(whole)


def test_a_pack_of_a_later_format_is_refused():
    whole = bytearray(packs.encode_index(packs.Rows()))
    whole[-12] = 9
    with pytest.raises(CorruptData, match="format 9") as error:
        decode_index("ab" * 32, bytes(whole))
    assert "upgrade Treadle" in error.value.fix


def test_a_file_of_chunks_is_read_in_any_part(blobs, tmp_path):
    base = os.urandom(300_000)
    fresh = os.urandom(100_000)
    target = base[50_000:150_000] + fresh + base[200_000:250_000]
    parts = [base[50_000:150_000], fresh, base[200_000:250_000]]
    recipe = Recipe(
        bases=(blobs.put(base),),
        digests=rows([digest_bytes(part) for part in parts]),
        lengths=np.array([len(part) for part in parts], np.uint32),
        sources=np.array([0, OWN, 0], np.uint32),
        offsets=np.array([50_000, 0, 200_000], np.uint64),
    )
    digest = digest_bytes(target)
    with PackWriter(blobs) as writer:
        writer.put(fresh)
        writer.put_recipe(bytes.fromhex(digest), recipe.encode(), len(target))
        found = Contents(blobs, writer.finish().packs)
    assert found.read(digest, len(target)) == target
    for start, end in ((0, 1), (99_999, 100_001), (150_000, 250_000), (249_999, 250_000), (7, 7)):
        assert found.read(digest, len(target), start, end) == target[start:end]
    found.fetch(digest, len(target), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == target
    [(name, back)] = found.recipes()
    assert (name, back.bases, len(back)) == (digest, recipe.bases, 3)
    assert list(found.many(rows([digest]))) == []
