"""One list of versions: those that Treadle made and those of MLflow's clients, by one number.

Before, a model's name could be in two worlds: ``model_versions``, and the catalogue of MLflow's
clients. Now every version has a row in both tables. Versions that Treadle made keep their numbers,
for deployments and predictions name them; a registered version whose number one of them has gets
the model's next number, and the tag ``treadle.former_number`` says which it had.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_STATUS = {"None": "candidate", "Staging": "staging", "Production": "production", "Archived": "archived"}
_STAGE = {"staging": "Staging", "production": "Production", "deprecated": "Archived", "archived": "Archived"}
_TAG = "treadle.former_number"


def upgrade() -> None:
    """Keeps every version, alias, tag and transition."""
    connection = op.get_bind()
    _make_room(connection)
    for table in ("model_versions", "model_transitions"):
        connection.execute(sa.text(f"CREATE TABLE old_{table} AS SELECT * FROM {table}"))  # noqa: S608 - names of ours
    _models(connection)
    for table in ("model_transitions", "model_versions", "models"):
        op.drop_table(table)
    _create()
    registered = _rows(connection, "SELECT * FROM catalog_versions ORDER BY model, number")
    _copy_versions(connection)
    _copy_transitions(connection)
    _describe(connection, registered)
    for table in ("old_model_versions", "old_model_transitions"):
        op.drop_table(table)


def _rows(connection: sa.Connection, query: str, **values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]


def _make_room(connection: sa.Connection) -> None:
    """Gives another number to each registered version whose number a version of Treadle's has."""
    taken = _rows(
        connection,
        "SELECT c.model, c.number FROM catalog_versions c JOIN model_versions v"
        " ON v.model = c.model AND v.number = c.number ORDER BY c.model, c.number",
    )
    for row in taken:
        model, number = row["model"], row["number"]
        highest = connection.execute(
            sa.text(
                "SELECT max(n) FROM (SELECT numbers AS n FROM catalog_models WHERE name = :model"
                " UNION ALL SELECT number FROM model_versions WHERE model = :model) AS known"
            ),
            {"model": model},
        ).scalar_one()
        new = highest + 1
        values = {"model": model, "number": number, "new": new}
        for statement in (
            "UPDATE catalog_models SET numbers = :new WHERE name = :model",
            "UPDATE catalog_versions SET number = :new WHERE model = :model AND number = :number",
        ):
            connection.execute(sa.text(statement), values)
        connection.execute(
            sa.text("UPDATE catalog_versions SET source = :after WHERE source = :before"),
            {"before": f"models:/{model}/{number}", "after": f"models:/{model}/{new}"},
        )
        connection.execute(
            sa.text("INSERT INTO catalog_version_tags (model, number, name, value) VALUES (:m, :n, :k, :v)"),
            {"m": model, "n": new, "k": _TAG, "v": str(number)},
        )


def _models(connection: sa.Connection) -> None:
    """Lets every model of Treadle's have a row in the catalogue, which counts on from its versions."""
    connection.execute(
        sa.text(
            "INSERT INTO catalog_models (name, created_at, updated_at, description, numbers)"
            " SELECT name, created_at, created_at, '', 0 FROM models"
            " WHERE name NOT IN (SELECT name FROM catalog_models)"
        )
    )
    highest = _rows(
        connection, "SELECT model AS name, max(number) AS number FROM model_versions GROUP BY model"
    )
    for row in highest:
        connection.execute(
            sa.text("UPDATE catalog_models SET numbers = :number WHERE name = :name AND numbers < :number"),
            row,
        )


