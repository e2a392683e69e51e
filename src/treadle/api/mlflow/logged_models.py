"""Logged models: made, described, found, measured; and which runs used and made them."""

from __future__ import annotations

from typing import Any

import msgspec

from treadle.api.mlflow.artifacts_wire import FileOut, ListOut
from treadle.api.mlflow.entities import Tag, tags_out, texts_in, to_ms
from treadle.api.mlflow.route import Ask, Empty, MlflowRoute
from treadle.experiment import DatasetFilter, LoggedModel, LoggedStatus, ModelMetric
from treadle.experiment.grammar import LoggedModelOrder
from treadle.experiment.types import ModelLink, Value, portable
from treadle.kernel.errors import InvalidInput

_STATUSES: dict[str, LoggedStatus] = {
    "LOGGED_MODEL_STATUS_UNSPECIFIED": "unspecified",
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "failed",
}
_STATUS_NAMES = {status: name for name, status in _STATUSES.items()}


class ModelMetricOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value that was measured of a logged model."""

    key: str
    value: Value
    timestamp: int
    step: int
    dataset_name: str = ""
    dataset_digest: str = ""
    model_id: str = ""
    run_id: str = ""


class LoggedModelInfoOut(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a logged model is."""

    model_id: str
    experiment_id: str
    name: str
    creation_timestamp_ms: int
    last_updated_timestamp_ms: int
    artifact_uri: str
    status: str
    model_type: str = ""
    source_run_id: str = ""
    status_message: str | None = None
    tags: list[Tag] = []


class LoggedModelDataOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was logged of a model."""

    params: list[Tag] = []
    metrics: list[ModelMetricOut] = []


class LoggedModelOut(msgspec.Struct, frozen=True):
    """A logged model."""

    info: LoggedModelInfoOut
    data: LoggedModelDataOut


class OneModel(msgspec.Struct, frozen=True):
    """A logged model."""

    model: LoggedModelOut


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of logged models."""

    models: list[LoggedModelOut] = []
    next_page_token: str | None = None


class ModelInput(msgspec.Struct):
    """A logged model that a run says it used."""

    model_id: str


class _Create(msgspec.Struct):
    experiment_id: str
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Tag] = []
    tags: list[Tag] = []


class _Get(msgspec.Struct):
    allow_deleted: bool = False


class _Finalize(msgspec.Struct):
    status: str | int


class _Tags(msgspec.Struct):
    tags: list[Tag] = []


class _Params(msgspec.Struct):
    params: list[Tag] = []


class _Dataset(msgspec.Struct):
    dataset_name: str = ""
    dataset_digest: str = ""


class _Search(msgspec.Struct):
    experiment_ids: list[str]
    filter: str = ""
    datasets: list[_Dataset] = []
    max_results: int = 0
    order_by: list[LoggedModelOrder] = []
    page_token: str = ""


class _Directory(msgspec.Struct):
    artifact_directory_path: str = ""


class _Output(msgspec.Struct):
    model_id: str
    step: int = 0


class _Outputs(msgspec.Struct):
    run_id: str
    models: list[_Output]


class _Record(msgspec.Struct):
    run_id: str
    model_json: str


class _Recorded(msgspec.Struct):
    """What of an MLmodel file a run's history of models keeps."""

    artifact_path: str
    flavors: dict[str, Any]
    utc_time_created: str
    run_id: str
    model_uuid: str | None = None


def model_inputs_in(models: list[ModelInput]) -> list[ModelLink]:
    """The logged models that a run says it used."""
    return [ModelLink(one.model_id, "input") for one in models]


def logged_model_out(found: LoggedModel) -> LoggedModelOut:
    """A logged model on the wire."""
    info = LoggedModelInfoOut(
        model_id=found.id,
        experiment_id=found.experiment,
        name=found.name,
        creation_timestamp_ms=to_ms(found.created_at),
        last_updated_timestamp_ms=to_ms(found.updated_at),
        artifact_uri=found.artifacts,
        status=_STATUS_NAMES[found.status],
        model_type=found.model_type,
        source_run_id=found.run,
        status_message=found.message,
        tags=tags_out(found.tags),
    )
    data = LoggedModelDataOut(tags_out(found.params), [_metric_out(one) for one in found.metrics])
    return LoggedModelOut(info, data)


def _metric_out(one: ModelMetric) -> ModelMetricOut:
    return ModelMetricOut(
        key=one.name,
        value=portable(one.value),
        timestamp=one.at // 1000,
        step=one.step,
        dataset_name=one.dataset_name,
        dataset_digest=one.dataset_digest,
        model_id=one.model,
        run_id=one.run,
    )


