"""A recipe is trained once, whoever is killed; a training that didn't work says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from treadle.experiment import Experiments
from treadle.kernel.errors import ConfigError, Conflict, CorruptData, JobFailed, JobTimedOut, NotFound
from treadle.kernel.workspace import Workspace
from treadle.train import JobContext, Recipe, Trainer, Training
from treadle.train.supervise import BEGUN, Begun

SLOW = """
import mini
mini.log(0, loss=1.0)
(mini.folder / "running").touch()
mini.wait_for("go")
mini.log(1, loss=0.5)
mini.model()
mini.finish()
"""


@pytest.fixture
def experiments(workspace: Workspace) -> Experiments:
    return Experiments(workspace)


def losses(experiments: Experiments, run: str) -> list[float]:
    return [point.value for point in experiments.history(run, "loss")]


class Once:
    """An ``on_poll`` that does something once, when the script says that it is running."""

    def __init__(self, folder: Path, action: Callable[[], None]) -> None:
        self.folder, self.action, self.done = folder, action, False

    def __call__(self) -> None:
        if not self.done and (self.folder / "running").exists():
            self.done = True
            self.action()


def go(folder: Path) -> Callable[[], None]:
    return (folder / "go").touch


# ── recipes ──────────────────────────────────────────────────────────────────


def test_a_recipe_is_what_the_project_says(trainer: Trainer, rows, workspace):
    recipe = trainer.recipe(rows, {"rate": 0.5})
    assert recipe.command == "python train.py"
    assert (recipe.features, recipe.label, recipe.seed) == (("hour", "carrier"), "late", 0)
    assert recipe.params == {"depth": 3, "rate": 0.5}
    assert recipe.data == (rows,)
    assert {file["path"] for file in json.loads(workspace.blobs.get(recipe.code))["files"]} == {
        "mini.py",
        "train.py",
    }
    assert b"msgspec" in workspace.blobs.get(recipe.environment)
    assert trainer.get_recipe(trainer.recipe_id(recipe)) == recipe == trainer.recipe(rows, {"rate": 0.5})
    with pytest.raises(NotFound):
        trainer.get_recipe("r_0")


def test_a_recipe_changes_with_the_code_and_the_parameters(trainer: Trainer, rows, script):
    first = trainer.recipe(rows)
    assert trainer.recipe_id(trainer.recipe(rows, {"depth": 4})) != trainer.recipe_id(first)
    script("print('other')")
    assert trainer.recipe_id(trainer.recipe(rows)) != trainer.recipe_id(first)


def test_a_project_without_training_says_so(project, workspace, rows):
    (project / "treadle.toml").write_text("[project]\nname = 'toy'\n")
    with pytest.raises(ConfigError, match=r"no \[train\]"):
        Trainer(Workspace.open(project)).recipe(rows)


# ── training ─────────────────────────────────────────────────────────────────


def test_a_training_writes_its_run(train, trainer: Trainer, rows, experiments, project):
    training = train("run_1", 1, cycle="c_1", experiment="e", name="nice", trigger="an alert", parent="run_0")
    recipe = trainer.recipe(rows)
    assert (training.run, training.recipe, training.replica, training.seed) == (
        "run_1",
        trainer.recipe_id(recipe),
        1,
        1,
    )
    assert training.job.outcome == "finished"
    assert training.job.cpu_seconds > 0
    run = experiments.get("run_1")
    assert (run.status, run.name, run.cycle, run.experiment, run.source) == (
        "finished",
        "nice",
        "c_1",
        "e",
        "job",
    )
    assert (run.recipe, run.replica, run.seed, run.params) == (training.recipe, 1, 1, {"depth": 3})
    assert run.metrics == {"loss": pytest.approx(1 / 3), "seed": 1}
    assert run.tags["command"] == "python train.py"
    assert [artifact.path for artifact in experiments.artifacts("run_1")] == [
        "model/model.onnx",
        "provenance/requirements.txt",
    ]
    assert [(used.name, used.digest, used.context) for used in run.inputs] == [("rows", "d" * 64, "training")]
    told = run.provenance
    assert (told.command, told.trigger, told.parent) == (("python", "train.py"), "an alert", "run_0")
    assert (told.commit, told.folder, told.problems) == (None, str(project), ())
    assert told.packages > 10
    assert told.hardware.cores > 0
    context = msgspec.json.decode((trainer.folder("run_1") / "job.json").read_bytes(), type=JobContext)
    assert context.data == {"rows": str(project / "data" / "rows.parquet")}
    assert (context.features, context.label, context.task) == (("hour", "carrier"), "late", "binary")


def test_a_job_tells_which_code_it_comes_from(train, experiments, workspace, project):
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(project)]
    for command in (
        ["init", "-q", "-b", "trunk"],
        ["add", "treadle.toml", "train.py"],
        ["commit", "-qm", "m"],
    ):
        subprocess.run([*git, *command], check=True)
    with (project / "treadle.toml").open("a") as file:
        file.write("# changed\n")
    train("run_1")
    told = experiments.get("run_1").provenance
    assert (told.branch, told.dirty, told.folder) == ("trunk", True, "")
    (patch,) = (a for a in experiments.artifacts("run_1") if a.path == told.patch)
    assert b"+# changed" in workspace.blobs.get(patch.digest)
    assert b"mini.py" in workspace.blobs.get(patch.digest), "a new file belongs to the code, too"


def test_a_crash_before_the_files_are_kept_loses_none_of_them(train, experiments, monkeypatch):
    class Killed(BaseException): ...

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Experiments, "add_files", killed)
        with pytest.raises(Killed):
            train("run_1")
    train("run_1")
    told = experiments.get("run_1").provenance
    assert told.lock in {artifact.path for artifact in experiments.artifacts("run_1")}


def test_training_again_is_the_same_training(train, experiments, trainer: Trainer):
    first = train("run_1")
    assert train("run_1") == first
    assert losses(experiments, "run_1") == [1, 1 / 2, 1 / 3]
    assert trainer.trained(first.recipe, 0) == first
    assert trainer.trained(first.recipe, 1) is None


def test_what_is_known_outlives_the_jobs_folder(train, trainer: Trainer, project, workspace):
    import shutil

    first = train("run_1")
    shutil.rmtree(trainer.folder("run_1"))
    (project / "data" / "rows.parquet").unlink()
    assert train("run_1") == first


def test_a_run_belongs_to_one_recipe_and_replica(train, trainer: Trainer, rows, script):
    train("run_1")
    with pytest.raises(Conflict, match="replica 0"):
        train("run_1", 1)
    script("raise SystemExit(1)")
    with pytest.raises(JobFailed):
        train("run_2")
    with pytest.raises(Conflict):
        train("run_2", 1)


def test_metrics_are_seen_while_it_runs(train, trainer: Trainer, experiments, script):
    script(SLOW)
    folder = trainer.folder("run_1")
    seen: list[list[float]] = []

    def look() -> None:
        if (folder / "running").exists() and experiments.get("run_1").metrics:
            seen.append(losses(experiments, "run_1"))
            (folder / "go").touch()

    train("run_1", on_poll=look)
    assert seen[0] == [1.0]
    assert losses(experiments, "run_1") == [1.0, 0.5]


def test_edits_during_the_run_change_nothing(train, trainer: Trainer, project, script, experiments):
    script(SLOW.replace("mini.log(1,", "import late\nmini.log(1,"))
    (project / "late.py").write_text("print('the old one')")
    folder = trainer.folder("run_1")

    def edit() -> None:
        (project / "late.py").write_text("raise SystemExit('the new one')")
        (project / "train.py").write_text("raise SystemExit('the new one')")
        (folder / "go").touch()

    train("run_1", on_poll=Once(folder, edit))
    assert (folder / "log.txt").read_text() == "the old one\n"


def test_a_recipe_is_trained_as_it_was_made(train, trainer: Trainer, rows, script):
    recipe = trainer.recipe(rows)
    script("raise SystemExit('changed since')")
    assert train("run_1", recipe=recipe).job.outcome == "finished"


def test_replicas_train_side_by_side(train, trainer: Trainer, rows, experiments):
    recipe = trainer.recipe(rows)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda i: train(f"run_{i}", i, recipe=recipe), range(2)))
    assert [training.seed for training in found] == [0, 1]
    assert [experiments.get(f"run_{i}").metrics["seed"] for i in range(2)] == [0, 1]


def test_one_run_asked_for_twice_at_once_is_trained_once(train, trainer: Trainer, rows, experiments, script):
    script("import os\nopen(os.environ['TREADLE_JOB'] + '/times', 'a').write('x')\n" + SLOW)
    recipe = trainer.recipe(rows)
    folder = trainer.folder("run_1")
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(train, recipe=recipe, on_poll=Once(folder, go(folder))) for _ in range(3)]
        trainings = [future.result() for future in found]
    assert trainings == [trainings[0]] * 3
    assert (folder / "times").read_text() == "x"
    assert losses(experiments, "run_1") == [1.0, 0.5]


# ── what goes wrong ──────────────────────────────────────────────────────────


def test_a_crash(train, experiments, script, trainer: Trainer):
    script("import mini\nmini.log(0, loss=1.0)\nprint('so far')\nraise ValueError('bad depth')")
    with pytest.raises(JobFailed, match="exit code 1") as caught:
        train("run_1")
    assert "so far" in caught.value.message
    assert "ValueError: bad depth" in caught.value.message
    assert caught.value.where == str(trainer.folder("run_1") / "log.txt")
    run = experiments.get("run_1")
    assert (run.status, run.metrics) == ("failed", {"loss": 1.0})
    assert "bad depth" in (run.message or "")
    with pytest.raises(JobFailed, match="exit code 1"):
        train("run_1")
    assert trainer.trained(run.recipe or "", 0) is None


def test_a_hang_that_ignores_being_asked(project, rows, script, experiments, workspace):
    text = (project / "treadle.toml").read_text()
    (project / "treadle.toml").write_text(text.replace('"60s"', '"1s"').replace('"2s"', '"0.5s"'))
    opened = Workspace.open(project)
    trainer = Trainer(opened)
    script(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf')\ntime.sleep(600)"
    )
    try:
        with pytest.raises(JobTimedOut, match=r"longer than 1\.0s") as caught:
            trainer.train(trainer.recipe(rows), project / "data" / "rows.parquet", 0, "run_1")
    finally:
        opened.close()
    assert "deaf" in caught.value.message
    assert experiments.get("run_1").status == "failed"


def test_no_model(train, experiments, script):
    script("import mini\nmini.log(0, loss=1.0)\nmini.finish()")
    with pytest.raises(JobFailed, match="logged no model") as caught:
        train("run_1")
    assert "run.log_model" in (caught.value.fix or "")
    assert experiments.get("run_1").status == "finished"


@pytest.mark.parametrize("command", ["no-such-program train.py", "python train.py 'unbalanced"])
def test_a_command_that_cannot_be_run(train, trainer: Trainer, rows, experiments, command):
    recipe = msgspec.structs.replace(trainer.recipe(rows), command=command)
    with pytest.raises(JobFailed, match="can't be run"):
        train("run_1", recipe=recipe)
    assert experiments.get("run_1").status == "failed"


def test_missing_data_starts_nothing(train, project, trainer: Trainer, experiments):
    (project / "data" / "rows.parquet").unlink()
    with pytest.raises(NotFound, match="data to train on"):
        train("run_1")
    assert not trainer.folder("run_1").exists()
    with pytest.raises(NotFound):
        experiments.get("run_1")


def test_a_script_that_ends_well_without_finishing_its_run_has_finished_it(train, experiments, script):
    script("import mini\nmini.model()")
    assert train("run_1").job.outcome == "finished"
    assert experiments.get("run_1").status == "finished"


def test_a_journal_that_cannot_be_read(train, experiments, script):
    script("import mini\nmini.model()\n(mini.folder / 'journal.jsonl').write_text('rubbish\\n')")
    with pytest.raises(CorruptData):
        train("run_1")
    assert experiments.get("run_1").status == "failed"


# ── kill -9 ──────────────────────────────────────────────────────────────────

CALLER = """
import sys, msgspec
from pathlib import Path
from treadle.kernel.workspace import Workspace
from treadle.kernel import database
from treadle.train import Recipe, Trainer
import treadle.experiment.store, treadle.train.store
database._migrate = lambda db, root: database.schema.create_all(db.engine)
root = Path(sys.argv[1])
recipe = msgspec.json.decode(sys.argv[2], type=Recipe)
training = Trainer(Workspace.open(root)).train(recipe, root / "data/rows.parquet", 0, "run_1")
print(msgspec.json.encode(training).decode())
"""


def caller(project: Path, recipe: Recipe) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CALLER, str(project), msgspec.json.encode(recipe).decode()]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_training_goes_on_without_its_caller_and_is_adopted(
    train, trainer: Trainer, rows, project, script, experiments
):
    script(SLOW)
    recipe = trainer.recipe(rows)
    folder = trainer.folder("run_1")
    process = caller(project, recipe)
    until((folder / "running").exists)
    process.kill()
    process.communicate()
    go(folder)()
    training = train("run_1", recipe=recipe)
    assert training.run == "run_1"
    assert losses(experiments, "run_1") == [1.0, 0.5]
    assert not trainer.folder("run_1.2").exists()


def test_killed_at_any_moment_the_training_is_one(
    train, trainer: Trainer, rows, project, experiments, script
):
    """The caller is killed later and later until it gets through; then everything is there once."""
    script(
        """
