"""Writes the baseline's SQL from databases that the migrations made. Run it from the root of the repository.

It needs a Postgres database that is empty: ``python tests/kernel/make_baseline.py postgresql://...``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.schema import CreateIndex, CreateTable

from treadle.kernel.database import Database, connect_engine
from treadle.kernel.migrations import baseline

FOLDER = Path(baseline.__file__).parent


def migrated(url: str, root: Path) -> Database:
    """A new database with the schema of the baseline, made by running every migration up to it."""
    config = Config()
    config.set_main_option("script_location", "treadle.kernel:migrations")
    database = Database(connect_engine(url, root))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, baseline.BASELINE)
    return database


def script(database: Database) -> str:
    """The statements that make its tables and their indexes."""
    if database.engine.dialect.name == "sqlite":
        with database.read() as connection:
            kept = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
            statements = list(connection.exec_driver_sql(kept).scalars())
    else:
        found = sa.MetaData()
        found.reflect(database.engine)
        statements = []
        for table in found.sorted_tables:
            statements.append(str(CreateTable(table).compile(database.engine)))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                statements.append(str(CreateIndex(index).compile(database.engine)))
    lines = "\n".join(f"{statement.strip()};" for statement in statements).splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def main(postgres: str) -> None:
    """Writes both files."""
    with tempfile.TemporaryDirectory() as folder:
        for url in ("sqlite:///new.db", postgres):
            database = migrated(url, Path(folder))
            (FOLDER / f"{database.engine.dialect.name}.sql").write_text(script(database))
            database.close()


if __name__ == "__main__":
    main(sys.argv[1])