def _status(text: str | int) -> LoggedStatus:
    names = list(_STATUSES)
    if isinstance(text, str) and text.isdecimal() and len(text) < 3:
        text = int(text)
    if isinstance(text, int) and 0 <= text < len(names):
        text = names[text]
    found = _STATUSES.get(str(text))
    if found is None:
        raise InvalidInput(f"{text!r:.80} is no status", where="status", fix=f"use one of {', '.join(names)}")
    return found


def _create(ask: Ask) -> OneModel:
    asked = ask.read(_Create)
    made = ask.rooms.logged_models.create(
        asked.experiment_id,
        name=asked.name or None,
        model_type=asked.model_type,
        run=asked.source_run_id,
        params=texts_in(asked.params),
        tags=texts_in(asked.tags),
    )
    return OneModel(logged_model_out(made))


def _get(ask: Ask) -> OneModel:
    found = ask.rooms.logged_models.get(ask.path["model_id"], deleted=ask.read(_Get).allow_deleted)
    return OneModel(logged_model_out(found))


def _finalize(ask: Ask) -> OneModel:
    status = _status(ask.read(_Finalize).status)
    return OneModel(logged_model_out(ask.rooms.logged_models.finalize(ask.path["model_id"], status)))


def _delete(ask: Ask) -> Empty:
    ask.rooms.logged_models.delete(ask.path["model_id"])
    return Empty()


def _set_tags(ask: Ask) -> Empty:
    ask.rooms.logged_models.set_tags(ask.path["model_id"], texts_in(ask.read(_Tags).tags))
    return Empty()


def _delete_tag(ask: Ask) -> Empty:
    ask.rooms.logged_models.delete_tag(ask.path["model_id"], ask.path["tag_key"])
    return Empty()


def _log_params(ask: Ask) -> Empty:
    ask.rooms.logged_models.log_params(ask.path["model_id"], texts_in(ask.read(_Params).params))
    return Empty()


def _search(ask: Ask) -> Page:
    asked = ask.read(_Search)
    page = ask.rooms.logged_models.search(
        asked.experiment_ids,
        where=asked.filter,
        datasets=[DatasetFilter(one.dataset_name, one.dataset_digest) for one in asked.datasets],
        order=asked.order_by,
        limit=asked.max_results or 100,
        token=asked.page_token or None,
    )
    return Page([logged_model_out(found) for found in page.models], page.token)


def _directories(ask: Ask) -> ListOut:
    """All at once, as for a run's files."""
    model = ask.rooms.logged_models.get(ask.path["model_id"])
    place = ask.rooms.files.of_model(model.id, ask.read(_Directory).artifact_directory_path)
    entries = ask.rooms.files.list(place)
    return ListOut(model.artifacts, [FileOut(e.path, e.size is None, e.size) for e in entries])


def _outputs(ask: Ask) -> Empty:
    asked = ask.read(_Outputs)
    links = [ModelLink(one.model_id, "output", one.step) for one in asked.models]
    ask.rooms.logged_models.link(asked.run_id, links)
    return Empty()


def _record(ask: Ask) -> Empty:
    asked = ask.read(_Record)
    try:
        entry = msgspec.json.decode(asked.model_json, type=_Recorded)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"the model's description can't be used: {error}", where="model_json") from None
    ask.rooms.logged_models.record(asked.run_id, msgspec.to_builtins(entry))
    return Empty()


_MODEL = "/logged-models/{model_id}"
ROUTES: tuple[MlflowRoute, ...] = (
    MlflowRoute("POST", "/logged-models", _create),
    MlflowRoute("POST", "/logged-models/search", _search),
    MlflowRoute("GET", _MODEL, _get),
    MlflowRoute("PATCH", _MODEL, _finalize),
    MlflowRoute("DELETE", _MODEL, _delete),
    MlflowRoute("PATCH", f"{_MODEL}/tags", _set_tags),
    MlflowRoute("DELETE", f"{_MODEL}/tags/{{tag_key:path}}", _delete_tag),
    MlflowRoute("POST", f"{_MODEL}/params", _log_params),
    MlflowRoute("GET", f"{_MODEL}/artifacts/directories", _directories),
    MlflowRoute("POST", "/runs/outputs", _outputs),
    MlflowRoute("POST", "/runs/log-model", _record),
)
