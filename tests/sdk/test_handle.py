from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

import treadle
from treadle.experiment import Experiments, JournalReader, LogMetrics, NewRun
from treadle.experiment.types import Finish
from treadle.kernel.errors import (
    Busy,
    ConfigError,
    Conflict,
    InvalidInput,
    NotFound,
    StorageFull,
)
from treadle.sdk import sync
from treadle.sdk.spool import RUNS


def own_files(client, run_id: str) -> list:
    """The files that the script logged itself."""
    return [a for a in client.experiments.artifacts(run_id) if not a.path.startswith("provenance/")]


def folder(root: Path, run_id: str) -> Path:
    return root / RUNS / run_id


@pytest.fixture
def job(client, tmp_path: Path, clock, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "job"
    path.mkdir()
    new = NewRun(
        id="run_job", name="candidate", started_at=clock.now(), source="job", params={"depth": 9}, seed=4
    )
    context = {
        "run": new,
        "data": {"rows": "/slices/rows.parquet"},
        "features": ["hour"],
        "label": "late",
        "task": "binary",
    }
    (path / "job.json").write_bytes(msgspec.json.encode(context))
    monkeypatch.setenv("TREADLE_JOB", str(path))
    return path


# ── a script by itself ───────────────────────────────────────────────────


def test_a_first_run(client, inside, capsys):
    with treadle.start_run("first", experiment="trees", params={"lr": 0.1}, tags={"who": "me"}) as run:
        assert run.params == {"depth": 3, "lr": 0.1}
        assert (run.seed, run.features, run.label, run.task) == (0, ["hour", "carrier"], "late", "binary")
        for step in range(5):
            run.log(loss=1 / (step + 1), step=step)
        run.log({"val/auc": 0.7}, extra=1)
        run.set_tags(phase="done")
        run.log_params(found=12)
    kept = client.experiments.get(run.id)
    assert (kept.name, kept.experiment, kept.source, kept.status) == ("first", "trees", "script", "finished")
    assert kept.params == {"depth": 3, "lr": 0.1, "found": 12}
    assert kept.metrics == {"loss": 0.2, "val/auc": 0.7, "extra": 1.0}
    assert kept.tags["who"] == "me"
    assert kept.tags["phase"] == "done"
    assert [p.step for p in client.experiments.history(run.id, "loss")] == [0, 1, 2, 3, 4]
    assert kept.ended_at is not None
    assert kept.ended_at >= kept.started_at
    out = capsys.readouterr()
    assert out.out == ""
    assert f"run {run.id} finished after" in out.err
    assert "loss     0.2        █▄▂▁▁" in out.err
    assert f"→ treadle runs show {run.id}" in out.err
    assert client.closed == 1
    assert sync(client, inside) == []


def test_an_argument_overrides_the_file_and_a_failed_block_fails_the_run(client, capsys):
    run = treadle.start_run(params={"depth": 7})
    assert run.params == {"depth": 7}
    with pytest.raises(ZeroDivisionError), run:
        1 / 0  # noqa: B018 - the mistake on trial
    kept = client.experiments.get(run.id)
    assert (kept.status, kept.message) == ("failed", "ZeroDivisionError: division by zero")
    assert "failed after" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(0), "finished"),
        (SystemExit(), "finished"),
        (SystemExit(2), "failed"),
        (KeyboardInterrupt(), "failed"),
        (ValueError("\udcff"), "failed"),
    ],
)
def test_how_a_block_ends_is_how_the_run_ends(client, error, status):
    with pytest.raises(type(error)), treadle.start_run() as run:
        raise error
    assert client.experiments.get(run.id).status == status


def test_a_run_ends_once_and_logs_nothing_afterwards(client):
    run = treadle.start_run()
    run.finish("failed", "enough")
    run.finish()
    assert client.experiments.get(run.id).message == "enough"
    for call in (lambda: run.log(a=1), lambda: run.log_params(b=1), lambda: run.log_artifact(__file__)):
        with pytest.raises(Conflict, match="has ended"):
            call()
    with pytest.raises(InvalidInput, match="'done'"):
        run.finish("done")


