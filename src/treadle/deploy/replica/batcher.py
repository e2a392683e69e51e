"""Predicts together what arrives together: the requests of one turn of the event loop are one batch.

No timer: a lone request is predicted in the next turn, and the busier the server, the larger its
batches become by themselves. Large requests, and every request to a slow model, are predicted beside
the event loop: what arrives while that is busy is the next batch. A large one that is quick, and that is
alone, is predicted at once: handing it to another thread and back costs a tenth of what it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.deploy.replica.journal import Journal
from treadle.deploy.replica.rownames import Block, RowNames
from treadle.deploy.replica.rows import Rows
from treadle.deploy.replica.served import Served
from treadle.deploy.worker import Table
from treadle.kernel.errors import InvalidInput, ModelInvalid, TreadleError
from treadle.monitor import Answered

log = logging.getLogger("treadle.replica")

Outcome: TypeAlias = "Answer | TreadleError"
# Many are left in their array: making numbers of Python of them costs more than all else.
Outputs: TypeAlias = "list[float] | npt.NDArray[np.float64]"
Outcomes: TypeAlias = "Outputs | Table"
# Rows of values, or an array of rows and features, or each feature's values.
Values: TypeAlias = "list[list[Any]] | npt.NDArray[Any] | dict[str, Any]"

# More rows than this, or more seconds, are predicted beside the event loop, so that others need not wait.
_SMALL = 64
_BRIEF = 0.005
# Large batches that were predicted beside it before one may be predicted on it.
_PROVEN = 3
# Rows that are predicted together beside the event loop, unless one request alone brings more.
_TOGETHER = 4096
_ROUNDING = 1e-6


class Answer(msgspec.Struct, gc=False):
    """What a request is answered with."""

    ids: Sequence[str]
    outputs: Outcomes

    def numbers(self) -> list[float]:
        """The predictions as a list of numbers; empty if the model gives none."""
        found = self.outputs
        if isinstance(found, list):
            return found
        numbers: list[float] = (found.numbers if isinstance(found, Table) else found).tolist()
        return numbers


class Slot(Protocol):
    """Where an outcome goes: a future, or straight to the caller."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, outcome: Outcome, /) -> None:
        """Gets the outcome."""


class Job(msgspec.Struct, eq=False):
    """A request that waits to be predicted.

    Attributes:
        model: The model that was current when it came, and that answers it.
        rows: Its rows.
        started: When it came, by ``time.perf_counter``.
        outcome: Gets its answer, or the error to answer with.
        cost: Seconds that it will take, as far as can be told.
    """

    model: Served
    rows: Rows
    started: float
    outcome: Slot
    cost: float = 0.0


