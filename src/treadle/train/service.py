"""Makes recipes, and trains what they say."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec

from treadle.data import WEIGHT, DataInput
from treadle.experiment import Experiments, Finish, JournalBatch, NewRun, Provenance, joined
from treadle.experiment.types import DEFAULT
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import Conflict, JobFailed, NotFound, StorageError, TreadleError
from treadle.kernel.files import write_atomic
from treadle.kernel.units import parse_duration
from treadle.kernel.workspace import Workspace
from treadle.train import environment, origin, rules, store
from treadle.train.code import materialise, snapshot
from treadle.train.executor import Executor
from treadle.train.local import LocalExecutor
from treadle.train.supervise import BEGUN, LOG
from treadle.train.types import CodeVersion, JobContext, JobResult, JobSpec, Recipe, Scalar, Training

_INGEST_SECONDS = 1.0
_ATTEMPTS = 3
_MODEL = "model/model.onnx"


class Trainer:
    """Trains models.

    Args:
        workspace: The project's workspace.
        executor: Where jobs run; this machine when left out.
    """

    def __init__(self, workspace: Workspace, executor: Executor | None = None) -> None:
        self._workspace = workspace
        self._executor = executor or LocalExecutor()
        self._experiments = Experiments(workspace)

    # ── recipes ──────────────────────────────────────────────────────────

    def code(self) -> CodeVersion:
        """The project's code as it is now, kept in the blob store.

        Raises:
            ConfigError: If there is no ``[train]``, or no file is code.
        """
        config, _ = self._workspace.config.training
        code = snapshot(self._workspace.root, config.code, self._workspace.blobs)
        self._workspace.blobs.put(rules.code_manifest(code))
        return code

    def environment(self) -> str:
        """The digest of what jobs run in; its manifest is kept in the blob store."""
        return self._workspace.blobs.put(msgspec.json.encode(environment.describe(), order="sorted"))

    def recipe(self, train: DataInput, params: Mapping[str, Scalar] | None = None) -> Recipe:
        """The recipe for a model of the project as it is now; it is kept.

        Args:
            train: The data to train on. What a model is judged on is no part of what makes it.
            params: Hyperparameters that differ from ``[train.params]``.

        Raises:
            ConfigError: If there is no ``[train]``, or no file is code.
        """
        config, data = self._workspace.config.training
        code = self.code()
        recipe = Recipe(
            code=self._workspace.blobs.put(rules.code_manifest(code)),
            command=config.command,
            data=(train,),
            features=tuple(config.features),
            label=data.label or "",
            params={**config.params, **(params or {})},
            seed=config.seed,
            environment=self.environment(),
            resources=self._executor.resources,
        )
        self._keep(recipe, code.commit, dirty=code.dirty)
        return recipe

    def take_in(self, recipe: Recipe) -> str:
        """Keeps a recipe that came from another Treadle, so that its code stays; returns its identity."""
        return self._keep(recipe)

    def _keep(self, recipe: Recipe, commit: str | None = None, *, dirty: bool = False) -> str:
        identity = rules.recipe_id(recipe)
        with self._workspace.database.write() as connection:
            store.add_recipe(connection, identity, recipe, self._workspace.clock.now(), commit, dirty=dirty)
        return identity

    def recipe_id(self, recipe: Recipe) -> str:
        """The recipe's identity: ``r_`` and a BLAKE3 digest."""
        return rules.recipe_id(recipe)

    def get_recipe(self, identity: str) -> Recipe:
        """The recipe of an identity.

        Raises:
            NotFound: If there is none.
        """
        with self._workspace.database.read() as connection:
            row = store.find_recipe(connection, identity)
        if row is None:
            raise NotFound("there is no such recipe", where=identity)
        found: Recipe = row["recipe"]
        return found

    def trained(self, identity: str, replica: int) -> Training | None:
        """The latest training of a recipe's replica that brought a model; None if none did."""
        with self._workspace.database.read() as connection:
            return store.find_training(
                connection, store.trainings.c.recipe == identity, store.trainings.c.replica == replica
            )

    # ── training ─────────────────────────────────────────────────────────

    def folder(self, run_id: str) -> Path:
        """Where the job of a run has its files."""
        return self._workspace.state / "jobs" / run_id

    def train(
        self,
        recipe: Recipe,
        data: Path,
        replica: int,
        run_id: str,
        cycle: str | None = None,
        experiment: str = DEFAULT,
        on_poll: Callable[[], None] | None = None,
        name: str | None = None,
        on_end: Callable[[str, JobResult], None] | None = None,
        trigger: str | None = None,
        parent: str | None = None,
    ) -> Training:
        """Trains one replica of a recipe as a job, and waits for it.

        Asking again for the same run is asking once: a job that runs is taken over, and
        what is known of one that ended is told again. A job that was lost with its machine
        is begun anew, as a run of its own (``RUN.2``), while the lost one counts as failed.

        Args:
            recipe: What to train.
            data: The Parquet file with the recipe's rows.
            replica: Which replica, counted from 0; its seed is the recipe's plus this.
            run_id: The run to write.
            cycle: The cycle that it is part of, if any.
            experiment: What the run belongs to.
            on_poll: Called several times a second; what it raises is raised here, and the job runs on.
            name: What to call the run.
            on_end: Told of each job that ended, by its run, whatever came of it: what it used is spent.
            trigger: What has it trained, in a sentence.
            parent: The run that this one is a part of or takes its parameters from.

        Raises:
            JobFailed: If the command can't be run, fails, or logs no model.
            JobTimedOut: If it takes longer than ``[train] timeout``.
            NotFound: If the data isn't there.
            Conflict: If the run was used for another recipe or replica.
        """
        with self._workspace.database.read() as connection:
            known = store.find_training(connection, store.trainings.c.id == run_id)
        if known is None:
            told = Provenance(trigger=trigger, parent=parent)
            known = self._train(recipe, data, replica, run_id, cycle, experiment, on_poll, name, on_end, told)
        _check_same(known.run, known.recipe, known.replica, rules.recipe_id(recipe), replica)
        return known

    def _train(
        self,
        recipe: Recipe,
        data: Path,
        replica: int,
        run_id: str,
        cycle: str | None,
        experiment: str,
        on_poll: Callable[[], None] | None,
        name: str | None,
        on_end: Callable[[str, JobResult], None] | None,
        told: Provenance,
    ) -> Training:
        identity = self._keep(recipe)
        for attempt in count(1):
            run = NewRun(
                id=run_id if attempt == 1 else f"{run_id}.{attempt}",
                name=name or f"{self._workspace.config.project.name} seed {recipe.seed + replica}",
                # Runs are timed by the machine's clock, as their scripts time them, also in a replay.
                started_at=SystemClock().now(),
                experiment=experiment,
                source="job",
                params=recipe.params,
                tags=self._tags(identity, recipe),
                recipe=identity,
                cycle=cycle,
                replica=replica,
                seed=recipe.seed + replica,
                provenance=told,
                inputs=tuple(rules.run_input(rows) for rows in recipe.data),
            )
            spec = self._prepare(recipe, data, run)
            self._executor.start(spec)
            result = self._executor.wait(spec, self._poll(Path(spec.folder), on_poll))
            if on_end is not None:
                on_end(run.id, result)
            if result.outcome != "lost" or attempt == _ATTEMPTS:
                return self._settle(spec, identity, run, run_id, result)
            lost = JobFailed("the job was lost: it was killed together with its supervisor")
            self._close(spec, run.id, lost, str(Path(spec.folder) / LOG))
        raise AssertionError  # pragma: no cover - the loop has no other end

    def _tags(self, identity: str, recipe: Recipe) -> dict[str, str]:
        tags = {"command": origin.masked_command(recipe.command), "host": platform.node()}
        with self._workspace.database.read() as connection:
            row = store.find_recipe(connection, identity)
        if row is not None and row["commit"]:
            tags["commit"] = row["commit"] + ("+changes" if row["dirty"] else "")
        return tags

    def _prepare(self, recipe: Recipe, data: Path, run: NewRun) -> JobSpec:
        """The job, its folder complete."""
        folder = self.folder(run.id)
        if not (folder / BEGUN).exists():
            if not data.is_file():
                raise NotFound("the data to train on is not there", where=str(data))
            materialise(self._workspace.blobs, recipe.code, folder / "code")
        if not (folder / "job.json").exists():
            found = origin.look(self._workspace.root, recipe.command)
            run = msgspec.structs.replace(run, provenance=joined(run.provenance, found.provenance))
            for path, file in found.files.items():  # before job.json: what it names is there
                write_atomic(folder / path, file)
            context = JobContext(
                run=run,
                data={recipe.data[0].spec.dataset: str(data.resolve())},
                features=recipe.features,
                label=recipe.label,
                task=self._workspace.config.project.task,
                weight=WEIGHT if recipe.data[0].spec.half_life else None,
            )
            write_atomic(folder / "job.json", msgspec.json.encode(context))
        begun = msgspec.json.decode((folder / "job.json").read_bytes(), type=JobContext).run
        _check_same(run.id, begun.recipe, begun.replica, run.recipe, run.replica)
        self._experiments.create(begun)
        known = {file.path for file in self._experiments.artifacts(begun.id)}
        kept = [path for path in (origin.PATCH, origin.LOCK) if (folder / path).exists()]
        missing = {path: (folder / path).read_bytes() for path in kept if path not in known}
        self._experiments.add_files(begun.id, missing)
        config, _ = self._workspace.config.training
        return JobSpec(
            id=run.id,
            folder=str(folder),
            cwd=str(folder / "code"),
            command=recipe.command,
            env={"PYTHONUNBUFFERED": "1"},
            timeout=parse_duration(config.timeout).total_seconds(),
            grace=parse_duration(config.grace).total_seconds(),
        )

    def _poll(self, folder: Path, on_poll: Callable[[], None] | None) -> Callable[[], None]:
        last = time.monotonic()

        def poll() -> None:
            nonlocal last
            if time.monotonic() - last >= _INGEST_SECONDS:
                # What can't be kept now is kept, or complained of, at the end.
                with suppress(TreadleError):
                    self._experiments.ingest(folder)
                last = time.monotonic()
            if on_poll is not None:
                on_poll()

        return poll

    def _settle(self, spec: JobSpec, identity: str, run: NewRun, run_id: str, result: JobResult) -> Training:
        """The training, if the job brought a model.

        Raises:
            JobFailed: If it didn't.
        """
        log = Path(spec.folder) / LOG
        failed = rules.failure(result, spec.command, spec.timeout, _read_end(log), str(log))
        error = self._close(spec, run.id, failed, str(log))
        if error is not None:
            raise error
        assert run.replica is not None  # noqa: S101 - set above
        assert run.seed is not None  # noqa: S101 - set above
        training = Training(run=run.id, recipe=identity, replica=run.replica, seed=run.seed, job=result)
        with self._workspace.database.write() as connection:
            store.add_training(connection, run_id, training, self._workspace.clock.now())
        return training

    def _close(self, spec: JobSpec, run_id: str, failed: JobFailed | None, log: str) -> TreadleError | None:
        """Takes in the last of the run, and ends it as its job ended, unless the script did.

        Args:
            spec: The job.
            run_id: The run.
            failed: Why the job failed, if it did.
            log: The file with its whole log.

        Returns:
            Why the training failed, or why what the script wrote can't be used, if either is so.
        """
        now = SystemClock().now()
        try:
            run = self._experiments.ingest(Path(spec.folder))
        except StorageError:
            raise
        except TreadleError as error:
            self._experiments.end(run_id, now, (failed or error).message)
            return failed or error
        if failed is None and not any(a.path == _MODEL for a in self._experiments.artifacts(run_id)):
            failed = rules.no_model(log)
        if failed:
            self._experiments.end(run_id, now, failed.message)
        elif run.status == "running":
            end = Finish(now.timestamp(), "finished")
            self._experiments.apply(run_id, JournalBatch(run.applied, [end]))
        return failed


def _check_same(
    run: str, recipe: str | None, replica: int | None, now: str | None, wanted: int | None
) -> None:
    if (recipe, replica) != (now, wanted):
        raise Conflict(
            f"the run was used for replica {replica} of {recipe}",
            where=run,
            fix="train another recipe or replica under another run",
        )


def _read_end(log: Path, size: int = 20_000) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
