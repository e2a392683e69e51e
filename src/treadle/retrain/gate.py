"""The stages that judge a model: its data, its performance, its registration, its approval."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.data import DataInput, Datasets
from treadle.deploy import Environments
from treadle.evaluate import Evaluation, Evaluations, Holdout, Whole, measured, permutation_importance
from treadle.experiment import Experiments, JournalBatch, LogMetrics
from treadle.kernel.errors import NotFound, TreadleError
from treadle.kernel.workspace import Workspace
from treadle.monitor import build_profile, profile_segments, with_estimates
from treadle.registry import LoadedModel, ModelFile, ModelVersion, NewVersion, Registry
from treadle.retrain import rules
from treadle.retrain.make import model_folder
from treadle.retrain.publish import deliver
from treadle.retrain.step import CycleContext, Step
from treadle.retrain.types import Cycle
from treadle.retrain.work import Work
from treadle.train import Trainer, Training

Scores = npt.NDArray[np.float64]


def check(context: CycleContext) -> Step:
    """Checks the rows to train on, beside those that production was trained on."""
    workspace, cycle, work = context.workspace, context.cycle, context.work
    assert work.train is not None  # noqa: S101 - the data stage has set it
    datasets, production = Datasets(workspace), Registry(workspace).production(cycle.model)
    evaluation = Evaluations(workspace).check_data(
        f"eval_{cycle.id}_data",
        _rows(workspace, work.train),
        work.version,
        _reference(workspace, production),
        holdout=_rows(workspace, work.holdout) if work.holdout else None,
        whole=Whole(datasets.paths(datasets.get(work.version)), cycle.as_of),
    )
    work = msgspec.structs.replace(work, data_evaluation=evaluation.id)
    if evaluation.outcome == "fail":
        return Step(work, rules.reason([evaluation]), "refused", rules.cause([evaluation]))
    return Step(work, _count(evaluation))


def evaluate(context: CycleContext) -> Step:
    """Scores the replicas on the held-out rows, and judges the first beside production.

    The first, not the best: choosing by the held-out rows would flatter the choice on
    those very rows. The other replicas show how much the seed alone changes.
    """
    workspace, cycle, work = context.workspace, context.cycle, context.work
    assert work.holdout is not None  # noqa: S101 - the data stage has set it
    evaluations = Evaluations(workspace)
    holdout = evaluations.load_holdout(_rows(workspace, work.holdout))
    models = [LoadedModel.load(model_folder(workspace, training)) for training in work.trainings]
    scores = [model.predict(holdout.inputs) for model in models]
    for training, predicted in zip(work.trainings, scores, strict=True):
        _log(workspace, training, evaluations.measure(holdout, predicted))
    metrics = evaluations.measure(holdout, scores[0])
    work = msgspec.structs.replace(
        work,
        metrics=metrics,
        signature=models[0].signature,
        files=_files(workspace, work.trainings[0]),
    )
    metric = workspace.config.checks.performance.metric
    if cycle.goal == "train":
        return Step(work, f"{metric} {metrics[metric]:.4f} on {len(scores[0]):,} held-out rows", "trained")
    evaluation, against = _judge(workspace, cycle, work, holdout, scores)
    work = msgspec.structs.replace(
        work,
        model_evaluation=evaluation.id,
        profile=_profile(workspace, work, models[0], holdout, scores[0]),
    )
    return Step(work, f"{metric} {metrics[metric]:.4f}{against}; {_count(evaluation)}")


def register(context: CycleContext) -> Step:
    """Registers the model with everything that is known of it."""
    workspace, cycle, work = context.workspace, context.cycle, context.work
    assert work.recipe is not None  # noqa: S101 - the data stage has set it
    assert work.signature is not None  # noqa: S101 - the evaluate stage has set it
    shipped, about = work.trainings[0], workspace.config.about
    version = Registry(workspace).register(
        NewVersion(
            model=cycle.model,
            run=shipped.run,
            recipe=work.recipe_id,
            code=work.recipe.code,
            environment=work.recipe.environment,
            seed=shipped.seed,
            data=tuple(rows for rows in (work.train, work.holdout) if rows),
            params=work.recipe.params,
            metrics=work.metrics,
            signature=work.signature,
            files=work.files,
            evaluations=(work.data_evaluation, work.model_evaluation),
            profile=work.profile,
            serve={
                name: str(value)
                for name, value in msgspec.structs.asdict(workspace.config.serve).items()
                # What callers are promised and how many processes keep it: no version needs that to run.
                if name not in ("objective", "replicas", "router")
            },
            cycle=cycle.id,
            curves=tuple(sorted(Experiments(workspace).get(shipped.run).metrics)),
            made_by=cycle.trigger.actor,
            licence=about.licence,
            hardware=about.hardware,
            owner=about.owner,
            description=about.description,
        )
    )
    work = msgspec.structs.replace(work, number=version.number)
    if version.status != "candidate":
        return Step(work, f"{version.ref} was made of exactly this, and is {version.status}", "unchanged")
    return Step(work, f"{version.ref} ({version.id[:12]})")


def approve(context: CycleContext) -> Step:
    """Decides by the verdicts: on to production, refused, or held for a person."""
    workspace, cycle, work = context.workspace, context.cycle, context.work
    evaluations = [Evaluations(workspace).get(e) for e in (work.data_evaluation, work.model_evaluation)]
    end = rules.conclusion([e.outcome for e in evaluations], by_hand=workspace.config.by_hand)
    why = rules.reason(evaluations)
    if end == "refused":
        by = f"cycle:{cycle.id}"
        Registry(workspace).refuse(cycle.model, work.number, actor=by, reason=why, key=cycle.id)
        return Step(work, why, "refused", rules.cause(evaluations))
    if end == "held":
        return Step(work, f"held for approval: {why}{_delivered(context, evaluations, why)}", "held")
    return Step(work, why)


def _delivered(context: CycleContext, evaluations: list[Evaluation], why: str) -> str:
    """Deploys what passed to the first of several environments, if that is so; where to, in words."""
    workspace, cycle = context.workspace, context.cycle
    first = next(iter(workspace.config.environments), "")
    passed = rules.conclusion([e.outcome for e in evaluations], by_hand=False) == "promoted"
    if len(workspace.config.environments) < 2 or not passed:
        return ""
    version = Registry(workspace).get(f"{cycle.model}/{context.work.number}")
    try:
        Environments(workspace).admit(first, version)
        revision = deliver(workspace, version, first, f"cycle:{cycle.id}", why, f"{cycle.id}:{first}")
    except TreadleError as error:
        return f"; not deployed to {first}: {error.message}"
    return f"; deployed to {first}, revision {revision.revision}"


def _judge(
    workspace: Workspace, cycle: Cycle, work: Work, holdout: Holdout, scores: list[Scores]
) -> tuple[Evaluation, str]:
    """The verdicts on the first replica, and what it was compared with, in words."""
    assert work.holdout is not None  # noqa: S101 - the data stage has set it
    assert work.train is not None  # noqa: S101 - the data stage has set it
    production = Registry(workspace).production(cycle.model)
    theirs = Registry(workspace).load(production).predict(holdout.inputs) if production else None
    evaluations = Evaluations(workspace)
    evaluation = evaluations.judge(
        f"eval_{cycle.id}_model",
        subject=work.trainings[0].run,
        holdout=holdout,
        candidate=scores[0],
        production=theirs,
        replicas=scores[1:],
        other_replicas=_other_replicas(workspace, production, holdout),
        data=work.holdout.digest,
        baseline=production.ref if production else None,
        beside=evaluations.overlap(_rows(workspace, work.holdout), _rows(workspace, work.train)),
    )
    if production is None or theirs is None:
        return evaluation, ""
    metric = workspace.config.checks.performance.metric
    before = evaluations.measure(holdout, theirs)[metric]
    return evaluation, f" ({production.ref}: {before:.4f})"


def _other_replicas(workspace: Workspace, production: ModelVersion | None, holdout: Holdout) -> list[Scores]:
    """The scores of production's other replicas, where recipes are compared and they can still be had."""
    if production is None or not workspace.config.checks.performance.recipe:
        return []
    config, _ = workspace.config.training
    trainer, found = Trainer(workspace), []
    for number in range(1, config.replicas):
        training = trainer.trained(production.recipe, number)
        if training is None:
            continue
        try:
            model = LoadedModel.load(model_folder(workspace, training))
        except TreadleError:  # its files have been erased: fewer seeds are compared, and the verdict says so
            continue
        found.append(model.predict(holdout.inputs))
    return found


