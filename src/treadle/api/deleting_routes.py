"""The routes by which runs, experiments and logged models are deleted, restored and collected."""

from __future__ import annotations

from treadle.api.route import Call, RouteSpec
from treadle.govern import Collect, Collected


def _delete_run(call: Call) -> None:
    """Deletes a run; it can be restored until it is collected."""
    call.rooms.tracking.delete_run(call.rooms.experiments.get(call.path["run"]).id)


def _restore_run(call: Call) -> None:
    """Restores a deleted run."""
    call.rooms.tracking.restore_run(call.rooms.experiments.get(call.path["run"]).id)


def _delete_experiment(call: Call) -> None:
    """Deletes an experiment, by its name, with its runs; they can be restored until they are collected."""
    tracking = call.rooms.tracking
    tracking.delete_experiment(tracking.experiment_named(call.path["experiment"]).id)


def _restore_experiment(call: Call) -> None:
    """Restores a deleted experiment, by its name, with its runs."""
    tracking = call.rooms.tracking
    tracking.restore_experiment(tracking.experiment_named(call.path["experiment"]).id)


def _delete_model(call: Call) -> None:
    """Deletes a logged model; it can be restored until it is collected."""
    call.rooms.logged_models.delete(call.path["model"])


def _restore_model(call: Call) -> None:
    """Restores a deleted logged model."""
    call.rooms.logged_models.restore(call.path["model"])


def _collect(call: Call) -> Collected:
    """Says what of the deleted goes and what that frees, or takes it away."""
    return call.rooms.collector.collect(call.body)


DELETING_ROUTES = (
    RouteSpec("DELETE", "/v1/runs/{run}", _delete_run, None),
    RouteSpec("POST", "/v1/runs/{run}/restoration", _restore_run, None),
    RouteSpec("DELETE", "/v1/experiments/{experiment}", _delete_experiment, None),
    RouteSpec("POST", "/v1/experiments/{experiment}/restoration", _restore_experiment, None),
    RouteSpec("DELETE", "/v1/logged-models/{model}", _delete_model, None),
    RouteSpec("POST", "/v1/logged-models/{model}/restoration", _restore_model, None),
    RouteSpec("POST", "/v1/gc", _collect, Collected, Collect),
)
