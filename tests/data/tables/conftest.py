from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from treadle.data.tables.service import Tables
from treadle.data.tables.types import Rows, Who, WriteRows
from treadle.kernel.workspace import Workspace

ANNA = Who(actor="anna", run="run_1", message="first")

Save = Callable[[str, str], Rows]


@pytest.fixture
def save(project: Path) -> Save:
    """Writes a query's rows to a Parquet file of the project."""

    def write(sql: str, name: str = "new") -> Rows:
        path = project / "in" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        duckdb.sql(sql).write_parquet(str(path))
        return Rows(path=f"in/{name}.parquet")

    return write


@pytest.fixture
def workspace(project: Path, clock) -> Iterator[Workspace]:
    """The project with a table ``sales`` besides its dataset."""
    toml = project / "treadle.toml"
    toml.write_text(toml.read_text() + '\n[data.sales]\npath = "lake/sales"\nformat = "delta"\nkey = "id"\n')
    opened = Workspace.open(project, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def tables(workspace: Workspace) -> Tables:
    return Tables(workspace)


BASE = "SELECT i AS id, 'n' || i % 7 AS name, i * 0.5::DOUBLE AS price FROM range({}, {}) t(i)"


@pytest.fixture
def sales(tables: Tables, save: Save) -> Tables:
    """A table of a hundred rows."""
    tables.create("sales", WriteRows(rows=save(BASE.format(0, 100)), by=ANNA))
    return tables
