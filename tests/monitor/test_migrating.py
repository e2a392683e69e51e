"""Findings that an older version kept are there in this one."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from treadle.kernel.workspace import Workspace
from treadle.monitor import Incidents, Monitors, NewMute, WindowResult

FIXTURE = Path(__file__).parents[1] / "fixtures" / "workspace_0006.sql"


def test_findings_of_the_sixth_schema_are_kept(tmp_path: Path) -> None:
    (tmp_path / "treadle.toml").write_text('[project]\nname = "toy"\n')
    (tmp_path / ".treadle").mkdir()
    with sqlite3.connect(tmp_path / ".treadle" / "treadle.db") as connection:
        connection.executescript(FIXTURE.read_text())
        connection.execute(
            "INSERT INTO windows VALUES ('toy', 'input', 'hour', 604800000000, 0, 1, 'alert', 'psi', 0.3,"
            " 900, 'hour drifted', NULL, NULL, 0.1, NULL, 0.5)"
        )
    connection.close()
    workspace = Workspace.open(tmp_path)
    assert Monitors(workspace).windows("toy") == [
        WindowResult(
            model="toy",
            kind="input",
            subject="hour",
            since=datetime(1970, 1, 1, tzinfo=UTC),
            until=datetime(1970, 1, 8, tzinfo=UTC),
            version=1,
            state="alert",
            statistic="psi",
            value=0.3,
            limit=0.1,
            n=900,
            sentence="hour drifted",
            mean_prediction=0.5,
        )
    ]
    assert Incidents(workspace).list("toy") == []
    assert Incidents(workspace).mute("toy", NewMute(hours=1, reason="old"), "ann").model == "toy"
    workspace.close()
