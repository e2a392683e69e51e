"""Data for scripts: any version, as a path or a frame, noted as the run's input."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import treadle
from treadle.client import Client
from treadle.data import AddPath, DataInput, Source
from treadle.kernel.errors import InvalidInput, NotFound

TOML = """
[project]
name = "toy"

[data.rows]
path = "rows.parquet"
"""


def write_rows(path: Path, count: int) -> None:
    pq.write_table(pa.table({"n": list(range(count))}), path)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two versions of a table of ``treadle.toml``, and of a folder; no server."""
    for name in ("TREADLE_URL", "TREADLE_JOB", "TREADLE_RUN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("treadle.sdk.datasets._pending", {})
    root = tmp_path / "toy"
    (root / "images" / "cats").mkdir(parents=True)
    monkeypatch.chdir(root)
    (root / "treadle.toml").write_text(TOML)
    with Client.in_process(root) as client:
        for count in (3, 5):
            write_rows(root / "rows.parquet", count)
            client.add_data("rows")
            (root / "images" / "cats" / f"{count}.csv").write_text(f"n\n{count}\n")
            client.add_path(AddPath(path="images"))
        client.create_data_ref("images", "branch", "exp/new", "v1")
    return root


def used(root: Path, run: str) -> list[tuple[str, int, str]]:
    """What a run noted: name, the version's number, what for."""
    with Client.in_process(root) as client:
        found = client.run(run).inputs
    decoded = [msgspec.json.decode(one.source, type=DataInput) for one in found]
    return [(one.name, it.number, one.context) for one, it in zip(found, decoded, strict=True)]


def test_a_version_of_a_table_is_all_of_its_rows(toy: Path) -> None:
    with treadle.start_run(system_metrics=False) as run:
        assert pq.read_table(treadle.data("rows@v1")).num_rows == 3
        assert treadle.data("rows@v2", frame="polars")["n"].to_list() == [0, 1, 2, 3, 4]
        assert len(treadle.data("rows", frame="pandas")) == 5
    assert used(toy, run.id) == [("rows", 1, "input"), ("rows", 2, "input")]


def test_a_version_of_a_folder_is_its_files(toy: Path) -> None:
    with treadle.start_run(system_metrics=False) as run:
        whole = Path(treadle.data("images@exp/new"))
        assert [one.name for one in whole.rglob("*.csv")] == ["3.csv"]
        assert not (whole / "cats" / "3.csv").stat().st_mode & 0o222
        assert Path(treadle.data("images@v2/cats/5.csv")).read_text() == "n\n5\n"
        table = treadle.data("images", frame="arrow")  # no dataset of treadle.toml: the head of main
        assert sorted(table["n"].to_pylist()) == [3, 5]
    assert used(toy, run.id) == [("images", 1, "input"), ("images", 2, "input")]


def test_what_is_asked_for_before_a_run_is_noted_by_it(toy: Path) -> None:
    treadle.data("rows@v1")
    treadle.data("rows@v2")
    with treadle.start_run(system_metrics=False) as run:
        pass
    assert [number for _, number, _ in used(toy, run.id)] == [1, 2]


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [
        ("rows@v9", NotFound, "'rows' has no version v9"),
        ("nothing@v1", NotFound, "'nothing' has no version yet"),
        ("nothing", NotFound, "no dataset 'nothing'"),
        ("images@v1/dogs", NotFound, "dogs"),
        ("images@", InvalidInput, "names no version after the @"),
        ("images@exp/old/cats", NotFound, "exp"),
    ],
)
def test_a_name_of_nothing_is_refused_and_nothing_is_noted(
    toy: Path, name: str, error: type[Exception], told: str
) -> None:
    with treadle.start_run(system_metrics=False) as run, pytest.raises(error, match=told):
        treadle.data(name)
    assert used(toy, run.id) == []


def test_a_frame_of_what_is_no_table_is_refused(toy: Path) -> None:
    (toy / "images" / "a.png").write_bytes(b"no table")
    with Client.in_process(toy) as client:
        client.add_path(AddPath(path="images"))
    with pytest.raises(InvalidInput, match=r"no table of one format: \.png, csv"):
        treadle.data("images@v3", frame="arrow")
    with pytest.raises(InvalidInput, match=r"no table of one format: \.png"):
        treadle.data("images@v3/a.png", frame="pandas")
    with pytest.raises(InvalidInput, match="`frame` can't be 'spark'"):
        treadle.data("images", frame="spark")  # type: ignore[arg-type]


def test_under_a_job_versions_are_those_of_the_project_and_other_names_are_refused(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = toy / ".treadle" / "jobs" / "run_job"
    (folder / "code").mkdir(parents=True)
    run = {"id": "run_job", "name": "job", "started_at": "2026-01-01T00:00:00Z"}
    told = {
        "run": run,
        "data": {"rows": "/slices/rows.parquet"},
        "features": [],
        "label": "n",
        "task": "binary",
    }
    (folder / "job.json").write_text(json.dumps(told))
    (folder / "code" / "treadle.toml").write_text(TOML)  # a copy of the code, which has no data
    monkeypatch.setenv("TREADLE_JOB", str(folder))
    monkeypatch.chdir(folder / "code")
    assert treadle.data("rows") == "/slices/rows.parquet"
    assert Path(treadle.data("images@v1/cats/3.csv")).read_text() == "n\n3\n"
    with pytest.raises(NotFound, match="no dataset of this job 'images'"):
        treadle.data("images")


def test_what_a_run_makes_has_the_run_as_its_origin(toy: Path) -> None:
    with treadle.start_run("clean", system_metrics=False) as run:
        frame: pl.DataFrame = treadle.data("rows@v2", frame="polars")
        (toy / "daily").mkdir()
        frame.head(2).write_csv(toy / "daily" / "a.csv")
        assert run.log_data("daily", message="the first two") == "daily@v1"
        with pytest.raises(InvalidInput, match="outside of the project"):
            run.log_data(toy.parent)
        with pytest.raises(NotFound, match="nowhere"):
            run.log_data("nowhere")
    with Client.in_process(toy) as client:
        version = client.data_version("daily")
        assert version.message == "the first two"
        made_of = client.data_lineage("daily").made_of
        assert [(step.kind, step.id, step.of) for step in made_of] == [
            ("run", run.id, "daily@v1"),
            ("version", "rows@v2", run.id),
        ]
        used_by = client.data_lineage("rows", "v2").used_by
        assert [(step.kind, step.id) for step in used_by] == [("run", run.id), ("version", "daily@v1")]
        assert version.origin == (Source("run", run.id, version.origin[0].detail),)
