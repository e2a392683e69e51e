"""Runs and experiments, kept. The latest value of each metric is kept apart from its curve."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from treadle.experiment import curves, search, series
from treadle.experiment.grammar import Comparison, parse_listed_filter
from treadle.experiment.list_order import order_of
from treadle.experiment.rules import Changes
from treadle.experiment.tables import artifacts, experiments, inputs, metrics, params, runs, tags
from treadle.experiment.types import (
    DEFAULT,
    DEFAULT_ID,
    Artifact,
    DatasetSummary,
    Experiment,
    LogArtifact,
    NewRun,
    Point,
    Run,
    RunInput,
    Sample,
    Scalar,
    TrackedRun,
    Value,
    portable,
)
from treadle.kernel.errors import AlreadyExists, InvalidInput
from treadle.kernel.names import unknown

_PIECE = 500
_CHANGING = (
    "name",
    "user",
    "params",
    "tags",
    "status",
    "lifecycle",
    "deleted_at",
    "ended_at",
    "message",
    "applied",
)
_BESIDE = ("provenance", "inputs")
_US = 1_000_000
_LONG = 10


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts rows; a row whose key is there already replaces the other columns."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    others = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    if rows:
        connection.execute(
            statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=others), rows
        )


# ── experiments ──────────────────────────────────────────────────────────


def artifact_root(experiment: str) -> str:
    """Where the files of an experiment's runs are."""
    return f"mlflow-artifacts:/{experiment}"


def add_experiment(
    connection: sa.Connection, name: str, now: datetime, tags_: Mapping[str, str], root: str | None = None
) -> Experiment:
    """Adds an experiment under the next number.

    Raises:
        Conflict: If one has that name, deleted or not.
    """
    lock_experiments(connection)  # numbers are given one after the other
    known = find_experiment(connection, name=name)
    if known is not None:
        raise name_taken(known)
    # Long numbers came with imported experiments; ours go on counting.
    highest = sa.select(sa.func.max(sa.cast(experiments.c.id, sa.BigInteger)))
    highest = highest.where(sa.func.length(experiments.c.id) < _LONG)
    number = str(int(connection.execute(highest).scalar() or 0) + 1)
    made = Experiment(
        id=number,
        name=name,
        created_at=now,
        updated_at=now,
        artifacts=root or artifact_root(number),
        tags=dict(tags_),
    )
    connection.execute(experiments.insert().values(msgspec.structs.asdict(made)))
    return made


