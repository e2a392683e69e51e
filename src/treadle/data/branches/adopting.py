"""Versions that older Treadles made get a tree, a commit and their place on ``main``."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from treadle.data import store as versions
from treadle.data.branches import store
from treadle.data.branches.types import DEFAULT_BRANCH, Commit, Dataset, Ref
from treadle.data.storage.writing import PackWriter
from treadle.data.tree.pages import as_columns
from treadle.data.tree.trees import build
from treadle.data.tree.types import Entry
from treadle.data.types import DatasetVersion, FileEntry
from treadle.kernel.workspace import Workspace


def tree_of_files(files: Iterable[FileEntry], writer: PackWriter) -> str:
    """Keeps the tree that lists a table's files, which are blobs; returns the digest of its root."""
    listed = sorted(Entry(file.path, file.size, file.digest) for file in files)
    return build([as_columns(listed)] if listed else [], writer)


def adopt(workspace: Workspace, dataset: str) -> None:
    """Gives every version of a dataset that has none its commit: once, however many do it at once.

    Raises:
        StorageFull: If no space is left; nothing was changed.
    """
    with workspace.database.read() as connection:
        old = versions.without_commit(connection, dataset)
    made: list[DatasetVersion] = []
    for version in old:
        with PackWriter(workspace.blobs) as writer:
            tree = tree_of_files(version.files, writer)
            pages = writer.finish().pages
        parents = (made[-1].commit_id,) if made else ()
        commit = Commit(
            dataset=dataset,
            number=version.number,
            tree=tree,
            digest=version.digest,
            pages=pages,
            packs=(),
            parents=parents,
            branch=DEFAULT_BRANCH,
            message="",
            actor=version.actor,
            at=version.created_at,
            count=len(version.files),
            bytes=version.bytes,
            rows=version.rows,
            columns=version.columns,
        )
        commit_id = workspace.blobs.put(msgspec.json.encode(commit))
        made.append(
            msgspec.structs.replace(
                version,
                commit_id=commit_id,
                tree=tree,
                count=commit.count,
                branch=DEFAULT_BRANCH,
                parents=parents,
            )
        )
    if not made:
        return
    newest = made[-1]
    with workspace.database.write() as connection:
        if not versions.adopt(connection, made[0]):
            return  # somebody else just did it, all of them
        for version in made[1:]:
            versions.adopt(connection, version)
        at = made[0].created_at
        store.hold_dataset(connection, Dataset(name=dataset, created_at=at, actor=made[0].actor))
        if store.find_ref(connection, dataset, "branch", DEFAULT_BRANCH) is None:
            store.insert_ref(
                connection,
                Ref(
                    dataset=dataset,
                    kind="branch",
                    name=DEFAULT_BRANCH,
                    number=newest.number,
                    changed_at=newest.created_at,
                    actor=newest.actor,
                ),
            )
