"""MLflow's own client finds, downloads and moves versions that Treadle made."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

import pytest

from treadle.data.types import DataInput, SliceSpec
from treadle.experiment import Experiments, LogArtifact, NewRun
from treadle.experiment.types import JournalBatch
from treadle.kernel.workspace import Workspace
from treadle.registry import Catalog, Field, ModelFile, NewVersion, Registry, Signature

FILES = {"example.json": b"{}", "model.onnx": b"onnx", "signature.json": b"[]"}


@pytest.fixture
def made(tracked):
    """A version of ``own`` that Treadle made, of a run whose files are kept."""
    with closing(Workspace.open(tracked.root)) as workspace:
        files = tuple(ModelFile(path, workspace.blobs.put(data), len(data)) for path, data in FILES.items())
        runs = Experiments(workspace)
        runs.create(NewRun(id="f" * 32, name="r", started_at=datetime(2026, 3, 1, tzinfo=UTC)))
        logged = [LogArtifact(f"model/{file.path}", file.size, file.digest) for file in files]
        runs.apply("f" * 32, JournalBatch(first=0, records=logged))
        rows = DataInput(
            role="train", spec=SliceSpec(dataset="d", version="d" * 64), number=1, digest="e", rows=9
        )
        version = Registry(workspace).register(
            NewVersion(
                model="own",
                run="f" * 32,
                recipe="r_1",
                code="c" * 64,
                environment="f" * 64,
                seed=0,
                data=(rows,),
                params={"depth": 3},
                metrics={"roc_auc": 0.7},
                signature=Signature((Field("hour", "float"),), "probability"),
                files=files,
                evaluations=("ev_1",),
                profile=workspace.blobs.put(b"{}"),
                serve={"port": "8100"},
            )
        )
        Catalog(workspace).set_alias("own", "champion", "1")
        yield version


def test_a_version_of_treadles_in_mlflows_client(tracked, made, tmp_path):
    found = tracked.run(
        """
        from mlflow.exceptions import MlflowException
        one = client.get_model_version_by_alias("own", "champion")
        by_number = mlflow.artifacts.download_artifacts("models:/own/1", dst_path="by_number")
        by_alias = mlflow.artifacts.download_artifacts("models:/own@champion", dst_path="by_alias")
        client.set_model_version_tag("own", "1", "seen", "yes")
        client.create_model_version("own", "s3://bucket/other")
        codes = {}
        for name, do in {
            "stage": lambda: client.transition_model_version_stage("own", "1", "Production"),
            "delete": lambda: client.delete_model_version("own", "1"),
            "rename": lambda: client.rename_registered_model("own", "mine"),
        }.items():
            try:
                do()
            except MlflowException as error:
                codes[name] = [error.error_code, str(error)]
        client.transition_model_version_stage("own", "2", "Production")
        say(number=one.version, run=one.run_id, source=one.source, codes=codes,
            files={d: sorted(os.listdir(d)) for d in (by_number, by_alias)},
            onnx=open(os.path.join(by_number, "model.onnx")).read(),
            stages={v.version: v.current_stage for v in client.search_model_versions("name = 'own'")})
        """,
        tmp_path,
    )
    assert (found["number"], found["run"], found["source"]) == ("1", "f" * 32, f"runs:/{'f' * 32}/model")
    assert list(found["files"].values()) == [sorted(FILES)] * 2
    assert found["onnx"] == "onnx"
    assert found["stages"] == {"1": "None", "2": "Production"}
    codes = found["codes"]
    # Its evaluation isn't here, so that nobody knows whether it passed.
    assert codes["stage"][0] == "RESOURCE_DOES_NOT_EXIST"
    for name, says in {"delete": "archive own/1", "rename": "made or runs"}.items():
        assert codes[name][0] == "INVALID_PARAMETER_VALUE"
        assert says in codes[name][1]
    with closing(Workspace.open(tracked.root)) as workspace:
        registry = Registry(workspace)
        assert registry.get("own/1").tags == {"seen": "yes"}
        assert registry.get("own/2").status == "production"
