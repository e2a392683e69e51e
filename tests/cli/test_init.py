from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cli_parts import Call

from treadle.cli import init, look
from treadle.cli.guess import guess
from treadle.cli.look import ColumnFacts, TableFacts, find_tables
from treadle.kernel.config import Config, load_config

FLIGHTS = """
SELECT 'AA-' || i AS flight_id, TIMESTAMP '2013-01-01' + INTERVAL (i * 10) MINUTE AS time,
       TIMESTAMP '2013-01-01' + INTERVAL (i * 10 + 300) MINUTE AS landed_at,
       i % 24 AS hour, ['AA', 'UA'][1 + i % 2] AS carrier,
       CASE WHEN i % 50 = 0 THEN NULL ELSE i * 0.1 END AS wind,
       i % 2 = 0 AS weekend, i % 4 = 0 AS late, i * 1.5 AS late_minutes, [1, 2] AS stuff
FROM range({0}, {1}) t(i)
"""


def write(path: Path, sql: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    how = "(FORMAT csv)" if path.suffix == ".csv" else "(FORMAT parquet)"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({sql}) TO '{path}' {how}")


def flights(path: Path, start: int = 0, stop: int = 20_000) -> None:
    write(path, FLIGHTS.format(start, stop))


def test_the_whole_file_is_filled_in(here: Path, call: Call) -> None:
    flights(here / "data" / "flights.parquet")
    (here / "train.py").touch()
    found = call("init")
    assert found.code == 0
    assert found.err == ""
    assert found.out.splitlines()[-1] == "next: treadle run --plan"
    config = load_config(here)
    assert config.project.name == "my-flights"
    assert config.project.task == "binary"
    train, data = config.training
    assert data.path == "data/flights.parquet"
    assert (data.time, data.key, data.label, data.label_time) == ("time", "flight_id", "late", "landed_at")
    assert train.command == "python train.py"
    assert train.features == ["hour", "carrier", "wind", "weekend"]
    assert train.holdout == "14d"
    assert config.checks.data.max_null == {"wind": 0.05}  # twice the 2 % of now, rounded up
    assert config.checks.data.unique == ["flight_id"]
    text = (here / "treadle.toml").read_text()
    assert '# left out: "late_minutes", may give the label away' in text
    assert '# left out: "stuff", of type integer[]' in text


def test_every_key_that_is_only_shown_can_be_uncommented(here: Path, call: Call) -> None:
    flights(here / "flights.parquet")
    (here / "train.py").touch()
    call("init")
    path = here / "treadle.toml"
    shown = [
        line.removeprefix("# ")
        if line.startswith("# ") and " = " in line.split("  #")[0] and "[data" not in line
        else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(shown))
    config = load_config(here)
    assert config.registry.approval == "manual"
    assert config.training[0].replicas == 3
    assert config.budget.cycle == "2h"
    assert config.checks.performance.bound == 0.7


def test_it_never_overwrites(here: Path, call: Call) -> None:
    (here / "treadle.toml").write_text("# mine")
    found = call("init")
    assert found.code == 2
    assert "there is one already" in found.err
    assert "fix: edit it" in found.err
    assert (here / "treadle.toml").read_text() == "# mine"
    assert call("init", "--force").code == 2


def test_an_empty_folder_says_what_to_add(here: Path, call: Call) -> None:
    found = call("init", "--name", "taxi")
    assert found.code == 0
    assert "no Parquet or CSV file here: add [data.NAME] with its path" in found.out
    assert "no train.py here" in found.out
    assert found.out.splitlines()[-1] == "next: treadle doctor"
    assert load_config(here) == Config(project=load_config(here).project)
    assert load_config(here).project.name == "taxi"


def test_a_name_that_cannot_be_is_refused_and_nothing_written(here: Path, call: Call) -> None:
    found = call("init", "--name", "my project")
    assert found.code == 2
    assert "can't be the name of a project" in found.err
    assert not (here / "treadle.toml").exists()


def test_without_a_script_training_is_shown_but_not_declared(here: Path, call: Call) -> None:
    flights(here / "flights.parquet")
    found = call("init")
    assert "no train.py here: write one, then uncomment [train]" in found.out
    assert load_config(here).train is None
    path = here / "treadle.toml"
    lines = path.read_text().splitlines()
    first, last = (
        lines.index("# [train]"),
        next(i for i, line in enumerate(lines) if line.startswith("# holdout")),
    )
    lines[first : last + 1] = [
        line if line.startswith("# left") or "Guessed" in line else line.removeprefix("# ")
        for line in lines[first : last + 1]
    ]
    path.write_text("\n".join(lines))
    assert load_config(here).training[0].features == ["hour", "carrier", "wind", "weekend"]


def test_without_duckdb_files_are_only_named(here: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    flights(here / "data" / "flights.parquet")
    (here / "train.py").touch()
    for module in (look, init):
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    found = call("init")
    assert found.code == 0
    assert "pip install 'treadle[platform]'" in found.out
    config = load_config(here)
    assert config.data["flights"].path == "data/flights.parquet"
    assert config.data["flights"].label is None
    assert config.train is None


def test_a_corrupt_file_is_told_and_left_out(here: Path, call: Call) -> None:
    flights(here / "data" / "good.parquet")
    (here / "data" / "bad.parquet").write_bytes(b"PAR1 nonsense PAR1")
    (here / "train.py").touch()
    found = call("init")
    assert found.code == 0
    assert "data/bad.parquet can't be read: " in found.out
    config = load_config(here)
    assert list(config.data) == ["good"]
    assert config.training[0].data == "good"
    assert '# path = "data/bad.parquet"' in (here / "treadle.toml").read_text()


def test_alike_files_of_a_folder_are_one_dataset(here: Path) -> None:
    flights(here / "data" / "flights" / "2013-01.parquet", 0, 3_000)
    flights(here / "data" / "flights" / "2013-02.parquet", 3_000, 6_000)
    write(here / "data" / "airports.csv", "SELECT range AS id, range * 2.5 AS altitude FROM range(10)")
    found = find_tables(here)
    assert [(table.path, table.rows) for table in found] == [
        ("data/flights", 6_000),
        ("data/airports.csv", 10),
    ]
    assert guess(found[0]).key == "flight_id"


def test_different_files_of_a_folder_are_datasets_each(here: Path) -> None:
    flights(here / "data" / "flights.parquet", 0, 3_000)
    write(here / "data" / "other.parquet", "SELECT range AS id FROM range(10)")
    assert [table.path for table in find_tables(here)] == ["data/flights.parquet", "data/other.parquet"]


def test_hidden_folders_and_environments_are_passed_over(here: Path) -> None:
    for folder in (".treadle/blobs", "venv/lib", "node_modules/x", "a/b/c/d"):
        write(here / folder / "x.csv", "SELECT 1 AS a")
    write(here / ".hidden.csv", "SELECT 1 AS a")
    write(here / "seen.csv", "SELECT 1 AS a")
    assert [table.path for table in find_tables(here)] == ["seen.csv"]


def test_strange_names_survive(here: Path, call: Call) -> None:
    sql = (
        'SELECT TIMESTAMP \'2013-01-01\' + INTERVAL (i) HOUR AS "the ""time""", i % 2 = 0 AS label,'
        ' i * 0.5 AS "größe \n [x]", i % 3 AS "a\\b" FROM range(500) t(i)'
    )
    write(here / "my data (1).v2.parquet", sql)
    write(here / "my-data-1-v2.parquet", "SELECT 1 AS a")
    (here / "train.py").touch()
    assert call("init").code == 0
    train, data = load_config(here).training
    assert train.features == ["größe \n [x]", "a\\b"]
    assert data.time == 'the "time"'
    assert set(load_config(here).data) == {"my-data-1-v2", "my-data-1-v2-2"}


def test_short_data_hold_out_a_fifth(here: Path) -> None:
    flights(here / "a.parquet", 0, 6 * 24 * 30)
    assert init.holdout(find_tables(here)[0]) == "6d"
    flights(here / "a.parquet", 0, 6 * 24 * 2)
    assert init.holdout(find_tables(here)[0]) == "10h"
    flights(here / "a.parquet", 0, 6 * 24 * 100)
    assert init.holdout(find_tables(here)[0]) == "14d"
    assert init.holdout(None) == "14d"


def table(*columns: ColumnFacts) -> TableFacts:
    return TableFacts(path="x.parquet", rows=100, columns=columns)


def column(name: str, kind: str, **facts: object) -> ColumnFacts:
    return ColumnFacts(name=name, type=kind, **facts)  # type: ignore[arg-type]


TIME = column("time", "TIMESTAMP", mean_time=1.0)
X = column("x", "DOUBLE")


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ([column("weekend", "BOOLEAN"), column("late", "INTEGER", binary=True)], "late"),
        ([column("weekend", "BOOLEAN"), column("is_fraud", "BOOLEAN")], "is_fraud"),
        ([column("is_old", "BOOLEAN"), column("target", "DOUBLE")], "target"),
        ([column("y", "INTEGER"), column("label", "INTEGER")], "label"),
        ([column("churned", "BOOLEAN")], "churned"),
        ([column("is_code", "INTEGER")], None),
        ([column("label", "VARCHAR")], None),
    ],
)
def test_labels(columns: list[ColumnFacts], label: str | None) -> None:
    assert guess(table(TIME, X, *columns)).label == label


