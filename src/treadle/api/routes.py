"""Every route of the API, v1."""

from __future__ import annotations

from typing import Any

import treadle
from treadle.api.card_routes import CARD_ROUTES
from treadle.api.check_routes import CHECK_ROUTES
from treadle.api.data_branch_routes import DATA_BRANCH_ROUTES
from treadle.api.data_deleting_routes import DATA_DELETING_ROUTES
from treadle.api.data_moving_routes import DATA_MOVING_ROUTES
from treadle.api.data_path_routes import DATA_PATH_ROUTES
from treadle.api.data_remote_routes import DATA_REMOTE_ROUTES
from treadle.api.data_review_routes import DATA_REVIEW_ROUTES
from treadle.api.data_table_routes import DATA_TABLE_ROUTES
from treadle.api.data_work_routes import DATA_WORK_ROUTES
from treadle.api.deleting_routes import DELETING_ROUTES
from treadle.api.deployment_routes import DEPLOYMENT_ROUTES
from treadle.api.import_routes import IMPORT_ROUTES
from treadle.api.incident_routes import INCIDENT_ROUTES
from treadle.api.model_routes import MODEL_ROUTES
from treadle.api.payload_routes import PAYLOAD_ROUTES
from treadle.api.retrain_routes import RETRAIN_ROUTES
from treadle.api.route import Call, Query, RouteSpec, moment
from treadle.data import DatasetVersion
from treadle.evaluate import Evaluation
from treadle.experiment import (
    Artifact,
    CodeDiff,
    Comparison,
    Importance,
    JournalBatch,
    Media,
    NewRun,
    Point,
    Run,
    SharedCurves,
    SqlTable,
)
from treadle.govern import Spending
from treadle.kernel.database import SCHEMA_VERSION
from treadle.kernel.errors import InvalidInput
from treadle.kernel.events import timeline
from treadle.kernel.types import Event, Health
from treadle.monitor import (
    Alert,
    Backfill,
    DroppedFile,
    Hindsight,
    LabelBatch,
    PredictionBatch,
    WindowResult,
    WrittenMonitors,
)
from treadle.registry import Lineage, ModelVersion
from treadle.retrain import (
    Cycle,
    InProduction,
    NewCycle,
    Plan,
    Reign,
    ReplayState,
    ReplayStep,
    Tick,
    in_production,
)


def _health(call: Call) -> Health:
    """Who answers, and in which state."""
    workspace = call.rooms.workspace
    store = workspace.config.store
    return Health(
        version=treadle.__version__,
        project=workspace.config.project.name,
        model=workspace.config.model,
        root=str(workspace.root),
        schema=SCHEMA_VERSION,
        metadata=workspace.database.engine.url.render_as_string(hide_password=True),
        blobs=store.blobs,
        tables=store.tables,
        now=workspace.clock.now(),
        replaying=workspace.replayed_time() is not None,
        driving=call.rooms.worker.driving,
    )


# ── experiment ───────────────────────────────────────────────────────────


def _create_run(call: Call) -> Run:
    """Starts a run; starting it again is the same run."""
    return call.rooms.experiments.create(call.body)


def _list_runs(call: Call) -> list[Run]:
    """Runs, sorted."""
    return call.rooms.experiments.list(
        experiment=call.query.get("experiment"),
        sort=call.query.get("sort", "-started_at"),
        limit=call.whole("limit", 50),
        cycle=call.query.get("cycle"),
        where=call.query.get("where", ""),
    )


def _get_run(call: Call) -> Run:
    """A run, by its identifier or the beginning of it."""
    return call.rooms.experiments.get(call.path["run"])


def _append_journal(call: Call) -> Run:
    """Adds records to a run's journal, each once."""
    return call.rooms.experiments.apply(call.path["run"], call.body)


def _curve(call: Call) -> list[Point]:
    """A metric's curve."""
    return call.rooms.experiments.history(call.path["run"], call.need("metric"))


def _artifacts(call: Call) -> list[Artifact]:
    """The files that a run made."""
    return call.rooms.experiments.artifacts(call.path["run"])


def _media(call: Call) -> list[Media]:
    """The files of a run that show something."""
    return call.rooms.experiments.media(call.path["run"])


def _compare(call: Call) -> Comparison:
    """Runs side by side."""
    return call.rooms.comparisons.compare(call.query.getlist("run"))


