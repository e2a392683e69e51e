"""What the writer writes, in the database's own statements: points of curves, and runs that begin.

A training waits for each of these, so they go past SQLAlchemy; everything else goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from treadle.experiment import curves, series
from treadle.experiment.types import NewRun, Run, Sample, TrackedRun
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, TreadleError

_EPOCH, _US = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_FIND_RUNS = "SELECT id, experiment, lifecycle FROM runs WHERE id "
_FIND_EXPERIMENTS = "SELECT id, name, artifacts, lifecycle FROM experiments WHERE id "
# All in one order and at once on Postgres, where each question is a journey; nobody deletes them meanwhile.
_OF_ALL, _OF_ONE = "= ANY(%s) ORDER BY id FOR SHARE", "= ?"
_CHUNK = "INSERT INTO run_chunks (run, name, id, points, data) VALUES (?, '', ?, ?, ?)"
_LATEST = """
INSERT INTO run_metrics (run, name, experiment, step, "at", value) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (run, name) DO UPDATE SET step = excluded.step, "at" = excluded."at", value = excluded.value
WHERE (excluded.step, excluded."at", coalesce(excluded.value, 0))
   >= (run_metrics.step, run_metrics."at", coalesce(run_metrics.value, 0))
"""
_RUN = """
INSERT INTO runs (id, name, experiment, source, "user", started_at, params, tags, status, lifecycle, applied)
VALUES (?, ?, ?, ?, ?, ?, '{}', ?, 'running', 'active', 0)
"""
_TAG = "INSERT INTO run_tags (run, name, experiment, value) VALUES (?, ?, ?, ?)"


class Append(msgspec.Struct, frozen=True):
    """Points for a run's curves.

    Attributes:
        run: The run.
        samples: The points, at most 65,536.
    """

    run: str
    samples: Sequence[Sample]


class Begin(msgspec.Struct, frozen=True):
    """A run that begins, without parameters yet.

    Attributes:
        new: The run; its experiment's name is filled in.
        experiment: The identifier of its experiment.
    """

    new: NewRun
    experiment: str


Write: TypeAlias = Append | Begin
Outcome: TypeAlias = TrackedRun | TreadleError | None


def refused_run(run: str, lifecycle: str | None) -> TreadleError | None:
    """Why nothing can be written to a run, if that is so; None is that of a run that isn't there."""
    if lifecycle is None:
        return NotFound(f"Run with id={run} not found")
    if lifecycle != "active":
        return Conflict("the run was deleted", where=run, fix="restore it first")
    return None


def kept_value(sample: Sample) -> float | None:
    """A value as it is kept: NaN as NULL, because SQLite has no NaN."""
    return sample.value if sample.value == sample.value else None


class Transaction:
    """The writes of one transaction, gathered so that each kind is one statement.

    Args:
        cursor: Inside a transaction.
        postgres: Whether it is Postgres; SQLite otherwise.
    """

    def __init__(self, cursor: Any, *, postgres: bool) -> None:
        self._cursor = cursor
        self._postgres = postgres
        self._runs: dict[str, str | TreadleError] = {}
        self._experiments: dict[str, tuple[str, str] | TreadleError] = {}
        self._chunks: list[tuple[object, ...]] = []
        self._latest: dict[tuple[str, str], tuple[str, Sample]] = {}
        self._begun: list[tuple[object, ...]] = []
        self._tags: list[tuple[object, ...]] = []

    def add(self, writes: Sequence[Write]) -> list[Outcome]:
        """Takes or refuses writes; returns what each comes to once the transaction is through."""
        self._find({write.run for write in writes if isinstance(write, Append)}, _FIND_RUNS, self._run_found)
        homes = {write.experiment for write in writes if isinstance(write, Begin)}
        self._find(homes, _FIND_EXPERIMENTS, self._experiment_found)
        return [self._append(one) if isinstance(one, Append) else self._begin(one) for one in writes]

    def flush(self) -> None:
        """Writes what was gathered."""
        self._many(_RUN, self._begun)
        self._many(_TAG, self._tags)
        self._many(_CHUNK, self._chunks)
        # In one order, so that two servers never wait for each other.
        self._many(_LATEST, [_latest_row(key, self._latest[key]) for key in sorted(self._latest)])

    def _append(self, append: Append) -> Outcome:
        run = append.run
        home = self._runs.get(run) or refused_run(run, None)
        if not isinstance(home, str):
            return home
        samples = append.samples
        self._chunks.append((run, curves.next_id(), len(samples), series.pack(samples)))
        for name, sample in series.latest(samples).items():
            known = self._latest.get((run, name))
            newer = series.latest((known[1], sample))[name] if known else sample
            self._latest[run, name] = home, newer
        return None

    def _begin(self, begin: Begin) -> Outcome:
        home = begin.experiment
        found = self._experiments.get(home) or NotFound(f"No Experiment with id={home} exists")
        if isinstance(found, TreadleError):
            return found
        new = msgspec.structs.replace(begin.new, experiment=found[0])
        started = (new.started_at - _EPOCH) // _US
        tags = msgspec.json.encode(new.tags).decode()
        self._begun.append((new.id, new.name, home, new.source, new.user, started, tags))
        self._tags += [(new.id, name, home, value) for name, value in new.tags.items()]
        run = Run(**msgspec.structs.asdict(new))
        return TrackedRun(run=run, experiment=home, artifacts=found[1])

    def _run_found(self, run: str, experiment: str, lifecycle: str) -> None:
        self._runs[run] = refused_run(run, lifecycle) or experiment

    def _experiment_found(self, number: str, name: str, artifacts: str, lifecycle: str) -> None:
        gone = InvalidInput("the experiment was deleted", where=number, fix="restore it first")
        self._experiments[number] = (name, artifacts) if lifecycle == "active" else gone

    def _find(self, ids: set[str], query: str, found: Callable[..., None]) -> None:
        if self._postgres and ids:
            for row in self._cursor.execute(query + _OF_ALL, (sorted(ids),)).fetchall():
                found(*row)
        elif not self._postgres:
            for one in ids:
                for row in self._cursor.execute(query + _OF_ONE, (one,)):
                    found(*row)

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._cursor.executemany(self._sql(statement), rows)

    def _sql(self, text: str) -> str:
        return text.replace("?", "%s") if self._postgres else text


def _latest_row(key: tuple[str, str], found: tuple[str, Sample]) -> tuple[object, ...]:
    (run, name), (experiment, sample) = key, found
    return run, name, experiment, sample.step, sample.at, kept_value(sample)
