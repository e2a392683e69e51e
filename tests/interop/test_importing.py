"""What a real MLflow kept is here afterwards: all of it, once, and the same."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlflow_stores import counts, everything, make_database, over_http, take
from treadle.client import Client
from treadle.experiment import Artifact, Curve, pack_curve
from treadle.interop import Importer, Trouble, count, open_source
from treadle.kernel.errors import InvalidInput, NotFound

EXPECTED = {
    "experiments": 4, "runs": 9, "logged models": 2, "registered models": 2, "versions": 2, "aliases": 2,
}  # fmt: skip


def moved(found: dict, client: Client) -> dict:
    """What a source has, its versions' files where they are here."""
    return {key: value[:5] + value[6:] if key[0] == "version" else value for key, value in found.items()}


def test_a_file_store_is_here_as_it_was(filestore: Path, client: Client) -> None:
    report = take(filestore, client)
    assert (report.troubles, report.differing, report.added, report.before) == ([], [], 9, 0)
    found = counts(report)
    assert all(there == here > 0 for there, here in found.values())
    assert {name: found[name][0] for name in EXPECTED} == EXPECTED

    troubles: list[Trouble] = []
    there = everything(open_source(str(filestore), troubles.append), ids=True)
    here, _ = over_http(client)
    assert moved(everything(here, ids=True), client) == moved(there, client)
    assert there["run", next(i for k, i in there if k == "run" and there[k, i][0] == "child")][10]["nan"]


def test_a_database_is_here_as_it_was(mlflow_db: Path, client: Client) -> None:
    report = take(f"sqlite:///{mlflow_db}", client, mlflow_db.parent / "artifacts")
    assert (report.troubles, report.differing, report.added) == ([], [], 9)
    assert all(there == here > 0 for there, here in counts(report).values())

    places = [mlflow_db.parent / "artifacts"]
    there = everything(open_source(f"sqlite:///{mlflow_db}", list.append, places), ids=True)
    here, _ = over_http(client)
    assert moved(everything(here, ids=True), client) == moved(there, client)


@pytest.mark.postgres
def test_a_database_on_postgres_is_here_as_it_was(
    mlflow_db: Path, empty_postgres_url: str, client: Client
) -> None:
    copy_tables(mlflow_db, empty_postgres_url)
    report = take(empty_postgres_url, client, mlflow_db.parent / "artifacts")
    assert (report.troubles, report.differing, report.added) == ([], [], 9)
    assert all(there == here > 0 for there, here in counts(report).values())


def test_another_server_is_here_as_it_was(filestore: Path, client: Client, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "treadle.toml").write_text('[project]\nname = "other"\n')
    take(filestore, client)
    source, troubles = over_http(client)
    with Client.in_process(tmp_path / "other") as other:
        report = Importer(source, other, troubles).run()
        assert (report.troubles, report.differing, report.added) == ([], [], 9)
        assert all(there == here for there, here in counts(report).values())
        assert everything(over_http(other)[0], ids=True) == everything(over_http(client)[0], ids=True)


def test_what_was_taken_in_is_not_read_again(filestore: Path, client: Client) -> None:
    take(filestore, client)
    source = open_source(str(filestore), list.append)
    ended = [h.id for e in source.experiments() for h in source.heads(e.id) if h.stamp]
    for path in filestore.rglob("*"):
        if path.is_file() and set(path.parts) & set(ended) and path.name != "meta.yaml":
            path.write_text("nobody reads this")  # in place: that the run has changed can't be seen
    again = take(filestore, client)
    assert (again.troubles, again.differing, again.added, again.before) == ([], [], 0, 9)
    assert all(there == here > 0 for there, here in counts(again).values())


