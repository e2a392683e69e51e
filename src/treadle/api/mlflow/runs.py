"""Runs: started, found, changed, and what is known of them besides metrics."""

from __future__ import annotations

import msgspec

from treadle.api.mlflow.entities import (
    CONTEXT_TAG,
    STATUSES,
    RunInfoOut,
    RunOut,
    Tag,
    run_out,
    texts_in,
)
from treadle.api.mlflow.logged_models import ModelInput, model_inputs_in
from treadle.api.mlflow.route import Ask, Empty, MlflowRoute, Written
from treadle.api.mlflow.views import View, to_view
from treadle.api.mlflow.wire import required
from treadle.experiment import check_moment, to_datetime
from treadle.experiment.types import DEFAULT_ID, RunInput, RunStatus
from treadle.kernel.errors import InvalidInput

_NUMBERED = dict(enumerate(STATUSES.values(), start=1))


class _Create(msgspec.Struct):
    experiment_id: str = DEFAULT_ID
    user_id: str = ""
    run_name: str | None = None
    start_time: int = 0
    tags: list[Tag] = []


class OneRun(msgspec.Struct, frozen=True):
    """A run."""

    run: RunOut


class _Id(msgspec.Struct):
    run_id: str = ""
    run_uuid: str = ""

    @property
    def id(self) -> str:
        """The run's identifier, by either of its names.

        Raises:
            InvalidInput: If there is neither.
        """
        return required(self.run_id or self.run_uuid, "run_id")


class _Update(_Id):
    status: str | int | None = None
    end_time: int | None = None
    run_name: str | None = None


class Updated(msgspec.Struct, frozen=True):
    """A run that was changed."""

    run_info: RunInfoOut


class _Search(msgspec.Struct):
    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: View = "ACTIVE_ONLY"
    max_results: int = 1000
    order_by: list[str] = []
    page_token: str | None = None


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of runs."""

    runs: list[RunOut] = []
    next_page_token: str | None = None


class _Text(_Id):
    key: str = ""
    value: str = ""


class _Dataset(msgspec.Struct):
    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class _DatasetInput(msgspec.Struct):
    dataset: _Dataset
    tags: list[Tag] = []


class _Inputs(_Id):
    datasets: list[_DatasetInput] = []
    models: list[ModelInput] = []


def _create(ask: Ask) -> Written:
    asked = ask.read(_Create)
    started = to_datetime(check_moment(asked.start_time, "start_time")) if asked.start_time else None
    begun = ask.rooms.tracking.beginning(
        asked.experiment_id,
        name=asked.run_name or None,
        user=asked.user_id,
        started_at=started,
        tags=texts_in(asked.tags),
    )
    return Written(begun, lambda made: OneRun(run_out(made)))


def _get(ask: Ask) -> OneRun:
    return OneRun(run_out(ask.rooms.tracking.run(ask.read(_Id).id)))


def _update(ask: Ask) -> Updated:
    asked = ask.read(_Update)
    ended = None if asked.end_time is None else to_datetime(check_moment(asked.end_time, "end_time"))
    changed = ask.rooms.tracking.update_run(
        asked.id, status=_status(asked.status), ended_at=ended, name=asked.run_name
    )
    return Updated(run_out(changed).info)


def _status(text: str | int | None) -> RunStatus | None:
    if text is None:
        return None
    found = _NUMBERED.get(int(text)) if str(text).isdecimal() else STATUSES.get(str(text))
    if found is None:
        raise InvalidInput(f"{text!r} is no status", where="status", fix=f"use one of {', '.join(STATUSES)}")
    return found


def _search(ask: Ask) -> Page:
    asked = ask.read(_Search)
    page = ask.rooms.tracking.search_runs(
        asked.experiment_ids,
        asked.filter,
        asked.order_by,
        to_view(asked.run_view_type),
        asked.max_results,
        asked.page_token or None,
    )
    return Page([run_out(found) for found in page.runs], page.token)


def _delete(ask: Ask) -> Empty:
    ask.rooms.tracking.delete_run(ask.read(_Id).id)
    return Empty()


def _restore(ask: Ask) -> Empty:
    ask.rooms.tracking.restore_run(ask.read(_Id).id)
    return Empty()


def _set_tag(ask: Ask) -> Empty:
    asked = ask.read(_Text)
    ask.rooms.tracking.log_batch(asked.id, tags={required(asked.key, "key"): asked.value})
    return Empty()


def _delete_tag(ask: Ask) -> Empty:
    asked = ask.read(_Text)
    ask.rooms.tracking.delete_tag(asked.id, required(asked.key, "key"))
    return Empty()


def _log_param(ask: Ask) -> Empty:
    asked = ask.read(_Text)
    ask.rooms.tracking.log_batch(asked.id, params={required(asked.key, "key"): asked.value})
    return Empty()


def _log_inputs(ask: Ask) -> Empty:
    asked = ask.read(_Inputs)
    ask.rooms.tracking.log_inputs(
        asked.id, [_input(one) for one in asked.datasets], model_inputs_in(asked.models)
    )
    return Empty()


def _input(one: _DatasetInput) -> RunInput:
    tags = texts_in(one.tags)
    return RunInput(
        name=one.dataset.name,
        digest=one.dataset.digest,
        source_type=one.dataset.source_type,
        source=one.dataset.source,
        schema=one.dataset.schema,
        profile=one.dataset.profile,
        context=tags.get(CONTEXT_TAG, ""),
        tags={name: value for name, value in tags.items() if name != CONTEXT_TAG},
    )


ROUTES: tuple[MlflowRoute, ...] = (
    MlflowRoute("POST", "/runs/create", _create, quick=True),
    MlflowRoute("GET", "/runs/get", _get),
    MlflowRoute("POST", "/runs/update", _update),
    MlflowRoute("POST", "/runs/search", _search),
    MlflowRoute("POST", "/runs/delete", _delete),
    MlflowRoute("POST", "/runs/restore", _restore),
    MlflowRoute("POST", "/runs/set-tag", _set_tag),
    MlflowRoute("POST", "/runs/delete-tag", _delete_tag),
    MlflowRoute("POST", "/runs/log-parameter", _log_param),
    MlflowRoute("POST", "/runs/log-inputs", _log_inputs),
)
