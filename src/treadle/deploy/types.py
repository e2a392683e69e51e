"""What a deployment is: the revision that should run, and what was seen to run."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

RevisionState = Literal["pending", "serving", "failed", "superseded"]


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model, put to work.

    Attributes:
        model: The model.
        revision: Counts the model's deployments from 1.
        version: The model version that it runs.
        at: When it was asked for.
        actor: Who asked.
        reason: Why.
        state: Pending until a replica serves it, then serving; failed if none could load it.
        served_at: When the first replica served it.
        error: Why it failed.
        previous: The revision that it replaced, and returns to if it fails.
    """

    model: str
    revision: int
    version: int
    at: datetime
    actor: str
    reason: str
    state: RevisionState = "pending"
    served_at: datetime | None = None
    error: str | None = None
    previous: int | None = None


class ReplicaReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica tells of itself, every second.

    Attributes:
        replica: Its identifier.
        model: The model that it serves.
        url: Where it answers.
        revision: The revision that answers requests now; None before the first.
        failed: A revision that it could not load, if any.
        error: Why not.
        requests: Requests answered since it started.
        errors: Of those, answered with an error of the server.
        rows: Rows predicted since it started.
        p50_ms: Median time to answer, over the last minute.
        p99_ms: 99th percentile of the same.
        unlogged: Rows answered whose predictions could not be written down or were given up.
        backlog: Bytes of predictions that the platform has not taken yet.
    """

    replica: str
    model: str
    url: str
    revision: int | None = None
    failed: int | None = None
    error: str | None = None
    requests: int = 0
    errors: int = 0
    rows: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    unlogged: int = 0
    backlog: int = 0


class Replica(ReplicaReport, frozen=True, kw_only=True):
    """A replica as last heard of."""

    heard_at: datetime


class DesiredRevision(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica is to serve.

    Attributes:
        revision: The revision.
        version: The model version.
        files: Path and digest of each of the model's files, to be fetched by digest.
        key: An input of this name is no feature but names each row (the prediction's id).
        time: An input of this name is no feature but says when each row happened,
            in seconds since 1970.
    """

    revision: int
    version: int
    files: dict[str, str]
    key: str | None = None
    time: str | None = None


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A model's deployment: what should run and what does."""

    model: str
    desired: Revision | None
    serving: Revision | None
    replicas: list[Replica]


class ReplicaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a replica is run.

    Attributes:
        models: The models that it serves.
        state: Folder for its journal and its copies of model files; one replica at a time uses it.
        name: What it calls itself; the same after a restart.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        max_rows: The largest batch that one request may bring.
        max_queue: How many requests may wait before new ones are told to come later.
        max_concurrency: How many requests may be begun and not answered.
        max_body: The largest request body, in bytes.
        max_memory: Memory of the process, in bytes, over which it ends gracefully to be started again.
        timeout: Seconds from a request's headers to its answer.
        missing: Whether a missing number is given to the model, as NaN, or refused.
        log_predictions: Whether predictions are written down and sent to the platform.
        flush: Seconds between two shipments of predictions.
        poll: Seconds between two reports to the platform.
        journal_limit: Bytes of predictions to keep while the platform is away; the oldest go first.
    """

    models: tuple[str, ...]
    state: str
    name: str = "replica"
    host: str = "127.0.0.1"
    port: int = 8100
    max_rows: int = 10_000
    max_queue: int = 1024
    max_concurrency: int = 2048
    max_body: int = 32 << 20
    max_memory: int | None = None
    timeout: float = 30.0
    missing: Literal["pass", "refuse"] = "pass"
    log_predictions: bool = True
    flush: float = 1.0
    poll: float = 0.5
    journal_limit: int = 256 << 20
