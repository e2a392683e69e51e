"""Importing, exporting and collecting from the command line."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import msgspec
from cli_parts import Call

from mlflow_parts import serve
from mlflow_stores import make_filestore, make_home
from treadle.kernel.clock import SystemClock


def test_in_and_out_again(call: Call, tmp_path: Path) -> None:
    store, home = make_filestore(tmp_path / "mlruns"), make_home(tmp_path / "home")
    planned = call("--project", str(home), "import", "mlflow", str(store), "--dry-run")
    assert (planned.code, "Nothing was changed" in planned.out) == (0, True)

    found = call("--project", str(home), "import", "mlflow", str(store))
    assert found.code == 0, found.err
    assert "9 runs taken in, 0 were here already. All is here as it was read" in found.out

    again = call("--project", str(home), "import", "mlflow", str(store), "--json")
    report = msgspec.json.decode(again.out)
    assert (again.code, report["added"], report["before"], report["troubles"]) == (0, 0, 9, [])

    out = call("--project", str(home), "export", "mlflow", str(tmp_path / "out"))
    assert out.code == 0, out.err
    assert "All was written as it is here" in out.out
    assert (tmp_path / "out" / "models" / "doubled" / "meta.yaml").exists()


def test_the_exit_code_tells_what_is_missing(call: Call, tmp_path: Path) -> None:
    store, home = make_filestore(tmp_path / "mlruns"), make_home(tmp_path / "home")
    broken = next(store.glob("[0-9]*/*/meta.yaml"))
    broken.write_text("status: [")
    found = call("--project", str(home), "import", "mlflow", str(store))
    assert found.code == 3
    assert f"not read: {broken}: it is no YAML" in found.err


def test_deleting_restoring_and_collecting(call: Call, tmp_path: Path) -> None:
    from treadle.client import Client
    from treadle.experiment import NewRun

    home = make_home(tmp_path / "home")
    with Client.in_process(home) as client:
        for run in ("run_a", "run_b"):
            client.create_run(NewRun(id=run, name=run, started_at=SystemClock().now(), experiment="old"))

    def ask(*arguments: str) -> str:
        found = call("--project", str(home), *arguments)
        assert found.code == 0, found.err
        return found.out

    assert "can be restored" in ask("runs", "delete", "run_a")
    assert "run_a" not in ask("runs", "ls")
    assert "Restored" in ask("runs", "restore", "run_a")
    assert "run_a" in ask("runs", "ls")
    ask("runs", "delete", "--experiment", "old")
    assert "0 experiments, 0 runs" in ask("gc")
    told = ask("gc", "--older-than", "0")
    assert "1 experiment, 2 runs" in told
    assert "would go" in told
    assert "treadle gc --older-than 0s --apply" in told
    assert "1 experiment, 2 runs" in ask("gc", "--older-than", "0", "--apply")
    assert call("--project", str(home), "runs", "restore", "run_a").code == 2
    assert call("--project", str(home), "runs", "delete").code == 2


def test_out_to_a_running_server(call: Call, tmp_path: Path) -> None:
    store, home, other = (tmp_path / name for name in ("mlruns", "home", "other"))
    make_filestore(store)
    assert call("--project", str(make_home(home)), "import", "mlflow", str(store)).code == 0
    with contextmanager(serve)(make_home(other)) as running:
        sent = call("--project", str(home), "export", "mlflow", running.url)
        assert sent.code == 0, sent.err
        assert "9 runs sent, 0 were there already.\nAll was written as it is here" in sent.out
        again = call("--project", str(home), "export", "mlflow", running.url, "--no-verify", "--json")
        report = msgspec.json.decode(again.out)
        assert (again.code, report["added"], report["before"]) == (0, 0, 9)
    gone = call("--project", str(home), "export", "mlflow", running.url)
    assert (gone.code, "no answer" in gone.err) == (2, True)


def test_where_nothing_can_be_exported_to_is_refused(call: Call, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    (tmp_path / "file").write_text("mine")
    for where in ("sqlite:///mlflow.db", str(tmp_path / "file")):
        found = call("--project", str(home), "export", "mlflow", where)
        assert found.code == 2, where
        assert "Traceback" not in found.err
    assert (tmp_path / "file").read_text() == "mine"
