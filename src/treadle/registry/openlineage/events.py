"""Runs and versions in OpenLineage's words. No I/O."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Final

import msgspec

from treadle.data import DataInput, DatasetVersion
from treadle.experiment import Run, RunInput
from treadle.registry.openlineage.types import (
    SCHEMA,
    Dataset,
    DatasetVersionFacet,
    ErrorMessageFacet,
    EventRun,
    EventType,
    Facet,
    Job,
    JobTypeFacet,
    ProcessingEngineFacet,
    RunEvent,
)
from treadle.registry.types import ModelVersion

TREADLE = version("treadle")
PRODUCER: Final = f"urn:treadle:{TREADLE}"
ENDS: Final[Mapping[str, EventType]] = {"finished": "COMPLETE", "failed": "FAIL", "killed": "ABORT"}
"""What the end of a run is called."""

_FACETS = "https://openlineage.io/spec/facets"
_SPACE = uuid.UUID("6f1f9c40-6a55-5f0e-8d52-3c1f5b6d7a10")  # of the UUIDs made of runs' identities


def run_uuid(run: str) -> str:
    """The UUID of a run, the same whenever it is asked for (RFC 9562, version 5)."""
    return str(uuid.uuid5(_SPACE, run))


def started(run: Run, namespace: str) -> RunEvent:
    """A run began."""
    return _event("START", run.started_at, run, namespace)


def ended(
    run: Run, namespace: str, versions: Iterable[ModelVersion], data: Iterable[DatasetVersion]
) -> RunEvent:
    """A run ended.

    Args:
        run: The run.
        namespace: Where its job and datasets are.
        versions: The model versions that it became.
        data: The versions of data that it made.
    """
    outputs = [model(one, namespace) for one in versions]
    outputs += [_dataset(f"data/{one.dataset}", f"v{one.number}", namespace) for one in data]
    return _event(ENDS[run.status], run.ended_at or run.started_at, run, namespace, outputs)


def registered(one: ModelVersion, run: Run, namespace: str) -> RunEvent:
    """A run became a model version, which may be long after its end."""
    return _event("OTHER", one.created_at, run, namespace, [model(one, namespace)])


def model(one: ModelVersion, namespace: str) -> Dataset:
    """A model version as a dataset."""
    return _dataset(f"models/{one.model}", str(one.number), namespace)


def _event(
    kind: EventType, at: datetime, run: Run, namespace: str, outputs: Iterable[Dataset] = ()
) -> RunEvent:
    facets: dict[str, Facet] = {
        "processing_engine": ProcessingEngineFacet(
            producer=PRODUCER,
            schema_url=_schema("1-1-1", "ProcessingEngineRunFacet"),
            name="Treadle",
            version=TREADLE,
        )
    }
    if kind == "FAIL":
        facets["errorMessage"] = ErrorMessageFacet(
            producer=PRODUCER,
            schema_url=_schema("1-0-1", "ErrorMessageRunFacet"),
            message=run.message or "it failed",
            programming_language="Python",
        )
    job_type = JobTypeFacet(
        producer=PRODUCER,
        schema_url=_schema("2-0-4", "JobTypeJobFacet"),
        processing_type="BATCH",
        integration="TREADLE",
        job_type="TRAINING",
    )
    return RunEvent(
        event_time=at.isoformat(),
        event_type=kind,
        run=EventRun(run_id=run_uuid(run.id), facets=dict(facets)),
        job=Job(namespace=namespace, name=run.experiment, facets={"jobType": job_type}),
        inputs=tuple(_input(used, namespace) for used in run.inputs),
        outputs=tuple(outputs),
        producer=PRODUCER,
        schema_url=SCHEMA,
    )


def _input(used: RunInput, namespace: str) -> Dataset:
    try:
        number = msgspec.json.decode(used.source, type=DataInput).number
    except msgspec.DecodeError:
        number = 0
    return _dataset(f"data/{used.name}", f"v{number}" if number else used.digest, namespace)


def _dataset(name: str, number: str, namespace: str) -> Dataset:
    facet = DatasetVersionFacet(
        producer=PRODUCER,
        schema_url=_schema("1-0-1", "DatasetVersionDatasetFacet"),
        dataset_version=number,
    )
    return Dataset(namespace=namespace, name=name, facets={"version": facet})


def _schema(number: str, name: str) -> str:
    return f"{_FACETS}/{number}/{name}.json#/$defs/{name}"
