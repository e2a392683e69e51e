"""What a deployment is: the revision that should run, and what was seen to run."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from treadle.kernel.config import DeployConfig

Count = Annotated[int, Meta(ge=0, le=2**40)]
"""So many of something as a process may have counted, and as sums of them fit a column."""

RevisionState = Literal["pending", "trial", "serving", "failed", "superseded"]


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model, put to work.

    Attributes:
        model: The model.
        revision: Counts the model's deployments from 1.
        version: The model version that it runs.
        at: When it was asked for.
        actor: Who asked.
        reason: Why.
        state: Pending until a replica serves it, then serving; in trial while it takes over step by
            step; failed if none could load it or a guard took it back.
        served_at: When the first replica served it.
        error: Why it failed.
        previous: The revision that it replaced, and returns to if it fails.
        plan: How it takes over; None where it did so at once.
        outcome: What the version's gate came to; becomes production with it when the trial ends well.
        step: The step of the plan that it is in, from 0.
        step_at: When that step began; None until every replica has loaded it.
        environment: Where it runs; empty for the last of ``[environments]``, or where none are declared.
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
    plan: DeployConfig | None = None
    outcome: str = ""
    step: int = 0
    step_at: datetime | None = None
    environment: str = ""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which a version served in an environment.

    Attributes:
        version: The version.
        revision: The last of the revisions by which it did.
        since: From when.
        until: Until when; None while it serves.
    """

    version: int
    revision: int
    since: datetime
    until: datetime | None = None


class InEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What an environment serves, or served at a moment.

    Attributes:
        environment: Its name.
        served: What serves there, and since when; None if nothing does.
        digest: What that version is: BLAKE3 over its files and its recipe.
        actor: Who deployed it.
        reason: Why.
        replicas: How many replicas live there; 0 when asked about the past.
        next: The environment that comes after; None for the last.
        lacks: What the version lacks to go there, in words; empty when asked about the past.
    """

    environment: str
    served: Stretch | None
    digest: str = ""
    actor: str = ""
    reason: str = ""
    replicas: int = 0
    next: str | None = None
    lacks: tuple[str, ...] = ()


class ArmCounts(msgspec.Struct, frozen=True):
    """What came of the requests that one revision was asked.

    Attributes:
        requests: How many.
        errors: Of those, answered with an error of the server.
        slow: Of those, answered later than the plan's guard allows.
        answers: How many rows were answered in each of the bins of :mod:`treadle.deploy.answers`.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    answers: tuple[int, ...] = ()


class TrialReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica saw of a revision in trial, and of the one beside it, since it loaded it.

    Attributes:
        revision: The revision in trial.
        process: Identifies the replica's process, whose counts begin at 0.
        trial: Of the revision in trial.
        beside: Of the one that it is to replace, meanwhile.
        compared: Rows that both answered, of a shadow.
        apart: The sum of the absolute differences between their answers.
    """

    revision: int
    process: str
    trial: ArmCounts
    beside: ArmCounts
    compared: int = 0
    apart: float = 0.0


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
        process: Identifies its process, whose counts begin at 0; empty from replicas that don't tell.
        slow: Requests answered later than the service level objective allows.
        unlogged: Rows answered whose predictions could not be written down or were given up.
        backlog: Bytes of predictions that the platform has not taken yet.
        trial: What it saw of the revision in trial, once it has loaded one.
        environment: Where it runs; empty for the last of ``[environments]``, or where none are declared.
        trouble: That it hangs, or hung a moment ago, in words; empty if it is well.
    """

    replica: str
    model: str
    url: str
    revision: int | None = None
    failed: int | None = None
    error: str | None = None
    requests: Count = 0
    errors: Count = 0
    rows: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    process: str = ""
    slow: Count = 0
    unlogged: int = 0
    backlog: int = 0
    trial: TrialReport | None = None
    environment: str = ""
    trouble: str = ""


