"""A workspace of an older version takes other servers' events."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from treadle.kernel.workspace import Workspace
from treadle.monitor import InferenceEvent, Payloads
from treadle.monitor.payloads import store

FIXTURE = Path(__file__).parents[2] / "fixtures" / "workspace_0006.sql"


def test_a_workspace_of_the_sixth_schema_keeps_events(tmp_path: Path) -> None:
    (tmp_path / "treadle.toml").write_text('[project]\nname = "toy"\n')
    (tmp_path / ".treadle").mkdir()
    with sqlite3.connect(tmp_path / ".treadle" / "treadle.db") as connection:
        connection.executescript(FIXTURE.read_text())
    connection.close()
    workspace = Workspace.open(tmp_path)
    event = InferenceEvent(id="a", side="request", body=b'{"inputs": []}', service="flights", output="p")
    Payloads(workspace).take("toy", event)
    with workspace.database.read() as opened:
        assert store.waiting(opened) == (1, 14)
        found = store.find(opened, "toy", "a", "request")
    assert found is not None
    assert (found.body, found.service, found.output, found.version) == (event.body, "flights", "p", None)
    workspace.close()
