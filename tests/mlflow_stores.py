"""Stores that a real MLflow made (see fixtures/mlflow/make.py), taken in and looked at."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from treadle.client import Client
from treadle.interop import Importer, ImportReport, Trouble, open_source
from treadle.interop.http_source import HttpSource
from treadle.interop.types import Source

STORES = Path(__file__).parent / "fixtures" / "mlflow"


def make_filestore(folder: Path) -> Path:
    """A file store of MLflow 3.17, with the empty folders that Git doesn't keep."""
    shutil.copytree(STORES / "filestore", folder)
    for meta in folder.rglob("meta.yaml"):
        if "artifact_uri" in meta.read_text():
            (meta.parent / "artifacts").mkdir(exist_ok=True)
    return folder


def make_database(path: Path, dump: str = "database.sql") -> Path:
    """A database of MLflow's from its dump."""
    connection = sqlite3.connect(path)
    connection.executescript((STORES / dump).read_text())
    connection.close()
    return path


def make_home(folder: Path) -> Path:
    """A project that has nothing but a name."""
    folder.mkdir()
    (folder / "treadle.toml").write_text('[project]\nname = "tracked"\n')
    return folder


def take(store: str | Path, client: Client, *artifacts: Path, **how: Any) -> ImportReport:
    """Imports a store."""
    troubles: list[Trouble] = []
    source = open_source(str(store), troubles.append, artifacts)
    try:
        return Importer(source, client, troubles, **how).run()
    finally:
        source.close()


def counts(report: ImportReport) -> dict[str, tuple[int, int]]:
    """What a report says, by what is counted."""
    return {line.what: (line.there, line.here) for line in report.lines}


def over_http(client: Client) -> tuple[HttpSource, list[Trouble]]:
    """A Treadle as the protocol of MLflow shows it."""
    troubles: list[Trouble] = []
    return HttpSource(client._transport, "http://treadle.test", troubles.append), troubles


def everything(source: Source, *, ids: bool = False) -> dict[str, Any]:
    """All that a source has, comparable; experiments by their names."""
    found: dict[str, Any] = {}
    for experiment in source.experiments():
        if experiment.name == "Default":
            continue
        found["experiment", experiment.name] = (
            experiment.id if ids else "",
            experiment.lifecycle,
            experiment.tags,
        )
        for head in source.heads(experiment.id):
            run = source.run(head.id)
            assert run
            curves = {
                name: sorted(zip(c.at.tolist(), c.steps.tolist(), map(repr, c.values.tolist()), strict=True))
                for name, c in source.curves(head.id)
            }
            files = {file.path: b"".join(file.read()) for file in source.files(head.id) or ()}
            found["run", head.id] = (
                run.name, run.user, run.status, run.lifecycle, run.started_at, run.ended_at, run.params,
                run.tags, sorted(run.inputs, key=repr), sorted(run.models, key=repr), curves, files,
            )  # fmt: skip
        for model in source.logged_models(experiment.id):
            files = {file.path: b"".join(file.read()) for file in source.model_files(model) or ()}
            found["model", model.id] = (
                model.name, model.status, model.run, model.params, model.tags,
                sorted(map(repr, model.metrics)), files,
            )  # fmt: skip
    for one in source.registered_models():
        model = one.model
        found["registered", model.name] = (model.description, model.tags, model.aliases, model.created_at)
        for version in one.versions:
            found["version", model.name, version.number] = (
                version.description, version.stage, version.run, version.logged_model, version.tags,
                version.source, version.created_at,
            )  # fmt: skip
    return found