def test_mistakes_are_answered_at_once_and_nothing_is_written(client):
    with treadle.start_run() as run:
        for call in (
            lambda: run.log(loss="low"),
            lambda: run.log(loss=None),
            lambda: run.log(3),
            lambda: run.log({"": 1.0}),
            lambda: run.log({1: 1.0}),
            lambda: run.log(a=1.0, step=0.5),
            lambda: run.log(good=1.0, bad=[]),
            lambda: run.log_params(p=[1]),
            lambda: run.set_tags({"": "x"}),
        ):
            with pytest.raises(InvalidInput):
                call()
        with pytest.raises(Conflict, match=r"'depth' is 3 and can't become 4"):
            run.log_params(new=1, depth=4)
        run.log_params(depth=3)
        run.log({})
    assert client.experiments.get(run.id).applied == 1
    for given in ({"experiment": "a\nb"}, {"params": {"p": None}}, {"name": "a\nb"}, {"tags": {"": ""}}):
        with pytest.raises(InvalidInput):
            treadle.start_run(**given)


def test_nan_is_a_value(client):
    with treadle.start_run() as run:
        run.log(loss=math.nan, top=math.inf)
    metrics = client.experiments.get(run.id).metrics
    assert math.isnan(metrics["loss"])
    assert metrics["top"] == math.inf


