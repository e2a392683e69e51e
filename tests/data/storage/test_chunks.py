"""Files in chunks: any edit of any file comes back whole, and costs about what was edited."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from treadle.data.storage.chunks import cut, looks_alike, put_chunked
from treadle.data.storage.contents import Contents
from treadle.data.storage.packs import Pack
from treadle.data.storage.writing import PackWriter
from treadle.kernel.blobs import open_blobs
from treadle.kernel.errors import CorruptData, NotFound
from treadle.kernel.ids import digest_bytes


class Store:
    """A blob store, and the packs that files were put into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = open_blobs("blobs", folder, {})
        self.packs: tuple[Pack, ...] = ()

    @property
    def contents(self) -> Contents:
        return Contents(self.blobs, self.packs)

    def put(self, data: bytes, before: tuple[str, int] | None = None) -> tuple[tuple[str, int], int]:
        """Keeps a file as chunks; what names it, and how many bytes that cost."""
        path = self.folder / "file"
        path.write_bytes(data)
        old = self.size()
        with PackWriter(self.blobs) as writer:
            digest = put_chunked(path, writer, self.contents, before)
            self.packs += writer.finish().packs
        assert digest == digest_bytes(data)
        return (digest, len(data)), self.size() - old

    def size(self) -> int:
        return sum(path.stat().st_size for path in (self.folder / "blobs").rglob("*") if path.is_file())

    def check(self, file: tuple[str, int], data: bytes) -> None:
        """Reads all of it, and some parts."""
        assert self.contents.read(*file) == data
        target = self.folder / "back"
        self.contents.fetch(*file, target)
        assert target.read_bytes() == data
        chance = random.Random(len(data))
        for _ in range(6):
            start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
            assert self.contents.read(*file, start, end) == data[start:end]
            assert b"".join(self.contents.stream(*file, start, end)) == data[start:end]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


DATA = random.Random(7).randbytes(4 << 20)
MIDDLE = 2 << 20
EDITS: dict[str, Callable[[bytes], bytes]] = {
    "overwritten": lambda data: data[:MIDDLE] + b"x" * 1000 + data[MIDDLE + 1000 :],
    "inserted": lambda data: data[:MIDDLE] + b"y" * 777 + data[MIDDLE:],
    "cut out": lambda data: data[:MIDDLE] + data[MIDDLE + 12_345 :],
    "appended": lambda data: data + b"z" * 50_000,
    "begun anew": lambda data: b"head" + data,
    "cut short": lambda data: data[:MIDDLE],
    "the same": lambda data: data,
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("whole", [True, False], ids=["after a whole file", "after chunks"])
def test_an_edit_costs_what_was_edited(store: Store, edit: str, whole: bool) -> None:
    if whole:
        before = (store.blobs.put(DATA), len(DATA))
    else:
        before, _ = store.put(DATA)
    data = EDITS[edit](DATA)
    after, cost = store.put(data, before)
    assert cost < 3_000_000
    store.check(after, data)
    store.check(before, DATA)
    again, cost = store.put(data[:-1] + b"!", after)  # chunks of chunks of a whole
    assert cost < 3_000_000
    store.check(again, data[:-1] + b"!")


def test_cuts_are_of_the_content_and_cover_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    pieces = [(offset, bytes(piece)) for offset, piece in cut(path)]
    assert b"".join(piece for _, piece in pieces) == DATA
    assert [offset for offset, _ in pieces] == [
        sum(len(piece) for _, piece in pieces[:row]) for row in range(len(pieces))
    ]
    assert all(64 << 10 <= len(piece) <= 1 << 20 for _, piece in pieces[:-1])


def test_files_that_share_nothing_do_not_look_alike(store: Store) -> None:
    before = (store.blobs.put(DATA), len(DATA))
    path = store.folder / "file"
    path.write_bytes(os.urandom(len(DATA)))
    assert not looks_alike(path, *before, store.contents)
    path.write_bytes(b"head" + DATA)
    assert looks_alike(path, *before, store.contents)
    path.write_bytes(DATA + os.urandom(1 << 20))
    assert looks_alike(path, *before, store.contents)


def test_damage_in_a_base_or_a_chunk_is_told_and_nothing_is_written(store: Store) -> None:
    base = store.blobs.put(DATA)
    file, _ = store.put(EDITS["inserted"](DATA), (base, len(DATA)))
    path = store.blobs.path(base)
    assert path is not None
    path.chmod(0o644)
    with path.open("r+b") as changed:
        changed.seek(1000)
        changed.write(b"rotten")
    target = store.folder / "back"
    with pytest.raises(CorruptData, match="is not what was stored"):
        store.contents.fetch(*file, target)
    assert not target.exists()
    path.unlink()
    with pytest.raises(NotFound):
        store.contents.fetch(*file, target)
    assert sorted(one.name for one in store.folder.iterdir()) == ["blobs", "file"]


def test_a_file_that_grows_while_it_is_cut_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from treadle.data.storage import chunks

    path = store.folder / "file"
    path.write_bytes(DATA)

    def growing(of: Path) -> object:
        yield from cut(of)
        with of.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(chunks, "cut", growing)
    with PackWriter(store.blobs) as writer, pytest.raises(CorruptData, match="changed while it was read"):
        put_chunked(path, writer, store.contents, None)
