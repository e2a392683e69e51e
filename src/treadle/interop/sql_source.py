"""Runs in MLflow's database: SQLite, Postgres, or any other that SQLAlchemy reaches.

The tables differ from version to version of MLflow, so that a column that isn't there counts
as one that says nothing, and a table that isn't there as empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from treadle.experiment import Curve, ExperimentCopy, LoggedModel, ModelMetric, RunCopy
from treadle.experiment.types import ModelLink, RunInput, portable
from treadle.interop import wording
from treadle.interop.places import Places
from treadle.interop.telling import Telling
from treadle.interop.types import Head, SourceFile, Tell, Trouble
from treadle.interop.wording import dataset, version
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound, StorageError
from treadle.registry import CatalogModel, CatalogVersion, ImportCatalogModel

Row = Mapping[str, Any]

_PIECE = 1000
_AHEAD, _POINTS = 100, 100_000


class _Near(msgspec.Struct, frozen=True):
    """What some runs have, by run.

    Attributes:
        runs: Their identifiers.
        tags: Rows of their tags.
        params: Rows of their parameters.
        inputs: Rows of what they used.
        links: Rows of what was made of them.
        points: Rows of their points; None if they are too many to have at once.
    """

    runs: set[str] = set()
    tags: dict[str, list[Row]] = {}
    params: dict[str, list[Row]] = {}
    inputs: dict[str, list[Row]] = {}
    links: dict[str, list[Row]] = {}
    points: dict[str, list[Any]] | None = None


class SqlSource:
    """An MLflow database, which is only read.

    Args:
        url: As MLflow takes it, such as ``sqlite:///mlflow.db`` or ``postgresql://USER@HOST/NAME``.
        places: Where artifacts may lie now.
        tell: Hears of what can't be read.

    Raises:
        InvalidInput: If that is no database's URL, or its driver isn't installed.
        NotFound: If there is no such file, or the database isn't MLflow's.
        StorageError: If it can't be opened.
    """

    def __init__(self, url: str, places: Places, tell: Tell) -> None:
        self._engine, self.name = open_engine(url)
        self._places = places
        self._tell = tell
        self._rows: dict[str, Row] = {}
        self._near = _Near()
        self._metrics = ""
        with self._errors():
            inspector = sa.inspect(self._engine)
            names = set(inspector.get_table_names())
            self._columns = {
                name: {c["name"] for c in inspector.get_columns(name)} for name in names & _TABLES
            }
        if not {"experiments", "runs"} <= names:
            self.close()
            raise NotFound("the database has no tables of MLflow's", where=self.name)

    def close(self) -> None:
        """Lets go of the database."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            first = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise StorageError(f"the database can't be read: {first}", where=self.name) from error

    def _select(self, table: str, order: str = "", **key: Any) -> list[Row]:
        """A table's rows with the columns that it has; nothing of a table that isn't there."""
        if table not in self._columns or not key.keys() <= self._columns[table]:
            return []
        where = " AND ".join(f"{name} = :{name}" for name in key)
        sql = f"SELECT * FROM {table}" + (f" WHERE {where}" if key else "")  # noqa: S608 - fixed names
        return self._all(sql + (f" ORDER BY {order}" if order else ""), **key)

    def _all(self, sql: str, **key: Any) -> list[Row]:
        with self._errors(), self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(sql), key).mappings()]

    def _of_runs(self, table: str, column: str, runs: Sequence[str]) -> dict[str, list[Row]]:
        """The rows of a table that belong to runs, by run."""
        found: dict[str, list[Row]] = {}
        if column not in self._columns.get(table, ()):
            return found
        sql = f"SELECT * FROM {table} WHERE {column} IN :runs"  # noqa: S608 - fixed names
        query = sa.text(sql).bindparams(sa.bindparam("runs", list(runs), expanding=True))
        with self._errors(), self._engine.connect() as connection:
            for row in connection.execute(query).mappings():
                found.setdefault(row[column], []).append(dict(row))
        return found

    def _around(self, run: str) -> _Near:
        """What many runs beside this one have, read together."""
        if run not in self._near.runs:
            ids = list(self._rows)
            start = ids.index(run)
            near = ids[start : start + _AHEAD]
            self._near = _Near(
                set(near),
                self._of_runs("tags", "run_uuid", near),
                self._of_runs("params", "run_uuid", near),
                self._of_runs("inputs", "destination_id", near),
                self._of_runs("inputs", "source_id", near),
                self._points(near),
            )
        return self._near

    def _texts(self, table: str, **key: Any) -> dict[str, str]:
        names = ("key", "value")
        if table.startswith("logged_model"):
            names = ("param_key", "param_value") if table.endswith("params") else ("tag_key", "tag_value")
        return _by_key(self._select(table, **key), *names)

    def _telling(self, where: str) -> Telling:
        return Telling(self._tell, where)

    # ── experiments and runs ─────────────────────────────────────────────

    def experiments(self) -> list[ExperimentCopy]:
        """All experiments, deleted ones too."""
        found = []
        for row in self._select("experiments", "experiment_id"):
            number = row["experiment_id"]
            with self._telling(f"experiment {number}"):
                created = wording.moment_or_epoch(row.get("creation_time"))
                found.append(
                    ExperimentCopy(
                        id=str(number),
                        name=row["name"],
                        lifecycle=wording.lifecycle(row.get("lifecycle_stage")),
                        created_at=created,
                        updated_at=wording.moment(row.get("last_update_time")) or created,
                        tags=self._texts("experiment_tags", experiment_id=number),
                    )
                )
        return found

    def heads(self, experiment: str) -> Iterator[Head]:
        """The runs of an experiment, deleted ones too."""
        sql = "SELECT * FROM runs WHERE experiment_id = :experiment AND run_uuid > :after ORDER BY run_uuid"
        after = ""
        while rows := self._all(f"{sql} LIMIT {_PIECE}", experiment=int(experiment), after=after):
            self._rows = {row["run_uuid"]: row for row in rows}
            for after, row in self._rows.items():
                running = str(row.get("status")).lower() in wording.GOING_ON
                yield Head(after, "" if running else " ".join(str(row.get(name)) for name in _STAMP))

    def run(self, run: str) -> RunCopy | None:
        """A run without its files; None if it can't be read."""
        row = self._rows[run]
        with self._telling(f"run {run}"):
            near = self._around(run)
            tags = _by_key(near.tags.get(run, ()))
            return RunCopy(
                id=run,
                experiment=str(row["experiment_id"]),
                name=wording.run_name(row.get("name"), tags, run),
                user=row.get("user_id") or "",
                status=wording.run_status(row.get("status")),
                lifecycle=wording.lifecycle(row.get("lifecycle_stage")),
                started_at=wording.moment_or_epoch(row.get("start_time")),
                ended_at=wording.moment(row.get("end_time")),
                deleted_at=wording.moment(row.get("deleted_time")),
                params=_by_key(near.params.get(run, ())),
                tags=tags,
                inputs=tuple(self._inputs(run, near.inputs.get(run, ()))),
                models=tuple(_links(near.links.get(run, ()))),
            )
        return None

    def _inputs(self, run: str, rows: Iterable[Row]) -> Iterator[RunInput]:
        for row in rows:
            if row["source_type"] != "DATASET":
                continue
            tags = {t["name"]: t["value"] for t in self._select("input_tags", input_uuid=row["input_uuid"])}
            data = next(iter(self._select("datasets", dataset_uuid=row["source_id"])), None)
            if data is None:
                self._tell(Trouble(f"run {run}", f"dataset {row['source_id']} is missing"))
                continue
            plain = {name.removeprefix("dataset_"): value for name, value in data.items()}
            yield dataset(plain, tags)

    def curves(self, run: str) -> Iterator[tuple[str, Curve]]:
        """A run's curves, each by time and step."""
        points = self._around(run).points
        if points is not None:
            yield from self._curves(run, points.get(run, ()))
            return
        query = sa.text(f"{self._metrics} WHERE run_uuid = :run ORDER BY key, timestamp")
        with (
            self._errors(),
            self._engine.connect() as connection,
            connection.execution_options(yield_per=_PIECE).execute(query, {"run": run}) as rows,
        ):
            yield from self._curves(run, rows)

    def _curves(self, run: str, rows: Iterable[Any]) -> Iterator[tuple[str, Curve]]:
        for name, points in groupby(rows, key=itemgetter(0)):
            found = None
            with self._telling(f"run {run}, metric {name}"):
                found = _curve(points)
            if found is not None:
                yield name, found

    def _points(self, runs: Sequence[str]) -> dict[str, list[Any]] | None:
        """The points of runs, each run's by metric and time; None if they are too many to have at once."""
        if "metrics" not in self._columns:
            return {}
        columns = self._columns["metrics"]
        step = "step" if "step" in columns else "0"
        nan = "is_nan" if "is_nan" in columns else "0"
        self._metrics = f"SELECT key, timestamp, value, {step}, {nan}, run_uuid FROM metrics"  # noqa: S608 - fixed names
        ours: sa.BindParameter[list[str]] = sa.bindparam("runs", list(runs), expanding=True)
        count = f"SELECT 1 FROM metrics WHERE run_uuid IN :runs LIMIT {_POINTS + 1}"  # noqa: S608 - fixed names
        counted = sa.text(f"SELECT count(*) FROM ({count}) AS found").bindparams(ours)  # noqa: S608 - fixed names
        query = sa.text(f"{self._metrics} WHERE run_uuid IN :runs ORDER BY run_uuid, key, timestamp")
        with self._errors(), self._engine.connect() as connection:
            if connection.execute(counted).scalar_one() > _POINTS:
                return None
            found = connection.execute(query.bindparams(ours)).all()
        return {run: list(rows) for run, rows in groupby(found, key=itemgetter(5))}

    def files(self, run: str) -> Iterable[SourceFile] | None:
        """A run's files."""
        return self._places.files(str(self._rows[run].get("artifact_uri") or ""))

    # ── models ───────────────────────────────────────────────────────────

    def logged_models(self, experiment: str) -> Iterator[LoggedModel]:
        """The logged models of an experiment, deleted ones too."""
        for row in self._select("logged_models", "model_id", experiment_id=int(experiment)):
            identity = row["model_id"]
            with self._telling(f"logged model {identity}"):
                created = wording.moment_or_epoch(row["creation_timestamp_ms"])
                yield LoggedModel(
                    id=identity,
                    experiment=experiment,
                    name=row["name"],
                    artifacts=row["artifact_location"],
                    status=wording.model_status(row["status"]),
                    message=row.get("status_message"),
                    model_type=row.get("model_type") or "",
                    run=row.get("source_run_id") or "",
                    lifecycle=wording.lifecycle(row.get("lifecycle_stage")),
                    created_at=created,
                    updated_at=wording.moment(row.get("last_updated_timestamp_ms")) or created,
                    params=self._texts("logged_model_params", model_id=identity),
                    tags=self._texts("logged_model_tags", model_id=identity),
                    metrics=tuple(self._measured(identity)),
                )

    def _measured(self, identity: str) -> Iterator[ModelMetric]:
        for row in self._select("logged_model_metrics", model_id=identity):
            value = row["metric_value"]
            yield ModelMetric(
                model=identity,
                name=row["metric_name"],
                at=int(row["metric_timestamp_ms"]) * 1000,
                value=portable(float("nan") if value is None else float(value)),
                step=int(row["metric_step"]),
                run=row["run_id"],
                dataset_name=row.get("dataset_name") or "",
                dataset_digest=row.get("dataset_digest") or "",
            )

    def model_files(self, model: LoggedModel) -> Iterable[SourceFile] | None:
        """A logged model's files."""
        return self._places.files(model.artifacts)

    def registered_models(self) -> Iterator[ImportCatalogModel]:
        """The registered models with their versions."""
        for row in self._select("registered_models", "name"):
            name = row["name"]
            with self._telling(f"registered model {name}"):
                created = wording.moment_or_epoch(row.get("creation_time"))
                named = self._select("registered_model_aliases", name=name)
                yield ImportCatalogModel(
                    model=CatalogModel(
                        name=name,
                        created_at=created,
                        updated_at=wording.moment(row.get("last_updated_time")) or created,
                        description=row.get("description") or "",
                        tags=self._texts("registered_model_tags", name=name),
                        aliases={one["alias"]: int(one["version"]) for one in named},
                    ),
                    versions=tuple(self._versions(name)),
                )

    def _versions(self, name: str) -> Iterator[CatalogVersion]:
        for row in self._select("model_versions", "version", name=name):
            if row.get("current_stage") == "Deleted_Internal":
                continue
            with self._telling(f"registered model {name}, version {row['version']}"):
                tags = self._texts("model_version_tags", name=name, version=row["version"])
                times = {
                    "creation_timestamp": row.get("creation_time"),
                    "last_updated_timestamp": row.get("last_updated_time"),
                }
                yield version(dict(row) | times, tags)


