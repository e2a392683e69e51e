"""Experiments and runs as MLflow writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from treadle.experiment import text_of
from treadle.experiment.types import (
    Experiment,
    RunInput,
    RunStatus,
    Sample,
    TrackedRun,
    Value,
    portable,
)

Number = float | str
"""A float; what JSON has no number for comes as text, such as ``NaN``."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
CONTEXT_TAG = "mlflow.data.context"
STATUSES: dict[str, RunStatus] = {
    "RUNNING": "running",
    "SCHEDULED": "scheduled",
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "killed",
}
_STATUS_NAMES = {status: name for name, status in STATUSES.items()}


class Tag(msgspec.Struct, frozen=True):
    """A name and a text: a tag or a parameter."""

    key: str
    value: str = ""


class ExperimentOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """An experiment."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str
    last_update_time: int
    creation_time: int
    tags: list[Tag] = []


class MetricOut(msgspec.Struct, frozen=True):
    """A value of a metric."""

    key: str
    value: Value
    timestamp: int
    step: int


class DatasetOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dataset."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None


class DatasetInputOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dataset that a run used."""

    dataset: DatasetOut
    tags: list[Tag] = []


class RunInfoOut(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a run is."""

    run_uuid: str
    run_id: str
    run_name: str
    experiment_id: str
    user_id: str
    status: str
    start_time: int
    end_time: int | None = None
    artifact_uri: str
    lifecycle_stage: str


class RunDataOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run logged."""

    metrics: list[MetricOut] = []
    params: list[Tag] = []
    tags: list[Tag] = []


class ModelInputOut(msgspec.Struct, frozen=True):
    """A logged model that a run used."""

    model_id: str


class ModelOutputOut(msgspec.Struct, frozen=True):
    """A logged model that a run made."""

    model_id: str
    step: int


class RunOutputsOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run made."""

    model_outputs: list[ModelOutputOut] = []


class RunInputsOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run used."""

    dataset_inputs: list[DatasetInputOut] = []
    model_inputs: list[ModelInputOut] = []


class RunOut(msgspec.Struct, frozen=True):
    """A run."""

    info: RunInfoOut
    data: RunDataOut
    inputs: RunInputsOut = RunInputsOut()
    outputs: RunOutputsOut = RunOutputsOut()


def experiment_out(found: Experiment) -> ExperimentOut:
    """An experiment on the wire."""
    return ExperimentOut(
        experiment_id=found.id,
        name=found.name,
        artifact_location=found.artifacts,
        lifecycle_stage=found.lifecycle,
        last_update_time=to_ms(found.updated_at),
        creation_time=to_ms(found.created_at),
        tags=tags_out(found.tags),
    )


def run_out(found: TrackedRun) -> RunOut:
    """A run on the wire."""
    run = found.run
    return RunOut(
        info=RunInfoOut(
            run_uuid=run.id,
            run_id=run.id,
            run_name=run.name,
            experiment_id=found.experiment,
            user_id=run.user,
            status=_STATUS_NAMES[run.status],
            start_time=to_ms(run.started_at),
            end_time=None if run.ended_at is None else to_ms(run.ended_at),
            artifact_uri=f"{found.artifacts}/{run.id}/artifacts",
            lifecycle_stage=run.lifecycle,
        ),
        data=RunDataOut(
            metrics=[metric_out(sample) for sample in found.latest],
            params=[Tag(name, text_of(value)) for name, value in run.params.items()],
            tags=tags_out({"mlflow.runName": run.name} | run.tags),
        ),
        inputs=RunInputsOut(
            [_input_out(one) for one in found.inputs],
            [ModelInputOut(one.model) for one in found.models if one.kind == "input"],
        ),
        outputs=RunOutputsOut(
            [ModelOutputOut(one.model, one.step) for one in found.models if one.kind == "output"]
        ),
    )


def metric_out(sample: Sample) -> MetricOut:
    """A value on the wire."""
    return MetricOut(sample.name, portable(sample.value), sample.at // 1000, sample.step)


def tags_out(tags: Mapping[str, str]) -> list[Tag]:
    """Tags on the wire."""
    return [Tag(name, value) for name, value in tags.items()]


def texts_in(tags: Iterable[Tag]) -> dict[str, str]:
    """Tags or parameters from the wire; the last of a name counts."""
    return {tag.key: tag.value for tag in tags}


def to_ms(at: datetime) -> int:
    """A moment as milliseconds since 1970."""
    return (at - _EPOCH) // _MS


def _input_out(used: RunInput) -> DatasetInputOut:
    tags = used.tags | ({CONTEXT_TAG: used.context} if used.context else {})
    return DatasetInputOut(
        DatasetOut(used.name, used.digest, used.source_type, used.source, used.schema, used.profile),
        tags_out(tags),
    )
