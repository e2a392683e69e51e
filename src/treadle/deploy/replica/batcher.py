"""Predicts together what arrives together: the requests of one turn of the event loop are one batch.

No timer: a lone request is predicted in the next turn, and the busier the server, the larger its
batches become by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import msgspec

from treadle.deploy.replica.holder import Served
from treadle.deploy.replica.journal import Answered, Journal
from treadle.deploy.replica.protocol import Rows
from treadle.deploy.replica.stats import Stats
from treadle.kernel.errors import ModelInvalid, TreadleError

log = logging.getLogger("treadle.replica")

Outcome: TypeAlias = "Answer | TreadleError"

# More rows than this are predicted beside the event loop, so that small requests need not wait.
_LARGE = 64


class Answer(msgspec.Struct, gc=False):
    """What a request is answered with."""

    ids: list[str]
    outputs: list[float]


class Job(msgspec.Struct):
    """A request that waits to be predicted.

    Attributes:
        model: The model that was current when it came, and that answers it.
        rows: Its rows.
        started: When it came, by ``time.perf_counter``.
        outcome: Gets its answer, or the error to answer with.
    """

    model: Served
    rows: Rows
    started: float
    outcome: asyncio.Future[Outcome]


class Overloaded(Exception):
    """More requests wait than may."""


class Batcher:
    """Takes requests, predicts and writes them down.

    Args:
        max_queue: How many requests may wait.
        stats: Where rows and batches are counted.
        journal: Where predictions are written down; None when they are not kept.
        name_row: Makes an id for a row whose caller gave none.
    """

    def __init__(
        self, max_queue: int, stats: Stats, journal: Journal | None, name_row: Callable[[], str]
    ) -> None:
        self._max_queue = max_queue
        self._stats = stats
        self._journal = journal
        self._name_row = name_row
        self._waiting: list[Job] = []
        self._aside = 0
        self._worker = ThreadPoolExecutor(1, "predict")
        self._journal_failing = False

    def __len__(self) -> int:
        return len(self._waiting) + self._aside

    def submit(self, job: Job) -> None:
        """Takes a request; its outcome is set when it has been predicted and written down.

        Raises:
            Overloaded: If too many wait already.
        """
        if len(self._waiting) + self._aside >= self._max_queue:
            raise Overloaded
        loop = job.outcome.get_loop()
        if job.rows.count > _LARGE:
            self._aside += 1
            work = loop.run_in_executor(self._worker, self._settle, [job])
            work.add_done_callback(self._deliver)
            return
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append(job)

    def close(self) -> None:
        """Ends the worker when it has done what it has."""
        self._worker.shutdown()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        by_model: dict[int, list[Job]] = {}
        for job in waiting:
            by_model.setdefault(job.model.revision, []).append(job)
        for jobs in by_model.values():
            _resolve(jobs, self._settle(jobs)[1])

    def _deliver(self, work: asyncio.Future[tuple[list[Job], list[Outcome]]]) -> None:
        self._aside -= 1
        _resolve(*work.result())

    def _settle(self, jobs: list[Job]) -> tuple[list[Job], list[Outcome]]:
        """Predicts requests of one model together; those that fail, only those, get an error."""
        try:
            return jobs, list(self._predict(jobs))
        except Exception as error:  # whatever fails in a model or a library must end as an answer
            if len(jobs) > 1:
                # One request spoils the batch: find out which by asking for each alone.
                return jobs, [self._settle([job])[1][0] for job in jobs]
            if isinstance(error, TreadleError):
                return jobs, [error]
            log.exception("a prediction failed")
            return jobs, [TreadleError(f"the prediction failed: {type(error).__name__}")]

    def _predict(self, jobs: list[Job]) -> list[Answer]:
        model = jobs[0].model
        columns = _columns(jobs, model.inputs.features)
        outputs: list[float] = model.loaded.predict(columns).tolist()
        if not math.isfinite(sum(outputs)):
            raise ModelInvalid("the model answered with no number (NaN or infinite)")
        answers = []
        start = 0
        for job in jobs:
            ids = job.rows.keys or [self._name_row() for _ in range(job.rows.count)]
            answers.append(Answer(ids, outputs[start : start + job.rows.count]))
            start += job.rows.count
        self._stats.rows += start
        self._stats.batches.observe(start)
        if self._journal is not None:
            self._write_down(self._journal, jobs, answers, columns, outputs)
        return answers

    def _write_down(
        self,
        journal: Journal,
        jobs: list[Job],
        answers: list[Answer],
        columns: dict[str, list[Any]],
        outputs: list[float],
    ) -> None:
        now, ended = time.time(), time.perf_counter()
        ids: list[str] = []
        at: list[float] = []
        latency: list[float] = []
        for job, answer in zip(jobs, answers, strict=True):
            ids += answer.ids
            at += job.rows.times or [now] * job.rows.count
            latency += [round((ended - job.started) * 1000, 3)] * job.rows.count
        model = jobs[0].model
        try:
            journal.append(Answered(ids, at, model.version, model.revision, columns, outputs, latency))
        except OSError as error:
            # Keeping predictions is worth less than answering: count it, say it once, go on.
            self._stats.unlogged += len(ids)
            if not self._journal_failing:
                log.warning("predictions can't be written down: %s", error)
            self._journal_failing = True
        else:
            self._journal_failing = False


def _resolve(jobs: list[Job], outcomes: list[Outcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if not job.outcome.done():
            job.outcome.set_result(outcome)


def _columns(jobs: list[Job], features: tuple[str, ...]) -> dict[str, list[Any]]:
    """The rows of several requests, by column."""
    alone = [job.rows.row for job in jobs if job.rows.row is not None]
    if len(alone) == len(jobs):
        return dict(zip(features, map(list, zip(*alone, strict=True)), strict=True))
    if len(jobs) == 1:
        return jobs[0].rows.columns
    parts = [
        dict(zip(features, zip(job.rows.row, strict=True), strict=True)) if job.rows.row else job.rows.columns
        for job in jobs
    ]
    return {name: [value for part in parts for value in part[name]] for name in features}
