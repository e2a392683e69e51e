"""What the writer writes, in the database's own statements: points of curves, and runs that begin.

A training waits for each of these, so they go past SQLAlchemy; everything else goes through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from treadle.experiment import curves, series
from treadle.experiment.types import NewRun, Run, Sample, TrackedRun
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, TreadleError

_EPOCH, _US = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_FIND_RUN = "SELECT experiment, lifecycle FROM runs WHERE id = ?"
_FIND_EXPERIMENT = "SELECT name, artifacts, lifecycle FROM experiments WHERE id = ?"
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

    def add(self, write: Write) -> Outcome:
        """Takes a write, or refuses it; returns what it comes to once the transaction is through."""
        return self._append(write) if isinstance(write, Append) else self._begin(write)

    def flush(self) -> None:
        """Writes what was gathered."""
        self._many(_RUN, self._begun)
        self._many(_TAG, self._tags)
        self._many(_CHUNK, self._chunks)
        # In one order, so that two servers never wait for each other.
        self._many(_LATEST, [_latest_row(key, self._latest[key]) for key in sorted(self._latest)])

    def _append(self, append: Append) -> Outcome:
        run = append.run
        if run not in self._runs:
            self._runs[run] = self._find_run(run)
        home = self._runs[run]
        if isinstance(home, TreadleError):
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
        if home not in self._experiments:
            self._experiments[home] = self._find_experiment(home)
        found = self._experiments[home]
        if isinstance(found, TreadleError):
            return found
        new = msgspec.structs.replace(begin.new, experiment=found[0])
        started = (new.started_at - _EPOCH) // _US
        tags = msgspec.json.encode(new.tags).decode()
        self._begun.append((new.id, new.name, home, new.source, new.user, started, tags))
        self._tags += [(new.id, name, home, value) for name, value in new.tags.items()]
        run = Run(**msgspec.structs.asdict(new))
        return TrackedRun(run=run, experiment=home, artifacts=found[1])

    def _find_run(self, run: str) -> str | TreadleError:
        """The run's experiment; the error if it can't be written to."""
        found = self._one(_FIND_RUN, run)
        if found is None:
            return NotFound(f"Run with id={run} not found")
        if found[1] != "active":
            return Conflict("the run was deleted", where=run, fix="restore it first")
        return str(found[0])

    def _find_experiment(self, experiment: str) -> tuple[str, str] | TreadleError:
        """The experiment's name and root; the error if no run can begin in it."""
        found = self._one(_FIND_EXPERIMENT, experiment)
        if found is None:
            return NotFound(f"No Experiment with id={experiment} exists")
        if found[2] != "active":
            return InvalidInput("the experiment was deleted", where=experiment, fix="restore it first")
        return found[0], found[1]

    def _one(self, query: str, key: str) -> Any:
        locked = query + " FOR SHARE" if self._postgres else query  # nobody deletes it meanwhile
        return self._cursor.execute(self._sql(locked), (key,)).fetchone()

    def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._cursor.executemany(self._sql(statement), rows)

    def _sql(self, text: str) -> str:
        return text.replace("?", "%s") if self._postgres else text


def _latest_row(key: tuple[str, str], found: tuple[str, Sample]) -> tuple[object, ...]:
    (run, name), (experiment, sample) = key, found
    value = sample.value if sample.value == sample.value else None  # NaN is kept as NULL
    return run, name, experiment, sample.step, sample.at, value