def test_several_threads_log_into_one_run(client):
    with treadle.start_run() as run:
        threads = [
            threading.Thread(target=lambda k=k: [run.log({f"m{k}": n}) for n in range(300)]) for k in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for k in range(4):
        assert [p.value for p in client.experiments.history(run.id, f"m{k}")] == list(range(300))


def test_artifacts_are_copied_when_they_are_logged(client, workspace, tmp_path):
    plots = tmp_path / "plots"
    (plots / "deep").mkdir(parents=True)
    (plots / "a.txt").write_text("a")
    (plots / "deep" / "b.txt").write_text("b")
    (tmp_path / "one.txt").write_text("before")
    with treadle.start_run() as run:
        run.log_artifact(tmp_path / "one.txt")
        (tmp_path / "one.txt").write_text("after")
        run.log_artifact(str(plots))
        run.log_artifact(plots / "a.txt", name="renamed/x.txt")
    kept = {a.path: workspace.blobs.get(a.digest) for a in own_files(client, run.id)}
    assert kept == {
        "one.txt": b"before",
        "plots/a.txt": b"a",
        "plots/deep/b.txt": b"b",
        "renamed/x.txt": b"a",
    }


def test_artifacts_that_cannot_be_kept(client, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "x").symlink_to(tmp_path)
    (tmp_path / "f").write_text("f")
    with treadle.start_run() as run:
        with pytest.raises(NotFound, match="no such file"):
            run.log_artifact(tmp_path / "gone")
        with pytest.raises(InvalidInput, match="no files"):
            run.log_artifact(tmp_path / "empty")
        with pytest.raises(InvalidInput, match="links to folders"):
            run.log_artifact(tmp_path / "linked")
        with pytest.raises(InvalidInput, match="can't be the path"):
            run.log_artifact(tmp_path / "f", name="../f")

        def full(source, target):
            Path(target).write_text("ha")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("shutil.copyfile", full)
        with pytest.raises(StorageFull):
            run.log_artifact(tmp_path / "f")
        files = (folder(Path.cwd(), run.id) / "files").rglob("*")
        assert [p for p in files if p.is_file() and p.parent.name != "provenance"] == []
    assert own_files(client, run.id) == []


def test_a_notebook_shows_a_table(client):
    with treadle.start_run(params={"x": "<b>"}) as run:
        run.log(loss=1)
        run.log(loss=0)
        assert "running" in run._repr_html_()
    page = run._repr_html_()
    assert run.id in page
    assert "finished" in page
    assert "&lt;b&gt;" in page
    assert "█▁" in page
    assert repr(run) == f"<run {run.id} finished>"


def test_a_project_without_train_has_params_but_no_features(client, inside):
    (inside / "treadle.toml").write_text('[project]\nname = "toy"\n')
    with treadle.start_run(params={"a": 1}) as run:
        assert run.params == {"a": 1}
        with pytest.raises(ConfigError, match=r"no \[train\] table"):
            _ = run.features
    (inside / "treadle.toml").write_text("[project]\nnam = 1\n")
    with pytest.raises(ConfigError, match="nam"):
        treadle.start_run()


def test_data_comes_from_the_client(client, inside):
    expected = inside / ".treadle" / "cache" / "data" / "rows.parquet"
    assert treadle.data("rows") == str(expected)


def test_data_is_kept_as_the_run_s_input(client):
    treadle.data("before")
    with treadle.start_run() as first:
        treadle.data("rows")
    with treadle.start_run() as second:
        pass
    used = client.experiments.get(first.id).inputs
    assert [(one.name, one.digest, one.source_type, one.context) for one in used] == [
        ("before", "d" * 64, "treadle", "training"),
        ("rows", "d" * 64, "treadle", "training"),
    ]
    assert '"number":3' in used[0].source
    assert [one.name for one in client.experiments.get(second.id).inputs] == ["before"]
    assert client.experiments.list(limit=1)[0].inputs == ()


# ── a job ────────────────────────────────────────────────────────────────


def test_under_a_job_the_job_decides(client, job, capsys):
    assert treadle.data("rows") == "/slices/rows.parquet"
    with pytest.raises(NotFound, match="did you mean 'rows'"):
        treadle.data("row")
    with treadle.start_run("mine", params={"depth": 1, "extra": 2}, tags={"t": "v"}) as run:
        assert (run.id, run.name, run.seed) == ("run_job", "candidate", 4)
        assert run.params == {"depth": 9, "extra": 2}
        assert (run.features, run.label, run.task) == (["hour"], "late", "binary")
        run.log(auc=0.7)
        with pytest.raises(Busy, match="being written already"):
            treadle.start_run()
    assert capsys.readouterr().err == ""
    assert client.calls == 0
    kept = client.experiments.ingest(job)
    assert (kept.status, kept.params, kept.metrics) == ("finished", {"depth": 9, "extra": 2}, {"auc": 0.7})
    assert kept.tags == {"t": "v"}
    assert kept.provenance.packages > 10
    assert kept.provenance.commit is None


def test_a_job_without_its_file_is_said(client, job):
    (job / "job.json").unlink()
    with pytest.raises(InvalidInput, match=r"without a readable job\.json"):
        treadle.start_run()


def test_logging_is_quick(client):
    with treadle.start_run() as run:
        best = math.inf
        for _ in range(5):
            before = time.perf_counter()
            for n in range(1000):
                run.log(loss=0.5, step=n)
            best = min(best, (time.perf_counter() - before) / 1000)
    assert best < 100e-6


# ── processes ────────────────────────────────────────────────────────────


def script(text: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def journal_of(root: Path) -> list:
    (path,) = (root / RUNS).glob("*/journal.jsonl")
    return JournalReader(path).read()


DEAD = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("last", "status", "message"),
    [("", "finished", None), ("raise ValueError('oh')", "failed", "ValueError: oh")],
)
def test_a_program_that_forgets_to_finish(inside, last, status, message):
    done = script(
        f"import treadle\nrun = treadle.start_run()\nrun.log(a=1)\n{last}", inside, TREADLE_URL=DEAD
    )
    end = journal_of(inside)[-1]
    assert isinstance(end, Finish)
    assert (end.status, end.message) == (status, message)
    assert "treadle sync" in done.stderr


FORK = """
import os, sys, treadle
with treadle.start_run() as run:
    assert run._sender._thread is not None
    run.log(who=1.0)
    child = os.fork()
    if child == 0:
        run.log(who=2.0)
        try:
            run.finish()
        finally:
            sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    run.log(who=3.0)
"""


def test_a_forked_child_logs_but_does_not_end_the_run(inside):
    done = script(FORK, inside, TREADLE_URL=DEAD)
    assert done.returncode == 0, done.stderr
    *logged, end = journal_of(inside)
    assert [r.values["who"] for r in logged if isinstance(r, LogMetrics)] == [1.0, 2.0, 3.0]
    assert isinstance(end, Finish)
    assert done.stderr.count("kept in") == 1


def test_experiments_is_the_other_end(client):
    assert isinstance(client.experiments, Experiments)
