"""Trees against dictionaries: the same content has the same root, whatever was done to get there."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.data.tree import leaves
from treadle.data.tree.leaves import begins_leaf
from treadle.data.tree.names import check_nesting
from treadle.data.tree.pages import as_columns, decode_leaf, decode_root, encode_root, entry_at
from treadle.data.tree.paths import Paths
from treadle.data.tree.trees import (
    all_entries,
    apply,
    below,
    build,
    diff,
    entries,
    listing,
    lookup,
    read_root,
)
from treadle.data.tree.types import Change, Difference, Entries, Entry, Mode
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound
from treadle.kernel.ids import digest_bytes


class Memory:
    """Pages in memory; counts what is read."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.read: list[str] = []

    def put_page(self, data: bytes) -> str:
        digest = digest_bytes(data)
        self.kept[digest] = data
        return digest

    def page(self, digest: str) -> bytes:
        self.read.append(digest)
        return self.kept[digest]


@pytest.fixture(autouse=True)
def small_leaves(monkeypatch):
    """Leaves of four entries, so that few paths make many."""
    monkeypatch.setattr(leaves, "_SHIFT", 30)


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=3).filter(
    lambda name: name not in {".", ".."}
)
paths = st.lists(names, min_size=1, max_size=2).map("/".join)
contents = st.builds(
    lambda text, mode: (len(text), digest_bytes(text.encode()), mode),
    st.text(max_size=2),
    st.sampled_from(Mode),
)


def nested(model: dict[str, object]) -> bool:
    return any(one != two and two.startswith(f"{one}/") for one in model for two in model)


models = st.dictionaries(paths, contents, max_size=60).filter(lambda model: not nested(model))


def listed(model) -> list[Entry]:
    return [Entry(path, *model[path]) for path in sorted(model)]


def made(model, memory: Memory) -> str:
    return build([as_columns(listed(model))], memory)


def everything(tree: str, memory: Memory) -> list[Entry]:
    return [entry_at(leaf, row) for leaf in entries(tree, memory) for row in range(len(leaf))]


@settings(max_examples=150, deadline=None)
@given(models, models, st.randoms(use_true_random=False))
def test_any_way_to_the_same_content_has_the_same_root(first, second, chance):
    memory = Memory()
    begin, end = made(first, memory), made(second, memory)
    assert everything(begin, memory) == listed(first)
    changes = [Change(path, Entry(path, *second[path])) for path in second if second[path] != first.get(path)]
    changes += [Change(path, None) for path in first if path not in second]
    chance.shuffle(changes)
    assert apply(begin, changes, memory, memory) == end

    expected = [
        Difference(path, *(Entry(path, *m[path]) if path in m else None for m in (first, second)))
        for path in sorted({*first, *second})
        if first.get(path) != second.get(path)
    ]
    assert list(diff(begin, end, memory)) == expected
    assert list(diff(None, end, memory)) == [Difference(e.path, None, e) for e in listed(second)]
    assert list(diff(begin, None, memory)) == [Difference(e.path, e, None) for e in listed(first)]
    root = read_root(end, memory)
    assert (root.count, root.size) == (len(second), sum(size for size, *_ in second.values()))


@settings(max_examples=100, deadline=None)
@given(models, st.one_of(names, paths, st.just("")), st.one_of(paths, st.just("")), st.integers(1, 9))
def test_looking_into_a_tree(model, prefix, after, limit):
    memory = Memory()
    tree = made(model, memory)
    for path in [*model, prefix, after]:
        assert lookup(tree, path, memory) == (Entry(path, *model[path]) if path in model else None)
    wanted = [e for e in listed(model) if e.path.startswith(prefix) and e.path > after]
    if after == "":
        wanted = [e for e in listed(model) if e.path.startswith(prefix)]
    assert list(below(tree, prefix, memory, after)) == wanted

    common: list[tuple[str, bool]] = []
    for entry in [e for e in listed(model) if e.path.startswith(prefix)]:
        head, slash, _ = entry.path[len(prefix) :].partition("/")
        one = (prefix + head + slash, bool(slash)) if slash else (entry.path, False)
        if one not in common:
            common.append(one)
    found, last = [], ""
    while rows := listing(tree, prefix, memory, after=last, limit=limit, delimiter="/"):
        assert len(rows) <= limit
        found += [(row.path, row.entry is None) for row in rows]
        last = rows[-1].path
    assert found == common


def test_a_change_touches_its_leaves_only():
    model = {f"f{i:05d}": (1, digest_bytes(b"a"), Mode.FILE) for i in range(5000)}
    memory = Memory()
    tree = made(model, memory)
    before, memory.read = set(memory.kept), []
    changed = apply(tree, [Change("f02500", Entry("f02500", 2, digest_bytes(b"b")))], memory, memory)
    assert len(set(memory.kept) - before) == 2
    memory.read = []
    [found] = diff(tree, changed, memory)
    assert (found.path, found.before.size, found.after.size) == ("f02500", 1, 2)
    assert len(memory.read) == 4