def _shared_curves(call: Call) -> SharedCurves:
    """A metric's curves of several runs over one axis, thinned."""
    by: Any = call.query.get("by", "step")
    if by not in ("step", "time"):
        raise InvalidInput(f"curves can't be aligned by {by[:80]!r}", fix="use step or time")
    runs, metric = call.query.getlist("run"), call.need("metric")
    return call.rooms.comparisons.curves(runs, metric, by, call.whole("points", 500))


def _code(call: Call) -> CodeDiff:
    """How the code of two runs differs."""
    return call.rooms.comparisons.code(call.need("run"), call.need("other"))


def _sql_tables(call: Call) -> list[SqlTable]:
    """The tables that can be asked in SQL."""
    return call.rooms.sql.tables()


def _importance(call: Call) -> Importance:
    """Which parameters a metric depends on, over the runs that fit."""
    return call.rooms.comparisons.importance(
        call.need("metric"),
        call.query.get("experiment"),
        call.query.get("where", ""),
        call.query.getlist("param") or None,
    )


# ── data ─────────────────────────────────────────────────────────────────


def _datasets(call: Call) -> list[DatasetVersion]:
    """The latest version of each dataset."""
    return call.rooms.datasets.list()


def _add_data(call: Call) -> DatasetVersion:
    """Makes a version of what a dataset's path holds now."""
    return call.rooms.datasets.snapshot(call.path["dataset"], call.query.get("actor", "api"))


def _data_log(call: Call) -> list[DatasetVersion]:
    """A dataset's versions, newest first."""
    return call.rooms.datasets.log(call.path["dataset"])


# ── registry ─────────────────────────────────────────────────────────────


def _data_lineage(call: Call) -> Lineage:
    """Where a version of data comes from, and which runs, models and versions used it."""
    at, dataset = call.query.get("at", ""), call.path["dataset"]
    return call.rooms.lineages.of(f"{dataset}@{at}" if at else dataset)


def _lineage(call: Call) -> Lineage:
    """What a model version, a version of data or a run was made of, and what used it."""
    return call.rooms.lineages.about(call.need("ref"))


def _models(call: Call) -> list[ModelVersion]:
    """Model versions, newest first."""
    return call.rooms.registry.list(call.query.get("model"))


def _model(call: Call) -> ModelVersion:
    """A version, by number, status or alias."""
    return call.rooms.registry.get(call.need("ref"))


def _in_production(call: Call) -> list[InProduction]:
    """What was in production at a moment, who let it in, and on what evidence; now, if none is given."""
    workspace, at = call.rooms.workspace, call.query.get("at")
    return in_production(workspace, call.path["model"], moment(at) if at else workspace.clock.now())


def _reigns(call: Call) -> list[Reign]:
    """What was in production when, oldest first."""
    return call.rooms.cycles.reigns(call.path["model"])


def _timeline(call: Call) -> list[Event]:
    """Every decision about a model, oldest first."""
    call.rooms.registry.check_model(call.path["model"])
    return timeline(call.rooms.workspace.database, f"model:{call.path['model']}")


def _evaluation(call: Call) -> Evaluation:
    """What a gate found."""
    return call.rooms.evaluations.get(call.path["evaluation"])


# ── monitor ──────────────────────────────────────────────────────────────


def _log_predictions(call: Call) -> None:
    """Logs predictions; a batch that is known is passed over."""
    call.rooms.log.append(call.path["model"], call.body, named=True)


def _log_labels(call: Call) -> None:
    """Logs labels; a batch that is known is passed over."""
    call.rooms.log.append_labels(call.path["model"], call.body, named=True)


def _look(call: Call) -> Tick:
    """Computes the windows that have ended, raises alerts, starts what they trigger."""
    return call.rooms.loop.look(call.path["model"])


def _ingest(call: Call) -> list[DroppedFile]:
    """Takes in the predictions and labels that were dropped as files, and what other servers logged."""
    call.rooms.payloads.settle()
    return call.rooms.drops.take(call.path["model"])


def _performance(call: Call) -> list[Hindsight]:
    """How good past windows were, by what was known at a moment; the last one, unless `since` is given."""
    as_of, since, recorded_by = (call.query.get(name) for name in ("as_of", "since", "recorded_by"))
    return call.rooms.hindsights.performance(
        call.path["model"],
        moment(as_of) if as_of else call.rooms.workspace.clock.now(),
        moment(since) if since else None,
        moment(recorded_by) if recorded_by else None,
    )


def _windows(call: Call) -> list[WindowResult]:
    """What the monitors found, oldest first."""
    since = call.query.get("since")
    return call.rooms.monitors.windows(call.path["model"], moment(since) if since else None)


