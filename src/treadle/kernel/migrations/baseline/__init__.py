"""A new metadata store, made at once: its tables as the migrations up to :data:`BASELINE` leave them.

The two files of SQL are written by ``tests/kernel/make_baseline.py`` from databases that were
migrated. They need no renewal when a migration is added, which then runs after them.
"""

from __future__ import annotations

import time
from importlib import resources

import sqlalchemy as sa

BASELINE = "0015"


def create(connection: sa.Connection) -> None:
    """Makes the tables, and the experiment that is always there, in the transaction of the caller."""
    script = (resources.files(__package__) / f"{connection.dialect.name}.sql").read_text()
    for statement in script.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)
    now = time.time_ns() // 1000
    connection.execute(
        sa.text(
            "INSERT INTO experiments (id, name, lifecycle, created_at, updated_at, artifacts, tags)"
            " VALUES ('0', 'Default', 'active', :now, :now, 'mlflow-artifacts:/0', :tags)"
        ),
        {"now": now, "tags": "{}"},
    )
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:at)"), {"at": BASELINE})
