"""The SQL door, on both metadata stores: what it answers, and that it lets nothing else through."""
# ruff: noqa: E501 - a query a line

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import pytest

from treadle.experiment import (
    Experiments,
    Finish,
    JournalBatch,
    LogArtifact,
    LogMetrics,
    NewRun,
    RunInput,
    SqlDoor,
    SqlPiece,
    SqlQuery,
    Tracking,
)
from treadle.experiment.sql_tables import TABLES
from treadle.experiment.writer import MetricWriter
from treadle.kernel.errors import Busy, InvalidInput, TreadleError, from_body
from treadle.kernel.workspace import Workspace

AT = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "nobody-may-read-this"


@pytest.fixture
def filled(project: Path, metadata_url: str, tmp_path: Path) -> Iterator[Workspace]:
    text = (project / "treadle.toml").read_text()
    (project / "treadle.toml").write_text(f'{text}\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(project)
    runs = Experiments(workspace)
    for number in range(6):
        start = AT + timedelta(minutes=number)
        used = RunInput(name="orders", digest=str(number % 2), source_type="local", source="x")
        runs.create(
            NewRun(
                id=f"run_{number}", name=f"try {number}", experiment="ab"[number % 2], started_at=start,
                params={"depth": number, "kind": "tree"}, tags={"host": "box"}, inputs=(used,),
            )
        )  # fmt: skip
        digest = workspace.blobs.put(b"model")
        records = [
            LogMetrics(start.timestamp() + step, {"loss": 1 / (step + 1), "odd": float("nan")}, step)
            for step in range(10)
        ]
        records += [
            LogMetrics(start.timestamp(), {"big": float("inf")}),
            LogArtifact("model.onnx", 5, digest),
        ]
        runs.apply(f"run_{number}", JournalBatch(0, [*records, Finish(start.timestamp() + 60, "finished")]))
    yield workspace
    workspace.close()


@pytest.fixture
def door(filled: Workspace) -> SqlDoor:
    def models() -> list[list[object]]:
        return [["flights", 1, "production", "run_0", 1_000_000, None]]

    return SqlDoor(filled, models, seconds=20)


def ask(door: SqlDoor, query: str, limit: int = 1000, form: str = "rows") -> list[list]:
    asked = SqlQuery(query, limit, form)
    pieces = [msgspec.json.decode(line, type=SqlPiece) for line in door.ask(asked).lines()]
    for piece in pieces:
        if piece.error:
            raise from_body(piece.error)
    assert pieces[0].columns
    assert pieces[-1].end
    rows = [row for piece in pieces for row in piece.rows or ()]
    assert pieces[-1].end.rows == len(rows)
    return rows


@pytest.mark.parametrize(
    "metadata_url",
    ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.soak])],
    indirect=True,
)
@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT count(*), min(started_at), max(seconds) FROM runs", [[6, "2026-03-01T00:00:00", 60.0]]),
        ("SELECT experiment, count(*) FROM runs GROUP BY ALL ORDER BY ALL", [["a", 3], ["b", 3]]),
        ("SELECT run FROM params WHERE name = 'depth' AND number > 3 ORDER BY 1", [["run_4"], ["run_5"]]),
        ("SELECT value, number FROM params WHERE name = 'kind' LIMIT 1", [["tree", None]]),
        ("SELECT name, value, step FROM metrics WHERE run = 'run_1' ORDER BY 1", [["big", "Infinity", 0], ["loss", 0.1, 9], ["odd", None, 9]]),
        ("SELECT step, value, logged_at FROM points WHERE run = 'run_2' AND name = 'loss' AND step < 2 ORDER BY 1",
         [[0, 1.0, "2026-03-01T00:02:00"], [1, 0.5, "2026-03-01T00:02:01"]]),
        ("SELECT count(*), count(value) FROM points", [[126, 66]]),
        ("SELECT count(*) FROM points p JOIN runs r ON p.run = r.id WHERE r.experiment = 'b' AND p.name = 'loss'", [[30]]),
        ("SELECT count(*) FROM points WHERE run IN (SELECT id FROM runs WHERE experiment = 'a')", [[63]]),
        ("SELECT count(*) FROM runs r LEFT JOIN points p ON p.run = r.id AND p.name = 'nope'", [[6]]),
        ("FROM tags SELECT DISTINCT name, value", [["host", "box"]]),
        ("SELECT digest, count(*) FROM inputs GROUP BY 1 ORDER BY 1", [["0", 3], ["1", 3]]),
        ("SELECT path, size, count(*) FROM artifacts GROUP BY ALL", [["model.onnx", 5, 6]]),
        ("SELECT m.model, r.name FROM models m JOIN runs r ON r.id = m.run", [["flights", "try 0"]]),
        ("SELECT name FROM experiments ORDER BY 1", [["Default"], ["a"], ["b"]]),
        ("PIVOT (FROM metrics SELECT run, name, value) ON name IN ('big', 'loss', 'odd') USING first(value) ORDER BY run LIMIT 1", [["run_0", "Infinity", 0.1, None]]),
        ("SELECT 2::hugeint ** 100 > 0, 170141183460469231731687303715884105727, DATE '2026-01-01', [1.5, NULL], {'a': 'NaN'::DOUBLE}, 'x'::BLOB",
         [[True, "170141183460469231731687303715884105727", "2026-01-01", ["1.5", None], {"a": "NaN"}, "78"]]),
        ("SELECT TIMESTAMPTZ '2026-01-01 00:00:00+00' -- with a remark", [["2026-01-01 00:00:00+00"]]),
        ("SELECT count(*) FROM (SHOW TABLES)", [[len(TABLES)]]),
        ("SELECT 1 AS a, 2 AS a;", [[1, 2]]),
        ("SELECT * FROM runs WHERE false", []),
    ],
)  # fmt: skip
def test_answers(door, query, rows):
    assert ask(door, query) == rows


