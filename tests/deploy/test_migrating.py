"""A workspace of schema 0006, whose revisions took over at once and were not counted, opens."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from treadle.deploy import Deployments, LoadTests, ReplicaReport
from treadle.kernel.workspace import Workspace

FIXTURE = Path(__file__).parents[1] / "fixtures" / "workspace_0006.sql"


def test_a_revision_of_an_older_version_has_no_plan(tmp_path):
    (tmp_path / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[store]\nmetadata = "sqlite:///metadata.db"\n'
    )
    with closing(sqlite3.connect(tmp_path / "metadata.db")) as connection:
        connection.executescript(FIXTURE.read_text())
        row = "'toy', 1, 'k1', 1, 1764547200000000, 'me', 'first', 'serving', 1764547201000000, NULL, NULL"
        connection.execute(f"INSERT INTO revisions VALUES ({row})")
        connection.commit()
    with closing(Workspace.open(tmp_path)) as workspace:
        (found,) = Deployments(workspace).history("toy")
        assert (found.version, found.state, found.plan, found.step, found.step_at) == (
            1,
            "serving",
            None,
            0,
            None,
        )
        deployments = Deployments(workspace)
        for requests in (10, 15):
            deployments.report(ReplicaReport(replica="a", model="toy", url="http://x", requests=requests))
        levels = deployments.status("toy").levels
        assert levels is not None
        assert (levels.levels, levels.silent) == ((), False)
        assert LoadTests(workspace).list("toy") == []
