"""A workspace that an older version made opens in this one, with everything that was in it."""

from __future__ import annotations

import math
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from treadle.data import Branches, Datasets
from treadle.evaluate import Basis, Evaluations
from treadle.experiment import Experiments, NewRun
from treadle.kernel.database import SCHEMA_VERSION, open_database
from treadle.kernel.workspace import Workspace

FIXTURES = Path(__file__).parents[1] / "fixtures"


def old_workspace(folder: Path, version: str) -> Workspace:
    """The workspace kept as SQL, opened by this version."""
    (folder / "treadle.toml").write_text('[project]\nname = "toy"\n')
    (folder / ".treadle").mkdir()
    with sqlite3.connect(folder / ".treadle" / "treadle.db") as connection:
        connection.executescript((FIXTURES / f"workspace_{version}.sql").read_text())
    return Workspace.open(folder)


def test_runs_of_the_first_schema_are_kept(tmp_path):
    workspace = old_workspace(tmp_path, "0001")
    runs = Experiments(workspace)
    assert [run.id for run in runs.list()] == ["run_2", "run_1", "run_0"]
    assert [run.experiment for run in runs.list()] == ["Default", "search", "Default"]
    assert [run.id for run in runs.list(experiment="search")] == ["run_1"]

    first = runs.get("run_0")
    assert first.params == {"lr": 0.1, "depth": 0, "deep": False, "kind": "tree"}
    assert (first.tags, first.status, first.applied) == ({"team": "forecast", "stage": "x"}, "finished", 25)
    assert (first.lifecycle, first.user) == ("active", "")
    assert math.isnan(first.metrics["loss"])
    assert (first.metrics["auc"], first.metrics["score"]) == (0.69, math.inf)
    assert [(a.path, a.size) for a in runs.artifacts("run_0")] == [("model/model.onnx", 9)]

    curve = runs.history("run_0", "loss")
    assert [point.step for point in curve] == list(range(21))
    assert [point.value for point in curve[:-1]] == [1 / (step + 1) for step in range(20)]
    assert math.isnan(curve[-1].value)
    assert curve[3].at == datetime(2026, 2, 2, 2, 40, 3, 250_000, tzinfo=UTC)

    with workspace.database.read() as connection:
        found = connection.execute(
            sa.text("SELECT name, value FROM run_params WHERE run = 'run_1' ORDER BY name")
        )
        assert dict(found.all()) == {"deep": "true", "depth": "1", "kind": "tree", "lr": "0.2"}
        at = connection.execute(
            sa.text("SELECT \"at\", experiment FROM run_metrics WHERE run = 'run_1' AND name = 'auc'")
        )
        assert at.one() == (1_770_000_019_250_000, "1")
    workspace.close()


def test_runs_go_on_where_they_were(tmp_path):
    workspace = old_workspace(tmp_path, "0001")
    runs = Experiments(workspace)
    new = NewRun(id="run_9", name="new", experiment="search", started_at=datetime(2026, 3, 1, tzinfo=UTC))
    runs.create(new)
    assert {run.id for run in runs.list(experiment="search")} == {"run_1", "run_9"}
    workspace.close()


def test_an_older_workspace_and_a_new_one_have_the_same_schema(tmp_path):
    (tmp_path / "old").mkdir()
    old = old_workspace(tmp_path / "old", "0001").database
    new = open_database("sqlite:///new.db", tmp_path)
    shapes = []
    for database in (old, new):
        with database.read() as connection:
            names = connection.execute(
                sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")
            ).scalars()
            columns = {
                name: sorted(
                    connection.execute(
                        sa.text("SELECT name, type, pk FROM pragma_table_info(:t)"), {"t": name}
                    ).all()
                )
                for name in names.all()
            }
            indexes = connection.execute(
                sa.text("SELECT sql FROM sqlite_master WHERE type = 'index' ORDER BY sql")
            )
            shapes.append((columns, indexes.scalars().all()))
            assert (
                connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
                == SCHEMA_VERSION
            )
        database.close()
    assert shapes[0] == shapes[1]


def test_what_the_second_schema_deleted_has_a_time_of_deletion(tmp_path):
    workspace = old_workspace(tmp_path, "0002")
    with workspace.database.read() as connection:
        for table, gone in (("experiments", 1), ("runs", 2), ("logged_models", 1)):
            found = connection.execute(
                sa.text(f"SELECT lifecycle = 'deleted', deleted_at IS NOT NULL FROM {table}")
            ).all()
            assert all(deleted == dated for deleted, dated in found)
            assert sum(deleted for deleted, _ in found) == gone
    assert [point.value for point in Experiments(workspace).history("4317954a", "loss")] == [
        1 / (step + 1) for step in range(5)
    ]
    workspace.close()


def test_versions_of_the_third_schema_are_kept(tmp_path):
    workspace = old_workspace(tmp_path, "0003")
    (tmp_path / "treadle.toml").write_text('[project]\nname = "toy"\n[data.flights]\npath = "data"\n')
    found = Datasets(Workspace.open(tmp_path)).log("flights")
    assert [(v.ref, v.rows, len(v.files), v.tree, v.parents) for v in found] == [
        ("flights@v2", 3, 2, "", ()),
        ("flights@v1", 2, 1, "", ()),
    ]
    assert found[0].digest == "05841aff63bd3439d40c239bb8878b851586914169cbcaac6d62c73684dfd98e"
    workspace.close()


def test_versions_and_verdicts_of_the_fourth_schema_are_kept(tmp_path):
    workspace = old_workspace(tmp_path, "0004")
    branches = Branches(workspace)
    assert [ref.name for ref in branches.refs("flights", "branch")] == ["exp/labels", "main"]
    version = branches.resolve("flights@main")
    assert (version.ref, version.deleted_at, version.freed_at) == ("flights@v1", None, None)
    found = Evaluations(workspace).get("eval_1")
    assert (found.outcome, found.basis) == ("inconclusive", Basis())
    assert [(v.check, v.outcome, v.n_needed) for v in found.verdicts] == [
        ("nulls", "pass", None),
        ("min_class_share", "inconclusive", 100),
    ]
    workspace.close()
