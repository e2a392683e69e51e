"""A user's first hour, without a server: every command on one small project, through the real application."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from cli_parts import Call

from treadle.data.types import DatasetVersion
from treadle.deploy.types import DeploymentStatus
from treadle.experiment import Comparison
from treadle.experiment.types import Run
from treadle.kernel.config import load_config
from treadle.registry.types import ModelVersion
from treadle.retrain.types import Cycle, Reign

ROWS = """
SELECT 'F' || i AS id, TIMESTAMP '2013-01-01' + INTERVAL (i * 30) MINUTE AS time,
       TIMESTAMP '2013-01-01' + INTERVAL (i * 30 + 300) MINUTE AS known_at,
       i % 24 AS hour, ['AA', 'UA'][1 + i % 2] AS carrier,
       hash(i) % 100 < 10 + 3 * (i % 24) AS late
FROM range(4000) t(i)
"""
SCRIPT = """
import time

import pandas
import treadle
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

with treadle.start_run() as run:
    frame = pandas.read_parquet(treadle.data("flights"))
    x, y = frame[run.features], frame[run.label]
    encoder = make_column_transformer((OneHotEncoder(), ["carrier"]), remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression(C=float(run.params.get("c", 1.0)))).fit(x, y)
    for step in range(3):
        run.log(accuracy=model.score(x, y), step=step)
    time.sleep(float(run.params.get("sleep", 0)))
    run.log_model(model, x)
"""


@pytest.fixture(autouse=True)
def _tables() -> None:
    """The tables come from the migrations, as for a user: processes of their own share them."""


@pytest.fixture
def flights(here: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as `treadle init` leaves it, on 1 March 2013."""
    monkeypatch.setenv("TREADLE_ACTOR", "ada")
    (here / "data").mkdir()
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({ROWS}) TO '{here}/data/flights.parquet'")
    (here / "train.py").write_text(SCRIPT)
    assert call("init", "--name", "toy").code == 0
    assert call("replay", "start", "2013-03-01").code == 0
    return here


def test_a_first_hour(flights: Path, call: Call) -> None:
    config = load_config(flights)
    assert config.training[0].features == ["hour", "carrier"]
    assert call("doctor").code == 0

    assert call("run", "--plan").out.splitlines()[-1] == "next: treadle run"
    assert call("cycles", "--json").json(list[Cycle]) == []

    tried = call("train", "--name", "tight", "--experiment", "c", "--set", "c=0.01", "--json")
    assert tried.code == 0, tried.err
    trained = tried.json(Cycle)
    assert (trained.state, trained.goal) == ("trained", "train")

    turned = call("run", "--reason", "the first")
    assert turned.code == 0, turned.err + turned.out
    assert "toy/1 is in production" in turned.out

    again = call("run", "--json")
    assert (again.code, again.json(Cycle).state) == (0, "unchanged")

    found = call("runs", "--sort", "-holdout.roc_auc", "--json").json(list[Run])
    assert len(found) == 2
    assert call("runs", "--experiment", "c", "--json").json(list[Run])[0].params == {"c": 0.01}
    ids = [run.id for run in found]
    assert call("runs", "compare", *ids, "--json").json(Comparison).params == {
        "c": [run.params.get("c") for run in found]
    }
    told = call("runs", "show", ids[0]).out
    assert told.startswith("run ")
    assert re.search(r"trigger +cycle \S+, manual by ada: ", told)
    assert re.search(r"data +flights@v1 \([0-9a-f]{12}\) for training", told)
    assert re.search(r"command +\S*python\S* train.py", told)

    assert call("data", "--json").json(list[DatasetVersion])[0].rows == 4000
    assert "nothing has changed" in call("data", "add", "flights").out
    model = call("models", "1", "--json").json(ModelVersion)
    assert (model.status, model.params) == ("production", {})
    assert call("models", "@production").code == 0
    assert call("deploy", "--json").json(DeploymentStatus).replicas == []
    assert "next: treadle up" in call("deploy").out
    assert call("monitor", "look").code == 0
    reigns = call("history", "--json").json(list[Reign])
    assert [(reign.version, reign.until) for reign in reigns] == [(1, None)]
    assert "toy/1" in call("history", "--at", "2013-03-02").out
    assert call("report").code == 0
    assert (flights / "report.html").read_text().startswith("<!")

    wrong = call("runs", "show", "run_nope")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("error: ")
    assert "Traceback" not in wrong.err
    assert not list((flights / ".treadle").glob("crash-*"))


def treadle(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own."""
    command = [sys.executable, "-m", "treadle.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_script_that_crashes_fails_the_cycle(flights: Path, call: Call) -> None:
    (flights / "train.py").write_text("raise SystemExit('no such luck')")
    found = treadle("run")
    assert found.returncode == 2, found.stderr
    assert "failed" in found.stdout
    assert "no such luck" in found.stdout
    assert call("models", "--json").json(list) == []


def test_an_interrupted_cycle_goes_on_where_it_was(flights: Path) -> None:
    command = [sys.executable, "-m", "treadle.cli.main", "run", "--set", "sleep=1"]
    first = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert first.stdout
        assert first.stdout.readline().split()[0] == "data"
        assert first.stdout.readline().split()[0] == "check"
        first.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = first.communicate(timeout=20)
        assert time.monotonic() - began < 3
    finally:
        first.kill()
        first.wait()
    assert first.returncode == 130
    assert "goes on from its last finished step" in err
    second = treadle("run")
    assert second.returncode == 0, second.stderr + second.stdout
    assert second.stdout.splitlines()[0].endswith("was interrupted at train; going on with it")
    assert "toy/1 is in production" in second.stdout