def _backfill(call: Call) -> Backfill:
    """Computes past windows again, from what is logged now, `most` of them or all; raises no alert for it."""
    since, after = moment(call.need("since")), call.query.get("after")
    return call.rooms.monitors.backfill(
        call.path["model"],
        since,
        call.query.get("actor", "api"),
        moment(after) if after else None,
        call.whole("most", 1) if "most" in call.query else None,
    )


def _suggest_monitors(call: Call) -> WrittenMonitors:
    """Monitors to declare, as lines of `treadle.toml`, for a person to prune."""
    return call.rooms.monitors.suggest(call.path["model"])


def _alerts(call: Call) -> list[Alert]:
    """The alerts raised, oldest first."""
    return call.rooms.monitors.alerts(call.path["model"])


# ── retrain ──────────────────────────────────────────────────────────────


def _plan(call: Call) -> Plan:
    """What a cycle would do; changes nothing."""
    return call.rooms.cycles.plan(call.body)


def _start_cycle(call: Call) -> Cycle:
    """Starts a cycle, which goes on by itself."""
    call.rooms.cycles.check(call.body)
    call.rooms.worker.start()
    cycle = call.rooms.cycles.create(call.body)
    call.rooms.worker.submit(cycle)
    return cycle


def _resume(call: Call) -> list[Cycle]:
    """Takes the wheel and goes on with the cycles that were interrupted.

    One that has ended by the time of the answer is part of it: whoever asked wants to know how.
    """
    interrupted = call.rooms.cycles.list(running=True)
    if interrupted:
        call.rooms.worker.start()
    return [call.rooms.cycles.get(cycle.id) for cycle in interrupted]


def _cycles(call: Call) -> list[Cycle]:
    """Cycles, oldest first."""
    return call.rooms.cycles.list(call.query.get("model"))


def _cycle(call: Call) -> Cycle:
    """A cycle as it stands."""
    return call.rooms.cycles.get(call.path["cycle"])


def _replay(call: Call) -> ReplayState | None:
    """The replay under way, if any."""
    return call.rooms.replays.state()


def _start_replay(call: Call) -> ReplayState:
    """Sets the workspace's clock to a moment in the past of its data."""
    return call.rooms.replays.start(moment(call.need("at")))


def _step_replay(call: Call) -> ReplayStep:
    """Replays what happened up to a moment."""
    return call.rooms.replays.step(moment(call.need("until")))


def _stop_replay(call: Call) -> None:
    """Gives the workspace the machine's clock again."""
    call.rooms.replays.stop()


# ── govern ───────────────────────────────────────────────────────────────


def _spending(call: Call) -> Spending:
    """What was spent in the last 30 days."""
    call.rooms.registry.check_model(call.path["model"])
    return call.rooms.usages.spending(call.path["model"], call.rooms.workspace.clock.now())