class Overloaded(Exception):
    """More requests wait than may, or longer than one may take.

    Attributes:
        waiting: How many wait.
        seconds: How long what waits will take, as far as can be told.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        super().__init__(f"{waiting} requests wait, for some {seconds:.1f} s")
        self.waiting = waiting
        self.seconds = seconds


class Batcher:
    """Takes requests, predicts and writes them down. Used by the event loop alone.

    Args:
        max_queue: How many requests may wait.
        timeout: Seconds that a request may take: one that would wait longer is refused at once.
        names: Names rows whose callers gave none.

    Attributes:
        busy_since: When the prediction that runs now began, by ``time.perf_counter``, on the event
            loop and beside it; None where none runs.
        usual: How many seconds they take, as far as can be told.
    """

    def __init__(self, max_queue: int, timeout: float, names: RowNames) -> None:
        self._max_queue = max_queue
        self._timeout = timeout
        self._names = names
        self._waiting: list[Job] = []
        self._beside: deque[Job] = deque()
        self._running: list[Job] = []
        self._owed = 0.0
        self._worker = ThreadPoolExecutor(1, "predict")
        self._journal_failing = False
        self.busy_since: list[float | None] = [None, None]
        self.usual = [_BRIEF, 0.0]

    def __len__(self) -> int:
        return len(self._waiting) + len(self._beside) + len(self._running)

    @property
    def owed(self) -> float:
        """Seconds that what waits beside the event loop, or runs there, will take."""
        since = self.busy_since[1]
        return max(self._owed - (time.perf_counter() - since if since else 0.0), 0.0)

    def submit(self, job: Job) -> bool:
        """Takes a request; its outcome is set when it has been predicted and written down.

        Returns:
            Whether it waits beside the event loop, so that it may take a while.

        Raises:
            Overloaded: If too many wait already, or what waits will take too long.
        """
        if len(self._waiting) + len(self._beside) + len(self._running) >= self._max_queue:
            raise Overloaded(len(self), self.owed)
        if self.is_brief(job.model, job.rows.count) or self.is_moment(job.model, job.rows.count):
            if not self._waiting:
                asyncio.get_running_loop().call_soon(self.flush)
            self._waiting.append(job)
            return False
        if self.owed > self._timeout:
            raise Overloaded(len(self), self.owed)
        job.cost = job.rows.count * job.model.vitals.among
        self._owed += job.cost
        self._beside.append(job)
        self._pump()
        return True

    @staticmethod
    def is_brief(model: Served, rows: int) -> bool:
        """Whether a request is predicted in this turn of the event loop, rather than beside it."""
        return rows <= _SMALL and not model.loaded.beside and rows * model.vitals.alone <= _BRIEF

    def is_moment(self, model: Served, rows: int) -> bool:
        """Whether a larger request is predicted on the event loop: it is quick, and alone."""
        if self._waiting or self._beside or self._running or model.loaded.beside:
            return False
        return model.vitals.large >= _PROVEN and rows * model.vitals.among <= _BRIEF

    def withdraw(self, job: Job) -> None:
        """Nobody waits for a request any more: its place is free, unless it is being predicted."""
        with contextlib.suppress(ValueError):
            self._beside.remove(job)
            self._owed -= job.cost

    def close(self) -> None:
        """Ends the worker when it has done what it has."""
        self._worker.shutdown()

    def flush(self) -> None:
        """Predicts what waits on the event loop."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        by_model: dict[int, list[Job]] = {}
        for job in waiting:
            by_model.setdefault(id(job.model), []).append(job)
        for jobs in by_model.values():
            began = self.busy_since[0] = time.perf_counter()
            outcomes = self._settle(jobs, here=True)
            self.busy_since[0] = None
            self._resolve(jobs, outcomes, began)

    def _pump(self) -> None:
        if self._running or not self._beside:
            return
        jobs = self._running = [self._beside.popleft()]
        model, rows = jobs[0].model, jobs[0].rows.count
        while self._beside and self._beside[0].model is model:
            rows += self._beside[0].rows.count
            if rows > _TOGETHER:
                break
            jobs.append(self._beside.popleft())
        self.usual[1] = rows * (model.vitals.alone if rows <= _SMALL else model.vitals.among)
        began = self.busy_since[1] = time.perf_counter()
        work = asyncio.get_running_loop().run_in_executor(self._worker, self._settle, jobs)
        work.add_done_callback(lambda done: self._deliver(jobs, done.result(), began))

    def _deliver(self, jobs: list[Job], outcomes: list[Outcome], began: float) -> None:
        self._running, self.busy_since[1] = [], None
        self._owed = sum(job.cost for job in self._beside)
        self._resolve(jobs, outcomes, began)
        self._pump()

    def _resolve(self, jobs: list[Job], outcomes: list[Outcome], began: float) -> None:
        """Gives each request its outcome, and learns from them."""
        now = time.perf_counter()
        vitals, stats, rows = jobs[0].model.vitals, jobs[0].model.desk.stats, 0
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Answer):
                rows += job.rows.count
                vitals.succeeded()
            elif type(outcome) is not InvalidInput:
                stats.model_failures += 1
                vitals.failed(now)
            if not job.outcome.done():
                job.outcome.set_result(outcome)
        if rows:
            stats.rows += rows
            stats.batches.observe(rows)
            vitals.took(rows, now - began, small=rows <= _SMALL)

    def _settle(self, jobs: list[Job], *, here: bool = False) -> list[Outcome]:
        """Predicts requests of one model together; those that fail, only those, get an error."""
        try:
            return list(self._predict(jobs, here=here))
        except Exception as error:  # whatever fails in a model or a library must end as an answer
            if len(jobs) > 1:
                # One request spoils the batch: find out which by asking for each alone.
                return [self._settle([job], here=here)[0] for job in jobs]
            if isinstance(error, TreadleError):
                return [error]
            log.exception("a prediction failed")
            return [TreadleError(f"the prediction failed: {type(error).__name__}")]

    def _predict(self, jobs: list[Job], *, here: bool) -> list[Answer]:
        model = jobs[0].model
        values: Values
        outputs: Outputs
        kind = model.loaded.signature.output
        batches = model.small if here else model.large
        rows = [job.rows.row for job in jobs if job.rows.row is not None] if here else []
        if batches and len(rows) == len(jobs):
            values, outputs = rows, batches.predict(rows)
            _check(outputs, kind)
        elif (table := _table(jobs)) is not None and batches and batches.takes(len(table)):
            values, outputs = table, _checked(batches.predict_table(table), kind)
        else:
            values = _columns(jobs, model.inputs.features)
            found = model.loaded.predict(values)
            if isinstance(found, Table):
                return self._tell(found, jobs, values)
            outputs = _checked(found, kind)
        if type(values) is list and not _told(jobs):
            names = self._names.block(len(jobs))[:]
            answers = [Answer([name], [one]) for name, one in zip(names, outputs, strict=True)]
            first = names[0]
        else:
            answers, first = self._share(jobs, outputs), ""
        if model.desk.journal is not None:
            self._write_down(model.desk.journal, jobs, answers, values, outputs, first)
        return answers

    def _tell(self, found: Table, jobs: list[Job], values: dict[str, Any]) -> list[Answer]:
        """The answers of a model that gives other than a number a row; what is one is written down."""
        model = jobs[0].model
        numbers = found.numbers
        if len(numbers):
            _checked(numbers, model.loaded.signature.output)
        answers = self._share(jobs, found)
        if model.desk.journal is not None and len(numbers):
            self._write_down(model.desk.journal, jobs, answers, values, numbers, "")
        return answers

    def _share(self, jobs: list[Job], outputs: Outcomes) -> list[Answer]:
        """What of the outputs is whose, with the names of the rows."""
        answers = []
        start = 0
        for job in jobs:
            count = job.rows.count
            ids = job.rows.keys or (self._names.one() if count == 1 else self._names.block(count))
            answers.append(Answer(ids, outputs[start : start + count]))
            start += count
        return answers

    def _write_down(
        self,
        journal: Journal,
        jobs: list[Job],
        answers: list[Answer],
        values: Values,
        outputs: Outputs,
        first: str,
    ) -> None:
        record = _record(jobs, answers, values, outputs, first)
        try:
            journal.append(record)
        except OSError as error:
            # Keeping predictions is worth less than answering: count it, say it once, go on.
            jobs[0].model.desk.stats.unlogged += len(outputs)
            if not self._journal_failing:
                log.warning("predictions can't be written down: %s", error)
            self._journal_failing = True
        else:
            self._journal_failing = False


