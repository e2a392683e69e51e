"""Branches, commits, merges and tags in any order, against dictionaries of dictionaries."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from branching import commit, contents
from servers import PostgresServer
from treadle.data import Branches
from treadle.data.branches.merge_types import Merge, Revert
from treadle.data.keeping import KeptByData
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import AlreadyExists, Conflict
from treadle.kernel.workspace import Workspace

PATHS = st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"])
TEXTS = st.sampled_from(["1", "2", "3"])
CHANGES = st.dictionaries(PATHS, st.one_of(TEXTS, st.none()), min_size=1, max_size=3)
NAMES = st.sampled_from(["x", "y", "z"])
SERVERS: list[PostgresServer] = []
"""Where metadata is kept; in a file beside when empty."""


class Machine(RuleBasedStateMachine):
    """What is expected: of each version its files and parents, and where branches and tags stand."""

    refs = Bundle("refs")

    @initialize(target=refs)
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        store = f'\n[store]\nmetadata = "{_database(SERVERS[0])}"\n' if SERVERS else ""
        (root / "treadle.toml").write_text(f'[project]\nname = "toy"\n{store}')
        self.workspace = Workspace.open(root, clock=SystemClock())
        self.branches = Branches(self.workspace)
        self.branches.create_dataset("pets", "anna")
        self.files: dict[int, dict[str, str]] = {}
        self.parents: dict[int, tuple[int, ...]] = {}
        self.heads: dict[str, int] = {}
        self.tags: dict[str, int] = {}
        self._commit("main", {"a": "0", "b": "0"})
        return "main"

    def _commit(self, branch, changes):
        before = self.files.get(self.heads.get(branch, 0), {})
        changes = {path: text for path, text in changes.items() if text is not None or path in before}
        if not changes:
            return
        made = commit(self.branches, changes, branch)
        after = {p: t for p, t in {**before, **changes}.items() if t is not None}
        self._made(made.number, branch, after, tuple(filter(None, [self.heads.get(branch)])))

    def _made(self, number, branch, files, parents):
        assert number == len(self.files) + 1
        self.files[number], self.parents[number], self.heads[branch] = files, parents, number

    def _ancestors(self, number):
        found, waiting = set(), [number]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.parents[one]
        return found

    def _number(self, ref):
        return self.heads[ref] if ref in self.heads else self.tags[ref]

    @rule(ref=refs, changes=CHANGES)
    def commits(self, ref, changes):
        if ref in self.heads:
            self._commit(ref, changes)

    @rule(target=refs, kind=st.sampled_from(["branch", "tag"]), name=NAMES, at=refs)
    def names(self, kind, name, at):
        taken = name in self.heads or name in self.tags
        number = self._number(at)
        try:
            self.branches.create_ref("pets", kind, name, at, "anna")
            assert not taken
        except AlreadyExists:
            assert taken
            return name
        (self.heads if kind == "branch" else self.tags)[name] = number
        return name

    @rule(source=refs, into=refs, strategy=st.sampled_from(["", "ours", "theirs"]))
    def merges(self, source, into, strategy):
        if into in self.heads:
            self._merge(source, into, strategy)

    def _merge(self, source, into, strategy):
        mine, other = self.heads[into], self._number(source)
        common = self._ancestors(mine) & self._ancestors(other)
        best = {one for one in common if not any(one in self._ancestors(two) - {two} for two in common)}
        asked = Merge(source=source, target=into, strategy=strategy)
        if other in self._ancestors(mine):
            assert not self.branches.merge("pets", asked).changed
            return
        ours, theirs = self.files[mine], self.files[other]
        try:
            done = self.branches.merge("pets", asked).version
        except Conflict:
            assert strategy == ""
            assert self.branches.head("pets", into).number == mine
            if len(best) == 1:
                assert self._clashes(self.files[best.pop()], ours, theirs)
            return
        found = contents(self.branches, done.ref)
        if len(best) == 1:
            base = self.files[best.pop()]
            clashes = self._clashes(base, ours, theirs)
            assert strategy or not clashes
            expected = {}
            for path in {*base, *ours, *theirs}:
                b, o, t = (side.get(path) for side in (base, ours, theirs))
                text = (o if strategy == "ours" else t) if path in clashes else (t if o == b else o)
                if text is not None:
                    expected[path] = text
            assert found == expected
        for path in {*ours, *theirs, *found}:  # however crosswise: it is of one of the two
            assert found.get(path) in {ours.get(path), theirs.get(path)}
        self._made(done.number, into, found, (mine, other))

    @rule(into=refs, mine=CHANGES, other=CHANGES, strategy=st.sampled_from(["", "ours", "theirs"]))
    def two_sides(self, into, mine, other, strategy):
        """Both sides change something at once, so that conflicts are many."""
        if into not in self.heads:
            return
        side = f"side{len(self.files)}-{len(self.heads)}"
        self.branches.create_ref("pets", "branch", side, into, "anna")
        self.heads[side] = self.heads[into]
        self._commit(into, mine)
        self._commit(side, other)
        self._merge(side, into, strategy)

    @staticmethod
    def _clashes(base, ours, theirs):
        return {
            path
            for path in {*base, *ours, *theirs}
            if len({side.get(path) for side in (ours, theirs)}) == 2
            and base.get(path) not in {ours.get(path), theirs.get(path)}
        }

    @rule(ref=refs, chance=st.integers(0, 100))
    def restores(self, ref, chance):
        if ref not in self.heads:
            return
        number = chance % len(self.files) + 1
        same = self.files[number] == self.files[self.heads[ref]]
        try:
            done = self.branches.revert("pets", Revert(version=f"v{number}", branch=ref, restore=True))
            assert not same
        except Conflict:
            assert same
            return
        self._made(done.number, ref, self.files[number], (self.heads[ref],))

    @rule(one=refs, other=refs)
    def compares(self, one, other):
        old, new = self.files[self._number(one)], self.files[self._number(other)]
        found = self.branches.diff(f"pets@{one}", f"pets@{other}")
        told = [(each.path, each.before is not None, each.after is not None) for each in found]
        expected = [(p, p in old, p in new) for p in sorted({*old, *new}) if old.get(p) != new.get(p)]
        assert told == expected

    @invariant()
    def every_version_is_what_it_was(self):
        if not hasattr(self, "files"):
            return
        for name, number in {**self.heads, **self.tags}.items():
            assert self.branches.resolve(f"pets@{name}").number == number
        newest = len(self.files)
        for number in {1, newest, newest // 2 or 1}:
            assert contents(self.branches, f"pets@v{number}") == self.files[number]

    def teardown(self):
        if not hasattr(self, "files"):
            return
        for number, files in self.files.items():
            assert contents(self.branches, f"pets@v{number}") == files
            log = [one.number for one in self.branches.log(f"pets@v{number}", limit=10_000)]
            assert log == sorted(self._ancestors(number), reverse=True)
        with self.workspace.database.read() as connection:
            needed = set(KeptByData().blobs(self.workspace, connection, set()))
        stored = {blob.digest for blob in self.workspace.blobs.stored()}
        assert needed <= stored
        for digest in stored - needed:  # what nothing needs may go
            self.workspace.blobs.path(digest).unlink()
        for number, files in self.files.items():
            assert contents(self.branches, f"pets@v{number}") == files
        self.workspace.close()
        self.folder.cleanup()


def _database(server: PostgresServer) -> str:
    import psycopg

    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url(name)


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_anything_in_any_order():
    run(8, 20)


@pytest.mark.postgres
def test_anything_in_any_order_on_postgres(postgres_server):
    SERVERS.append(postgres_server)
    try:
        run(2, 15)
    finally:
        SERVERS.clear()


@pytest.mark.soak
def test_anything_in_any_order_for_long():
    run(300, 60)
