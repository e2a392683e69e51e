"""What one writes of runs and experiments while others commit, on Postgres: neither is lost, nor an error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meanwhile import meanwhile
from treadle.experiment import (
    Experiments,
    Files,
    Imports,
    NewRun,
    deleting,
    imported_runs,
    logged_store,
    store,
)
from treadle.experiment.homes import Homes
from treadle.experiment.logged_types import LoggedModel
from treadle.experiment.transfer_types import ExperimentCopy, ImportModel, ImportRun, ImportRuns, RunCopy
from treadle.kernel.errors import AlreadyExists, Conflict

pytestmark = pytest.mark.postgres
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(number: int, experiment: str = "new") -> NewRun:
    return NewRun(id=f"{number:032x}", name="r", started_at=AT, experiment=experiment)


def test_two_first_runs_of_an_experiment(on_postgres, monkeypatch):
    runs = Experiments(on_postgres)
    other = meanwhile(monkeypatch, on_postgres.database, store, "add_experiment", lambda: runs.create(run(2)))
    assert runs.create(run(1)).experiment == other.result(10).experiment


def test_an_experiment_gets_a_name_that_another_one_gets(on_postgres, monkeypatch):
    homes = Homes(on_postgres)
    made = homes.create_experiment("old")
    other = meanwhile(
        monkeypatch, on_postgres.database, store, "update_experiment", lambda: homes.create_experiment("new")
    )
    with pytest.raises(AlreadyExists):
        homes.rename_experiment(made.id, "new")
    assert other.result(10).name == "new"


def test_a_file_and_a_folder_of_one_name(on_postgres, monkeypatch):
    Experiments(on_postgres).create(run(1))
    files = Files(on_postgres)

    def put(path: str) -> object:
        upload = files.upload()
        upload.write(b"x")
        return files.put(files.of_run(run(1).id, path), upload)

    other = meanwhile(monkeypatch, on_postgres.database, store, "put_artifacts", lambda: put("model/MLmodel"))
    put("model")
    with pytest.raises(Conflict, match="is a file"):
        other.result(10)


def _run_copy() -> ImportRun:
    copy = RunCopy(
        id="a" * 32, experiment="0", name="r", user="u", status="finished", lifecycle="active", started_at=AT
    )
    return ImportRun(source="s", stamp="1", run=copy)


def test_a_run_comes_from_two_imports(on_postgres, monkeypatch):
    imports = Imports(on_postgres)
    asked = ImportRuns(runs=[_run_copy()])
    other = meanwhile(
        monkeypatch, on_postgres.database, imported_runs, "_insert", lambda: imports.runs(asked)
    )
    assert [one.id for one in imports.runs(asked).done] == ["a" * 32]
    assert [one.id for one in other.result(10).done] == ["a" * 32]


def test_a_logged_model_comes_from_two_imports(on_postgres, monkeypatch):
    imports = Imports(on_postgres)
    model = LoggedModel(
        id="m-" + "a" * 32,
        experiment="0",
        name="m",
        artifacts="",
        model_type="",
        run="",
        created_at=AT,
        updated_at=AT,
    )
    asked = ImportModel(source="s", stamp="1", model=model)
    other = meanwhile(
        monkeypatch, on_postgres.database, logged_store, "insert_model", lambda: imports.model(asked)
    )
    assert imports.model(asked).id == other.result(10).id


def test_an_experiment_is_tagged_while_it_is_imported(on_postgres, monkeypatch):
    homes, imports = Homes(on_postgres), Imports(on_postgres)
    made = homes.create_experiment("old")
    copy = ExperimentCopy(id="7", name="old", tags={"there": "1"}, created_at=AT, updated_at=AT)
    other = meanwhile(
        monkeypatch, on_postgres.database, store, "update_experiment", lambda: imports.experiment(copy)
    )
    homes.tag_experiment(made.id, "here", "1")
    other.result(10)
    assert homes.experiment(made.id).tags == {"here": "1", "there": "1"}


def test_an_experiment_goes_while_a_run_begins(on_postgres, monkeypatch):
    homes, runs = Homes(on_postgres), Experiments(on_postgres)
    made = homes.create_experiment("old")
    homes.delete_experiment(made.id)
    later = datetime.now(UTC) + timedelta(days=1)

    def erase() -> bool:
        with on_postgres.database.write() as connection:
            return deleting.erase_experiment(connection, made.id, later)

    other = meanwhile(monkeypatch, on_postgres.database, store, "put_texts", erase)
    assert runs.create(run(1, "old")).experiment == "old"
    assert not other.result(10)
    assert homes.experiment(made.id).name == "old"


@pytest.mark.parametrize("moment", ["_old", "_has_any"])
def test_a_run_begins_while_its_experiment_goes(on_postgres, monkeypatch, moment):
    homes, runs = Homes(on_postgres), Experiments(on_postgres)
    made = homes.create_experiment("old")
    homes.delete_experiment(made.id)
    later = datetime.now(UTC) + timedelta(days=1)
    other = meanwhile(monkeypatch, on_postgres.database, deleting, moment, lambda: runs.create(run(1, "old")))
    with on_postgres.database.write() as connection:
        gone = deleting.erase_experiment(connection, made.id, later)
    assert other.result(10).experiment == "old"
    kept = homes.experiment_named("old")
    assert [one.id for one in runs.list("old")] == [run(1).id]
    assert kept.lifecycle == ("active" if gone else "deleted")


def test_an_experiment_is_deleted_while_a_run_begins(on_postgres, monkeypatch):
    homes, runs = Homes(on_postgres), Experiments(on_postgres)
    made = homes.create_experiment("old")
    other = meanwhile(
        monkeypatch, on_postgres.database, store, "put_texts", lambda: homes.delete_experiment(made.id)
    )
    runs.create(run(1, "old"))
    other.result(10)
    assert runs.get(run(1).id).lifecycle == "deleted"
