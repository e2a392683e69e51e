"""The stages that make a model: the data that it is made of, and its replicas."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from treadle.data import Datasets
from treadle.govern import Usage, Usages
from treadle.kernel.errors import BudgetExceeded
from treadle.kernel.units import format_duration, parse_duration
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import rules
from treadle.retrain.changed import changed_at
from treadle.retrain.own_branch import begin
from treadle.retrain.step import CycleContext, Step
from treadle.retrain.types import Cycle
from treadle.train import JOBS_ABREAST, JobResult, Trainer, Training


def data(context: CycleContext) -> Step:
    """Versions the dataset on the cycle's own branch, cuts its rows, and fixes the recipe."""
    workspace, cycle, asked, work = context.workspace, context.cycle, context.asked, context.work
    config, _ = workspace.config.training
    datasets, trainer = Datasets(workspace), Trainer(workspace)
    version, branch = begin(workspace, cycle)
    learn, hold = rules.windows(
        workspace.config, version.digest, cycle.as_of, changed_at(workspace, cycle.as_of)
    )
    train_input, _ = datasets.slice(learn, "train")
    holdout, _ = datasets.slice(hold, "holdout")
    recipe = trainer.recipe(train_input, {**config.params, **asked.params})
    identity = trainer.recipe_id(recipe)
    work = msgspec.structs.replace(
        work,
        train=train_input,
        holdout=holdout,
        version=version.ref,
        recipe=recipe,
        recipe_id=identity,
    )
    where = f" on branch {branch}" if branch and version.branch == branch else ""
    summary = f"{version.ref}{where}: {train_input.rows:,} rows to train on, {holdout.rows:,} held out"
    production = Registry(workspace).production(cycle.model)
    if cycle.goal == "deploy" and production is not None and production.recipe == identity:
        return Step(work, f"{summary}; {production.ref} was made of exactly this", "unchanged")
    return Step(work, summary)


def train(context: CycleContext) -> Step:
    """Trains the replicas, within the budget; what was trained before is not trained again."""
    workspace, cycle, work = context.workspace, context.cycle, context.work
    config, _ = workspace.config.training
    Usages(workspace).check(cycle.model, None, workspace.clock.now())
    numbers = range(config.replicas if cycle.goal == "deploy" else 1)
    with ThreadPoolExecutor(JOBS_ABREAST) as pool:
        futures = [pool.submit(_replica, context, number) for number in numbers]
        trainings = tuple(future.result() for future in futures)
    work = msgspec.structs.replace(work, trainings=trainings)
    spent = sum(training.job.cpu_seconds for training in trainings if not training.cached)
    again = sum(training.cached for training in trainings)
    summary = f"{_replicas(len(trainings))} in {format_duration(spent)} of CPU time"
    if again:
        summary += f"; {again} found trained already (same recipe)"
    return Step(work, f"{summary}{_overdrawn(workspace, cycle)}")


def _overdrawn(workspace: Workspace, cycle: Cycle) -> str:
    """By how much a cycle's training passed its budget, in words: what runs isn't stopped by it."""
    limit, used = workspace.config.budget.cycle, Usages(workspace).cycle_used(cycle.id)
    if limit is None or used <= parse_duration(limit).total_seconds():
        return ""
    return f"; the cycle has used {format_duration(used)}, over its budget of {limit}"


def _replicas(count: int) -> str:
    return "1 replica trained" if count == 1 else f"{count} replicas trained"


def _replica(context: CycleContext, number: int) -> Training:
    workspace, cycle, asked, work = context.workspace, context.cycle, context.asked, context.work
    assert work.recipe is not None  # noqa: S101 - the data stage has set it
    assert work.train is not None  # noqa: S101 - the data stage has set it
    _within(workspace, cycle)
    trainer = Trainer(workspace)
    known = trainer.trained(work.recipe_id, number)
    if known is not None and not known.run.startswith(_run_id(cycle, 0)[:-1]):
        return msgspec.structs.replace(known, cached=True)
    _, path = Datasets(workspace).slice(work.train.spec, "train")
    training = trainer.train(
        work.recipe,
        path,
        number,
        _run_id(cycle, number),
        cycle=cycle.id,
        experiment=asked.experiment,
        name=asked.name,
        on_end=lambda run, result: _meter(workspace, cycle, run, result),
        trigger=_trigger(context),
        parent=asked.like,
    )
    _meter(workspace, cycle, training.run, training.job)  # again, for one that ended before a crash
    return training


def _trigger(context: CycleContext) -> str:
    """What has the model trained, as a sentence that a run keeps."""
    trigger = context.asked.trigger
    by = f"alert {trigger.alert}" if trigger.alert else trigger.actor
    return f"cycle {context.cycle.id}, {trigger.kind} by {by}: {trigger.reason}"[:1000]


def _run_id(cycle: Cycle, number: int) -> str:
    """The run of a replica: the same however often the stage is done."""
    return f"run_{cycle.id.partition('_')[2]}_{number}"


def _meter(workspace: Workspace, cycle: Cycle, run: str, result: JobResult) -> None:
    """Counts what a job used, once, also if it failed."""
    Usages(workspace).meter(
        Usage(
            id=run,
            at=workspace.clock.now(),
            model=cycle.model,
            run=run,
            cycle=cycle.id,
            cpu_seconds=result.cpu_seconds,
            wall_seconds=result.wall_seconds,
        )
    )


def _within(workspace: Workspace, cycle: Cycle) -> None:
    left = Usages(workspace).cycle_left(cycle.id)
    if left is not None and left <= 0:
        raise BudgetExceeded(
            f"the cycle has used up its budget of {workspace.config.budget.cycle} of CPU time",
            where="treadle.toml [budget] cycle",
            fix="raise the budget, or train fewer replicas",
        )


def model_folder(workspace: Workspace, training: Training) -> Path:
    """The model that a replica made, as files on this machine."""
    from treadle.experiment import Experiments

    folder = workspace.state / "cache" / "candidates" / training.run
    for artifact in Experiments(workspace).artifacts(training.run):
        inside = artifact.path.removeprefix("model/")
        if inside != artifact.path and not (folder / inside).exists():
            workspace.blobs.fetch(artifact.digest, folder / inside)
    return folder
