"""Models in MLflow's format answer from a process of their own, which can die without the server."""

from __future__ import annotations

import gc
import json
import os
import pickle
import platform
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("mlflow", reason="mlflow-skinny, which writes these models, isn't installed")

import yaml
from mlflow_models import ROWS, fitted, save_custom, save_sklearn
from replica_parts import (
    HTTP,
    FolderPlatform,
    ServicesPlatform,
    inbox_rows,
    options,
    post,
    running,
    status,
    tensor,
    wait_for,
)

from treadle.deploy.worker import Environments, ForeignModel, Preparing
from treadle.deploy.worker import environments as environments_module
from treadle.deploy.worker.environments import _interpreter
from treadle.experiment import Experiments, JournalBatch, LogArtifact, NewRun
from treadle.kernel.errors import ModelInvalid, Refused, Unavailable
from treadle.kernel.workspace import Workspace
from treadle.registry import Pickled, Registration, Registry, register_model
from treadle.retrain import approve, redeploy

HOURS = {"inputs": [tensor("hour", "FP64", [1.0, 9.25]), tensor("stops", "INT64", [0, 2])]}


def custom(hour: float) -> dict[str, object]:
    return {"dataframe_records": [{"hour": hour, "name": "abc"}]}


@pytest.fixture(scope="module")
def sklearn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sklearn(tmp_path_factory.mktemp("sklearn") / "model")


@pytest.fixture(scope="module")
def custom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_custom(tmp_path_factory.mktemp("custom") / "model")


def load(folder: Path, output: Path, timeout: float = 20.0) -> ForeignModel:
    return ForeignModel.load(folder, Path(sys.executable), output, timeout, local=True)