def lock_experiments(connection: sa.Connection) -> None:
    """Lets nobody else add or change an experiment until the transaction ends.

    Before anything else of the transaction locks one: whoever has locked one and waits to change it would
    be waited for.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE experiments IN SHARE ROW EXCLUSIVE MODE"))


def name_taken(known: Experiment) -> AlreadyExists:
    """The error for a name that an experiment has already."""
    deleted = known.lifecycle == "deleted"
    return AlreadyExists(
        f"Experiment(name={known.name:.80}) already exists" + (", deleted" if deleted else ""),
        where=known.id,
        fix="restore it, or choose another name" if deleted else "choose another name",
    )


def delete_runs(connection: sa.Connection, experiment: str, now: datetime) -> None:
    """Deletes all runs of an experiment; those that are deleted already keep their time."""
    alive = sa.and_(runs.c.experiment == experiment, runs.c.lifecycle == "active")
    connection.execute(runs.update().where(alive).values(lifecycle="deleted", deleted_at=now))


def restore_runs(connection: sa.Connection, experiment: str) -> None:
    """Restores all runs of an experiment."""
    mine = runs.c.experiment == experiment
    connection.execute(runs.update().where(mine).values(lifecycle="active", deleted_at=None))


def find_experiment(
    connection: sa.Connection, number: str | None = None, name: str | None = None, *, lock: bool = False
) -> Experiment | None:
    """An experiment by its number or name; locked until the transaction ends if that is asked for."""
    key = experiments.c.id == number if name is None else experiments.c.name == name
    query = sa.select(experiments).where(key)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return Experiment(**row) if row else None


def update_experiment(connection: sa.Connection, changed: Experiment) -> None:
    """Replaces what is kept of an experiment."""
    values = msgspec.structs.asdict(changed)
    connection.execute(experiments.update().where(experiments.c.id == changed.id).values(values))


def experiment_names(connection: sa.Connection, numbers: Iterable[str]) -> dict[str, str]:
    """The names of experiments."""
    query = sa.select(experiments.c.id, experiments.c.name).where(experiments.c.id.in_(set(numbers)))
    return {row.id: row.name for row in connection.execute(query)}


def experiment_ids(connection: sa.Connection, names: Iterable[str]) -> dict[str, str]:
    """The identifiers of experiments, by name."""
    query = sa.select(experiments.c.name, experiments.c.id).where(experiments.c.name.in_(set(names)))
    return {row.name: row.id for row in connection.execute(query)}


def _home(connection: sa.Connection, name: str, now: datetime) -> str:
    """The number of the experiment of that name, which is made if there is none."""
    # It is neither deleted nor erased until the run is there.
    key = sa.select(experiments.c.id).where(experiments.c.name == name).with_for_update(read=True)
    known = connection.execute(key).scalar()
    if known is not None:
        return str(known)
    if name.lower() == DEFAULT.lower():
        return DEFAULT_ID
    lock_experiments(connection)
    found = find_experiment(connection, name=name)  # by somebody else, right now
    return (found or add_experiment(connection, name, now, {})).id


# ── runs ─────────────────────────────────────────────────────────────────


def insert_run(connection: sa.Connection, new: NewRun, experiment: str | None = None) -> bool:
    """Adds a run, unless one with its id is there; returns whether it was added."""
    if connection.execute(sa.select(runs.c.id).where(runs.c.id == new.id)).first():
        return False
    home = _home(connection, new.experiment, new.started_at) if experiment is None else experiment
    values = msgspec.structs.asdict(new) | {"experiment": home, "status": "running", "lifecycle": "active"}
    values = {name: value for name, value in values.items() if name not in _BESIDE}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(runs).values(values | {"applied": 0}).on_conflict_do_nothing()
    added = connection.execute(insert, execution_options={"preserve_rowcount": True}).rowcount == 1
    if added:
        put_texts(connection, params, new.id, home, {name: text_of(v) for name, v in new.params.items()})
        put_texts(connection, tags, new.id, home, new.tags)
    return added


def text_of(value: Scalar) -> str:
    """A parameter as text: what is searched for, and what clients see that know only texts."""
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool) else str(value)


def put_texts(
    connection: sa.Connection, table: sa.Table, run: str, experiment: str, texts: Mapping[str, str]
) -> None:
    """Adds or replaces the rows by which a run's parameters or tags are found."""
    upsert(
        connection,
        table,
        [
            {"run": run, "name": name, "experiment": experiment, "value": text}
            for name, text in sorted(texts.items())
        ],
    )


def find_run(connection: sa.Connection, run_id: str, *, lock: bool = False) -> Run:
    """A run, by its identifier or an unambiguous beginning of it; locked until the transaction ends.

    Raises:
        NotFound: If there is none.
        InvalidInput: If several begin so.
    """
    exact = exact_run(connection, run_id, lock=lock)
    if exact is not None:
        return exact
    row = None
    if not lock:
        query = sa.select(runs).where(runs.c.id.startswith(run_id, autoescape=True)).limit(2)
        found = connection.execute(query).mappings().all()
        if len(found) > 1 and run_id:
            raise InvalidInput(
                f"several runs begin with {run_id!r}: {found[0]['id']}, {found[1]['id']}",
                fix="give more of the identifier",
            )
        row = found[0] if found and run_id else None
    if row is None:
        latest = sa.select(runs.c.id).order_by(runs.c.started_at.desc()).limit(1000)
        raise unknown("run", run_id, connection.execute(latest).scalars())
    return with_metrics(connection, [row])[0]