class Replica(ReplicaReport, frozen=True, kw_only=True):
    """A replica as last heard of."""

    heard_at: datetime


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A revision that a replica is to try beside the one that it serves.

    Attributes:
        revision: The revision.
        version: The model version.
        files: Path and digest of each of the model's files.
        share: The share of requests that it answers.
        shadow: Whether it is asked what the other one answers, and answers nothing itself.
        sticky: The input by which a caller stays with one of them; empty for none.
        slow_ms: From when on an answer counts as slow; None for never.
    """

    revision: int
    version: int
    files: dict[str, str]
    share: float = 0.0
    shadow: bool = False
    sticky: str = ""
    slow_ms: float | None = None


class ReplicaReports(msgspec.Struct, frozen=True):
    """What a replica of several models tells of all of them at once.

    Attributes:
        reports: One for each model.
    """

    reports: tuple[ReplicaReport, ...]


class DesiredRevision(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica is to serve.

    Attributes:
        revision: The revision.
        version: The model version.
        files: Path and digest of each of the model's files, to be fetched by digest.
        key: An input of this name is no feature but names each row (the prediction's id).
        time: An input of this name is no feature but says when each row happened,
            in seconds since 1970.
        slow_ms: From when on an answer counts as slow, by the service level objective; None for never.
        trial: What to try beside it.
    """

    revision: int
    version: int
    files: dict[str, str]
    key: str | None = None
    time: str | None = None
    slow_ms: float | None = None
    trial: Trial | None = None


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a revision in trial must keep within, and the evidence that it doesn't.

    Attributes:
        name: Such as ``errors`` or ``slow beside``.
        sentence: What was seen, in words.
        evidence: The e-value: how much likelier the counts are if the guard is broken; None where
            the guard is looked at once a step only.
        limit: The evidence from which on the revision is taken back.
        broken: Whether it is reached.
    """

    name: str
    sentence: str
    evidence: float | None
    limit: float | None
    broken: bool = False


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How far a revision is with taking over.

    Attributes:
        revision: The revision in trial.
        share: The share of requests that it answers now.
        shadow: Whether it is only asked.
        steps: How many steps its plan has.
        counts: What came of its requests so far.
        beside: What came of the other's meanwhile.
        guards: What it must keep within.
        waits: What the step still waits for, in words; empty when it is to go on.
        compared: Rows that both answered, of a shadow.
        apart: The mean absolute difference between their answers; None where none were compared.
    """

    revision: Revision
    share: float
    shadow: bool
    steps: int
    counts: ArmCounts
    beside: ArmCounts
    guards: tuple[Guard, ...]
    waits: str
    compared: int = 0
    apart: float | None = None


class DeploymentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What deploying a version would change; nothing has been done.

    Attributes:
        model: The model.
        version: The version that would be deployed.
        serving: What serves now, if anything does.
        plan: How it would take over; None where it would do so at once.
        replicas: How many replicas live.
        replaces: The revision in trial or waiting that would end, if there is one.
        changes: How the version differs from what serves, a line each.
        lacks: What the version lacks to come into the environment, a line each.
    """

    model: str
    version: int
    serving: Revision | None
    plan: DeployConfig | None
    replicas: int
    replaces: Revision | None
    changes: tuple[str, ...]
    lacks: tuple[str, ...] = ()


class Counts(msgspec.Struct, frozen=True):
    """What came of a model's requests in some time.

    Attributes:
        requests: How many.
        errors: Of those, answered with an error of the server.
        slow: Of those, answered later than the service level objective allows.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0


class Moment(msgspec.Struct, frozen=True):
    """What came of a model's requests in a second that had any.

    Attributes:
        at: When it began, in seconds since 1970.
        counts: What came of them.
    """

    at: float
    counts: Counts


class BurnRate(msgspec.Struct, frozen=True, kw_only=True):
    """How fast an error budget is used up, in a long window and a short one.

    At a burn rate of 1 the budget lasts exactly as long as its window.

    Attributes:
        severity: Whether somebody should be woken, or look in the morning.
        limit: The burn rate from which on that is so.
        long: The long window, such as ``1h``: what happens is not just a moment's.
        short: The short one, such as ``5m``: it still goes on.
        long_rate: The burn rate in the long window; None where nothing was asked.
        short_rate: The burn rate in the short window; None where nothing was asked.
        burning: Whether both reach the limit.
    """

    severity: Literal["page", "ticket"]
    limit: float
    long: str
    short: str
    long_rate: float | None
    short_rate: float | None
    burning: bool


