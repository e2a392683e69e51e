"""Ibis keeps the contract of scans, on DuckDB and on Postgres."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.register_assert_rewrite("scan_contract")

from scan_contract import ScanContract  # noqa: E402
from servers import PostgresServer, postgres_server  # noqa: E402, F401

# Ibis calls what DuckDB and others have given new names.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ibis = pytest.importorskip(
    "ibis", reason="Ibis isn't installed: pip install 'ibis-framework[duckdb,postgres]'"
)


class Loaded:
    """An engine that is given files: each is taken into the backend first.

    Args:
        take: Makes a table of a file.
    """

    def __init__(self, take: Callable[[Path], Any]) -> None:
        from treadle.kernel.scan.ibis_scan import IbisScan

        self._engine, self._take = IbisScan(), take

    def columns(self, path: Path) -> Any:
        return self._engine.columns(self._take(path))

    def scan(self, path: Path, asks: Any) -> Any:
        return self._engine.scan(self._take(path), asks)

    def examples(self, path: Path, that: Any, columns: Sequence[str], most: int) -> Any:
        return self._engine.examples(self._take(path), that, columns, most)

    def shared(self, path: Path, other: Path, columns: Sequence[str]) -> Any:
        return self._engine.shared(self._take(path), self._take(other), columns)


class TestDuckDB(ScanContract):
    PRECISION = "us"  # DuckDB has nanoseconds with a zone that Ibis does not know yet

    @pytest.fixture
    def engine(self) -> Iterator[Loaded]:
        connection = ibis.duckdb.connect()
        yield Loaded(connection.read_parquet)
        connection.disconnect()


def postgres_type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    return {
        "int8": "smallint", "int16": "smallint", "int64": "bigint", "uint64": "numeric(20, 0)",
        "double": "double precision", "float": "real", "bool": "boolean", "date32[day]": "date",
    }.get(str(kind), "text")  # fmt: skip


@pytest.mark.postgres
@pytest.mark.soak
class TestPostgres(ScanContract):
    TYPES: ClassVar = {"small": ("integer", "int16"), "big": ("integer", "decimal(20, 0)")}
    PRECISION = "us"

    @pytest.fixture(scope="class")
    @classmethod
    def url(cls, postgres_server: PostgresServer) -> str:  # noqa: F811
        import psycopg

        # Texts are compared by their code points, and upper case isn't only that of ASCII.
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE scans TEMPLATE template0 LOCALE 'C.UTF-8'")
        return postgres_server.url("scans")

    @pytest.fixture
    def engine(self, url: str) -> Iterator[Loaded]:
        connection = ibis.postgres.connect(**_parts(url))
        known: dict[str, Any] = {}

        def take(path: Path) -> Any:
            state = f"{path} {path.stat().st_mtime_ns}"
            if state not in known:
                known[state] = connection.table(_load(url, path))
            return known[state]

        yield Loaded(take)
        connection.disconnect()


def _parts(url: str) -> dict[str, Any]:
    from psycopg.conninfo import conninfo_to_dict

    found = conninfo_to_dict(url)
    return {"host": found["host"], "user": found["user"], "database": found["dbname"]}


def _load(url: str, path: Path) -> str:
    """A file as a new table of its own."""
    import secrets

    import psycopg

    rows, name = pq.read_table(path), f"t{secrets.token_hex(6)}"
    rows = rows.cast(pa.schema([_without_nanoseconds(field) for field in rows.schema]))
    columns = ", ".join(f'"{field.name}" {postgres_type(field.type)}' for field in rows.schema)
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} ({columns})")
        with cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for row in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                copy.write_row(row)
    return name


def _without_nanoseconds(field: pa.Field) -> pa.Field:
    fine = pa.types.is_timestamp(field.type) and field.type.unit == "ns"
    return field.with_type(pa.timestamp("us", field.type.tz)) if fine else field