def _rows(workspace: Workspace, data: DataInput) -> Path:
    return Datasets(workspace).slice(data.spec, data.role)[1]


def _reference(workspace: Workspace, production: ModelVersion | None) -> Path | None:
    """The rows that production was trained on, while they can still be had."""
    if production is None:
        return None
    trained_on = next((data for data in production.data if data.role == "train"), None)
    try:
        return _rows(workspace, trained_on) if trained_on else None
    except NotFound:
        return None


def _log(workspace: Workspace, training: Training, metrics: dict[str, float]) -> None:
    """Adds the platform's own figures to the run, once."""
    experiments = Experiments(workspace)
    run = experiments.get(training.run)
    named = {f"holdout.{name}": value for name, value in metrics.items()}
    if not named.keys() <= run.metrics.keys():
        record = LogMetrics(at=time.time(), values=named)
        experiments.apply(run.id, JournalBatch(first=run.applied, records=[record]))


def _files(workspace: Workspace, training: Training) -> tuple[ModelFile, ...]:
    return tuple(
        ModelFile(artifact.path.removeprefix("model/"), artifact.digest, artifact.size)
        for artifact in Experiments(workspace).artifacts(training.run)
        if artifact.path.startswith("model/")
    )


def _profile(workspace: Workspace, work: Work, model: LoadedModel, holdout: Holdout, scores: Scores) -> str:
    assert work.train is not None  # noqa: S101 - the data stage has set it
    (config, _), check = workspace.config.training, workspace.config.checks.performance
    engine, rows = workspace.engine, _rows(workspace, work.train)
    profile = build_profile(
        engine,
        rows,
        config.features,
        scores,
        check.metric,
        work.metrics[check.metric],
        permutation_importance(model.predict, holdout.inputs, holdout.labels, measured(check, check.metric)),
    )
    profile = profile_segments(engine, rows, profile, workspace.config.monitor.segments)
    profile = with_estimates(profile, measured(check), holdout.inputs, holdout.labels, scores)
    return workspace.blobs.put(msgspec.json.encode(profile))


def _count(evaluation: Evaluation) -> str:
    outcomes = [verdict.outcome for verdict in evaluation.verdicts if not verdict.exploratory]
    parts = [
        f"{outcomes.count(outcome)} {word}"
        for outcome, word in (
            ("pass", "passed"),
            ("warn", "passed with a warning"),
            ("fail", "failed"),
            ("inconclusive", "inconclusive"),
        )
        if outcome in outcomes
    ]
    return f"checks: {', '.join(parts)}"