def test_the_tables_are_the_described_ones(door):
    names = [table.name for table in door.tables()]
    each = (f"SELECT '{name}', column_name, column_type FROM (DESCRIBE {name})" for name in names)
    assert ask(door, " UNION ALL ".join(each)) == [
        [table.name, one.name, one.type] for table in door.tables() for one in table.columns
    ]
    assert all(one.about for table in door.tables() for one in table.columns)


def test_only_what_is_needed_is_read(door):
    def loaded(query: str) -> dict[str, int]:
        return [msgspec.json.decode(line, type=SqlPiece) for line in door.ask(SqlQuery(query)).lines()][
            -1
        ].end.loaded

    assert loaded("SELECT 1") == {}
    assert loaded("SELECT count(*) FROM runs") == {"runs": 6}
    assert loaded("SELECT * FROM points WHERE run = 'run_1' AND name = 'loss'") == {"points": 10}
    joined = "SELECT * FROM points p JOIN runs r ON r.id = p.run WHERE r.experiment = 'a' AND p.name = 'loss'"
    assert loaded(joined) == {"runs": 3, "points": 30}


def test_deleted_runs_are_in_no_table(door, filled):
    Tracking(filled, MetricWriter(filled.database)).delete_run("run_1")
    keys = dict.fromkeys(("params", "metrics", "points", "tags", "inputs", "artifacts"), "run")
    each = [
        f"SELECT '{table}', count(DISTINCT {key}), count(*) FILTER ({key} = 'run_1') FROM {table}"
        for table, key in {"runs": "id", **keys}.items()
    ]
    assert ask(door, " UNION ALL ".join(each)) == [[table, 5, 0] for table in ("runs", *keys)]


def test_the_limit_cuts_and_says_so(workspace):
    door = SqlDoor(workspace)
    lines = [
        msgspec.json.decode(line, type=SqlPiece)
        for line in door.ask(SqlQuery("SELECT * FROM range(5000)", 1500)).lines()
    ]
    assert (lines[-1].end.rows, lines[-1].end.more) == (1500, True)
    lines = [
        msgspec.json.decode(line, type=SqlPiece)
        for line in door.ask(SqlQuery("SELECT * FROM range(1500)", 1500)).lines()
    ]
    assert (lines[-1].end.rows, lines[-1].end.more) == (1500, False)


def test_a_parquet_file(door):
    answered = door.ask(
        SqlQuery("SELECT id, started_at, name AS name FROM runs ORDER BY id", format="parquet")
    )
    answered.close()
    found = duckdb.connect().execute(
        "SELECT count(*), min(started_at) FROM read_parquet($1)", [str(answered.out)]
    )
    assert found.fetchall() == [(6, datetime(2026, 3, 1))]  # noqa: DTZ001 - a time without zone, in UTC
    with pytest.raises(InvalidInput, match="more than 2 rows"):
        door.ask(SqlQuery("SELECT * FROM runs", 2, "parquet"))


