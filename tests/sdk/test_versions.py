"""A registered model for a script that goes on from it, and the lineage that this makes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

import treadle
from treadle.client import Client
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound
from treadle.kernel.workspace import Workspace
from treadle.registry import Catalog, ModelFile, NewCatalogVersion, NewVersion, Registry, Signature
from treadle.registry.types import Field

FILES = {"model.onnx": b"weights", "signature.json": b"{}", "example.json": b"{}"}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a registered version, and another whose files are elsewhere; no server."""
    for name in ("TREADLE_URL", "TREADLE_JOB", "TREADLE_RUN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("treadle.sdk.datasets._pending", {})
    root = tmp_path / "toy"
    root.mkdir()
    monkeypatch.chdir(root)
    (root / "treadle.toml").write_text('[project]\nname = "toy"\n\n[registry]\nrequire = []\n')
    with closing(Workspace.open(root)) as workspace:
        files = tuple(ModelFile(name, workspace.blobs.put(data), len(data)) for name, data in FILES.items())
        signature = Signature((Field("hour", "float"),), "probability")
        Registry(workspace).register(NewVersion(model="toy", run="first", files=files, signature=signature))
    return root


def test_a_script_gets_the_files_and_its_run_keeps_the_version(toy: Path) -> None:
    with treadle.start_run("tune", system_metrics=False) as run:
        folder = Path(treadle.model("toy/1"))
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    with Client.in_process(toy) as client:
        (used,) = client.run(run.id).inputs
        assert (used.name, used.context) == ("toy/1", "base model")
        assert [(step.kind, step.id) for step in client.lineage("toy/1").used_by] == [("run", run.id)]
        assert client.lineage(run.id).made_of[0].id == "toy/1"


def test_files_that_were_changed_are_brought_again(toy: Path) -> None:
    folder = Path(treadle.model("toy"))
    (folder / "model.onnx").write_bytes(b"other weights")
    assert Path(treadle.model("toy@latest")) == folder
    assert (folder / "model.onnx").read_bytes() == b"weights"


def test_what_comes_damaged_is_refused_and_not_kept(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "fetch_blob", lambda _, __, path: path.write_bytes(b"torn"))
    with pytest.raises(CorruptData, match="isn't what was registered"):
        treadle.model("toy/1")
    assert not list((toy / ".treadle" / "cache" / "models").rglob("model.onnx"))


def test_what_is_not_there_says_so(toy: Path) -> None:
    with pytest.raises(NotFound):
        treadle.model("toy/7")
    with pytest.raises(InvalidInput, match="names no version"):
        treadle.model("toy/x")
    with closing(Workspace.open(toy)) as workspace:
        Catalog(workspace).create_model("theirs")
        Catalog(workspace).create_version(NewCatalogVersion(model="theirs", source="s3://elsewhere/model"))
    with pytest.raises(InvalidInput, match=r"files of theirs/1") as error:
        treadle.model("theirs/1")
    assert "models:/theirs/1" in error.value.fix
