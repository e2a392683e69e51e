"""Versions are added, merged, deleted, restored and collected in any order: live ones are what they were."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from branching import commit, contents
from treadle.api.rooms import Rooms
from treadle.data import AddPath, DeleteVersions, Merge, PruneVersions, RestoreVersions, Revert, Verify
from treadle.data.branches import gathering
from treadle.data.work import storing
from treadle.govern import Collect, Collector
from treadle.kernel.errors import Conflict, Deleted, NotFound

PATHS = st.sampled_from(["a", "b", "c/d", "c/e", "f"])
TEXTS = st.sampled_from(["1", "2", "small", "large " * 20, "larger " * 30, "largest " * 40])
FILES = st.dictionaries(PATHS, TEXTS, min_size=1, max_size=4)
NAMES = st.sampled_from(["x", "y"])


class Machine(RuleBasedStateMachine):
    """What is expected: of each version its files; which are deleted, and which were given up."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        (root / "treadle.toml").write_text('[project]\nname = "toy"\n')
        self.rooms = Rooms(root, "test", None)
        self.files: dict[int, dict[str, str]] = {}
        self.deleted: set[int] = set()
        self.freed: set[int] = set()
        self._made(commit(self.rooms.branches, {"a": "1"}, dataset="data"))

    def _made(self, version):
        if version.number not in self.files:
            self.files[version.number] = contents(self.rooms.branches, version.ref)

    @rule(files=FILES)
    def adds(self, files):
        """A folder is added: what is large is a blob of its own, what is small lies in a pack."""
        place = self.rooms.workspace.root / "in" / "data"
        shutil.rmtree(place, ignore_errors=True)
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
        pointer = place.with_name("data.treadle")
        pointer.unlink(missing_ok=True)
        self._made(self.rooms.working.add(AddPath(path="in/data")))
        pointer.unlink()

    @rule(files=FILES, name=st.sampled_from(["main", "x", "y"]))
    def commits(self, files, name):
        if name == "main" or self.rooms.branches.is_branch("data", name):
            self._made(commit(self.rooms.branches, files, name, "data"))

    @rule(name=NAMES, chance=st.integers(0, 99))
    def branches(self, name, chance):
        number = chance % len(self.files) + 1
        try:
            self.rooms.branches.create_ref("data", "branch", name, f"v{number}", "anna")
            assert number not in self.deleted
        except Deleted:
            assert number in self.deleted
        except Conflict:  # there is one
            self.rooms.branches.delete_ref("data", "branch", name)

    @rule(source=NAMES, strategy=st.sampled_from(["ours", "theirs"]))
    def merges(self, source, strategy):
        try:
            done = self.rooms.branches.merge("data", Merge(source=source, target="main", strategy=strategy))
        except NotFound:  # there is no such branch, or it begins with what was deleted before it was made
            return
        self._made(done.version)

    @rule(chance=st.integers(0, 99))
    def reverts(self, chance):
        number = chance % len(self.files) + 1
        try:
            done = self.rooms.branches.revert(
                "data", Revert(version=f"v{number}", branch="main", restore=True)
            )
            assert number not in self.deleted
        except Deleted:
            assert number in self.deleted
            return
        except Conflict:
            return
        self._made(done)
        assert self.files[done.number] == self.files[number]

    @rule(first=st.integers(1, 12), length=st.integers(0, 3))
    def deletes(self, first, length):
        text = f"v{first}..v{first + length}"
        try:
            found = self.rooms.retention.delete("data", DeleteVersions(versions=(text,)))
        except (Conflict, NotFound):
            return
        self.deleted |= {int(one.ref.partition("@v")[2]) for one in found.versions}

    @rule(last=st.integers(1, 3))
    def prunes(self, last):
        found = self.rooms.retention.prune("data", PruneVersions(keep_last=last, apply=True))
        self.deleted |= {int(one.ref.partition("@v")[2]) for one in found.versions}

    @rule()
    def restores(self):
        found = {one.number for one in self.rooms.retention.restore("data", RestoreVersions())}
        assert found == self.deleted - self.freed
        self.deleted -= found

    @rule()
    def collects(self):
        rooms = self.rooms
        collector = Collector(rooms.workspace, rooms.keepers, rooms.retention, safety=timedelta(hours=-1))
        collector.collect(Collect(older_than=0.0, apply=True))
        log = rooms.datasets.log("data")
        self.freed = {one.number for one in log if one.freed_at}
        assert {one.number for one in log if one.deleted_at} == self.deleted
        found = rooms.remotes.verify(Verify())
        assert (found.damages, found.versions) == ((), len(self.files) - len(self.deleted))

    def teardown(self):
        if not hasattr(self, "files"):
            return
        self.collects()
        for number, files in self.files.items():
            if number not in self.deleted:
                assert contents(self.rooms.branches, f"data@v{number}") == files
        with self.rooms.workspace.database.read() as connection:
            kept = [keeper.blobs(self.rooms.workspace, connection, set()) for keeper in self.rooms.keepers]
            needed = {digest for one in kept for digest in one}
        assert {blob.digest for blob in self.rooms.workspace.blobs.stored()} == needed
        self.rooms.close()
        self.folder.cleanup()


def run(monkeypatch: pytest.MonkeyPatch, examples: int, steps: int) -> None:
    monkeypatch.setattr(storing, "WHOLE", 64)
    monkeypatch.setattr(gathering, "MOST", 3)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_in_any_order(monkeypatch):
    run(monkeypatch, 6, 20)


@pytest.mark.soak
def test_in_any_order_for_long(monkeypatch):
    run(monkeypatch, 80, 40)