# ── what isn't let through ───────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT nothing FROM runs", "nothing"), ("SELEC 1", "syntax error"), ("SELECT * FROM rums", "rums"),
        ("SELECT 1; SELECT 2", "2 statements"), (";", "no query"), ("-- nothing", "no query"),
        ("INSERT INTO runs (id) VALUES ('x')", "INSERT isn't allowed"), ("DROP TABLE runs", "DROP isn't allowed"),
        ("WITH x AS (SELECT 1) DELETE FROM runs", "DELETE isn't allowed"), ("SET memory_limit = '99GB'", "isn't allowed"),
        ("ATTACH '{file}'", "isn't allowed"), ("COPY runs TO '{file}'", "isn't allowed"), ("INSTALL httpfs", "isn't allowed"),
        ("LOAD httpfs", "isn't allowed"), ("EXPORT DATABASE '{file}'", "isn't allowed"), ("CALL pragma_version()", "isn't allowed"),
        ("PRAGMA database_list", "isn't allowed"), ("CREATE TABLE x (a INT)", "isn't allowed"), ("CHECKPOINT", "isn't allowed"),
        ("PREPARE q AS SELECT 1", "isn't allowed"), ("CREATE SECRET s (TYPE s3)", "isn't allowed"), ("VACUUM", "isn't allowed"),
        ("SELECT * FROM read_text('{file}')", "disabled"), ("SELECT * FROM '{file}'", "does not exist"),
        ("SELECT * FROM read_csv('{file}')", "disabled"), ("SELECT * FROM glob('/*')", "disabled"),
        ("SELECT * FROM read_blob('http://127.0.0.1:1/')", "httpfs"), ("SELECT * FROM sniff_csv('{file}')", "disabled"),
        ("SELECT * FROM read_parquet('s3://a/b')", ""), ("SELECT * FROM sqlite_scan('{file}', 'runs')", ""),
        ("PIVOT metrics ON name USING first(value)", "several"), ("SELECT getenv('HOME')", "getenv"), ("SELECT * FROM job", "job"), ("SELECT * FROM piece", "piece"),
        ("SELECT * FROM query('COPY runs TO ''{file}''')", ""), ("EXPLAIN ANALYZE COPY runs TO '{file}'", ""),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_no_trace(workspace, tmp_path, query, said):
    door, file = SqlDoor(workspace), tmp_path / "secret.txt"
    file.write_text(SECRET)
    form = "parquet" if "file" in query else "rows"
    with pytest.raises(InvalidInput) as caught:
        ask(door, query.replace("{file}", str(file)), form=form)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert file.read_text() == SECRET
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["secret.txt"]


def test_an_error_says_where(workspace):
    door = SqlDoor(workspace)
    with pytest.raises(InvalidInput) as caught:
        door.ask(SqlQuery("SELECT\n  nothing FROM runs"))
    assert caught.value.where.startswith("line 2:   nothing FROM runs")
    assert "^" in caught.value.where


@pytest.mark.parametrize(
    "query",
    [
        SqlQuery(""),
        SqlQuery(" \n"),
        SqlQuery("SELECT 1", 0),
        SqlQuery("SELECT 1", 10**7),
        SqlQuery("SELECT '\0'"),
        SqlQuery("x" * 200_000),
    ],
)
def test_what_is_no_question(workspace, query):
    door = SqlDoor(workspace)
    with pytest.raises(InvalidInput):
        door.ask(query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT repeat('x', 2000000000 + i::INT) FROM range(20) t(i)",
        "SELECT range(500000000)",
        "SELECT list(i) FROM range(400000000) t(i)",
    ],
)
def test_what_needs_too_much_memory_ends_itself_and_nothing_else(workspace, query):
    door = SqlDoor(workspace, seconds=10)
    with pytest.raises(InvalidInput, match=r"memory|longer"):
        ask(door, query)
    assert ask(door, "SELECT 1") == [[1]]


def test_what_takes_too_long_is_stopped(workspace):
    hurried = SqlDoor(workspace, seconds=1.5)
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=r"longer than 1\.5 s"):
        hurried.ask(SqlQuery("SELECT sum(a.range * b.range) FROM range(100000000) a, range(100000) b"))
    assert time.monotonic() - began < 15


def test_whoever_stops_reading_frees_the_place(workspace, monkeypatch):
    monkeypatch.setattr("treadle.experiment.sql_door._PATIENCE", 0.05)
    door = SqlDoor(workspace)
    held = [door.ask(SqlQuery("SELECT * FROM range(1000000)")) for _ in range(2)]
    with pytest.raises(Busy):
        door.ask(SqlQuery("SELECT 1"))
    lines = held[0].lines()
    next(lines)
    lines.close()
    held[1].close()
    held[1].close()
    assert ask(door, "SELECT 1") == [[1]]
    assert ask(door, "SELECT 2") == [[2]]


def test_a_process_that_dies_is_an_error_of_the_answer(workspace):
    door = SqlDoor(workspace)
    answered = door.ask(SqlQuery("SELECT * FROM range(1000000)"))
    os.kill(answered._process.pid, 9)
    pieces = [msgspec.json.decode(line, type=SqlPiece) for line in answered.lines()]
    assert pieces[-1].error is not None
    with pytest.raises(TreadleError):
        raise from_body(pieces[-1].error)
