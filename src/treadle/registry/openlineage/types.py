"""Events as OpenLineage writes them: https://openlineage.io/spec/2-0-2/OpenLineage.json."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

EventType = Literal["START", "COMPLETE", "ABORT", "FAIL", "OTHER"]
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What stands in an event."""


class Facet(Wire, frozen=True, kw_only=True):
    """A part of an event that has a schema of its own.

    Attributes:
        producer: Who says so.
        schema_url: Where its schema is.
    """

    producer: str = msgspec.field(name="_producer")
    schema_url: str = msgspec.field(name="_schemaURL")


class DatasetVersionFacet(Facet, frozen=True, kw_only=True):
    """Which version of a dataset."""

    dataset_version: str


class JobTypeFacet(Facet, frozen=True, kw_only=True):
    """What sort of job."""

    processing_type: str
    integration: str
    job_type: str


class ProcessingEngineFacet(Facet, frozen=True, kw_only=True):
    """What ran it."""

    version: str
    name: str


class ErrorMessageFacet(Facet, frozen=True, kw_only=True):
    """Why it failed."""

    message: str
    programming_language: str


class Dataset(Wire, frozen=True, kw_only=True):
    """A dataset or a model that went in or came out."""

    namespace: str
    name: str
    facets: dict[str, Any] = {}


class Job(Wire, frozen=True, kw_only=True):
    """What is run again and again."""

    namespace: str
    name: str
    facets: dict[str, Any] = {}


class EventRun(Wire, frozen=True, kw_only=True):
    """One run of a job; its identity is a UUID."""

    run_id: str
    facets: dict[str, Any] = {}


class RunEvent(Wire, frozen=True, kw_only=True):
    """A change in the life of a run.

    Attributes:
        event_time: When, as RFC 3339 has it.
        event_type: What happened.
        run: To which run.
        job: Of which job.
        inputs: What it read.
        outputs: What it made.
        producer: Who says so.
        schema_url: The schema of the event.
    """

    event_time: str
    event_type: EventType
    run: EventRun
    job: Job
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    producer: str
    schema_url: str = msgspec.field(name="schemaURL")
