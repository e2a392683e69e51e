"""What another connection does between two statements of a transaction, on Postgres.

There every statement of a transaction sees what others have committed by then. SQLite has one writer at
a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from servers import postgres_server, postgres_url  # noqa: F401 - fixtures
from treadle.kernel.database import Database
from treadle.kernel.workspace import Workspace

_WAITS = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def meanwhile(
    monkeypatch: pytest.MonkeyPatch, database: Database, owner: object, name: str, work: Callable[[], Any]
) -> Future[Any]:
    """Has another thread do something once, before a function is called.

    The function is called when that is done, or when it waits for a lock: then it goes on once the
    transaction has ended in which the function is called.

    Returns:
        What came of it.
    """
    function, found = getattr(owner, name), Future[Any]()

    def other() -> None:
        try:
            found.set_result(work())
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            found.set_exception(error)

    def first(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(owner, name, function)
        thread = threading.Thread(target=other)
        thread.start()
        with database.engine.connect() as connection:
            while thread.is_alive() and not connection.execute(_WAITS).scalar_one():
                connection.rollback()  # else the same statistics are told again
                thread.join(0.01)
        return function(*arguments, **named)

    monkeypatch.setattr(owner, name, first)
    return found


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_url: str) -> Iterator[Workspace]:  # noqa: F811 - the fixture
    """A workspace whose metadata store is a Postgres."""
    (tmp_path / "treadle.toml").write_text(f'[project]\nname = "t"\n[store]\nmetadata = "{postgres_url}"\n')
    workspace = Workspace.open(tmp_path)
    yield workspace
    workspace.close()
