"""What is deleted and collected while it is killed, and what must be true whenever that happens."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path

from data_actions import fill
from treadle.api.rooms import Rooms
from treadle.data import AddPath, DeleteVersions, RestoreVersions, Verify
from treadle.govern import Collect, Collector
from treadle.kernel.errors import Conflict, Deleted
from treadle.kernel.fence import Fence

OLD, KEPT = (1, 2), (3, 4)
"""Which versions are deleted, and which stay."""


def prepare(root: Path) -> None:
    """A project with four versions, each with a large file and small ones of its own; some are shared."""
    root.mkdir()
    (root / "treadle.toml").write_text('[project]\nname = "toy"\n')
    rooms = Rooms(root, "test", None)
    for number in (*OLD, *KEPT):
        fill(root / "data", 1)
        (root / "data" / "a" / "00").write_bytes(b"version %d" % number)
        (root / "data" / "large0").write_bytes(random.Random(number).randbytes(1_500_000))
        rooms.working.add(AddPath(path="data"))
    rooms.close()


def free(root: Path) -> None:
    """Deletes the older half and collects it; removing a blob is a step as well."""
    rooms = Rooms(root, "test", None)
    remove = Fence.remove

    def stepping(fence: Fence, *arguments: object, **named: object) -> bool:
        os.stat(root)  # noqa: PTH116
        (root / "step").touch()
        return remove(fence, *arguments, **named)

    Fence.remove = stepping  # type: ignore[method-assign, assignment]
    try:
        rooms.retention.delete("data", DeleteVersions(versions=("v1..v2",)))
    except (Deleted, Conflict) as error:  # before it was killed
        assert "was deleted by" in error.message, error  # noqa: PT017
    collector = Collector(rooms.workspace, rooms.keepers, rooms.retention, safety=timedelta(hours=-1))
    collector.collect(Collect(older_than=0.0, apply=True))


def check_free(root: Path) -> None:
    """What is kept is whole bit for bit; what was deleted can be read after all, or says that it is gone."""
    rooms = Rooms(root, "test", None)
    found = rooms.remotes.verify(Verify())
    deleted = [one for one in rooms.datasets.log("data") if one.deleted_at]
    assert (found.damages, found.versions) == ((), 4 - len(deleted))
    assert len(deleted) in (0, len(OLD))
    assert len({one.freed_at for one in deleted}) <= 1
    for number in KEPT:
        assert rooms.branches.resolve(f"data@v{number}").deleted_at is None
    if deleted and not deleted[0].freed_at:
        rooms.retention.restore("data", RestoreVersions())
        assert rooms.remotes.verify(Verify()).damages == ()
        assert rooms.remotes.verify(Verify()).versions == 4
        rooms.retention.delete("data", DeleteVersions(versions=("v1..v2",)))


def done_free(root: Path) -> None:
    """Nothing is left of what was deleted."""
    check_free(root)
    rooms = Rooms(root, "test", None)
    assert all(rooms.branches.resolve(f"data@v{number}", deleted=True).freed_at for number in OLD)
    with rooms.workspace.database.read() as connection:
        needed = {
            digest for keeper in rooms.keepers for digest in keeper.blobs(rooms.workspace, connection, set())
        }
    assert {blob.digest for blob in rooms.workspace.blobs.stored()} == needed
