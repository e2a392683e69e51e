"""Training scripts that go wrong: the cycle ends and says why, and the model in production stays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from e2e.user import User, failed

TRAINED = (
    "cycles",
    "dataset_versions",
    "evaluations",
    "events",
    "recipes",
    "runs",
    "run_metrics",
    "run_chunks",
    "run_params",
    "run_tags",
    "usages",
    "artifact_files",  # of where the run comes from
    "run_inputs",
    "run_provenance",
    "run_writers",
)
RUN = "import treadle\nrun = treadle.start_run()\nrun.log(loss=1.0, step=0)\n"
WRITTEN = '    run.log_model("model.onnx", example=example)\n'
BREAK = f"""{WRITTEN}
    import os, pathlib
    model = pathlib.Path(os.environ["TREADLE_JOB"], "files", "model")
"""

# The script; what is said, what to do, and how its run ended.
SCRIPTS = {
    "crashes": (
        "for n in range(40):\n    print('epoch', n)\nraise SystemExit(7)",
        "the training ended with exit code 7",
        "mend the script and run again",
        "failed",
    ),
    "is not Python": ("epochs := 3\n", "the training ended with exit code 1", "mend the script", "failed"),
    "finishes without a model": (
        f"{RUN}run.finish()",
        "the training finished but logged no model",
        "call run.log_model(model, example)",
        "finished",
    ),
    "leaves without finishing its run": (
        f"{RUN}import os\nos._exit(0)",
        "the training finished but logged no model",
        "call run.log_model(model, example)",
        "failed",
    ),
    "is killed": (
        f"{RUN}import os\nprint('all memory taken', flush=True)\nos.kill(os.getpid(), 9)",
        "the training was killed by SIGKILL",
        "lack of memory",
        "failed",
    ),
}


def some(names: Iterable[str]) -> list[Any]:
    """The first two for `make test`; each takes a whole cycle, and the others are for `make soak`."""
    return [
        name if place < 2 else pytest.param(name, marks=pytest.mark.soak) for place, name in enumerate(names)
    ]


def test_the_last_words_of_a_script_that_crashes_are_shown_and_no_more(user: User) -> None:
    user.script("for n in range(40):\n    print('epoch', n)\nraise SystemExit('no such luck')")
    done = user.run("run")
    failed(done, "ended with exit code 1; its last words:", "log.txt", "mend the script")
    assert done.out.count("no such luck") == 2, "in the stage's line, and at the end of the log"
    assert done.out.count("epoch 39") == 1
    assert "epoch 1\n" not in done.out


@pytest.mark.parametrize("name", some(SCRIPTS))
def test_a_script_that_fails_fails_the_cycle_and_its_run(user: User, name: str) -> None:
    text, what, fix, ended = SCRIPTS[name]
    before = user.state()
    user.script(text)
    failed(user.run("run"), what, "log.txt", fix)
    assert user.state().keeps(before, *TRAINED)
    assert [run["status"] for run in user.json("runs")] == [ended, "finished"]
    assert user.litter() == []


def test_a_script_that_hangs_is_killed_with_its_children_when_its_time_is_up(
    user: User, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    user.edit("treadle.toml", 'timeout = "60s"', 'timeout = "1s"')
    user.edit("treadle.toml", 'grace = "2s"', 'grace = "200ms"'.replace("200ms", "0.2s"))
    user.script(f"""
import os, pathlib, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
pathlib.Path({str(pids)!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
print("waiting for the end of time", flush=True)
time.sleep(600)
""")
    before = user.state()
    done = user.run("run")
    failed(done, "the training ran longer than 1.0s and was stopped", "log.txt", "raise `timeout` in [train]")
    assert "waiting for the end of time" in done.out
    assert [psutil.pid_exists(int(pid)) for pid in pids.read_text().split()] == [False, False]
    assert user.state().keeps(before, *TRAINED)
    assert user.json("runs")[0]["status"] == "failed"


def test_a_metric_that_is_nan_is_kept_and_spoils_nothing(user: User) -> None:
    user.edit("train.py", "loss=1.0 / (step + 1)", "loss=float('nan') if step == 2 else 1.0")
    done = user.run("train")
    assert done.code == 0, done
    run = user.json("runs")[0]
    assert (run["status"], run["metrics"]["loss"]) == ("finished", "NaN")
    shown = user.run("runs", "show", run["id"])
    assert shown.code == 0, shown
    assert "nan" in shown.out.lower()


# What a script does to the model that it has logged; what is said.
BROKEN = {
    "garbage": (
        '(model / "model.onnx").write_bytes(b"garbage")',
        "this is no ONNX model that can be loaded",
        "log the model again",
    ),
    "no signature": (
        '(model / "signature.json").unlink()',
        "artifact 'model/signature.json' was logged but is not there",
        "leave what was logged in its place",
    ),
    "another kind": (
        's = model / "signature.json"; s.write_text(s.read_text().replace("float", "int"))',
        "input 'hour' is tensor(float); its signature says int",
        "log the model again",
    ),
    "another name": (
        's = model / "signature.json"; s.write_text(s.read_text().replace("hour", "hours"))',
        "the model's inputs and its signature differ in: hour, hours",
        "log the model again",
    ),
}


@pytest.mark.parametrize("name", some(BROKEN))
def test_a_model_broken_after_it_was_logged_is_refused_at_evaluation(user: User, name: str) -> None:
    act, what, fix = BROKEN[name]
    before = user.state()
    user.edit("train.py", WRITTEN, f"{BREAK}    {act}\n")
    failed(user.run("run"), what, "model", fix)
    assert user.state().keeps(before, *TRAINED, "trainings")
    assert user.litter() == []


@pytest.mark.soak
def test_a_model_that_contradicts_its_example_is_refused_by_the_script_that_logs_it(user: User) -> None:
    before = user.state()
    user.edit("train.py", 'example = {"hour"', 'example = {"hours"')
    done = user.run("run")
    failed(done, "the training ended with exit code 1", "log.txt", "mend the script")
    assert "run.log_model: the model fails on its own example: column 'hour'" in done.out
    assert user.state().keeps(before, *TRAINED)


@pytest.mark.soak
def test_a_command_that_is_not_there(user: User) -> None:
    before = user.state()
    user.edit("treadle.toml", "python train.py", "pyhton train.py")
    failed(
        user.run("run"),
        "the command can't be run: 'pyhton train.py'",
        "log.txt",
        "check `command` in [train]",
    )
    assert user.state().keeps(before, *TRAINED)


@pytest.mark.soak
def test_columns_that_the_model_was_not_trained_on_are_refused_by_name(user: User) -> None:
    """A model that takes a column that the project doesn't give."""
    before = user.state()
    user.edit("treadle.toml", 'features = ["hour", "carrier"]', 'features = ["hour"]')
    done = user.run("run")
    failed(done, "carrier", "", "")
    assert user.state().keeps(before, *TRAINED, "trainings")