def test_a_scikit_learn_model_is_served_by_both_protocols(sklearn_folder, tmp_path):
    expected = fitted().predict_proba(ROWS)[:, 1]
    chosen = options(tmp_path / "state", environments="local")
    with running(chosen, FolderPlatform(sklearn_folder)) as server:
        assert HTTP.request("GET", f"{server.url}/v2/models/toy").json() == {
            "name": "toy",
            "versions": ["7"],
            "platform": "mlflow_pyfunc",
            "inputs": [
                {"name": "hour", "datatype": "FP64", "shape": [-1]},
                {"name": "stops", "datatype": "INT64", "shape": [-1]},
                {"name": "id", "datatype": "BYTES", "shape": [-1]},
                {"name": "at", "datatype": "FP64", "shape": [-1]},
            ],
            "outputs": [
                {"name": "probability", "datatype": "FP64", "shape": [-1]},
                {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
            ],
        }
        code, answer = post(server.url, HOURS)
        assert (code, answer["outputs"][0]["data"]) == (200, pytest.approx(expected[[0, 2]]))
        split = {"dataframe_split": ROWS.to_dict("split")}
        code, answer = post(server.url, split, "/invocations")
        assert (code, answer) == (200, {"predictions": pytest.approx(expected)})
        code, answer = post(server.url, {"inputs": HOURS["inputs"][:1]})
        assert (code, answer) == (400, {"error": "input 'stops' is missing; the model takes hour, stops"})
        assert HTTP.request("GET", f"{server.url}/openapi.json").status == 200
        pid = server.fleet.holders[0].current.loaded.pid
    del server
    wait_for(lambda: gc.collect() >= 0 and not Path(f"/proc/{pid}").exists())


def test_a_model_that_fails_dies_or_hangs_takes_its_process_along_and_not_the_server(custom_folder, tmp_path):
    chosen = options(tmp_path / "state", environments="local", timeout=2.0)
    with running(chosen, FolderPlatform(custom_folder)) as server:

        def ask(hour: float) -> tuple[int, dict[str, object]]:
            return post(server.url, custom(hour), "/invocations")

        assert ask(4.0) == (200, {"predictions": [11.0]})
        for hour, said in (
            (-1.0, "ValueError: no such hour"),
            (-4.0, "it answers with text, and its signature doesn't say so"),
        ):
            code, answer = ask(hour)
            assert code == 500
            assert said in answer["message"]
        process = server.fleet.holders[0].current.loaded.pid
        code, answer = ask(-2.0)
        assert (code, answer["message"]) == (500, "the model's process was killed by SIGSEGV")
        code, answer = ask(4.0)
        assert (code, answer["message"]) == (503, "the model's process died and is being started again")
        assert status(f"{server.url}/v2/health/live") == 200
        wait_for(lambda: ask(4.0)[0] == 200)
        assert server.fleet.holders[0].current.loaded.pid not in (None, process)


def test_an_answer_that_does_not_come_ends_the_process(custom_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    model = load(custom_folder, tmp_path / "log", timeout=0.5)
    assert model.example == {"hour": [1.0, 2.0], "name": ["ab", None]}
    assert b"hush" not in Path(f"/proc/{model.pid}/environ").read_bytes()
    with pytest.raises(ModelInvalid, match=r"result of shape \[1\]"):
        model.predict({"hour": [-5.0, 1.0], "name": ["", ""]})
    pid = model.pid
    with pytest.raises(ModelInvalid, match=r"didn't answer within 0\.5 s, and its process was ended"):
        model.predict({"hour": [-3.0], "name": [None]})
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Unavailable, match="is being started again"):
        model.predict(model.example)


def changed(folder: Path, target: Path, **parts: object) -> Path:
    """A copy of a model with parts of its MLmodel replaced."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    said = yaml.safe_load((target / "MLmodel").read_bytes())
    (target / "MLmodel").write_text(yaml.safe_dump(said | parts))
    return target


def test_what_cannot_be_served_is_refused_with_what_to_do(sklearn_folder, custom_folder, tmp_path):
    dates = json.dumps([{"type": "datetime", "name": "when"}])
    pixels = json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 8, 8]}}])
    for at, (parts, message) in enumerate(
        (
            ({"signature": None}, "logged without a signature"),
            ({"flavors": {"sklearn": {}}}, "no python_function flavour"),
            ({"signature": {"inputs": dates}}, "its input 'when' is a datetime"),
            ({"signature": {"inputs": pixels}}, r"only \[-1, N\] of numbers"),
        )
    ):
        folder = changed(sklearn_folder, tmp_path / str(at), **parts)
        with pytest.raises(ModelInvalid, match=message):
            load(folder, tmp_path / "log")
    broken = changed(custom_folder, tmp_path / "broken")
    (broken / "python_model.pkl").write_bytes(b"no pickle")
    with pytest.raises(ModelInvalid, match="it can't be loaded: UnpicklingError"):
        load(broken, tmp_path / "log")
    (broken / "MLmodel").write_text("- no model")
    with pytest.raises(ModelInvalid, match="MLmodel can't be read"):
        load(broken, tmp_path / "log")


def logged(workspace: Workspace, folder: Path, run: str) -> str:
    """A run that logged a model."""
    runs = Experiments(workspace)
    runs.create(NewRun(id=run, name="r", user="ada", started_at=datetime(2026, 3, 1, tzinfo=UTC)))
    records = [
        LogArtifact(f"model/{path.name}", path.stat().st_size, workspace.blobs.put_file(path))
        for path in sorted(folder.iterdir())
    ]
    runs.apply(run, JournalBatch(first=0, records=records))
    return run


def test_a_model_of_a_run_is_registered_approved_served_and_deployed_again(
    workspace, sklearn_folder, tmp_path
):
    register_model(workspace, Registration(run=logged(workspace, sklearn_folder, "a" * 32), model="toy"))
    version = Registry(workspace).get("toy/1")
    assert version.signature is not None
    assert {field.name: field.kind for field in version.signature.inputs} == {"hour": "float", "stops": "int"}
    platform = ServicesPlatform(workspace, tmp_path / "inbox")
    with running(options(tmp_path / "state", environments="local"), platform, ready=False) as server:
        wait_for(lambda: platform.deployments.status("toy").replicas)
        first = approve(workspace, "toy/1", "ada", "looks right").revision
        second = redeploy(workspace, "toy/1", "ada", "once more")
        assert first is not None
        assert (first.state, second.state, second.revision) == ("serving", "serving", 2)
        code, answer = post(server.url, HOURS)
        assert (code, answer["model_version"]) == (200, "1")
        wait_for(lambda: len(inbox_rows(tmp_path / "inbox")) == 2)
    assert Registry(workspace).production("toy").ref == "toy/1"


def poisoned(folder: Path, target: Path, witness: Path) -> Path:
    """A copy of a model whose pickle runs a command when it is loaded."""

    class Shell:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {witness}",)

    changed(folder, target)
    (target / "python_model.pkl").write_bytes(pickle.dumps(Shell()))
    return target


def test_a_pickle_that_runs_commands_is_marked_and_neither_deployed_nor_loaded(
    workspace, custom_folder, tmp_path
):
    evil = poisoned(custom_folder, tmp_path / "evil", tmp_path / "witness")
    register_model(workspace, Registration(run=logged(workspace, evil, "a" * 32), model="toy"))
    version = Registry(workspace).get("toy/1")
    assert version.pickles == (Pickled("python_model.pkl", "dangerous", ("posix.system",)),)
    with pytest.raises(Refused, match=r"toy/1: python_model\.pkl is dangerous \(posix\.system\)"):
        approve(workspace, "toy/1", "ada", "looks right")
    platform = FolderPlatform(evil)  # one that would have it served all the same
    with running(options(tmp_path / "state", environments="local"), platform, ready=False):
        wait_for(lambda: any(report.failed == 1 for report in platform.reports))
    assert "python_model.pkl is dangerous" in (platform.reports[-1].error or "")
    assert not (tmp_path / "witness").exists()


def test_a_team_that_wants_no_pickles_gets_none(workspace, sklearn_folder, tmp_path):
    (Path(workspace.root) / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[registry]\npickle = "refuse"\n'
    )
    strict = Workspace.open(Path(workspace.root))
    register_model(strict, Registration(run=logged(strict, sklearn_folder, "a" * 32), model="toy"))
    assert Registry(strict).get("toy/1").pickles == (Pickled("model.pkl", "known"),)
    with pytest.raises(Refused, match=r"model\.pkl is a pickle, and \[registry\] pickle is 'refuse'"):
        approve(strict, "toy/1", "ada", "looks right")
    platform = FolderPlatform(sklearn_folder)
    chosen = options(tmp_path / "state", environments="local", pickle="refuse")
    with running(chosen, platform, ready=False):
        wait_for(lambda: any(report.failed == 1 for report in platform.reports))


# ── environments ─────────────────────────────────────────────────────────


def wheel(folder: Path, name: str = "hours") -> Path:
    """A package in a file, so that a real installation needs no index."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(f"{name}.py", "ANSWER = 42\n")
        packed.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", "")
    return path


def asked_for(folder: Path, requirements: str, python: str = platform.python_version()) -> Path:
    folder.mkdir()
    (folder / "requirements.txt").write_text(requirements)
    (folder / "python_env.yaml").write_text(f"python: {python}\n")
    return folder


def made(environments: Environments, model: Path) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return environments.python(model)
        except Preparing:
            time.sleep(0.05)
    raise AssertionError("it did not come")


def test_an_environment_is_made_once_for_the_same_requirements(tmp_path):
    file = wheel(tmp_path)
    environments = Environments(tmp_path / "environments", "own", ("--no-index",))
    first = asked_for(tmp_path / "a", f"# what it needs\nhours @ file://{file}\n")
    with pytest.raises(Preparing):
        environments.python(first)
    python = made(environments, first)
    code = "import hours, importlib.util as found; print(hours.ANSWER, found.find_spec('numpy'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.split() == ["42", "None"]
    again = Environments(tmp_path / "environments", "own")
    assert again.python(asked_for(tmp_path / "b", f"hours @ file://{file}\n")) == python


def test_a_server_without_pip_installs_by_that_of_the_environment(tmp_path, monkeypatch):
    python = str(tmp_path / "bin" / "python")
    venv, pip = environments_module._installer(tmp_path)
    assert (venv[-1], pip) == ("--without-pip", [sys.executable, "-m", "pip", "--python", python])
    monkeypatch.setattr(environments_module, "find_spec", lambda _: None)
    assert environments_module._installer(tmp_path) == (["-m", "venv"], [python, "-m", "pip"])


@pytest.mark.soak
def test_a_server_without_pip_makes_environments_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(environments_module, "find_spec", lambda _: None)
    environments = Environments(tmp_path / "environments", "own", ("--no-index",))
    python = made(environments, asked_for(tmp_path / "a", f"hours @ file://{wheel(tmp_path)}\n"))
    code = "import hours, sys, pip; print(hours.ANSWER, pip.__file__.startswith(sys.prefix))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout.split() == ["42", "True"]


def test_requirements_that_cannot_be_had_are_told_with_the_installers_words(tmp_path):
    environments = Environments(tmp_path / "environments", "own", ("--no-index",))
    gone = asked_for(tmp_path / "gone", "hours==2.0\n")
    with pytest.raises(ModelInvalid, match=r"its environment can't be made: .*hours==2\.0"):
        made(environments, gone)
    with pytest.raises(Preparing):  # asked again, it tries again
        environments.python(gone)
    with pytest.raises(ModelInvalid, match="doesn't choose where packages come from"):
        environments.python(asked_for(tmp_path / "index", "--extra-index-url https://evil.example\nhours\n"))
    (tmp_path / "none").mkdir()
    with pytest.raises(ModelInvalid, match="what it needs can't be read"):
        environments.python(tmp_path / "none")


def test_another_version_of_python_is_found_or_asked_for(tmp_path, monkeypatch):
    old = asked_for(tmp_path / "old", "hours\n", python="3.4.10")
    for kind, fix in (("local", 'environments = "own"'), ("own", "put python3.4 on the server's PATH")):
        with pytest.raises(ModelInvalid, match=f"was logged with python3.4(?s:.*){fix}"):
            Environments(tmp_path / "environments", kind).python(old)
    (tmp_path / "python3.4").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert _interpreter((3, 4), search=True) == tmp_path / "python3.4"


@pytest.mark.soak
def test_a_model_is_served_in_an_environment_made_from_its_own_requirements(tmp_path):
    needs = ["mlflow-skinny==3.17.2", "pandas", "scikit-learn", "cloudpickle"]
    folder = save_sklearn(tmp_path / "model", pip_requirements=needs)
    with running(options(tmp_path / "state"), FolderPlatform(folder), ready=False) as server:
        wait_for(lambda: status(f"{server.url}/v2/health/ready") == 200, timeout=300)
        loaded = server.fleet.holders[0].current.loaded
        command = Path(f"/proc/{loaded.pid}/cmdline").read_text()
        assert command.startswith(str(tmp_path / "state" / "environments"))
        code, answer = post(server.url, HOURS)
        assert (code, answer["outputs"][0]["data"]) == (
            200,
            pytest.approx(fitted().predict_proba(ROWS)[[0, 2], 1]),
        )
