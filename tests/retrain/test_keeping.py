"""A collector that takes everything it may leaves a workspace whose wheel turned as it was."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from retrain.wheel import FIRST, SECOND, opened, turn
from treadle.api.rooms import Rooms
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
