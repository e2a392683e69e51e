"""What is known of a registered version is found, what isn't is listed, what is required is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from treadle.experiment import (
    Experiments,
    JournalBatch,
    LogArtifact,
    LogMetrics,
    NewRun,
    Provenance,
    RunInput,
)
from treadle.kernel.errors import ConfigError, InvalidInput, NotFound
from treadle.kernel.ids import digest_bytes
from treadle.kernel.workspace import Workspace
from treadle.registry import (
    Catalog,
    ModelVersion,
    NewCatalogVersion,
    Registration,
    Registry,
    register_model,
    rules,
)
from treadle.registry.types import NewVersion, UsedData

RUN = "a" * 32
INPUTS = [{"type": "double", "name": "hour"}]
MLMODEL = f"""
flavors:
  python_function: {{loader_module: mlflow.sklearn}}
  sklearn: {{pickled_model: model.pkl}}
saved_input_example_info: {{artifact_path: input_example.json, type: dataframe}}
signature: {{inputs: '{json.dumps(INPUTS)}', outputs: '[{{"type": "long"}}]', params: null}}
"""
FILES = {
    "MLmodel": MLMODEL.encode(),
    "input_example.json": b"{}",
    "model.pkl": b"pickle",
    "requirements.txt": b"scikit-learn==1.7\n",
}


def log(workspace: Workspace, files: dict[str, bytes], folder: str = "model") -> None:
    """A run with params, metrics, data and the files of a model."""
    runs = Experiments(workspace)
    runs.create(
        NewRun(
            id=RUN,
            name="r",
            user="ada",
            started_at=datetime(2026, 3, 1, tzinfo=UTC),
            params={"depth": 3},
            provenance=Provenance(commit="c0ffee"),
            inputs=(
                RunInput(name="wine", digest="d1", source_type="local", source="/x", context="training"),
            ),
        )
    )
    records = [LogMetrics(at=1.0, values={"auc": 0.8, "bad": float("nan"), "system/cpu": 1.0})]
    for path, data in files.items():
        digest = workspace.blobs.put(data)
        records.append(LogArtifact(f"{folder}/{path}", len(data), digest))
    runs.apply(RUN, JournalBatch(first=0, records=records))


def register(workspace: Workspace, **more: object) -> ModelVersion:
    catalog = Catalog(workspace)
    if "wine" not in [one.name for one in catalog.search_models().models]:
        catalog.create_model("wine")
    known = {"model": "wine", "source": f"runs:/{RUN}/model", "run": RUN}
    made = catalog.create_version(NewCatalogVersion(**(known | more)))
    return Registry(workspace).get(f"wine/{made.number}")


def with_settings(workspace: Workspace, text: str) -> Workspace:
    root = Path(workspace.root)
    (root / "treadle.toml").write_text(f'[project]\nname = "wine"\n{text}')
    return Workspace.open(root)


def test_what_an_mlflow_client_logged_is_found(workspace):
    log(workspace, FILES)
    found = register(workspace, tags={"treadle.licence": "MIT"}, description="reds")
    assert (found.params, found.metrics, found.curves) == ({"depth": 3}, {"auc": 0.8}, ("auc",))
    assert (found.code, found.made_by, found.licence) == ("c0ffee", "ada", "MIT")
    assert found.environment == digest_bytes(FILES["requirements.txt"])
    assert found.used == (UsedData(name="wine", digest="d1", context="training"),)
    assert json.loads(found.interface) == {"inputs": INPUTS, "outputs": [{"type": "long"}]}
    assert (found.example, found.flavors) == ("input_example.json", ("python_function", "sklearn"))
    assert {file.path: file.size for file in found.files} == {name: len(data) for name, data in FILES.items()}
    assert found.size == sum(map(len, FILES.values()))
    assert found.id == rules.version_id(found)
    assert found.missing == ("recipe", "evaluations", "profile", "serve", "hardware", "owner")


def test_what_is_not_known_is_listed(workspace):
    found = register(workspace, source="s3://elsewhere/model", run="b" * 32)
    assert (found.id, found.files, found.size) == ("", (), 0)
    assert set(found.missing) == set(rules.HOW) - {"run"}


@pytest.mark.parametrize("text", [b"", b"[1]", b"a: [", b"\xff", b"signature: {inputs: '['}", b"flavors: 3"])
def test_a_broken_mlmodel_tells_nothing(workspace, text):
    log(workspace, {"MLmodel": text})
    found = register(workspace)
    assert (found.interface, found.example, found.flavors) == ("", "", ())
    assert "signature" in found.missing


def test_a_policy_refuses_what_lacks_something_and_says_what_to_do(workspace):
    log(workspace, FILES)
    opened = with_settings(workspace, '[registry]\nrequire = ["signature", "licence", "evaluations"]\n')
    with pytest.raises(InvalidInput) as refused:
        register(opened)
    said = str(refused.value)
    assert "evaluations is missing (let a cycle's gate judge it" in said
    assert "licence is missing (set `licence` in [model] of treadle.toml" in said
    assert "signature" not in said
    assert Registry(opened).list() == []
    opened.close()
    opened = with_settings(
        workspace, '[model]\nlicence = "MIT"\n[registry]\nrequire = ["signature", "licence"]\n'
    )
    assert register(opened).licence == "MIT"
    opened.close()
    with pytest.raises(ConfigError, match="require"):
        with_settings(workspace, '[registry]\nrequire = ["licens"]\n')


def test_a_policy_can_be_looser_for_what_treadle_makes(workspace, make_version):
    def lacking(model: str) -> NewVersion:
        return make_version(evaluations=(), profile="", serve={}, model=model)

    with pytest.raises(InvalidInput, match="evaluations is missing"):
        Registry(workspace).register(lacking("toy"))
    opened = with_settings(workspace, '[registry]\nrequire = ["files"]\n')
    made = Registry(opened).register(lacking("toy"))
    assert {"evaluations", "profile", "serve"} <= set(made.missing)
    opened.close()


def test_all_versions_can_be_governed(workspace):
    opened = with_settings(workspace, '[registry]\ngovern = "all"\n')
    assert register(opened, source="s3://elsewhere/model", run=None).governed
    opened.close()


def test_a_person_registers_a_model_of_a_run(workspace, make_model):
    folder = make_model("logged")
    log(workspace, {file.name: file.read_bytes() for file in folder.iterdir()})
    catalog = Catalog(workspace)
    with pytest.raises(NotFound, match="has no files in 'models'"):
        register_model(workspace, Registration(run=RUN, path="models", actor="ada"))
    with pytest.raises(NotFound):
        register_model(workspace, Registration(run="none", actor="ada"))
    assert catalog.search_models().models == []
    asked = Registration(run=RUN, licence="MIT", hardware="a CPU", owner="ada", description="d", actor="ada")
    made = register_model(workspace, asked)
    found = Registry(workspace).get(f"toy/{made.number}")
    assert (found.origin, found.governed, found.description) == ("person", True, "d")
    assert (found.licence, found.hardware, found.owner) == ("MIT", "a CPU", "ada")
    assert [field.name for field in found.signature.inputs] == ["hour", "carrier", "stops", "weekend"]
    assert Registry(workspace).load(found).signature == found.signature
    [first] = Registry(workspace).history("toy")
    assert (first.actor, first.reason) == ("ada", f"registered of run {RUN}")
