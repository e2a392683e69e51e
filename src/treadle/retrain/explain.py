"""The plan of a cycle: what each stage would do, read from what is there, changing nothing."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.data import Datasets
from treadle.govern import Usages
from treadle.kernel.config import DatasetConfig
from treadle.kernel.errors import NotFound, TreadleError
from treadle.kernel.units import format_duration, parse_duration
from treadle.kernel.workspace import Workspace
from treadle.registry import ModelVersion, Registry
from treadle.retrain import rules
from treadle.retrain.changed import changed_at
from treadle.retrain.types import Cycle, NewCycle, Plan, PlannedStage, StageName


def explain(workspace: Workspace, asked: NewCycle, past: Sequence[Cycle]) -> Plan:
    """What a cycle would do now.

    Args:
        workspace: The project's workspace.
        asked: The cycle that would be started.
        past: Earlier cycles of the same goal, for the cost.

    Raises:
        ConfigError: If ``treadle.toml`` says nothing of training.
    """
    as_of = workspace.clock.now()
    production = Registry(workspace).production(workspace.config.model)
    cost = rules.typical_cost(past)
    sentences = _sentences(workspace, asked, production)
    return Plan(
        model=workspace.config.model,
        as_of=as_of,
        stages=tuple(PlannedStage(name, sentences[name]) for name in rules.STAGES[asked.goal]),
        problems=tuple(_problems(workspace, cost)),
        cpu_seconds=cost,
    )


def _sentences(
    workspace: Workspace, asked: NewCycle, production: ModelVersion | None
) -> dict[StageName, str]:
    config = workspace.config
    train, data = config.training
    as_of = workspace.clock.now()
    learn, hold = rules.windows(config, "", as_of, changed_at(workspace, as_of))
    since = f"{learn.since:%Y-%m-%d}" if learn.since else "the beginning"
    params = {**train.params, **asked.params}
    checks = config.checks
    groups = (
        f"; by {', '.join(checks.groups.by)}: margin {checks.groups.margin:g}" if checks.groups.by else ""
    )
    against = f"against {production.ref}" if production else "alone: nothing is in production yet"
    approval = (
        "promote it if every check passes, refuse it if one fails, hold it if one can't tell"
        if not config.by_hand
        else "hold it until `treadle models approve`"
    )
    return {
        "data": f"snapshot {data.path}{_kept_apart(data)}; train on {since} to {learn.until:%Y-%m-%d}, "
        f"hold out {hold.since:%Y-%m-%d} to {hold.until:%Y-%m-%d}; labels known by {as_of:%Y-%m-%d %H:%M}",
        "check": f"check schema, missing values, ranges and at least {checks.data.min_rows} rows",
        "train": f"run `{train.command}` {_times(train.replicas)} with "
        + (", ".join(f"{key}={value}" for key, value in params.items()) or "no parameters"),
        "evaluate": f"judge {checks.performance.metric} on the held-out rows {against}, "
        f"margin {checks.performance.margin:g}{groups}"
        if asked.goal == "deploy"
        else f"measure {checks.performance.metric} on the held-out rows",
        "register": f"register it as the next version of {config.model}",
        "approve": approval,
        "deploy": f"have the inference server swap to it{_instead(production)}",
    }


def _kept_apart(data: DatasetConfig) -> str:
    return " on a branch of its own" if data.format == "files" else ""


def _times(replicas: int) -> str:
    return "once" if replicas == 1 else f"{replicas} times with different seeds"


def _instead(production: ModelVersion | None) -> str:
    return f" instead of {production.ref}, without a failed request" if production else ""


def _problems(workspace: Workspace, cost: float | None) -> list[str]:
    """What can be seen now to go wrong later."""
    train, data = workspace.config.training
    problems = []
    path = workspace.root / data.path
    if not path.exists():
        problems.append(f"{data.path} does not exist ([data.{train.data}] path)")
    else:
        problems += _too_short(workspace, train.data)
    try:
        Usages(workspace).check(workspace.config.model, cost, workspace.clock.now())
    except TreadleError as error:
        problems.append(error.message)
    limit = workspace.config.budget.cycle
    if limit is not None and cost is not None and cost > parse_duration(limit).total_seconds():
        problems.append(
            f"a cycle takes about {format_duration(cost)} of CPU time; its budget is {limit} ([budget] cycle)"
        )
    return problems


def _too_short(workspace: Workspace, dataset: str) -> list[str]:
    """Whether the latest version reaches into the windows; nothing is said of data never versioned."""
    datasets = Datasets(workspace)
    try:
        version = datasets.get(dataset)
    except NotFound:
        return []
    first, last = datasets.bounds(version)
    as_of = workspace.clock.now()
    learn, hold = rules.windows(workspace.config, version.digest, as_of, changed_at(workspace, as_of))
    span = f"{version.ref} covers {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    if hold.since and last < hold.since:
        return [f"nothing to hold out after {hold.since:%Y-%m-%d}: {span}"]
    if learn.until and first >= learn.until:
        length = format_duration((learn.until - first).total_seconds())
        return [f"nothing to train on before {learn.until:%Y-%m-%d}: {span} ({length})"]
    return []