def tracked(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> list[TrackedRun]:
    """Runs with what belongs to them, in the order of the rows."""
    ids = [row["id"] for row in rows]
    latest: dict[str, list[Sample]] = {run: [] for run in ids}
    for piece in pieces(ids):
        query = sa.select(metrics.c.run, metrics.c.name, metrics.c.value, metrics.c.at, metrics.c.step)
        query = query.where(metrics.c.run.in_(piece)).order_by(metrics.c.name)
        for run, *sample in connection.execute(query):
            latest[run].append(Sample(*sample))
    used = select_inputs(connection, ids)
    homes = {row["experiment"] for row in rows}
    query_ = sa.select(experiments.c.id, experiments.c.name, experiments.c.artifacts)
    found = {row.id: row for row in connection.execute(query_.where(experiments.c.id.in_(homes)))}
    return [
        TrackedRun(
            run=Run(**{**row, "experiment": found[row["experiment"]].name}),
            experiment=row["experiment"],
            artifacts=found[row["experiment"]].artifacts,
            latest=tuple(latest[row["id"]]),
            inputs=tuple(used.get(row["id"], ())),
        )
        for row in rows
    ]


def tracked_run(connection: sa.Connection, run_id: str) -> TrackedRun | None:
    """A run with what belongs to it, by its whole identifier."""
    row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).mappings().first()
    return tracked(connection, [row])[0] if row else None


