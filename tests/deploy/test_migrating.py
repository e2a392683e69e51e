"""Workspaces of older schemas open: of 0006, whose revisions took over at once, and of 0013."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config

from treadle.deploy import Counts, Deployments, LoadTests, ReplicaReport, minutes
from treadle.kernel.database import connect_engine
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


def test_what_was_deployed_before_there_were_environments_is_in_the_last_one(tmp_path):
    project = '[project]\nname = "toy"\n[store]\nmetadata = "sqlite:///metadata.db"\n'
    (tmp_path / "treadle.toml").write_text(project + "[environments.staging]\n[environments.live]\n")
    now = datetime.now(UTC).replace(microsecond=0)
    with closing(sqlite3.connect(tmp_path / "metadata.db")) as connection:
        connection.executescript(FIXTURE.read_text())
    config = Config()
    config.set_main_option("script_location", "treadle.kernel:migrations")
    engine = connect_engine("sqlite:///metadata.db", tmp_path)
    with engine.begin() as opened:
        config.attributes["connection"] = opened
        command.upgrade(config, "0013")
        at = int(now.timestamp() * 1_000_000)
        opened.exec_driver_sql(
            "INSERT INTO revisions (model, revision, key, version, at, actor, reason, state, served_at, "
            f"outcome, step) VALUES ('toy', 1, 'k1', 1, {at}, 'me', 'first', 'serving', {at}, '', 0)"
        )
        minute = at // 60_000_000 * 60_000_000
        opened.exec_driver_sql(f"INSERT INTO service_minutes VALUES ('toy', {minute}, 10, 2, 1)")
        opened.exec_driver_sql(f"INSERT INTO replicas VALUES ('toy', 'r', {at}, '{{}}')")
    engine.dispose()
    with closing(Workspace.open(tmp_path)) as workspace:
        [found] = Deployments(workspace, "live").history("toy")
        assert (found.version, found.environment) == (1, "")
        assert Deployments(workspace, "staging").history("toy") == []
        with workspace.database.read() as read:
            span = timedelta(minutes=5)
            assert minutes.totals(read, "toy", now, [span])[span] == Counts(10, 2, 1)
            assert minutes.totals(read, "toy", now, [span], "staging")[span] == Counts()
