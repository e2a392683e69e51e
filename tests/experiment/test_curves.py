"""Curves in the database, when several write and merge at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from treadle.experiment import Experiments, NewRun, curves
from treadle.experiment.types import Sample
from treadle.kernel.workspace import Workspace

RUN = "run_1"


@pytest.fixture
def shared(tmp_path: Path, postgres_url: str) -> Iterator[Workspace]:
    (tmp_path / "treadle.toml").write_text(f'[project]\nname = "t"\n[store]\nmetadata = "{postgres_url}"\n')
    workspace = Workspace.open(tmp_path)
    Experiments(workspace).create(NewRun(id=RUN, name="a", started_at=datetime(2026, 1, 1, tzinfo=UTC)))
    yield workspace
    workspace.close()


def append(workspace: Workspace, *values: float) -> None:
    with workspace.database.write() as connection:
        for value in values:
            curves.append(connection, RUN, [Sample("m", value, int(value), int(value))])


def values(workspace: Workspace) -> list[float]:
    with workspace.database.read() as connection:
        return sorted(curves.read(connection, RUN, "m").values.tolist())


@pytest.mark.postgres
def test_a_merge_leaves_what_another_server_adds_meanwhile_by_a_clock_that_is_behind(shared, monkeypatch):
    append(shared, 1.0, 2.0, 3.0)
    engine, added = shared.database.engine, []

    def add(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("DELETE") and not added:
            added.append(statement)
            with monkeypatch.context() as patch:
                patch.setattr(curves, "next_id", lambda: 5)  # long before the others
                append(shared, 4.0)

    sa.event.listen(engine, "before_cursor_execute", add)
    with shared.database.write() as connection:
        assert curves.merge(connection, RUN) == 3
    sa.event.remove(engine, "before_cursor_execute", add)
    assert added
    assert values(shared) == [1.0, 2.0, 3.0, 4.0]
    append(shared, 5.0)
    with shared.database.write() as connection:
        assert curves.merge(connection, RUN) == 2
    assert values(shared) == [1.0, 2.0, 3.0, 4.0, 5.0]