def test_the_first_and_the_last_of_a_leaf_may_go():
    chance = random.Random(3)
    model = {f"{i:04d}": (1, digest_bytes(b"a"), Mode.FILE) for i in range(400)}
    memory = Memory()
    tree = made(model, memory)
    borders = [path for path in model if begins_leaf(path)]
    assert len(borders) > 50
    for path in [*borders, *chance.sample(sorted(set(model) - set(borders)), 100)]:
        del model[path]
        tree = apply(tree, [Change(path, None)], memory, memory)
        assert tree == made(model, memory)


@pytest.mark.parametrize(
    ("path", "why"),
    [("", "empty"), ("/a", "empty part"), ("a//b", "empty part"), ("a/", "empty part"), ("a/../b", r"\.\."),
     (".", "part that is"), ("a\0", "NUL"), ("\udcff", "UTF-8"), ("é" * 128, "255 bytes")],
)  # fmt: skip
def test_what_can_be_no_path(path, why):
    memory = Memory()
    with pytest.raises(InvalidInput, match=why):
        apply(None, [Change(path, Entry(path, 0, "00" * 32))], memory, memory)
    assert memory.kept == {}


def test_a_path_is_a_file_or_a_folder():
    memory = Memory()
    one = digest_bytes(b"1")
    tree = apply(None, [Change(p, Entry(p, 1, one)) for p in ("a/b", "a-b", "c")], memory, memory)
    for path in ("a", "a/b/c", "c/d"):
        with pytest.raises(InvalidInput, match="is a file and"):
            apply(tree, [Change(path, Entry(path, 1, one))], memory, memory)
    both = [Change("c", None), Change("c/d", Entry("c/d", 1, one))]
    assert lookup(apply(tree, both, memory, memory), "c/d", memory)
    with pytest.raises(InvalidInput, match="twice"):
        check_nesting(["a", "a"])


@pytest.mark.parametrize("chance", [30, 32])  # leaves of four entries, and of one
def test_an_empty_folder_is_not_listed_once_something_lies_in_it(monkeypatch, chance):
    monkeypatch.setattr(leaves, "_SHIFT", chance)
    memory = Memory()
    one = digest_bytes(b"1")
    files = [Change(path, Entry(path, 1, one)) for path in ("a/b/c", "d/e", "d/f", "z")]
    folders = [Change(path, Entry(path, 0, one, Mode.FOLDER)) for path in ("a", "a/b", "d")]
    want = apply(None, files, memory, memory)
    for first, second in ((folders[:2], files), (files, folders), (folders[2:], files)):
        assert apply(apply(None, first, memory, memory), second, memory, memory) == want
    assert apply(None, [*folders, *files], memory, memory) == want
    emptied = apply(want, [Change("d/e", None), Change("d/f", None), folders[2]], memory, memory)
    assert lookup(emptied, "d", memory) == folders[2].entry


def test_what_is_not_there_can_not_go():
    memory = Memory()
    tree = made({"a": (0, digest_bytes(b""), Mode.FILE)}, memory)
    with pytest.raises(NotFound, match="no 'b' to remove"):
        apply(tree, [Change("b", None)], memory, memory)


def test_pages_that_are_none_are_told():
    memory = Memory()
    tree = made({}, memory)
    with pytest.raises(CorruptData, match="no page of a tree"):
        decode_leaf(memory.kept[tree], tree)
    later = bytearray(encode_root(read_root(tree, memory)))
    later[4] = 2
    with pytest.raises(CorruptData, match="format 2") as error:
        decode_root(bytes(later), tree)
    assert "upgrade" in error.value.fix


def test_leaves_have_the_size_that_they_should(monkeypatch):
    monkeypatch.setattr(leaves, "_SHIFT", 32 - leaves.LEAF_BITS)
    for pattern in ("d{0:03d}/f{1:05d}.bin", "{0}/{1}", "train/{1:04d}-{0:04d}.jpeg"):
        count = sum(begins_leaf(pattern.format(i % 97, i)) for i in range(200_000))
        assert 25 < count < 80  # 49 expected; six standard deviations are 42


@settings(max_examples=30)
@given(models)
def test_all_at_once_is_what_the_leaves_list(model):
    memory = Memory()
    every = [Entry(path, *model[path]) for path in sorted(model)]
    found = all_entries(build([as_columns(every)], memory), memory)
    assert [entry_at(found, row) for row in range(len(found))] == every


def test_all_at_once_is_held_once(monkeypatch):
    """A million are held beside all else that a checkout needs; as strings they would be twice as much."""
    monkeypatch.setattr(leaves, "_SHIFT", 32 - leaves.LEAF_BITS)
    memory, count = Memory(), 150_000
    paths = Paths(f"folder-{number // 1000:03}/file-{number:07}.jpeg" for number in range(count))
    digests = np.frombuffer(random.Random(7).randbytes(32 * count), np.uint8).reshape(-1, 32)
    every = Entries(paths, np.arange(count, dtype=np.uint64), digests, np.zeros(count, np.uint8))
    tree = build([every], memory)
    tracemalloc.start()
    try:
        found = all_entries(tree, memory)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.paths == paths
    columns = len(paths[0]) + 1 + 8 + found.sizes.itemsize + 32 + 1
    assert peak < 1.4 * count * columns