def test_a_label_of_many_values_is_a_regression(here: Path, call: Call) -> None:
    sql = (
        "SELECT TIMESTAMP '2013-01-01' + INTERVAL (i) HOUR AS at, i * 0.5 AS target, i % 7 AS x,"
        " i % 2 AS flag FROM range(500) t(i)"
    )
    write(here / "a.csv", sql)
    (here / "train.py").touch()
    assert call("init").code == 0
    config = load_config(here)
    assert config.project.task == "regression"
    assert config.checks.performance.metric == "mae"
    assert config.training[1].label == "target"


@pytest.mark.parametrize("kind", ["ns", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_with_and_without_a_zone_and_no_pytz(
    here: Path, monkeypatch: pytest.MonkeyPatch, kind: str, zone: str | None
) -> None:
    monkeypatch.setitem(sys.modules, "pytz", None)
    first = datetime(2013, 1, 1)  # noqa: DTZ001 - Arrow takes it as UTC
    times = [first + timedelta(hours=hour) for hour in range(500)]
    columns = {
        "at": pa.array(times, pa.timestamp(kind, zone)),
        "known_at": pa.array([at + timedelta(hours=5) for at in times], pa.timestamp(kind, zone)),
        "late": pa.array([hour % 3 == 0 for hour in range(500)]),
    }
    pq.write_table(pa.table(columns), here / "a.parquet")
    [found] = find_tables(here)
    assert found.trouble is None
    assert found.span == timedelta(hours=499)
    assert found.columns[0].mean_time == (times[0] + found.span / 2).replace(tzinfo=UTC).timestamp()
    guessed = guess(found)
    assert (guessed.time, guessed.label, guessed.label_time) == ("at", "late", "known_at")


def test_two_moments_at_the_start_of_1970_are_no_label(here: Path) -> None:
    write(here / "a.parquet", "SELECT TIMESTAMP '1970-01-01' + to_seconds(i % 2) AS y FROM range(50) t(i)")
    [found] = find_tables(here)
    assert not found.columns[0].binary


def test_integers_that_are_only_0_and_1_are_a_binary_label(here: Path) -> None:
    write(here / "a.parquet", "SELECT TIMESTAMP '2013-01-01' AS at, i % 2 AS y, i AS x FROM range(50) t(i)")
    assert guess(find_tables(here)[0]).binary


@pytest.mark.parametrize(
    ("columns", "time", "label_time"),
    [
        ([column("date", "DATE"), column("event_time", "TIMESTAMP")], "date", None),
        ([column("closed_at", "TIMESTAMP"), column("opened_at", "TIMESTAMP")], "opened_at", "closed_at"),
        ([column("b", "TIMESTAMP", mean_time=5.0), column("a", "TIMESTAMP", mean_time=9.0)], "b", None),
        ([column("seen", "TIMESTAMP", nulls=0.1)], None, None),
        ([column("time", "VARCHAR")], None, None),
    ],
)
def test_times(columns: list[ColumnFacts], time: str | None, label_time: str | None) -> None:
    found = guess(table(X, column("label", "BOOLEAN"), *columns))
    assert (found.time, found.label_time) == (time, label_time)
    assert not {c.name for c in columns if c.is_time} & set(found.features)


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ([column("row", "BIGINT", unique=True), column("flight_id", "VARCHAR", unique=True)], "flight_id"),
        ([column("id", "BIGINT", unique=True), column("uuid", "UUID", unique=True)], "id"),
        ([column("id", "BIGINT")], None),
        ([column("serial", "BIGINT", unique=True)], None),
        ([column("code", "VARCHAR", unique=True)], "code"),
    ],
)
def test_keys(columns: list[ColumnFacts], key: str | None) -> None:
    found = guess(table(TIME, X, *columns))
    assert found.key == key
    assert not {c.name for c in columns if c.unique} & set(found.features)


def test_a_folder_can_be_named(here: Path, call: Call) -> None:
    flights(here / "year 13" / "data" / "flights.parquet")
    found = call("init", "year 13")
    assert found.code == 0, found.err
    assert "wrote treadle.toml for project year-13" in found.out
    assert found.out.splitlines()[-1] == "next: treadle --project 'year 13' doctor"
    assert load_config(here / "year 13").project.name == "year-13"
    assert not (here / "treadle.toml").exists()
    lost = call("init", "nowhere")
    assert (lost.code, "there is no such folder" in lost.err) == (2, True)