def _record(jobs: list[Job], answers: list[Answer], values: Values, outputs: Outputs, first: str) -> Answered:
    """What is written down of requests that were answered together.

    Args:
        jobs: The requests.
        answers: What each is answered with.
        values: The rows.
        outputs: What was predicted.
        first: The first row's name, where those of the others count on and all came now.
    """
    model, now, ended = jobs[0].model, time.time(), time.perf_counter()
    by = model.version, model.revision
    ids: list[str] | str
    if type(values) is list:  # each was a single row, the commonest case: turning them can wait
        took = [(ended - job.started) * 1000 for job in jobs]
        if first:
            return Answered(first, now, *by, model.inputs.features, outputs, took, values)
        ids = [answer.ids[0] for answer in answers]
        asked = [job.rows.times[0] if job.rows.times else now for job in jobs]
        return Answered(ids, asked, *by, model.inputs.features, outputs, took, values)
    if len(answers) == 1 and isinstance(answers[0].ids, Block):
        ids = answers[0].ids[0]
    else:
        ids = [name for answer in answers for name in answer.ids]
    at, latency = _moments(jobs, now, ended)
    if isinstance(values, dict):
        return Answered(ids, at, *by, values, outputs, latency)
    return Answered(ids, at, *by, model.inputs.features, outputs, latency, values)


