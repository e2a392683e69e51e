"""A new metadata store has the schema that running every migration leaves."""

from __future__ import annotations

import secrets

import psycopg
import pytest
import sqlalchemy as sa

from treadle.kernel.database import SCHEMA_VERSION, Database, connect_engine, open_database
from treadle.kernel.migrations import baseline

from .make_baseline import FOLDER, migrated, script

COLUMNS = """
    SELECT table_name, column_name, ordinal_position, data_type, collation_name, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 3
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
"""
SHAPE = {
    "sqlite": ("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name",),
    "postgresql": (
        COLUMNS,
        CONSTRAINTS,
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    ),
}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def both(request, tmp_path):
    """Two databases that are new: one migrated to the baseline's version, one made by the baseline."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        names = [f"t{secrets.token_hex(6)}" for _ in range(2)]
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            for name in names:
                connection.execute(f"CREATE DATABASE {name}")
        urls = [server.url(name) for name in names]
    else:
        urls = ["sqlite:///migrated.db", "sqlite:///made.db"]
    made = Database(connect_engine(urls[1], tmp_path))
    with made.write() as connection:
        baseline.create(connection)
    pair = (migrated(urls[0], tmp_path), made)
    yield pair
    for database in pair:
        database.close()


def shape(database: Database) -> list[list[tuple[object, ...]]]:
    """All that the database says of its tables, with their definitions' white space made even."""
    with database.read() as connection:
        found = [connection.exec_driver_sql(query).all() for query in SHAPE[database.engine.dialect.name]]
    return [
        [tuple(" ".join(x.split()) if isinstance(x, str) else x for x in row) for row in rows]
        for rows in found
    ]


def rows(database: Database) -> dict[str, list[dict[str, object]]]:
    """All that stands in it, but for when it was made."""
    tables = sa.MetaData()
    tables.reflect(database.engine)
    with database.read() as connection:
        return {
            table.name: [
                {name: value for name, value in row.items() if name not in ("created_at", "updated_at")}
                for row in connection.execute(sa.select(table)).mappings()
            ]
            for table in tables.sorted_tables
        }


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
def test_the_baseline_is_what_the_migrations_leave(both):
    old, new = both
    assert shape(old) == shape(new)
    assert sum(map(len, shape(new))) > 100
    assert rows(old) == rows(new)
    assert [row["name"] for row in rows(new)["experiments"]] == ["Default"]
    kept = (FOLDER / f"{old.engine.dialect.name}.sql").read_text()
    assert script(old) == kept, "run tests/kernel/make_baseline.py"


def test_a_new_store_is_at_this_versions_schema(metadata_url, tmp_path):
    database = open_database(metadata_url, tmp_path)
    assert rows_of_version(database) == [SCHEMA_VERSION]
    database.close()


def rows_of_version(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars())
