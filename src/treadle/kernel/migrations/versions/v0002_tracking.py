"""Experiments as things of their own; curves in chunks; parameters, tags and inputs that can be searched."""

import itertools
import json
import time
from array import array

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_CHUNK = 50_000
_PLAIN = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Keeps every run, value and point that is there."""
    _experiments()
    op.add_column("runs", sa.Column("user", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("lifecycle", sa.Text(), nullable=False, server_default="active"))
    op.drop_index("runs_by_experiment", "runs")
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("runs", "name", type_=_PLAIN)
        op.alter_column("runs", "user", type_=_PLAIN)
    newest: list[str | sa.TextClause] = [
        "experiment",
        "lifecycle",
        sa.text("started_at DESC"),
        "id",
        "status",
        "ended_at",
    ]
    op.create_index("runs_by_experiment", "runs", newest)
    named: list[str | sa.TextClause] = ["experiment", "lifecycle", sa.text("substr(name, 1, 120)"), "id"]
    op.create_index("runs_by_name", "runs", named)
    _metrics()
    _chunks()
    _texts("params")
    _texts("tags")
    _artifacts()
    _logged_models()
    _catalog()
    op.create_table(
        "run_inputs",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("schema", sa.Text(), nullable=True),
        sa.Column("profile", sa.Text(), nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "name", "digest"),
    )
    op.create_index("run_inputs_by_name", "run_inputs", ["experiment", "name", "digest"])


def _experiments() -> None:
    """Numbers the experiments by their first run; Default has number 0."""
    table = op.create_table(
        "experiments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("lifecycle", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("artifacts", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    assert table is not None  # noqa: S101 - only None in offline mode, which is not used
    connection = op.get_bind()
    found = connection.execute(
        sa.text("SELECT experiment, min(started_at) FROM runs GROUP BY experiment ORDER BY 2, 1")
    ).all()
    now = time.time_ns() // 1000
    names = ["Default", *(name for name, _ in found if name != "default")]
    began = {("Default" if name == "default" else name): at for name, at in found}
    for number, name in enumerate(names):
        at = began.get(name, now)
        row = {"id": str(number), "name": name, "lifecycle": "active", "created_at": at, "updated_at": at}
        connection.execute(
            table.insert().values(row | {"artifacts": f"mlflow-artifacts:/{number}", "tags": "{}"})
        )
    # "default" was the name that runs had who named none.
    connection.execute(sa.text("UPDATE runs SET experiment = 'Default' WHERE experiment = 'default'"))
    connection.execute(
        sa.text(
            "UPDATE runs SET experiment = (SELECT e.id FROM experiments e WHERE e.name = runs.experiment)"
        )
    )


def _metrics() -> None:
    op.add_column("run_metrics", sa.Column("experiment", sa.Text(), nullable=False, server_default="0"))
    op.add_column("run_metrics", sa.Column("at", sa.BigInteger(), nullable=False, server_default="0"))
    op.get_bind().execute(
        sa.text(
            "UPDATE run_metrics SET"
            " experiment = (SELECT r.experiment FROM runs r WHERE r.id = run_metrics.run),"
            ' "at" = coalesce((SELECT max(p."at") FROM run_points p'
            " WHERE p.run = run_metrics.run AND p.name = run_metrics.name AND p.step = run_metrics.step), 0)"
        )
    )
    op.drop_index("run_metrics_by_value", "run_metrics")
    op.create_index("run_metrics_by_value", "run_metrics", ["experiment", "name", "value", "run"])
    op.create_index("run_metrics_by_name", "run_metrics", ["name", "value"])


def _chunks() -> None:
    """Packs the points; see treadle.experiment.series, whose format this writes as it was then."""
    table = op.create_table(
        "run_chunks",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "name", "id"),
        sqlite_with_rowid=False,
    )
    assert table is not None  # noqa: S101 - as above
    connection = op.get_bind()
    curves = connection.execute(sa.text("SELECT DISTINCT run, name FROM run_points")).all()
    query = sa.text(
        'SELECT value, "at", step FROM run_points WHERE run = :run AND name = :name ORDER BY record, step'
    )
    for run, name in curves:
        rows = iter(connection.execute(query, {"run": run, "name": name}).all())
        for number in itertools.count(1):
            piece = list(itertools.islice(rows, _CHUNK))
            if not piece:
                break
            values = array("d", [float("nan") if value is None else value for value, _, _ in piece])
            columns = (
                values,
                array("q", [at for _, at, _ in piece]),
                array("q", [step for *_, step in piece]),
            )
            data = msgspec.msgpack.encode(([name], b"", *(column.tobytes() for column in columns)))
            row = {"run": run, "name": name, "id": number, "points": len(piece), "data": data}
            connection.execute(table.insert().values(row))
    op.drop_table("run_points")


def _artifacts() -> None:
    """Files, whose owner may also be something else than a run."""
    op.create_table(
        "artifact_files",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "path"),
        sqlite_with_rowid=False,
    )
    op.get_bind().execute(
        sa.text(
            'INSERT INTO artifact_files (owner, path, digest, size, "at")'
            " SELECT a.run, a.path, a.digest, a.size, coalesce(r.ended_at, r.started_at)"
            " FROM run_artifacts a JOIN runs r ON r.id = a.run"
        )
    )
    op.drop_table("run_artifacts")


def _logged_models() -> None:
    """Logged models, what is searched for beside them, and the runs that used and made them."""
    op.create_table(
        "logged_models",
        *_text_columns("id", "experiment", "name", "artifacts", "status"),
        sa.Column("message", sa.Text(), nullable=True),
        *_text_columns("model_type", "run", "lifecycle"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    by_experiment = ["experiment", "lifecycle", "created_at", "id"]
    op.create_index("logged_models_by_experiment", "logged_models", by_experiment)
    op.create_index("logged_models_by_run", "logged_models", ["run"])
    for kind in ("params", "tags"):
        op.create_table(
            f"logged_model_{kind}",
            *_text_columns("model", "name", "value"),
            sa.ForeignKeyConstraint(["model"], ["logged_models.id"], ondelete="CASCADE"),
            sa.PrimaryKeyConstraint("model", "name"),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "logged_model_metrics",
        *_text_columns("model", "name"),
        sa.Column("at", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("step", sa.BigInteger(), nullable=False, autoincrement=False),
        *_text_columns("run", "dataset_name", "dataset_digest"),
        sa.Column("value", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["model"], ["logged_models.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model", "name", "at", "step", "run", "dataset_name", "dataset_digest"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_models",
        *_text_columns("run", "kind", "model"),
        sa.Column("step", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "kind", "model", "step"),
        sqlite_with_rowid=False,
    )
    op.create_index("run_models_by_model", "run_models", ["model"])


def _catalog() -> None:
    """Registered models and their versions, with their tags and aliases."""
    op.create_table(
        "catalog_models",
        *_text_columns("name"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        *_text_columns("description"),
        sa.Column("numbers", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "catalog_versions",
        *_text_columns("model"),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        *_text_columns("description", "stage", "source", "storage", "run", "run_link", "logged_model"),
        _follows(["model"], ["catalog_models.name"]),
        sa.PrimaryKeyConstraint("model", "number"),
    )
    op.create_index("catalog_versions_by_stage", "catalog_versions", ["model", "stage", "number"])
    op.create_index("catalog_versions_by_run", "catalog_versions", ["run"])
    op.create_index("catalog_versions_by_time", "catalog_versions", ["updated_at", "model", "number"])
    op.create_table(
        "catalog_model_tags",
        *_text_columns("model", "name", "value"),
        _follows(["model"], ["catalog_models.name"]),
        sa.PrimaryKeyConstraint("model", "name"),
        sqlite_with_rowid=False,
    )
    version = ["catalog_versions.model", "catalog_versions.number"]
    op.create_table(
        "catalog_version_tags",
        *_text_columns("model"),
        sa.Column("number", sa.BigInteger(), nullable=False, autoincrement=False),
        *_text_columns("name", "value"),
        _follows(["model", "number"], version),
        sa.PrimaryKeyConstraint("model", "number", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "catalog_aliases",
        *_text_columns("model", "alias"),
        sa.Column("number", sa.BigInteger(), nullable=False),
        _follows(["model", "number"], version),
        sa.PrimaryKeyConstraint("model", "alias"),
        sqlite_with_rowid=False,
    )


def _follows(columns: list[str], of: list[str]) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(columns, of, onupdate="CASCADE", ondelete="CASCADE")


def _text_columns(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _texts(kind: str) -> None:
    """Rows for a run's parameters or tags, which so far were only in the run's own row."""
    table = op.create_table(
        f"run_{kind}",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("experiment", sa.Text(), nullable=False),
        sa.Column("value", _PLAIN, nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "name"),
        sqlite_with_rowid=False,
    )
    assert table is not None  # noqa: S101 - as above
    op.create_index(
        f"run_{kind}_by_value", f"run_{kind}", ["experiment", "name", sa.text("substr(value, 1, 120)"), "run"]
    )
    connection = op.get_bind()
    for run, experiment, texts in connection.execute(
        sa.text(f"SELECT id, experiment, {kind} FROM runs")  # noqa: S608 - one of two names
    ).all():
        rows = [
            {"run": run, "name": name, "experiment": experiment, "value": _text(value)}
            for name, value in json.loads(texts).items()
        ]
        if rows:
            connection.execute(table.insert(), rows)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, bool) else str(value)