def _told(jobs: list[Job]) -> bool:
    """Whether a caller told a row's name, or when it was."""
    return bool([job for job in jobs if job.rows.keys or job.rows.times])


def _moments(jobs: list[Job], now: float, ended: float) -> tuple[list[float] | float, list[float] | float]:
    """When each row was asked for, and how long each took; one number where that is the same for all."""
    if len(jobs) == 1:
        return jobs[0].rows.times or now, (ended - jobs[0].started) * 1000
    at: list[float] = []
    latency: list[float] = []
    for job in jobs:
        at += job.rows.times or [now] * job.rows.count
        latency += [(ended - job.started) * 1000] * job.rows.count
    return at, latency


def _checked(outputs: npt.NDArray[np.float64], kind: str) -> Outputs:
    """Outputs that don't contradict the signature; see :func:`_check`."""
    if len(outputs) <= _SMALL:
        found: list[float] = outputs.tolist()
        _check(found, kind)
        return found
    low, high = float(outputs.min()), float(outputs.max())  # either is NaN if any is
    if not math.isfinite(high - low) or (kind == "probability" and (low < 0 or high > 1)):
        _check(outputs.tolist(), kind)
    return outputs


def _check(outputs: list[float], kind: str) -> None:
    """Refuses what contradicts the signature: no number, or a probability that is none."""
    if not math.isfinite(sum(outputs)) and not all(map(math.isfinite, outputs)):
        raise ModelInvalid("the model answered with no number (NaN or infinite)")
    # Single precision may be a rounding over 1.
    if kind == "probability" and not -_ROUNDING <= min(outputs) <= max(outputs) <= 1 + _ROUNDING:
        wrong = next(value for value in outputs if not -_ROUNDING <= value <= 1 + _ROUNDING)
        raise ModelInvalid(f"the model answered {wrong:g}, which is no probability as its signature says")


def _table(jobs: list[Job]) -> npt.NDArray[Any] | None:
    """The rows of requests that all came as tables of one datatype."""
    tables = [job.rows.table for job in jobs]
    if len({table.dtype if table is not None else None for table in tables}) > 1:
        return None
    found: npt.NDArray[Any] | None = tables[0]
    return found if found is None or len(tables) == 1 else np.concatenate(tables)


def _columns(jobs: list[Job], features: tuple[str, ...]) -> dict[str, list[Any]]:
    """The rows of several requests, by column."""
    alone = [job.rows.row for job in jobs if job.rows.row is not None]
    if len(alone) == len(jobs):
        return dict(zip(features, map(list, zip(*alone, strict=True)), strict=True))
    parts = [job.rows.by_column(features) for job in jobs]
    if len(parts) == 1:
        return parts[0]
    return {name: [value for part in parts for value in _plain(part[name])] for name in features}


def _plain(values: Any) -> Any:
    return values.tolist() if isinstance(values, np.ndarray) else values
