"""Committing texts by path, and reading versions back."""

from __future__ import annotations

from collections.abc import Mapping

from treadle.data import Branches, DatasetVersion
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.pages import entry_at
from treadle.data.tree.trees import entries
from treadle.data.tree.types import Change, Entry


def commit(
    branches: Branches, files: Mapping[str, str | bytes | None], branch: str = "main", dataset: str = "pets"
) -> DatasetVersion:
    """Commits contents by path; None removes."""
    changes = []
    with PackWriter(branches._ws.blobs) as writer:
        for path, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            changes.append(Change(path, None if data is None else Entry(path, len(data), writer.put(data))))
        written = writer.finish()
    return branches.commit(dataset, branch, changes, actor="anna", written=written)


def contents(branches: Branches, ref: str) -> dict[str, str]:
    """What a version holds."""
    version = branches.resolve(ref)
    reader = branches.contents(version)
    listed = [entry_at(leaf, row) for leaf in entries(version.tree, reader) for row in range(len(leaf))]
    return {one.path: reader.read(one.digest, one.size).decode() for one in listed}
