"""Merges of tables by key, against pandas; and how tables differ."""

from __future__ import annotations

import io
import random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from branching import commit
from datafiles import write
from treadle.data import Branches, Datasets
from treadle.data.branches.merge_types import Merge, Revert, RowConflict
from treadle.data.tree.trees import lookup
from treadle.kernel.errors import Conflict

BASE = pd.DataFrame({"id": [1, 2, 3, 4], "x": [1.5, None, 3.5, 4.5], "name": ["a", "b", "c", None]})


def raw(frame: pd.DataFrame, ending: str) -> bytes:
    if ending == "csv":
        return frame.to_csv(index=False).encode()
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), out)
    return out.getvalue()


def table(branches: Branches, ending: str, ref: str = "pets") -> pd.DataFrame:
    version = branches.resolve(ref)
    contents = branches.contents(version)
    entry = lookup(version.tree, f"t.{ending}", contents)
    data = io.BytesIO(contents.read(entry.digest, entry.size))
    return pd.read_csv(data) if ending == "csv" else pq.read_table(data).to_pandas()


def fork(branches: Branches, base, ours, theirs, ending: str = "parquet") -> None:
    if base is not None:
        commit(branches, {f"t.{ending}": raw(base, ending)})
    else:
        commit(branches, {"other": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(branches, {f"t.{ending}": raw(ours, ending)})
    commit(branches, {f"t.{ending}": raw(theirs, ending)}, "exp")


def reference(base: pd.DataFrame, ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """The merge of tables that don't conflict, value by value."""
    b, o, t = (frame.set_index("id") for frame in (base, ours, theirs))
    rows = []
    for key in [*o.index, *t.index.difference(o.index, sort=False)]:
        if key in b.index and (key not in o.index or key not in t.index):
            continue  # one side removed it
        row = {"id": key}
        for column in o.columns:
            mine, other, began = (f.loc[key, column] if key in f.index else None for f in (o, t, b))
            if key not in t.index:
                row[column] = mine
            elif key not in o.index:
                row[column] = other
            else:
                same = mine == began or (pd.isna(mine) and pd.isna(began))
                row[column] = other if same else mine
        rows.append(row)
    return pd.DataFrame(rows, columns=ours.columns)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_of_both_sides(branches, ending):
    ours = pd.DataFrame({"id": [5, 1, 2, 4], "x": [5.5, 10.5, None, 4.5], "name": ["e", "a", "b", None]})
    theirs = pd.DataFrame({"id": [1, 3, 2, 6], "x": [1.5, 3.5, 2.5, 6.5], "name": ["A", "c", "b", "f"]})
    fork(branches, BASE, ours, theirs, ending)
    plan = branches.merge("pets", Merge(source="exp", key="id")).plan
    assert (plan.modified, plan.conflicts) == (1, ())
    found = table(branches, ending)
    pd.testing.assert_frame_equal(found, reference(BASE, ours, theirs))
    assert found["id"].tolist() == [5, 1, 2, 6]
    assert found["x"].tolist() == [5.5, 10.5, 2.5, 6.5]


def test_random_tables_against_pandas(branches):
    chance = random.Random(7)
    base = pd.DataFrame(
        {"id": range(60), "x": [float(n) for n in range(60)], "y": [f"y{n}" for n in range(60)]}
    )
    ours, theirs = base.copy(), base.copy()
    gone: tuple[list[int], list[int]] = ([], [])
    for key in range(60):
        side, column = chance.choice([(ours, "x"), (theirs, "x"), (ours, "y"), (theirs, "y")])
        if chance.random() < 0.5:
            side.loc[key, column] = 99.0 if column == "x" else "changed"
            if chance.random() < 0.5:  # the other side changes the other column of the same row
                other = theirs if side is ours else ours
                other.loc[key, "y" if column == "x" else "x"] = "too" if column == "x" else 77.0
        elif chance.random() < 0.3:
            gone[side is theirs].append(key)
    ours, theirs = ours.drop(index=gone[0]), theirs.drop(index=gone[1])
    ours = pd.concat([ours, pd.DataFrame({"id": [100], "x": [0.0], "y": ["mine"]})])
    theirs = pd.concat([theirs, pd.DataFrame({"id": [200], "x": [0.0], "y": ["theirs"]})]).sample(
        frac=1, random_state=3
    )
    fork(branches, base, ours, theirs)
    branches.merge("pets", Merge(source="exp", key="id"))
    pd.testing.assert_frame_equal(table(branches, "parquet"), reference(base, ours, theirs))


def test_conflicts_by_key_and_column(branches):
    ours = pd.DataFrame({"id": [1, 2, 3], "x": [9.5, None, 3.5], "name": ["a", "b", "c"]})
    theirs = pd.DataFrame({"id": [1, 2, 4], "x": [8.5, None, 4.5], "name": ["a", "z", "new"]})
    ours.loc[2, "name"] = "changed"
    fork(branches, BASE, ours, theirs)
    [conflict] = branches.plan_merge("pets", Merge(source="exp", key="id")).conflicts
    assert (conflict.path, conflict.ours, conflict.theirs) == ("t.parquet", "modified", "modified")
    assert set(conflict.rows) == {
        RowConflict(key="1", column="x", base="1.5", ours="9.5", theirs="8.5"),
        RowConflict(key="3", column="", base=None, ours="changed", theirs="removed"),
        RowConflict(key="4", column="", base=None, ours="removed", theirs="changed"),
    }
    with pytest.raises(Conflict, match=r"row 1, x: '1.5' became '9.5' and '8.5'"):
        branches.merge("pets", Merge(source="exp", key="id"))
    branches.merge("pets", Merge(source="exp", key="id", resolve={"t.parquet": "theirs"}))
    pd.testing.assert_frame_equal(table(branches, "parquet"), theirs)


def test_types_are_kept_and_columns_come(branches):
    kinds = pa.schema([("id", pa.int16()), ("at", pa.timestamp("us", "UTC")), ("v", pa.list_(pa.float32()))])

    def made(rows, schema=kinds):
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), out)
        return out.getvalue()

    rows = [{"id": n, "at": pd.Timestamp(n, unit="s", tz="UTC"), "v": [n, None]} for n in range(4)]
    commit(branches, {"t.parquet": made(rows)})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(branches, {"t.parquet": made([{**rows[0], "v": [7.0]}, *rows[1:]])})
    more = kinds.append(pa.field("flag", pa.bool_()))
    commit(branches, {"t.parquet": made([{**row, "flag": True} for row in rows], more)}, "exp")
    branches.merge("pets", Merge(source="exp", key="id"))
    version = branches.resolve("pets")
    contents = branches.contents(version)
    entry = lookup(version.tree, "t.parquet", contents)
    found = pq.read_table(io.BytesIO(contents.read(entry.digest, entry.size)))
    assert [(f.name, f.type) for f in found.schema][:2] == [(f.name, f.type) for f in more][:2]
    assert found.schema.field("v").type.value_type == pa.float32()
    assert found["flag"].to_pylist() == [True] * 4
    assert found["v"].to_pylist() == [[7.0], [1.0, None], [2.0, None], [3.0, None]]


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "why"),
    [
        (BASE, BASE.assign(x=1.0), pd.concat([BASE, BASE]), "4 appear again"),
        (BASE, BASE.assign(x=1.0), BASE.assign(id=None), "have no id"),
        (BASE, BASE.assign(x=1.0), BASE.drop(columns="id"), "no column 'id'"),
        (BASE, BASE.assign(x=1.0), BASE.drop(columns="x"), "dropped column 'x'"),
        (BASE, BASE.assign(x="a"), BASE.assign(x=True), "is VARCHAR in the target and BOOLEAN in the source"),
    ],
)
def test_what_can_not_be_merged_by_key(branches, base, ours, theirs, why):
    fork(branches, base, ours, theirs)
    [conflict] = branches.plan_merge("pets", Merge(source="exp", key="id")).conflicts
    assert why in conflict.why
    with pytest.raises(Conflict, match="changed on both sides"):
        branches.merge("pets", Merge(source="exp", key="id"))


