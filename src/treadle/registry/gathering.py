"""What is known of a version that somebody registers: from its run, its logged model and its files."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from treadle.data.types import DataInput
from treadle.experiment import Artifact, Experiments, Files, LoggedModels, Run
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound, StorageError, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.registry.catalog_source import Origin
from treadle.registry.mlmodel import MLMODEL, read_mlmodel
from treadle.registry.pickles import scan
from treadle.registry.types import ModelFile, Passport, Pickled, Signature, UsedData

_SMALL = 1 << 20
# What is large and never a pickle; a server looks into every file again before it loads one.
_PLAIN = frozenset({".onnx", ".safetensors", ".parquet", ".csv"})
_COMMIT = "mlflow.source.git.commit"
_TAGS = {name: f"treadle.{name}" for name in ("licence", "hardware", "owner")}
_ENVIRONMENTS = ("requirements.txt", "conda.yaml", "python_env.yaml")


def gather(workspace: Workspace, model: str, origin: Origin, tags: Mapping[str, str]) -> Passport:
    """Everything that can be found out of a version; what can't is empty.

    Args:
        workspace: Where everything is kept.
        model: The registered model's name; ``[model]`` of ``treadle.toml`` is of the project's own.
        origin: Where the version comes from.
        tags: The version's tags: ``treadle.licence``, ``treadle.hardware`` and ``treadle.owner`` count.
    """
    files = _files(workspace, origin.storage)
    parts = _of_files(workspace, files) | _of_run(workspace, origin.run)
    parts["metrics"] = parts.get("metrics", {}) | _of_logged_model(workspace, origin.logged)
    about = workspace.config.about if model == workspace.config.model else None
    for name, tag in _TAGS.items():
        parts[name] = tags.get(tag) or getattr(about, name, "")
    return Passport(**parts)


def _files(workspace: Workspace, storage: str) -> dict[str, Artifact]:
    """The files below a folder by their path in it; none if they aren't kept here."""
    files = Files(workspace)
    try:
        place = files.of_uri(storage, "")
    except (InvalidInput, NotFound):
        return {}
    start = f"{place.path}/" if place.path else ""
    return {one.path.removeprefix(start): one for one in files.below(place) if one.path.startswith(start)}


def _of_files(workspace: Workspace, files: Mapping[str, Artifact]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "files": tuple(ModelFile(path, one.digest, one.size) for path, one in sorted(files.items()))
    }
    found["pickles"] = _pickles(workspace, files)
    found["environment"] = next((files[name].digest for name in _ENVIRONMENTS if name in files), "")
    if (signature := files.get("signature.json")) and "model.onnx" in files:
        with contextlib.suppress(msgspec.DecodeError):  # then it isn't one of ours
            found["signature"] = msgspec.json.decode(_read(workspace, signature), type=Signature)
    if (file := files.get(MLMODEL)) and (described := read_mlmodel(_read(workspace, file))):
        found |= {name: getattr(described, name) for name in ("flavors", "interface", "example")}
        found.setdefault("signature", described.signature)
    return found


def _pickles(workspace: Workspace, files: Mapping[str, Artifact]) -> tuple[Pickled, ...]:
    """The pickles among the files; those whose bytes are lost can't be loaded either."""
    found: list[Pickled] = []
    with tempfile.TemporaryDirectory() as folder:
        for path, file in sorted(files.items()):
            if PurePosixPath(path).suffix not in _PLAIN:
                copy = Path(folder) / file.digest
                with contextlib.suppress(NotFound, StorageError, CorruptData):
                    workspace.blobs.fetch(file.digest, copy)
                    found += scan(copy, path)
                copy.unlink(missing_ok=True)
    return tuple(found)


def _read(workspace: Workspace, file: Artifact) -> bytes:
    """A small file's bytes; nothing of a large one, or of one whose bytes are lost."""
    if file.size > _SMALL:
        return b""
    try:
        return workspace.blobs.get(file.digest)
    except (NotFound, StorageError):
        return b""


def _of_run(workspace: Workspace, run_id: str) -> dict[str, Any]:
    try:
        run = Experiments(workspace).get(run_id) if run_id else None
    except TreadleError:
        run = None
    if run is None:
        return {}
    data, used = _inputs(run)
    metrics = {name: value for name, value in _finite(run.metrics).items() if not name.startswith("system/")}
    return {
        "recipe": run.recipe or "",
        "code": (run.provenance and run.provenance.commit) or run.tags.get(_COMMIT, ""),
        "seed": run.seed,
        "cycle": run.cycle,
        "data": data,
        "used": used,
        "params": dict(run.params),
        "metrics": metrics,
        "curves": tuple(sorted(metrics)),
        "made_by": run.user,
    }


def _inputs(run: Run) -> tuple[tuple[DataInput, ...], tuple[UsedData, ...]]:
    """The rows of versions kept here that a run noted, and the datasets that it only named."""
    data, used = [], []
    for one in run.inputs:
        try:
            data.append(msgspec.json.decode(one.source, type=DataInput))
        except msgspec.DecodeError:
            used.append(UsedData(name=one.name, digest=one.digest, context=one.context))
    return tuple(data), tuple(used)


def _of_logged_model(workspace: Workspace, logged: str) -> dict[str, float]:
    try:
        model = LoggedModels(workspace).get(logged) if logged else None
    except TreadleError:
        model = None
    return _finite({one.name: one.value for one in model.metrics}) if model else {}


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
