"""Runs the gate: reads the rows, judges, and keeps what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.evaluate import performance, store
from treadle.evaluate.bias import gathering as bias
from treadle.evaluate.data.arrivals import Whole
from treadle.evaluate.data.check import Checking
from treadle.evaluate.data.overlap import overlap
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.holdout import Holdout, load, require_checked
from treadle.evaluate.rules import VERSION, together
from treadle.evaluate.types import Basis, Evaluation, Verdict
from treadle.kernel.config import Config
from treadle.kernel.errors import Conflict, NotFound
from treadle.kernel.names import unknown
from treadle.kernel.scan.choosing import engine_for
from treadle.kernel.workspace import Workspace

Rows: TypeAlias = Path | list[Path]


class Evaluations:
    """Checks of data and models, as ``[checks]`` in ``treadle.toml`` says.

    Every evaluation is kept for ever under the identity that the caller gives it, and is
    never made again: asking twice is asking once, also after a crash.

    Args:
        workspace: The workspace.
        config: What is checked; that of the workspace when None.
    """

    def __init__(self, workspace: Workspace, config: Config | None = None) -> None:
        self._workspace = workspace
        self._config = config or workspace.config

    def check_data(
        self,
        evaluation_id: str,
        data: Rows,
        subject: str,
        reference: Rows | None = None,
        digest: str | None = None,
        basis: Basis | None = None,
        holdout: Rows | None = None,
        history: Mapping[date, int] | None = None,
        whole: Whole | None = None,
    ) -> Evaluation:
        """Checks rows before a model is trained on them (``[checks.data]``), in one pass over them.

        Args:
            evaluation_id: The evaluation's identity.
            data: The rows, as Parquet files.
            subject: What they are, such as ``flights@v3``.
            reference: The rows that production was trained on, if there are any: the share of
                missing values is held against theirs, and distributions where ``drift`` says so.
            digest: That of the rows.
            basis: What else it rests on.
            holdout: The rows that the model will be judged on, if there are any: the newest ones.
            history: The rows of earlier versions, by day, where they say what volume to expect.
            whole: All of the dataset, also rows whose label isn't known yet: says when rows came.

        Raises:
            InvalidInput: If a check names a column that the data doesn't have, or is of the
                wrong kind for it.
            CorruptData: If a file can't be read.
            Conflict: If something else was evaluated under this identity.
        """

        def make() -> Evaluation:
            verdicts = self.checking(data, reference, holdout, history, whole).judge()
            return Evaluation(
                id=evaluation_id,
                kind="data",
                at=self._workspace.clock.now(),
                outcome=together(verdicts),
                verdicts=tuple(verdicts),
                subject=subject,
                data=digest,
                basis=basis or Basis(treadle=VERSION),
            )

        return self._once(evaluation_id, "data", subject, make)

    def checking(
        self,
        data: Rows,
        reference: Rows | None = None,
        holdout: Rows | None = None,
        history: Mapping[date, int] | None = None,
        whole: Whole | None = None,
    ) -> Checking:
        """The checks of ``[checks.data]`` on some rows, to be judged or planned; keeps nothing.

        Raises:
            InvalidInput: If a check names a column that the data doesn't have, or is of the
                wrong kind for it.
            NotFound: If a file isn't there.
            CorruptData: If a file can't be read.
        """
        workspace, suite = self._workspace, Suite.of(self._config)
        now = workspace.clock.now()
        made = Checking(
            suite, workspace.engine, data, reference, holdout=holdout, now=now, history=history, whole=whole
        )
        require_checked(self._config, {*suite.modelled, *made.columns})
        return made

    def load_holdout(self, data: Path) -> Holdout:
        """Reads the rows that models are judged on; see :func:`treadle.evaluate.holdout.load`."""
        return load(self._workspace.engine, self._config, data)

    def overlap(self, holdout: Path, training: Path) -> list[Verdict]:
        """Whether held-out rows were trained on; nothing where no columns say which row is which.

        Where ``[checks.data]`` says nothing of it, none may be, by the dataset's ``key``.

        Raises:
            InvalidInput: If the rows have no such column.
            CorruptData: If a file can't be read.
        """
        suite = Suite.of(self._config)
        if not (suite.checks.overlap_by or suite.key):
            return []
        engine = engine_for(training, self._workspace.engine, suite.checks.engine)
        return [overlap(engine, suite, training, holdout)]

    def measure(self, rows: Holdout, scores: npt.ArrayLike) -> dict[str, float]:
        """Point values of all the task's metrics.

        Raises:
            InvalidInput: If the labels or scores can't be used.
        """
        check = self._config.checks.performance
        return performance.measure(self._config.project.task, check, rows.labels, scores, rows.clusters)

    def judge(
        self,
        evaluation_id: str,
        *,
        subject: str,
        holdout: Holdout,
        candidate: npt.ArrayLike,
        production: npt.ArrayLike | None = None,
        replicas: Sequence[npt.ArrayLike] = (),
        other_replicas: Sequence[npt.ArrayLike] = (),
        data: str | None = None,
        baseline: str | None = None,
        seed: int = 0,
        basis: Basis | None = None,
        beside: Sequence[Verdict] = (),
    ) -> Evaluation:
        """Judges a candidate on held-out rows, against its bound and against production.

        Args:
            evaluation_id: The evaluation's identity.
            subject: The run that made the candidate.
            holdout: The rows.
            candidate: The candidate's scores.
            production: The scores of the version in production on the same rows, if there is one.
            replicas: Scores of the recipe's other replicas; with the candidate's they show
                the noise that the seed alone makes.
            other_replicas: Scores of the other replicas of production's recipe; with five of each side,
                recipes can be compared (``[checks.performance] recipe``).
            data: Digest of the rows.
            baseline: The version in production, such as ``flights/3``.
            seed: Of the bootstrap.
            basis: What else it rests on.
            beside: Verdicts on the rows themselves, such as those of :meth:`overlap`.

        Raises:
            ConfigError: If ``[checks.performance] metric`` doesn't suit the task.
            InvalidInput: If labels or scores can't be used: no rows, one class, missing or
                infinite values, probabilities out of range, unequal lengths.
            Conflict: If something else was evaluated under this identity.
        """
        metric = self._config.checks.performance.metric

        def make() -> Evaluation:
            measured = [self.measure(holdout, scores) for scores in (candidate, *replicas)]
            if production is not None:
                self.measure(holdout, production)  # refuses scores that can't be used
            values = [metrics[metric] for metrics in measured]
            verdicts = list(beside)
            verdicts += performance.judge(
                self._config.checks,
                holdout,
                candidate,
                production,
                baseline or "production",
                replicas=replicas,
                other_replicas=other_replicas,
                seed=seed,
            )
            verdicts += bias.verdicts(
                self._config,
                holdout,
                candidate,
                production,
                self._config.checks.performance.threshold,
                np.random.default_rng(seed),
                baseline or "production",
            )
            return Evaluation(
                id=evaluation_id,
                kind="model",
                at=self._workspace.clock.now(),
                outcome=together(verdicts),
                verdicts=tuple(verdicts),
                subject=subject,
                baseline=baseline,
                data=data,
                metrics=measured[0],
                noise=float(np.std(values, ddof=1)) if replicas else None,
                basis=msgspec.structs.replace(
                    basis or Basis(treadle=VERSION),
                    seed=seed,
                    resamples=self._config.checks.performance.resamples,
                ),
            )

        return self._once(evaluation_id, "model", subject, make)

    def get(self, evaluation_id: str) -> Evaluation:
        """The evaluation of that identity.

        Raises:
            NotFound: If there is none.
        """
        with self._workspace.database.read() as connection:
            found = store.find(connection, evaluation_id)
        if found is None:
            raise self._unknown(evaluation_id)
        return found

    def list(self, subject: str | None = None) -> list[Evaluation]:
        """All evaluations, or those of a subject; the newest first."""
        with self._workspace.database.read() as connection:
            return store.newest_first(connection, subject)

    def _unknown(self, evaluation_id: str) -> NotFound:
        return unknown("evaluation", evaluation_id, [known.id for known in self.list()])

    def known(self, evaluation_id: str, kind: str, subject: str) -> Evaluation | None:
        """What is kept under an identity, if anything is.

        Raises:
            Conflict: If it is of something else.
        """
        with self._workspace.database.read() as connection:
            found = store.find(connection, evaluation_id)
        if found is not None and (found.kind, found.subject) != (kind, subject):
            raise Conflict(
                f"evaluation {evaluation_id!r} is of the {found.kind} {found.subject!r}, "
                f"not of the {kind} {subject!r}",
                fix="evaluate under an identity of its own",
            )
        return found

    def keep(self, made: Evaluation) -> Evaluation:
        """Keeps an evaluation, unless one is kept under its identity; returns the one that is kept.

        Raises:
            Conflict: If that is of something else.
        """
        with self._workspace.database.write() as connection:
            store.keep(connection, made)
        return self.known(made.id, made.kind, made.subject) or made

    def _once(
        self, evaluation_id: str, kind: str, subject: str, make: Callable[[], Evaluation]
    ) -> Evaluation:
        """What is kept under the identity; made and kept if nothing is."""
        return self.known(evaluation_id, kind, subject) or self.keep(make())