_STAMP = ("status", "start_time", "end_time", "lifecycle_stage", "deleted_time", "name")
_TABLES = {
    "experiments", "experiment_tags", "runs", "tags", "params", "metrics", "inputs", "input_tags", "datasets",
    "logged_models", "logged_model_params", "logged_model_tags", "logged_model_metrics", "registered_models",
    "registered_model_tags", "registered_model_aliases", "model_versions", "model_version_tags",
}  # fmt: skip


def _by_key(rows: Iterable[Row], key: str = "key", value: str = "value") -> dict[str, str]:
    return {str(row[key]): str(row[value] or "") for row in rows}


def _links(rows: Iterable[Row]) -> Iterator[ModelLink]:
    for row in rows:
        if row["destination_type"] in {"MODEL_INPUT", "MODEL_OUTPUT"}:
            kind = "input" if row["destination_type"] == "MODEL_INPUT" else "output"
            yield ModelLink(row["destination_id"], kind, int(row.get("step") or 0))  # type: ignore[arg-type]


def _curve(rows: Iterable[Any]) -> Curve:
    at, values, steps = [], [], []
    for _, stamp, value, step, is_nan, _ in rows:
        if stamp is None:
            raise CorruptData("a point has no time")
        at.append(int(stamp) * 1000)
        values.append(float("nan") if is_nan or value is None else float(value))
        steps.append(int(step or 0))
    return Curve(np.array(values, np.float64), np.array(at, np.int64), np.array(steps, np.int64))


def open_engine(url: str) -> tuple[sa.Engine, str]:
    """A connection to a database that is only read, and its name without a password.

    Raises:
        InvalidInput: If that is no database's URL, or its driver isn't installed.
        NotFound: If there is no such file.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise InvalidInput(
            "that is no database's URL", fix="write it as sqlite:///FILE or postgresql://…"
        ) from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        from pathlib import Path

        path = Path(parsed.database or "").resolve()
        if not path.is_file():
            raise NotFound("there is no such database", where=str(path))
        target = parsed.set(database=f"file:{path}", query={"mode": "ro", "uri": "true"})
        return sa.create_engine(target), f"sqlite:///{path}"
    if kind == "postgresql" and "+" not in parsed.drivername:
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        engine = sa.create_engine(parsed)
    except (ImportError, sa.exc.SQLAlchemyError) as error:
        raise InvalidInput(f"the database's driver can't be used: {error}", where=kind) from None
    shown = parsed.set(drivername=kind).render_as_string(hide_password=True)
    return engine, shown