import mini, time
for i in range(5):
    mini.log(i, loss=i)
    time.sleep(0.05)
mini.model()
mini.finish()
"""
    )
    recipe = trainer.recipe(rows)
    delay, kills = 0.2, 0
    while True:
        process = caller(project, recipe)
        try:
            out, _ = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            delay, kills = delay + 0.1, kills + 1
            continue
        break
    told = msgspec.json.decode(out, type=Training)
    assert kills >= 2
    assert train("run_1", recipe=recipe) == told
    assert losses(experiments, "run_1") == [0, 1, 2, 3, 4]
    assert experiments.get("run_1").status == "finished"


def test_a_job_lost_with_its_supervisor_is_begun_anew(train, trainer: Trainer, experiments, script):
    script(SLOW)
    first, second = trainer.folder("run_1"), trainer.folder("run_1.2")

    def begun() -> Begun:
        return msgspec.json.decode((first / BEGUN).read_bytes(), type=Begun)

    def kill() -> None:
        until(lambda: experiments.ingest(first).metrics)
        until(lambda: begun().command)  # the script may be further than who started it is with noting that
        os.kill(begun().supervisor, signal.SIGKILL)
        threading.Thread(target=lambda: (until((second / "running").exists), go(second)())).start()

    training = train("run_1", on_poll=Once(first, kill))
    assert (training.run, training.job.outcome) == ("run_1.2", "finished")
    assert train("run_1") == training
    lost = experiments.get("run_1")
    assert lost.status == "failed"
    assert "lost" in (lost.message or "")
    assert losses(experiments, "run_1") == [1.0]
    assert losses(experiments, "run_1.2") == [1.0, 0.5]


def test_a_job_that_is_lost_every_time_fails(train, script, trainer: Trainer, experiments):
    script("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nimport time\ntime.sleep(600)")
    with pytest.raises(JobFailed, match="every time"):
        train("run_1")
    assert [experiments.get(run).status for run in ("run_1.2", "run_1.3")] == ["failed", "failed"]
    assert not trainer.folder("run_1.4").exists()
