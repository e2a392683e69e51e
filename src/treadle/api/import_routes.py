"""The routes by which runs and models of other tracking servers are taken in."""

from __future__ import annotations

from treadle.api.route import Call, Query, RouteSpec
from treadle.experiment import Check, Checked, ExperimentCopy, Imported, ImportedRuns, ImportModel, ImportRuns
from treadle.experiment.types import Experiment
from treadle.registry import CatalogModel, ImportCatalogModel, import_model


def _done(call: Call) -> list[Imported]:
    """What came from a source, by identifier, up to 10,000 at a time."""
    return call.rooms.imports.done(call.need("source"), call.query.get("after", ""))


def _experiment(call: Call) -> Experiment:
    """The experiment that another server's becomes: the one of that name, or a new one."""
    return call.rooms.imports.experiment(call.body)


def _runs(call: Call) -> ImportedRuns:
    """Takes runs in with all that belongs to them: of each everything or nothing."""
    return call.rooms.imports.runs(call.body)


def _logged_model(call: Call) -> Imported:
    """Takes a logged model in with all that belongs to it: everything or nothing."""
    return call.rooms.imports.model(call.body)


def _registered_model(call: Call) -> CatalogModel:
    """Takes a registered model in with its versions and aliases: everything or nothing."""
    return import_model(call.rooms.workspace, call.body)


def _check(call: Call) -> list[Checked]:
    """Counts what is kept of runs and logged models, and reads the bytes of their files again."""
    return call.rooms.imports.check(call.body)


IMPORT_ROUTES = (
    RouteSpec(
        "GET", "/v1/import", _done, list[Imported], query=(Query("source", required=True), Query("after"))
    ),
    RouteSpec("POST", "/v1/import/experiments", _experiment, Experiment, ExperimentCopy),
    RouteSpec("POST", "/v1/import/runs", _runs, ImportedRuns, ImportRuns),
    RouteSpec("POST", "/v1/import/logged-models", _logged_model, Imported, ImportModel),
    RouteSpec("POST", "/v1/import/registered-models", _registered_model, CatalogModel, ImportCatalogModel),
    RouteSpec("POST", "/v1/import/check", _check, list[Checked], Check),
)