def test_a_column_that_one_side_dropped_and_the_other_left(branches):
    fork(branches, BASE, BASE.drop(columns="x"), BASE.assign(name="z"))
    branches.merge("pets", Merge(source="exp", key="id"))
    pd.testing.assert_frame_equal(table(branches, "parquet"), pd.DataFrame({"id": [1, 2, 3, 4], "name": "z"}))


def test_both_added_a_table(branches):
    one, other = BASE.head(2), BASE.tail(3)
    fork(branches, None, one, other)
    branches.merge("pets", Merge(source="exp", key="id"))
    pd.testing.assert_frame_equal(table(branches, "parquet"), BASE)


def test_a_dataset_of_treadle_toml(workspace, source):
    """It is merged by its key, and what it is made of can be trained on."""
    datasets, branches = Datasets(workspace), Branches(workspace)
    first = datasets.snapshot("rows", "anna")
    branches.create_ref("rows", "branch", "exp", "main", "anna")
    frame = pd.read_parquet(source)
    path = first.files[0].path
    hour = "CAST(CASE id WHEN 'k3' THEN 99 ELSE hour END AS BIGINT) AS hour"
    changed = write(workspace.root / "changed.parquet", f"SELECT * REPLACE ({hour}) FROM '{source}'")
    commit(branches, {path: changed.read_bytes()}, "exp", dataset="rows")
    write(source, f"SELECT * REPLACE ('ZZ' AS carrier) FROM '{source}' WHERE id <> 'k5'")
    datasets.snapshot("rows", "anna")
    merged = branches.merge("rows", Merge(source="exp")).version
    assert (merged.rows, merged.columns, len(merged.files)) == (first.rows - 1, first.columns, 1)
    assert datasets.get("rows") == datasets.get("rows@main") == merged
    found = pd.read_parquet(datasets.paths(merged)[0]).set_index("id")
    assert (found.loc["k3", "hour"], set(found["carrier"])) == (99, {"ZZ"})

    told = branches.compare("rows@v1", "rows@main", rows=True)
    assert (told.modified, told.table.added, told.table.removed, told.table.changed) == (
        1,
        0,
        1,
        first.rows - 1,
    )
    [hour] = [one for one in told.table.columns if one.name == "hour"]
    assert (hour.stats_before.count, hour.stats_after.count) == (first.rows, first.rows - 1)
    assert float(hour.stats_after.max) == 99
    assert hour.stats_before.mean == pytest.approx(frame["hour"].astype(float).mean())
    branches.revert("rows", Revert(version="v1", restore=True))
    assert datasets.get("rows").digest == first.digest