def exact_run(connection: sa.Connection, run_id: str, *, lock: bool = False) -> Run | None:
    """A run by its whole identifier; locked until the transaction ends if that is asked for."""
    query = sa.select(runs).where(runs.c.id == run_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return with_metrics(connection, [row])[0] if row else None


def experiment_of(connection: sa.Connection, run_id: str) -> str:
    """The number of a run's experiment."""
    return str(connection.execute(sa.select(runs.c.experiment).where(runs.c.id == run_id)).scalar_one())


def last_steps(connection: sa.Connection, run_id: str) -> dict[str, int]:
    """The last step of each metric of a run."""
    query = sa.select(metrics.c.name, metrics.c.step).where(metrics.c.run == run_id)
    return {row.name: row.step for row in connection.execute(query)}


def update_run(connection: sa.Connection, before: Run, run: Run) -> None:
    """Writes what may change about a run, except its metrics and files."""
    values = {name: getattr(run, name) for name in _CHANGING}
    connection.execute(runs.update().where(runs.c.id == run.id).values(values))
    if run.params != before.params or run.tags != before.tags:
        home = experiment_of(connection, run.id)
        new = {n: text_of(v) for n, v in run.params.items() if before.params.get(n) != v}
        put_texts(connection, params, run.id, home, new)
        new = {n: v for n, v in run.tags.items() if before.tags.get(n) != v}
        put_texts(connection, tags, run.id, home, new)
        gone = before.tags.keys() - run.tags.keys()
        if gone:
            connection.execute(tags.delete().where(tags.c.run == run.id, tags.c.name.in_(gone)))


def add_points(connection: sa.Connection, run_id: str, changes: Changes) -> None:
    """Adds to the curves and replaces the latest values."""
    samples = [Sample(p.name, p.value, _us(p.at), p.step) for p in changes.points]
    curves.append(connection, run_id, samples)
    last = [Sample(p.name, p.value, _us(p.at), p.step) for p in changes.latest.values()]
    put_latest(connection, run_id, last)


def put_latest(connection: sa.Connection, run_id: str, samples: Iterable[Sample]) -> None:
    """Replaces the latest values of metrics."""
    rows = [
        {"run": run_id, "name": s.name, "step": s.step, "at": s.at, "value": s.value}
        for s in sorted(samples, key=lambda sample: sample.name)
    ]
    if rows:
        home = experiment_of(connection, run_id)
        upsert(connection, metrics, [row | {"experiment": home} for row in rows])


def put_newer(connection: sa.Connection, run_id: str, samples: Iterable[Sample]) -> None:
    """Replaces the latest values of metrics by those that are later in step, time or value."""
    query = sa.select(metrics).where(metrics.c.run == run_id)
    known = {row.name: Sample(row.name, row.value, row.at, row.step) for row in connection.execute(query)}
    newer = [s for s in samples if series.latest((known.get(s.name, s), s))[s.name] is s]
    put_latest(connection, run_id, newer)


def _us(at: datetime) -> int:
    return round(at.timestamp() * _US)


def put_artifacts(connection: sa.Connection, owner: str, files: Iterable[LogArtifact], now: datetime) -> None:
    """Adds or replaces files of a run or a logged model."""
    rows = [{"owner": owner, "path": f.path, "digest": f.digest, "size": f.size, "at": now} for f in files]
    upsert(connection, artifacts, rows)


def put_inputs(connection: sa.Connection, run_id: str, used: Sequence[RunInput]) -> None:
    """Adds the datasets that a run used, after those that it used before; a known one stays as it is."""
    if used:
        home = experiment_of(connection, run_id)
        last = sa.select(sa.func.max(inputs.c.position)).where(inputs.c.run == run_id)
        start = int(connection.execute(last).scalar() or 0) + 1
        dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
        rows = [
            msgspec.structs.asdict(one) | {"run": run_id, "experiment": home, "position": number}
            for number, one in enumerate(used, start)
        ]
        connection.execute(dialect.insert(inputs).on_conflict_do_nothing(), rows)


def select_datasets(connection: sa.Connection, experiments: Sequence[str], most: int) -> list[DatasetSummary]:
    """The datasets that runs of experiments used, each once for each use; at most so many."""
    columns = inputs.c.experiment, inputs.c.name, inputs.c.digest, inputs.c.context
    query = sa.select(*columns).where(inputs.c.experiment.in_(experiments)).distinct()
    found = connection.execute(query.order_by(*columns).limit(most))
    return [DatasetSummary(*row) for row in found]


def runs_using(connection: sa.Connection, name: str, digest: str, limit: int) -> list[tuple[Run, RunInput]]:
    """The runs that used a dataset of some content, the newest first; no deleted ones."""
    query = (
        sa.select(runs)
        .join(inputs, inputs.c.run == runs.c.id)
        .where(inputs.c.name == name, inputs.c.digest == digest, runs.c.lifecycle == "active")
        .order_by(runs.c.started_at.desc(), runs.c.id)
        .limit(limit)
    )
    found = with_metrics(connection, connection.execute(query).mappings().all())
    used = select_inputs(connection, [run.id for run in found])
    return [(run, one) for run in found for one in used[run.id] if (one.name, one.digest) == (name, digest)]


def select_inputs(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[RunInput]]:
    """The datasets that runs used, by run."""
    found: dict[str, list[RunInput]] = {}
    for piece in pieces(ids):
        query = (
            sa.select(inputs)
            .where(inputs.c.run.in_(piece))
            .order_by(inputs.c.position, inputs.c.name, inputs.c.digest)
        )
        for row in connection.execute(query).mappings():
            fields = {name: row[name] for name in RunInput.__struct_fields__}
            found.setdefault(row["run"], []).append(RunInput(**fields))
    return found


def select_runs(
    connection: sa.Connection,
    experiment: str | None,
    cycle: str | None,
    sort: str,
    limit: int,
    where: str = "",
) -> list[Run]:
    """Runs that fit a filter, in an order; those that lack the metric come last.

    Raises:
        InvalidInput: If ``sort`` or ``where`` can't be one.
        NotFound: If no run has what it is to be sorted by.
    """
    order = order_of(connection, sort)
    filters = list(parse_listed_filter(where))
    if cycle is not None:
        ids = tuple(connection.execute(sa.select(runs.c.id).where(runs.c.cycle == cycle)).scalars())
        if not ids:
            return []
        filters.append(Comparison("attribute", "run_id", "IN", ids))
    homes = connection.execute(sa.select(experiments.c.id)).scalars().all()
    if experiment is not None:
        known = find_experiment(connection, name=experiment)
        is_default = known is None and experiment.lower() == DEFAULT.lower()
        homes = [DEFAULT_ID] if is_default else [known.id] if known else []
    found = search.search_runs(connection, homes, filters, [order], "active_only", limit, None)
    return with_metrics(connection, found.rows)


def select_points(connection: sa.Connection, run_id: str, metric: str) -> list[Point]:
    """A metric's curve, by step and then in the order of the journal.

    Raises:
        NotFound: If the run has no such metric.
    """
    found = series.by_step(curves.read(connection, run_id, metric))
    if not len(found):
        raise unknown("metric", metric, last_steps(connection, run_id))
    columns = zip(found.steps.tolist(), found.at.tolist(), found.values.tolist(), strict=True)
    return [Point(step, _moment(at), portable(value)) for step, at, value in columns]


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def several_points(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    """The metrics of runs that were logged beyond their first step, and so have a curve."""
    found: set[str] = set()
    for piece in pieces(ids):
        query = sa.select(metrics.c.name).where(metrics.c.run.in_(piece), metrics.c.step > 0)
        found |= set(connection.execute(query.distinct()).scalars())
    return found


def select_artifacts(connection: sa.Connection, owner: str, under: str = "") -> list[Artifact]:
    """The files of a run or a logged model, by path.

    Args:
        connection: Where.
        owner: The run or logged model.
        under: Only the file of that path, or the files in the folder of that path.
    """
    query = sa.select(artifacts.c.path, artifacts.c.digest, artifacts.c.size).where(*_within(owner, under))
    return sorted((Artifact(*row) for row in connection.execute(query)), key=lambda found: found.path)


def find_artifact(connection: sa.Connection, owner: str, path: str) -> Artifact | None:
    """A file of a run or a logged model."""
    query = sa.select(artifacts.c.path, artifacts.c.digest, artifacts.c.size)
    row = connection.execute(query.where(artifacts.c.owner == owner, artifacts.c.path == path)).first()
    return Artifact(*row) if row else None


def delete_artifacts(connection: sa.Connection, owner: str, under: str = "") -> None:
    """Takes away a file, all in a folder, or all of a run or a logged model."""
    connection.execute(artifacts.delete().where(*_within(owner, under)))


def _within(owner: str, path: str) -> list[sa.ColumnElement[bool]]:
    here = [artifacts.c.owner == owner]
    if path:
        # Neither LIKE, which passes over case, nor a range, which a collation may order otherwise.
        folder = sa.func.substr(artifacts.c.path, 1, len(path) + 1) == f"{path}/"
        here.append(sa.or_(artifacts.c.path == path, folder))
    return here


def with_metrics(connection: sa.Connection, rows: Sequence[sa.RowMapping]) -> list[Run]:
    """Runs with the latest values of their metrics, in the order of the rows."""
    latest: dict[str, dict[str, Value]] = {row["id"]: {} for row in rows}
    for piece in pieces(latest):
        query = sa.select(metrics.c.run, metrics.c.name, metrics.c.value).where(metrics.c.run.in_(piece))
        for run_id, name, value in connection.execute(query.order_by(metrics.c.name)):
            latest[run_id][name] = value
    names = experiment_names(connection, {row["experiment"] for row in rows})
    return [Run(**{**row, "experiment": names[row["experiment"]]}, metrics=latest[row["id"]]) for row in rows]


def pieces(ids: Iterable[str]) -> Iterator[list[str]]:
    """Identifiers, so many at a time as a query may name."""
    every = list(ids)
    for start in range(0, len(every), _PIECE):
        yield every[start : start + _PIECE]
