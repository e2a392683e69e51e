"""Files that differ are compared by row, also in versions that nothing is known of but their paths."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from treadle.data.branches.comparing_types import DataDiff
from treadle.data.branches.loose_tables import MOST
from treadle.data.branches.service import Branches
from treadle.data.tree.types import Change, Entry
from treadle.kernel.errors import CorruptData
from treadle.kernel.workspace import Workspace


def commit(branches: Branches, workspace: Workspace, **files: bytes | None) -> None:
    changes = [
        Change(
            path.replace("__", "."),
            data and Entry(path.replace("__", "."), len(data), workspace.blobs.put(data)),
        )
        for path, data in files.items()
    ]
    branches.commit("pets", "main", changes, actor="anna")


def parquet(**columns: list[object]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def rows(found: DataDiff) -> tuple[int, int, int]:
    assert found.table is not None
    assert found.table.partial
    return found.table.added, found.table.removed, found.table.changed


def test_rows_schema_and_statistics_of_the_files_that_differ(
    branches: Branches, workspace: Workspace
) -> None:
    commit(
        branches,
        workspace,
        same__csv=b"n,w\n7,7\n",
        a__csv=b"n,w\n1,x\n2,y\n",
        b__parquet=parquet(n=[5], w=["z"]),
    )
    commit(branches, workspace, a__csv=b"n,w\n1,x\n3,\n4,y\n", b__parquet=None, note__txt=b"words")
    found = branches.compare("pets@v1", "pets@v2", rows=True)
    assert rows(found) == (2, 2, 0)
    assert found.table is not None
    n, w = found.table.columns
    assert (n.name, n.before, n.after) == ("n", "BIGINT", "BIGINT")
    assert n.stats_before is not None
    assert n.stats_after is not None
    assert (n.stats_before.count, n.stats_before.min, n.stats_before.max) == (3, "1", "5")
    assert (n.stats_after.count, n.stats_after.min, n.stats_after.max) == (3, "1", "4")
    assert w.stats_after is not None
    assert w.stats_after.nulls == 1


def test_by_key_where_the_configuration_names_one(project: Path) -> None:
    toml = project / "treadle.toml"
    toml.write_text(f'{toml.read_text()}\n[data.pets]\npath = "pets"\nkey = "n"\n')
    workspace = Workspace.open(project)
    branches = Branches(workspace)
    branches.create_dataset("pets", "anna")
    commit(branches, workspace, a__csv=b"n,w\n1,x\n2,y\n")
    commit(branches, workspace, a__csv=b"n,w\n1,z\n3,y\n")
    assert rows(branches.compare("pets@v1", "pets@v2", rows=True)) == (1, 1, 1)
    workspace.close()


def test_a_file_that_is_new_or_gone_counts_whole(branches: Branches, workspace: Workspace) -> None:
    commit(branches, workspace, note__txt=b"words")
    commit(branches, workspace, a__csv=b"n\n1\n2\n")
    assert rows(branches.compare("pets@v1", "pets@v2", rows=True)) == (2, 0, 0)
    assert rows(branches.compare("pets@v2", "pets@v1", rows=True)) == (0, 2, 0)


def test_what_is_no_table_is_told_by_path_alone(branches: Branches, workspace: Workspace) -> None:
    commit(branches, workspace, a__csv=b"n\n1\n", b__csv=b"n\n1\n")
    commit(branches, workspace, a__parquet=b"no table", note__txt=b"words")
    commit(branches, workspace, a__csv=b"n\n2\n", b__csv=b"other,columns\n1,2\n", a__parquet=None)
    for before, after in (("v1", "v2"), ("v2", "v3"), ("v1", "v3")):
        found = branches.compare(f"pets@{before}", f"pets@{after}", rows=True)
        assert found.table is None
        assert found.paths
    assert branches.compare("pets@v1", "pets@v1", rows=True).table is None


def test_too_many_files_are_told_by_path_alone(branches: Branches, workspace: Workspace) -> None:
    commit(branches, workspace, note__txt=b"words")
    commit(branches, workspace, **{f"f{number}__csv": b"n\n1\n" for number in range(MOST + 1)})
    found = branches.compare("pets@v1", "pets@v2", limit=5, rows=True)
    assert (found.added, len(found.paths), found.table) == (MOST + 1, 5, None)


def test_damage_is_no_table_that_cannot_be_read(branches: Branches, workspace: Workspace) -> None:
    commit(branches, workspace, a__csv=b"n\n1\n")
    commit(branches, workspace, a__csv=b"n\n2\n")
    digest = workspace.blobs.put(b"n\n2\n")
    [blob] = [
        path for path in (workspace.root / workspace.config.store.blobs).rglob("*") if path.name == digest[2:]
    ]
    blob.chmod(0o644)
    blob.write_bytes(b"n\n3\n")
    with pytest.raises(CorruptData):
        branches.compare("pets@v1", "pets@v2", rows=True)
