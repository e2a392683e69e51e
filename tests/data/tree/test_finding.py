"""Looking many paths up finds what looking each up finds."""

from __future__ import annotations

from treadle.data.storage.contents import Contents
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.finding import Finder
from treadle.data.tree.pages import as_columns
from treadle.data.tree.trees import below, build, lookup, read_root
from treadle.data.tree.types import Entry
from treadle.kernel.ids import digest_bytes
from treadle.kernel.workspace import Workspace


def test_it_finds_what_lookup_finds(workspace: Workspace) -> None:
    paths = [f"{n:05}" for n in range(0, 20_000, 2)]
    with PackWriter(workspace.blobs) as writer:
        tree = build([as_columns([Entry(path, 1, digest_bytes(path.encode())) for path in paths])], writer)
        pages = Contents(workspace.blobs, pages=writer.finish().pages)
    root = read_root(tree, pages)
    assert len(root) > 1
    finder = Finder(tree, pages)
    for path in ("", "00000", "00001", *root.firsts, "19998", "19999", "z", "00002"):
        assert finder.find(path) == lookup(tree, path, pages)
    for prefix in ("", "0", "00001", "12", *root.firsts, *(f"{path}/" for path in root.firsts), "19999", "z"):
        first = next(below(tree, prefix, pages), None)
        assert finder.first_below(prefix) == (first.path if first else None)