def _create() -> None:
    op.create_table(
        "model_versions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("governed", sa.Boolean(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["catalog_versions.model", "catalog_versions.number"],
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model", "number"),
    )
    for name, column, where in (
        ("one_version_of_a_run", "run", "origin = 'treadle'"),
        ("one_version_in_production", "model", "governed AND status = 'production'"),
    ):
        condition = sa.text(where)
        op.create_index(
            name, "model_versions", [column], unique=True, sqlite_where=condition, postgresql_where=condition
        )
    op.create_index("model_versions_by_time", "model_versions", ["created_at", "model", "number"])
    op.create_table(
        "model_transitions",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("override", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["catalog_models.name"], onupdate="CASCADE", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model", "seq"),
        sa.UniqueConstraint("model", "key", "number"),
    )
    op.create_table(
        "model_approvals",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "model")),
        sa.Column("number", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("stage", "actor", "reason")),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        *(
            sa.Column(name, sa.Text(), nullable=False, server_default="")
            for name in ("withdrawn_by", "withdrawn_reason")
        ),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["catalog_versions.model", "catalog_versions.number"],
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("model_approvals_by_version", "model_approvals", ["model", "number", "at"])


def _copy_versions(connection: sa.Connection) -> None:
    """Moves the versions that Treadle made, each with a row in the catalogue beside it."""
    stage = " ".join(f"WHEN '{status}' THEN '{name}'" for status, name in _STAGE.items())
    connection.execute(
        sa.text(
            "INSERT INTO catalog_versions (model, number, created_at, updated_at, description, stage,"  # noqa: S608 - names of ours
            " source, storage, run, run_link, logged_model)"
            " SELECT v.model, v.number, v.created_at,"
            " coalesce((SELECT max(t.at) FROM old_model_transitions t WHERE t.model = v.model"
            " AND t.number = v.number), v.created_at),"
            f" '', CASE v.status {stage} ELSE 'None' END, 'runs:/' || v.run || '/model',"
            " coalesce(e.artifacts || '/' || v.run || '/artifacts/model', 'runs:/' || v.run || '/model'),"
            " v.run, '', '' FROM old_model_versions v"
            " LEFT JOIN runs r ON r.id = v.run LEFT JOIN experiments e ON e.id = r.experiment"
        )
    )
    connection.execute(
        sa.text(
            "INSERT INTO model_versions (model, number, id, origin, governed, run, created_at, status,"
            " approved_by, spec) SELECT model, number, id, 'treadle', :yes, run, created_at, status,"
            " approved_by, spec FROM old_model_versions"
        ).bindparams(sa.bindparam("yes", True, sa.Boolean()))
    )


def _copy_transitions(connection: sa.Connection) -> None:
    columns = 'model, seq, "key", number, "before", "after", "at", actor, reason, "override"'
    connection.execute(
        sa.text(f"INSERT INTO model_transitions ({columns}) SELECT {columns} FROM old_model_transitions")  # noqa: S608 - as above
    )


def _describe(connection: sa.Connection, registered: list[dict[str, Any]]) -> None:
    """Gives what MLflow's clients registered a status, and the history that is known of it."""
    versions, transitions = sa.table("model_versions"), sa.table("model_transitions")
    for table, names in (
        (versions, "model number id origin governed run created_at status spec"),
        (transitions, "model seq key number before after at actor reason override"),
    ):
        for name in names.split():
            kind = sa.Boolean() if name in {"governed", "override"} else None
            table.append_column(sa.column(name, kind) if kind else sa.column(name))
    for row in registered:
        model, number, status = row["model"], row["number"], _STATUS[row["stage"]]
        made = {"model": model, "number": number, "id": "", "origin": "mlflow", "governed": False}
        made |= {"run": row["run"], "created_at": row["created_at"], "status": status, "spec": "{}"}
        connection.execute(versions.insert().values(**made))
        moves: list[tuple[str | None, str, int, str]] = [
            (None, "candidate", row["created_at"], "registered by an MLflow client")
        ]
        if status != "candidate":
            why = f"it was in {row['stage']} in an older registry, which didn't say since when"
            moves.append(("candidate", status, row["updated_at"], why))
        for before, after, at, reason in moves:
            seq = connection.execute(
                sa.text("SELECT coalesce(max(seq), 0) + 1 FROM model_transitions WHERE model = :model"),
                {"model": model},
            ).scalar_one()
            step = {"model": model, "seq": seq, "key": f"registered:{number}:{after}", "number": number}
            step |= {"before": before, "after": after, "at": at, "actor": "mlflow", "reason": reason}
            connection.execute(transitions.insert().values(**step, override=False))