_MODEL: Any = "/v1/models/{model}"
_REF, _ACTOR, _REASON = (Query(name, required=True) for name in ("ref", "actor", "reason"))
_AT, _UNTIL = (Query(name, required=True, format="date-time") for name in ("at", "until"))
_WHEN = Query("at", format="date-time")
_METRIC = Query("metric", required=True)
_RUN, _OTHER = (Query(name, required=True) for name in ("run", "other"))
_RUNS = Query("run", required=True, many=True)
_SINCE = Query("since", format="date-time")
_AS_OF, _RECORDED = (Query(name, format="date-time") for name in ("as_of", "recorded_by"))
_LIMIT = Query("limit", kind="integer")
ROUTES = [
    RouteSpec("GET", "/v1/health", _health, Health),
    RouteSpec("POST", "/v1/runs", _create_run, Run, NewRun),
    RouteSpec(
        "GET",
        "/v1/runs",
        _list_runs,
        list[Run],
        query=(Query("experiment"), Query("sort"), _LIMIT, Query("cycle"), Query("where")),
    ),
    RouteSpec("GET", "/v1/runs/{run}", _get_run, Run),
    RouteSpec("POST", "/v1/runs/{run}/journal", _append_journal, Run, JournalBatch),
    RouteSpec("GET", "/v1/runs/{run}/curve", _curve, list[Point], query=(_METRIC,)),
    RouteSpec("GET", "/v1/runs/{run}/artifacts", _artifacts, list[Artifact]),
    RouteSpec("GET", "/v1/runs/{run}/media", _media, list[Media]),
    RouteSpec("GET", "/v1/comparison", _compare, Comparison, query=(_RUNS,)),
    RouteSpec(
        "GET",
        "/v1/comparison/curves",
        _shared_curves,
        SharedCurves,
        query=(_RUNS, _METRIC, Query("by"), Query("points", kind="integer")),
    ),
    RouteSpec("GET", "/v1/comparison/code", _code, CodeDiff, query=(_RUN, _OTHER)),
    RouteSpec(
        "GET",
        "/v1/importance",
        _importance,
        Importance,
        query=(_METRIC, Query("experiment"), Query("where"), Query("param", many=True)),
    ),
    RouteSpec("GET", "/v1/sql/tables", _sql_tables, list[SqlTable]),
    RouteSpec("GET", "/v1/datasets", _datasets, list[DatasetVersion]),
    RouteSpec("POST", "/v1/datasets/{dataset}/versions", _add_data, DatasetVersion, query=(Query("actor"),)),
    RouteSpec("GET", "/v1/datasets/{dataset}/lineage", _data_lineage, Lineage, query=(Query("at"),)),
    RouteSpec("GET", "/v1/datasets/{dataset}/versions", _data_log, list[DatasetVersion]),
    RouteSpec("GET", "/v1/lineage", _lineage, Lineage, query=(_REF,)),
    RouteSpec("GET", "/v1/models", _models, list[ModelVersion], query=(Query("model"),)),
    RouteSpec("GET", "/v1/model", _model, ModelVersion, query=(_REF,)),
    RouteSpec("GET", f"{_MODEL}/reigns", _reigns, list[Reign]),
    RouteSpec("GET", f"{_MODEL}/production", _in_production, list[InProduction], query=(_WHEN,)),
    RouteSpec("GET", f"{_MODEL}/timeline", _timeline, list[Event]),
    RouteSpec("GET", f"{_MODEL}/spending", _spending, Spending),
    RouteSpec("GET", "/v1/evaluations/{evaluation}", _evaluation, Evaluation),
    RouteSpec("POST", "/v1/predictions/{model}", _log_predictions, None, PredictionBatch),
    RouteSpec("POST", "/v1/labels/{model}", _log_labels, None, LabelBatch),
    RouteSpec("POST", "/v1/monitors/{model}/look", _look, Tick),
    RouteSpec("POST", "/v1/monitors/{model}/ingest", _ingest, list[DroppedFile]),
    RouteSpec(
        "GET",
        "/v1/monitors/{model}/performance",
        _performance,
        list[Hindsight],
        query=(_AS_OF, _SINCE, _RECORDED),
    ),
    RouteSpec("GET", "/v1/monitors/{model}/windows", _windows, list[WindowResult], query=(_SINCE,)),
    RouteSpec("GET", "/v1/monitors/{model}/alerts", _alerts, list[Alert]),
    RouteSpec(
        "POST",
        "/v1/monitors/{model}/backfill",
        _backfill,
        Backfill,
        query=(
            Query("since", required=True, format="date-time"),
            Query("actor"),
            Query("after", format="date-time"),
            Query("most", kind="integer"),
        ),
    ),
    RouteSpec("GET", "/v1/monitors/{model}/suggestion", _suggest_monitors, WrittenMonitors),
    RouteSpec("POST", "/v1/plan", _plan, Plan, NewCycle),
    RouteSpec("POST", "/v1/cycles", _start_cycle, Cycle, NewCycle),
    RouteSpec("POST", "/v1/cycles/resume", _resume, list[Cycle]),
    RouteSpec("GET", "/v1/cycles", _cycles, list[Cycle], query=(Query("model"),)),
    RouteSpec("GET", "/v1/cycles/{cycle}", _cycle, Cycle),
    RouteSpec("GET", "/v1/replay", _replay, ReplayState | None),
    RouteSpec("POST", "/v1/replay", _start_replay, ReplayState, query=(_AT,)),
    RouteSpec("POST", "/v1/replay/step", _step_replay, ReplayStep, query=(_UNTIL,)),
    RouteSpec("DELETE", "/v1/replay", _stop_replay, None),
    *MODEL_ROUTES,
    *CARD_ROUTES,
    *CHECK_ROUTES,
    *IMPORT_ROUTES,
    *DATA_MOVING_ROUTES,
    *DATA_PATH_ROUTES,
    *DATA_WORK_ROUTES,
    *DATA_REMOTE_ROUTES,
    *DATA_BRANCH_ROUTES,
    *DATA_DELETING_ROUTES,
    *DEPLOYMENT_ROUTES,
    *INCIDENT_ROUTES,
    *PAYLOAD_ROUTES,
    *DATA_REVIEW_ROUTES,
    *DATA_TABLE_ROUTES,
    *DELETING_ROUTES,
    *RETRAIN_ROUTES,
]
