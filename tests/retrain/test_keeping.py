"""A collector that takes everything it may leaves a workspace whose wheel turned as it was."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from retrain.wheel import FIRST, SECOND, opened, turn
from treadle.api.rooms import Rooms
from treadle.data import DeleteVersions
from treadle.govern import Collect, Collector
from treadle.registry import Registry
from treadle.retrain import Cycles
from treadle.train.code import materialise
from treadle.train.store import recipes


def named_anywhere(workspace) -> set[str]:
    """All that looks like a digest, in any column of any table: also of those of DBOS."""
    found: set[str] = set()
    with workspace.database.read() as connection:
        for table in sa.inspect(connection).get_table_names():
            for row in connection.execute(sa.text(f'SELECT * FROM "{table}"')):
                found.update(re.findall(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", str(row)))
    return found


def _data_is_in_use(rooms: Rooms) -> None:
    """What was trained and judged on is named with each run and model that needs it."""
    dataset = rooms.workspace.config.train.data
    asked = DeleteVersions(dry_run=True)
    told = {use.by: use.fix for one in rooms.retention.delete(dataset, asked).kept for use in one.uses}
    models = {one.ref for one in Registry(rooms.workspace).list(None)}
    assert {by.split()[1] for by in told if by.startswith("model ")} == models
    runs = {run for cycle in Cycles(rooms.workspace).list() for run in cycle.runs}
    assert {by.split()[1] for by in told if by.startswith("run ")} == runs
    assert {fix for by, fix in told.items() if by.startswith("model ")} == {
        f"treadle models archive {ref} --reason TEXT" for ref in models
    }


def test_no_room_forgets_what_it_needs(toy: Path, clock) -> None:
    with opened(toy, clock) as turning:
        clock.at = FIRST
        turn(turning, params={"depth": 9})
        clock.at = SECOND
        turn(turning, params={"depth": 2})
    rooms = Rooms(toy, "test", None)
    workspace = rooms.workspace
    stray = workspace.blobs.put(b"nobody's")
    before = {blob.digest for blob in workspace.blobs.stored()}
    named = named_anywhere(workspace) & before
    assert len(named) > 10

    keepers = rooms.collector._keepers
    collector = Collector(workspace, keepers, rooms.retention, safety=timedelta(hours=-1))
    found = collector.collect(Collect(older_than=0.0, apply=True))
    after = {blob.digest for blob in workspace.blobs.stored()}
    assert (found.blobs, found.runs) == (1, 0)
    assert before - after == {stray}
    assert named <= after

    _data_is_in_use(rooms)
    for version in Registry(workspace).list(None):
        for digest in (*(file.digest for file in version.files), version.profile, version.environment):
            workspace.blobs.get(digest)
    with workspace.database.read() as connection:
        for recipe in connection.execute(sa.select(recipes.c.recipe)).scalars():
            materialise(workspace.blobs, recipe.code, toy / "again")
    assert (toy / "again").is_dir()
    assert len(Cycles(workspace).list()) == 2

    # What a version, a training or a cycle was made by is kept, and says why.
    for run in {version.run for version in Registry(workspace).list(None)}:
        rooms.tracking.delete_run(run)
    kept = rooms.collector.collect(Collect(older_than=0.0, apply=True))
    assert kept.runs == 0
    assert all("needs it" in one.kept for one in kept.items)
    rooms.close()