def test_an_import_that_was_killed_goes_on(filestore: Path, home: Path) -> None:
    """Killed after its third run, then again until it comes through; nothing is doubled."""
    script = f"""
import os, signal
from pathlib import Path
from treadle.client import Client
from treadle.interop import Importer, open_source
done = []
def progress(what):
    done.append(what)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
troubles = []
Importer(open_source({str(filestore)!r}, troubles.append), Client.in_process(Path({str(home)!r})), troubles,
         progress, at_once=1).run(verify=False)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=120)
    assert killed.returncode == -9
    with Client.in_process(home) as client:
        part = list(client.imported(filestore.as_uri()))
        assert len(part) == 3
        report = take(filestore, client)
        assert (report.troubles, report.differing) == ([], [])
        assert report.added == 9 - sum(one.kind == "run" for one in part)
        assert all(there == here for there, here in counts(report).values())


def test_a_run_that_is_another_here_is_left_alone(filestore: Path, client: Client, tmp_path: Path) -> None:
    take(filestore, client)
    other = shutil.copytree(filestore, tmp_path / "other")
    tag = next(path for path in other.glob("*/*/tags/mlflow.runName") if path.read_text() == "killed")
    tag.write_text("somebody else")
    report = take(other, client)
    (trouble,) = report.troubles
    run = tag.parents[1].name
    assert trouble.where == f"run {run}"
    assert "not the same: other values" in trouble.reason
    assert (report.added, report.before) == (0, 8)
    assert client.run(run).tags["mlflow.runName"] == "killed"


def test_files_that_were_out_of_reach_are_added_later(mlflow_db: Path, client: Client) -> None:
    first = take(f"sqlite:///{mlflow_db}", client)
    assert first.differing == []
    assert all("--artifacts" in trouble.reason for trouble in first.troubles)
    assert counts(first)["files"] == (0, 0)
    second = take(f"sqlite:///{mlflow_db}", client, mlflow_db.parent / "artifacts")
    assert (second.troubles, second.differing, second.added) == ([], [], 0)
    assert counts(second)["files"][1] == sum(p.is_file() for p in mlflow_db.parent.glob("artifacts/**/*"))


def test_a_damaged_entry_is_named_and_the_others_go_on(filestore: Path, client: Client) -> None:
    metas = sorted(filestore.glob("[0-9]*/*/meta.yaml"))
    broken, lacking, late = metas[0], metas[1], metas[2]
    broken.write_text("status: [")
    lacking.unlink()
    late.write_text(late.read_text().replace("lifecycle_stage", "start_time: soon\nlifecycle_stage"))
    curve = next(path for path in filestore.glob("[0-9]*/*/metrics/loss"))
    curve.write_text(curve.read_text() + "17 zero 3\n")
    report = take(filestore, client)
    said = {trouble.where: trouble.reason for trouble in report.troubles}
    assert "it is no YAML" in said[str(broken)]
    assert said[str(lacking)] == "it is missing"
    assert said[str(curve)] == "line 51 is no point: '17 zero 3'"
    assert report.differing == []
    assert 4 <= report.added <= 7


def test_a_link_out_of_the_store_is_not_followed(filestore: Path, client: Client, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = next(filestore.glob("[0-9]*/*/artifacts/notes")).parent
    (folder / "stolen.txt").symlink_to(tmp_path / "secret")
    report = take(filestore, client)
    (trouble,) = report.troubles
    assert (trouble.where, trouble.reason) == (
        str(folder / "stolen.txt"),
        "a link that leads out of the artifacts is not followed",
    )
    assert "stolen.txt" not in {file.path for file in client.artifacts(folder.parent.name)}


def test_a_database_of_mlflow_1_0_is_taken_in(tmp_path: Path, client: Client) -> None:
    store = make_database(tmp_path / "old.db", "database_1_0.sql")
    (tmp_path / "mlruns").mkdir()
    report = take(store, client)
    assert (report.troubles, report.differing, report.added) == ([], [], 1)
    run = client.run("a" * 32)
    assert (run.name, run.user, run.status, run.params, run.metrics) == (
        "from 2019", "ann", "finished", {"lr": "0.1"}, {"auc": 0.7},
    )  # fmt: skip
    assert run.experiment == "old"


@pytest.mark.soak
def test_a_million_points_are_taken_in_within_seconds(tmp_path: Path, client: Client) -> None:
    store = make_database(tmp_path / "old.db", "database_1_0.sql")
    with sqlite3.connect(store) as connection:
        rows = ((float(n), n, n) for n in range(1_000_000))
        connection.executemany(f"INSERT INTO metrics VALUES ('loss', ?, ?, '{'a' * 32}', ?)", rows)
    connection.close()
    (tmp_path / "mlruns").mkdir()
    began = time.monotonic()
    report = take(store, client)
    assert time.monotonic() - began < 30
    assert (report.troubles, report.differing, report.added) == ([], [], 1)
    assert counts(report)["points"] == (1_000_001, 1_000_001)
    assert client.run("a" * 32).metrics["loss"] == 999_999.0


def test_a_dry_run_counts_and_changes_nothing(filestore: Path, client: Client) -> None:
    troubles: list[Trouble] = []
    report = count(open_source(str(filestore), troubles.append), troubles)
    planned = {line.what: line.there for line in report.lines}
    assert client.runs() == []
    taken = counts(take(filestore, client))
    assert planned == {name: there for name, (there, _) in taken.items()}


def test_what_is_changed_here_after_an_import_is_found_out(filestore: Path, home: Path) -> None:
    with Client.in_process(home) as client:
        take(filestore, client)
        run = next(run for run in client.runs() if run.name == "child")
        file = next(f for f in client.artifacts(run.id) if f.path == "again.txt")
    blob = home / ".treadle" / "blobs" / "b3" / file.digest[:2] / file.digest[2:]
    blob.chmod(0o600)
    blob.write_text("jello")
    with Client.in_process(home) as client:
        report = take(filestore, client)
        assert report.differing == [f"run {run.id}"]


@pytest.mark.parametrize("text", ["nowhere", "sqlite:///nowhere.db", "ftp://host/x"])
def test_what_is_no_store_is_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InvalidInput, NotFound)):
        open_source(text, list.append)


def copy_tables(database: Path, url: str) -> None:
    """The tables of a SQLite database, in another one."""
    import sqlalchemy as sa

    there = sa.create_engine(f"sqlite:///{database}")
    here = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    tables = sa.MetaData()
    tables.reflect(there)
    for table in tables.tables.values():
        for column in table.columns:
            column.server_default = None
        table.constraints = {c for c in table.constraints if isinstance(c, sa.PrimaryKeyConstraint)}
        table.foreign_keys.clear()
        for column in table.columns:
            column.foreign_keys.clear()
    with there.connect() as reading, here.begin() as writing:
        for table in tables.tables.values():
            table.create(writing)
            rows = [dict(row) for row in reading.execute(sa.select(table)).mappings()]
            if rows:
                writing.execute(table.insert(), rows)
    there.dispose()
    here.dispose()


def test_runs_that_come_together_are_taken_in_one_by_one_all_the_same(client: Client) -> None:
    from datetime import UTC, datetime

    from treadle.experiment import Check, ImportRun, RunCopy

    def new(run: str, experiment: str, value: float = 1.0, **more: Any) -> ImportRun:
        at = np.array([1, 2], np.int64)
        curve = pack_curve("loss", Curve(np.array([2.0, value]), at, at))
        copy = RunCopy(
            id=run, experiment=experiment, name=run, started_at=datetime(2026, 1, 1, tzinfo=UTC), **more
        )
        return ImportRun(source="s", stamp="1", run=copy, curves=[curve])

    lost = Artifact("a.txt", "0" * 64, 3)
    found = client.import_runs(
        [
            new("good", "0"),
            new("homeless", "77"),
            new("bad name", "0", params={"": "1"}),
            new("lost", "0", files=(lost,)),
            new("good", "0"),
            new("good", "0", 5.0),
            new("other", "0", float("nan")),
        ]
    )
    assert [(one.id, one.added) for one in found.done] == [("good", True), ("good", False), ("other", True)]
    assert [(one.id, one.code) for one in found.refused] == [
        ("bad name", "invalid_input"), ("lost", "not_found"), ("homeless", "not_found"),
        ("good", "already_exists"),
    ]  # fmt: skip
    assert {run.id for run in client.runs()} == {"good", "other"}
    checked = client.check_imported(Check(runs=["good", "homeless", "other"]))
    assert [one.tally.digest if one.tally else "" for one in checked] == [
        found.done[0].tally.digest, "", found.done[2].tally.digest,
    ]  # fmt: skip
    with pytest.raises(InvalidInput, match="1,000 runs"):
        client.import_runs([new(f"r{n}", "0") for n in range(1001)])


def test_two_thousand_small_runs_take_few_requests(tmp_path: Path, client: Client) -> None:
    store = make_database(tmp_path / "old.db", "database_1_0.sql")
    ids = [f"{n:032x}" for n in range(2000)]
    with sqlite3.connect(store) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)") if row[1] != "run_uuid"]
        rest = ", ".join(columns)
        for one in ids:
            connection.execute(
                f"INSERT INTO runs (run_uuid, {rest}) SELECT ?, {rest} FROM runs LIMIT 1", [one]
            )
        points = ((key, n / 7, n, one, n) for one in ids for key in ("a", "b") for n in range(60))
        connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", points)
        params = (("p", one, one) for one in ids)
        connection.executemany("INSERT INTO params VALUES (?, ?, ?)", params)
    connection.close()
    (tmp_path / "mlruns").mkdir()
    asked: list[int] = []
    whole = client.import_runs
    client.import_runs = lambda new: asked.append(len(new)) or whole(new)  # type: ignore[method-assign]
    report = take(store, client)
    assert (report.troubles, report.differing, report.added) == ([], [], 2001)
    assert counts(report)["points"] == (240_001, 240_001)
    assert counts(report)["params"] == (2001, 2001)
    assert sum(asked) == 2001
    assert len(asked) < 30
    assert client.run(ids[7]).params == {"p": ids[7]}
