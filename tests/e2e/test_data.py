"""Data that can't be used: no version is made, no model is trained, and production stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2e.user import User, failed, refused


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60_000])


def _holed(path: Path) -> None:
    """The footer is whole, a page in the middle is not."""
    raw = bytearray(path.read_bytes())
    raw[20_000:40_000] = b"\xff" * 20_000
    path.write_bytes(raw)


def _garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 200)


def _changed(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        pq.write_table(change(pq.read_table(path)), path)

    return write


def _as_text(table: pa.Table, name: str) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(["soon"] * len(table)))


# What happens to the file; what is said, where, and what to do.
DAMAGE = {
    "missing": (Path.unlink, "does not exist", "data/rows.parquet", "put it there"),
    "truncated": (_cut, "not a whole Parquet file", "data/rows.parquet", "write it again"),
    "holed": (_holed, "not a whole Parquet file", "data/rows.parquet", "write it again"),
    "garbage": (_garbage, "not a whole Parquet file", "data/rows.parquet", "write it again"),
    "zero bytes": (lambda p: p.write_bytes(b""), "not a whole Parquet file", "data/rows.parquet", "write it"),
    "no label": (_changed(lambda t: t.drop(["late"])), "no column 'late'", "[data.rows] label", "at"),
    "text for time": (
        _changed(lambda t: _as_text(t, "at")),
        "column 'at' is VARCHAR, not a time",
        "[data.rows] time",
        "store it as a date or a timestamp",
    ),
    "no rows": (_changed(lambda t: t.slice(0, 0)), "has no rows", "data/rows.parquet", "put rows"),
}


# Those that are refused for the same reason as a truncated file.
SOAKED = ("garbage", "zero bytes")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.soak if name in SOAKED else ()) for name in DAMAGE]
)
def test_a_file_that_cant_be_used_is_refused_and_nothing_changes(user: User, name: str) -> None:
    damage, what, where, fix = DAMAGE[name]
    before = user.state()
    damage(user.folder / "data" / "rows.parquet")

    refused(user.run("data", "add", "rows"), what, where, fix)
    assert user.state() == before

    failed(user.run("run"), what, where, fix)
    assert user.state().keeps(before, "cycles", "events")
    assert user.litter() == []


def test_a_csv_with_a_ragged_row_is_refused_by_its_line(user: User) -> None:
    user.edit("treadle.toml", "data/rows.parquet", "data/rows.csv")
    rows = user.folder / "data" / "rows.parquet"
    csv = rows.with_suffix(".csv")
    with duckdb.connect() as connection:
        connection.execute(f"COPY '{rows}' TO '{csv}'")
    lines = csv.read_text().splitlines()
    lines[499] += ",more,and more"
    csv.write_text("\n".join(lines))
    before = user.state()

    done = user.run("data", "add", "rows")
    refused(done, "line 500 has 8 fields, the header 6", "data/rows.csv", "comma-separated")
    assert user.state() == before
    failed(user.run("run"), "line 500 has 8 fields", "data/rows.csv", "comma-separated")
    assert user.state().keeps(before, "cycles", "events")


@pytest.mark.soak
def test_a_feature_that_is_gone_is_refused_by_the_checks_before_anything_is_trained(user: User) -> None:
    _changed(lambda table: table.rename_columns({"hour": "hours"}))(user.folder / "data" / "rows.parquet")
    before = user.state()
    done = user.run("run")
    assert done.code == 1, done
    assert "✗ Column 'hour' is missing (did you mean 'hours'?)." in done.out
    assert user.state().keeps(before, "cycles", "dataset_versions", "events", "evaluations", "recipes")


def test_a_feature_of_another_type_is_refused_by_the_checks_before_anything_is_trained(user: User) -> None:
    _changed(lambda table: _as_text(table, "hour"))(user.folder / "data" / "rows.parquet")
    before = user.state()
    done = user.run("run")
    assert done.code == 1, done
    assert "✗ Column 'hour' is text and was numbers (" in done.out
    grown = ("cycles", "dataset_versions", "events", "evaluations", "recipes")
    assert user.state().keeps(before, *grown)


@pytest.mark.soak
def test_a_label_of_another_type_is_refused_by_the_checks(user: User) -> None:
    _changed(lambda table: _as_text(table, "late"))(user.folder / "data" / "rows.parquet")
    before = user.state()
    done = user.run("run")
    assert done.code == 1, done
    assert "✗ late: 2,760 of 2,760 labels are neither 0 nor 1" in done.out
    assert user.state().keeps(before, "cycles", "dataset_versions", "events", "evaluations", "recipes")


def test_an_unknown_dataset_is_answered_with_the_nearest(user: User) -> None:
    before = user.state()
    done = user.run("data", "add", "row")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: there is no file, folder or declared dataset 'row'\n"
        f"  where: {user.folder}\n  fix: did you mean 'rows'?\n"
    )
    assert user.state() == before
