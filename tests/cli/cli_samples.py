"""Values as the API sends them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from treadle.data.types import Column, DataInput, DatasetVersion, FileEntry, SliceSpec
from treadle.deploy.types import DeploymentStatus, Replica, Revision
from treadle.evaluate.types import Evaluation, Verdict
from treadle.experiment import Comparison
from treadle.experiment.types import Artifact, Point, Run
from treadle.kernel.types import Health
from treadle.monitor.types import Alert, WindowResult
from treadle.registry.types import Field, ModelFile, ModelVersion, Signature
from treadle.retrain import Challenger, Compared, Hold, PlannedCost, PlannedWindow, RetrainPlan, Signal
from treadle.retrain.types import Cycle, Plan, PlannedStage, Reign, ReplayStep, Stage, Tick, Trigger

NOON = datetime(2013, 7, 1, 12, tzinfo=UTC)
RUNS = ("run_01jzq3k4m5n6p7q8r9s0t1v2w3", "run_01jzq3k4m6a6p7q8r9s0t1v2w4")
STAGES = ("data", "check", "train", "evaluate", "register", "approve", "deploy")

HEALTH = Health(
    version="0.1.0",
    project="flights",
    model="flights",
    root="/srv/flights",
    schema="0001",
    metadata="sqlite:///.treadle/treadle.db",
    blobs=".treadle/blobs",
    tables=".treadle/tables",
    now=NOON,
    replaying=False,
    driving=True,
)


def run(number: int = 0, **changes: Any) -> Run:
    given = {
        "id": RUNS[number],
        "name": f"trees-{number}",
        "started_at": NOON + timedelta(minutes=number),
        "ended_at": NOON + timedelta(minutes=number, seconds=12),
        "status": "finished",
        "params": {"depth": 6 + number},
        "metrics": {"roc_auc": 0.71 + number / 1000, "log_loss": 0.5},
    }
    return Run(**{**given, **changes})


def comparison(noise: dict[str, float]) -> Comparison:
    return Comparison(
        runs=[run(0), run(1)],
        params={"depth": [6, 7]},
        metrics={"roc_auc": [0.71, 0.711], "log_loss": [0.5, 0.6]},
        noise=noise,
    )


POINTS = [Point(step, NOON, value) for step, value in enumerate([0.1, 0.4, 0.6, 0.7, 0.71])]
ARTIFACTS = [Artifact("model/model.onnx", "a" * 64, 120_000)]

DATASET = DatasetVersion(
    dataset="flights",
    number=2,
    digest="d" * 64,
    created_at=NOON,
    rows=336_776,
    bytes=5 << 20,
    columns=(Column("id", "VARCHAR"), Column("late", "BOOLEAN")),
    files=(FileEntry("flights.parquet", 5 << 20, "e" * 64),),
    actor="ada",
)


def version(number: int = 3, **changes: Any) -> ModelVersion:
    spec = SliceSpec(dataset="flights", version="d" * 64, since=NOON - timedelta(days=90), until=NOON)
    given = {
        "model": "flights",
        "run": RUNS[0],
        "recipe": "b" * 64,
        "code": "c" * 64,
        "environment": "f" * 64,
        "seed": 0,
        "data": (DataInput(role="train", spec=spec, number=2, digest="9" * 64, rows=80_000),),
        "params": {"depth": 6},
        "metrics": {"roc_auc": 0.74},
        "signature": Signature((Field("hour", "float"), Field("carrier", "string")), "probability"),
        "files": (ModelFile("model.onnx", "a" * 64, 120_000),),
        "evaluations": ("ev_data", "ev_model"),
        "profile": "8" * 64,
        "serve": {},
        "number": number,
        "id": "7" * 64,
        "created_at": NOON,
        "status": "production",
        "approved_by": "cycle",
    }
    return ModelVersion(**{**given, **changes})


def verdict(outcome: str, sentence: str, **changes: Any) -> Verdict:
    return Verdict(check="no_worse", subject="overall", outcome=outcome, sentence=sentence, **changes)


def evaluation(outcome: str = "pass", *verdicts: Verdict) -> Evaluation:
    found = verdicts or (verdict(outcome, f"it is {outcome}"),)
    return Evaluation(id="ev", kind="model", at=NOON, outcome=outcome, verdicts=found, subject="run")


def cycle(state: str = "promoted", done: int = 7, **changes: Any) -> Cycle:
    goal = changes.get("goal", "deploy")
    names = STAGES if goal == "deploy" else STAGES[:4]
    stages = []
    for index, name in enumerate(names):
        at = NOON + timedelta(seconds=index)
        if index < done:
            stages.append(
                Stage(
                    name=name,
                    state="done",
                    started_at=at,
                    ended_at=at + timedelta(seconds=1),
                    summary=f"{name} went well",
                )
            )
        elif index == done and state == "running":
            stages.append(Stage(name=name, state="running", started_at=at))
        else:
            stages.append(Stage(name=name))
    given = {
        "id": "cycle_01jzq3k4m5n6p7q8r9s0t1v2w3",
        "model": "flights",
        "goal": goal,
        "trigger": Trigger(kind="manual", actor="ada", reason="started by hand"),
        "as_of": NOON,
        "state": state,
        "stages": tuple(stages),
        "started_at": NOON,
        "ended_at": None if state == "running" else NOON + timedelta(seconds=72),
        "version": 3,
        "evaluations": ("ev_data", "ev_model"),
        "runs": RUNS,
        "cpu_seconds": 41.6,
    }
    return Cycle(**{**given, **changes})


def plan(*problems: str) -> Plan:
    return Plan(
        model="flights",
        as_of=NOON,
        stages=tuple(
            PlannedStage(name, f"would do its {name} " + "and a good deal more " * 5) for name in STAGES
        ),
        problems=problems,
        cpu_seconds=41.6,
    )


def revision(number: int, version: int, **changes: Any) -> Revision:
    given = {"state": "serving", "served_at": NOON}
    return Revision(
        model="flights", revision=number, version=version, at=NOON, actor="ada", reason="it is better",
        **{**given, **changes},
    )  # fmt: skip


DEPLOYMENT = DeploymentStatus(
    model="flights",
    desired=revision(2, 3),
    serving=revision(2, 3),
    replicas=[
        Replica(
            replica="r1", model="flights", url="http://127.0.0.1:8100", revision=2, requests=12_345, errors=0,
            rows=99, p50_ms=1.25, p99_ms=8.5, heard_at=NOON,
        )
    ],
)  # fmt: skip


def window(kind: str, subject: str, state: str, value: float, week: int) -> WindowResult:
    return WindowResult(
        model="flights",
        kind=kind,
        subject=subject,
        since=NOON + timedelta(days=7 * week),
        until=NOON + timedelta(days=7 * week + 7),
        version=3,
        state=state,
        statistic="roc_auc" if kind == "performance" else "psi",
        value=value,
        limit=0.7,
        n=5_000,
        sentence=f"{subject} is at {value}",
    )


WINDOWS = [
    window("input", "origin", "ok", 0.01, 0),
    window("performance", "roc_auc", "ok", 0.72, 0),
    window("input", "origin", "ok", 0.02, 1),
    window("performance", "roc_auc", "alert", 0.65, 1),
]
ALERT = Alert(
    id="a1",
    model="flights",
    kind="performance",
    at=NOON,
    subjects=("roc_auc",),
    sentence="roc_auc fell to 0.65, below 0.70",
    version=3,
    cycle="cycle_01jzq3k4m5n6p7q8r9s0t1v2w3",
)
REIGNS = [
    Reign(
        version=1,
        since=NOON,
        until=NOON + timedelta(days=40),
        actor="cycle",
        reason="the first",
        cpu_seconds=40.0,
    ),
    Reign(
        version=3,
        since=NOON + timedelta(days=40),
        until=None,
        actor="ada",
        reason="it is better",
        cpu_seconds=42.5,
    ),
]


def tick(**changes: Any) -> Tick:
    return Tick(**{"windows": [], "alerts": [], **changes})


def step(since: datetime, until: datetime, **changes: Any) -> ReplayStep:
    given = {"requests": 10, "failed": 0, "rows": 1_000, "labels": 900, "tick": tick()}
    return ReplayStep(since=since, until=until, **{**given, **changes})


RETRAIN_PLAN = RetrainPlan(
    model="flights",
    as_of=NOON,
    triggers=(
        Signal(trigger="performance", kind="alert", fires=False, reason="no performance alert holds"),
        Signal(
            trigger="weekly",
            kind="schedule",
            fires=True,
            reason="it is due since 2013-07-01 03:00",
            hold=Hold("budget", "an hour was spent"),
        ),
        Signal(trigger="grown", kind="data", fires=True, reason="50,000 rows arrived"),
    ),
    starts="grown",
    window=PlannedWindow(
        policy="sliding: the last 132d",
        version="flights@v3",
        changed=True,
        since=NOON - timedelta(days=132),
        until=NOON - timedelta(days=42),
        end=NOON,
        rows=80_000,
        held_out=30_000,
    ),
    cost=PlannedCost(cpu_seconds=9.0, least=8.0, most=12.5, cycles=5, spent=40.0, limit=3600.0),
    gates=(PlannedStage("evaluate", "judge it"),),
    cycle=Plan(
        model="flights",
        as_of=NOON,
        stages=(PlannedStage("train", "run it"), PlannedStage("evaluate", "judge it")),
        problems=("nothing to hold out",),
        cpu_seconds=9.0,
    ),
)

CHALLENGER = Challenger(
    model="flights",
    production="flights/2",
    challenger="flights/3",
    chosen="hand",
    why="the gate was strict",
    held_since=NOON - timedelta(days=3),
    actor="ada",
    found=Compared(
        challenger="flights/3",
        production="flights/2",
        metric="roc_auc",
        since=NOON - timedelta(days=60),
        until=NOON,
        days=58,
        rows=52_000,
        blocks=8,
        block=7,
        gain=0.0103,
        low=-0.0042,
        high=0.0247,
        e_value=3.456,
        asked=20.0,
        needed=112,
        most=182,
        correlation=0.31,
        verdict="open",
    ),
)
