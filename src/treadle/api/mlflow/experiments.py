"""Experiments: created, found, changed."""

from __future__ import annotations

import msgspec

from treadle.api.mlflow.entities import ExperimentOut, Tag, experiment_out, texts_in
from treadle.api.mlflow.route import Ask, Empty, MlflowRoute
from treadle.api.mlflow.views import View, to_view
from treadle.kernel.errors import InvalidInput

_AT_ONCE = 20


class _Create(msgspec.Struct):
    name: str
    artifact_location: str | None = None
    tags: list[Tag] = []


class Created(msgspec.Struct, frozen=True):
    """The identifier of a new experiment."""

    experiment_id: str


class _Id(msgspec.Struct):
    experiment_id: str


class _Name(msgspec.Struct):
    experiment_name: str


class Found(msgspec.Struct, frozen=True):
    """An experiment that was asked for."""

    experiment: ExperimentOut


class _Rename(msgspec.Struct):
    experiment_id: str
    new_name: str


class _SetTag(msgspec.Struct):
    experiment_id: str
    key: str
    value: str = ""


class _DeleteTag(msgspec.Struct):
    experiment_id: str
    key: str


class _Search(msgspec.Struct):
    max_results: int = 1000
    page_token: str | None = None
    filter: str = ""
    order_by: list[str] = []
    view_type: View = "ACTIVE_ONLY"


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of experiments."""

    experiments: list[ExperimentOut] = []
    next_page_token: str | None = None


class _Datasets(msgspec.Struct):
    experiment_ids: list[str] = []


class DatasetSummaryOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dataset that runs of an experiment used."""

    experiment_id: str
    name: str
    digest: str
    context: str = ""


class Datasets(msgspec.Struct, frozen=True, omit_defaults=True):
    """The datasets that runs of experiments used."""

    dataset_summaries: list[DatasetSummaryOut] = []


def _create(ask: Ask) -> Created:
    asked = ask.read(_Create)
    made = ask.rooms.tracking.create_experiment(
        asked.name, texts_in(asked.tags), asked.artifact_location or None
    )
    return Created(made.id)


def _get(ask: Ask) -> Found:
    return Found(experiment_out(ask.rooms.tracking.experiment(ask.read(_Id).experiment_id)))


def _get_by_name(ask: Ask) -> Found:
    return Found(experiment_out(ask.rooms.tracking.experiment_named(ask.read(_Name).experiment_name)))


def _search(ask: Ask) -> Page:
    asked = ask.read(_Search)
    page = ask.rooms.tracking.search_experiments(
        asked.filter, asked.order_by, to_view(asked.view_type), asked.max_results, asked.page_token or None
    )
    return Page([experiment_out(found) for found in page.experiments], page.token)


def _rename(ask: Ask) -> Empty:
    asked = ask.read(_Rename)
    ask.rooms.tracking.rename_experiment(asked.experiment_id, asked.new_name)
    return Empty()


def _delete(ask: Ask) -> Empty:
    ask.rooms.tracking.delete_experiment(ask.read(_Id).experiment_id)
    return Empty()


def _restore(ask: Ask) -> Empty:
    ask.rooms.tracking.restore_experiment(ask.read(_Id).experiment_id)
    return Empty()


def _set_tag(ask: Ask) -> Empty:
    asked = ask.read(_SetTag)
    ask.rooms.tracking.tag_experiment(asked.experiment_id, asked.key, asked.value)
    return Empty()


def _delete_tag(ask: Ask) -> Empty:
    asked = ask.read(_DeleteTag)
    ask.rooms.tracking.untag_experiment(asked.experiment_id, asked.key)
    return Empty()


def _datasets(ask: Ask) -> Datasets:
    ids = ask.read(_Datasets).experiment_ids
    if not ids:
        raise InvalidInput("SearchDatasets request must specify at least one experiment_id.")
    if len(ids) > _AT_ONCE:
        raise InvalidInput(
            f"SearchDatasets request cannot specify more than {_AT_ONCE} experiment_ids, not {len(ids):,}"
        )
    found = ask.rooms.tracking.datasets(ids)
    return Datasets([DatasetSummaryOut(one.experiment, one.name, one.digest, one.context) for one in found])


ROUTES: tuple[MlflowRoute, ...] = (
    MlflowRoute("POST", "/experiments/create", _create),
    MlflowRoute("GET", "/experiments/get", _get),
    MlflowRoute("GET", "/experiments/get-by-name", _get_by_name),
    MlflowRoute("GET", "/experiments/search", _search),
    MlflowRoute("POST", "/experiments/search", _search),
    MlflowRoute("POST", "/experiments/search-datasets", _datasets),
    MlflowRoute("POST", "/experiments/update", _rename),
    MlflowRoute("POST", "/experiments/delete", _delete),
    MlflowRoute("POST", "/experiments/restore", _restore),
    MlflowRoute("POST", "/experiments/set-experiment-tag", _set_tag),
    MlflowRoute("POST", "/experiments/delete-experiment-tag", _delete_tag),
)