class ServiceLevel(msgspec.Struct, frozen=True, kw_only=True):
    """One objective, and how it stands.

    Attributes:
        name: ``availability``, or ``latency``.
        target: The share of requests that must be good.
        requests: How many were asked in the last 30 days.
        bad: Of those, how many failed, or were too slow.
        budget_left: The share of the error budget of 30 days that is left, below 0 if it is overdrawn;
            None where nothing was asked.
        burns: How fast it is used up.
        fallen: Whether the last seconds leave no doubt that it doesn't hold at all.
        sentence: How it stands, in words.
    """

    name: Literal["availability", "latency"]
    target: float
    requests: int
    bad: int
    budget_left: float | None
    burns: tuple[BurnRate, ...]
    fallen: bool
    sentence: str


class ServiceLevels(msgspec.Struct, frozen=True, kw_only=True):
    """How a deployment stands to what its callers are promised.

    Attributes:
        model: The model.
        at: When.
        levels: Each objective that is declared.
        silent: Whether a revision should answer and no replica has been heard of for 10 seconds.
        gone: Why nothing can answer though it did within a day, in words; empty where something can.
        failing: That most requests are answered with errors, whatever is declared; empty where they aren't.
        version: The version that should answer; None if none does.
        stuck: Which replicas hang, or hung a moment ago, in words; empty if none does.
        left: How many others answer.
    """

    model: str
    at: datetime
    levels: tuple[ServiceLevel, ...]
    silent: bool
    gone: str = ""
    failing: str = ""
    version: int | None = None
    stuck: str = ""
    left: int = 0


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A model's deployment in an environment: what should run, what does, what is about to take over.

    The environment is empty for the last one, or where none are declared.
    """

    model: str
    desired: Revision | None
    serving: Revision | None
    replicas: list[Replica]
    rollout: Rollout | None = None
    levels: ServiceLevels | None = None
    environment: str = ""


class ReplicaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a replica is run.

    Attributes:
        models: The models that it serves.
        state: Folder for its journal and its copies of model files; one replica at a time uses it.
        name: What it calls itself; the same after a restart.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        grpc_port: The port for gRPC; 0 takes a free one, None none.
        grpc_shared: Whether other processes answer at that port as well.
        max_rows: The largest batch that one request may bring.
        max_queue: How many requests may wait before new ones are told to come later.
        max_concurrency: How many requests may be begun and not answered.
        max_body: The largest request body, in bytes.
        max_memory: Memory of the process, in bytes, over which it ends gracefully to be started again.
        max_models: How many models may be in memory: each is loaded when it is asked, and who was not asked
            longest makes room. None for all of them, from the start.
        pinned: Models that are loaded at the start all the same, and stay.
        timeout: Seconds from a request's headers to its answer.
        missing: Whether a missing number is given to the model, as NaN, or refused.
        log_predictions: Whether predictions are written down and sent to the platform.
        flush: Seconds between two shipments of predictions.
        journal_sync: When predictions are forced to the disk: never, before each shipment, or before
            each answer.
        environments: Where a model in MLflow's format runs: in an environment made from its
            requirements (``own``), or in this one (``local``).
        pickle: Which models that come as pickles may be loaded; see ``[registry] pickle``.
        poll: Seconds between two reports to the platform.
        journal_limit: Bytes of predictions to keep while the platform is away; the oldest go first.
        environment: The environment whose deployment it follows; empty for the last one.
    """

    models: tuple[str, ...]
    state: str
    name: str = "replica"
    host: str = "127.0.0.1"
    port: int = 8100
    grpc_port: int | None = None
    grpc_shared: bool = False
    max_rows: int = 10_000
    max_queue: int = 1024
    max_concurrency: int = 2048
    max_body: int = 32 << 20
    max_memory: int | None = None
    max_models: int | None = None
    pinned: tuple[str, ...] = ()
    timeout: float = 30.0
    missing: Literal["pass", "refuse"] = "pass"
    log_predictions: bool = True
    environments: Literal["own", "local"] = "own"
    pickle: Literal["refuse", "warn", "allow"] = "warn"
    flush: float = 1.0
    journal_sync: Literal["system", "flush", "answer"] = "system"
    poll: float = 0.5
    journal_limit: int = 256 << 20
    environment: str = ""
