"""Several processes at once, and processes that are killed: nothing is lost, nothing is half there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from branching import commit, contents
from treadle.data import Branches
from treadle.kernel.workspace import Workspace

WORK = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from branching import commit
from treadle.data import Branches
from treadle.data.branches.merge_types import Merge
from treadle.kernel.errors import Conflict
from treadle.kernel.workspace import Workspace

what, name, kill = sys.argv[3:6]
if kill:
    import importlib
    when, where, number = kill.split()
    module, cls, method = where.rsplit(".", 2)
    owner = getattr(importlib.import_module(module), cls)
    plain, left = getattr(owner, method), [int(number)]

    def killing(*args, **named):
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = plain(*args, **named)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

workspace = Workspace.open(Path(sys.argv[2]))
branches = Branches(workspace)
if kill:
    setattr(owner, method, killing)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[6])):
    while True:
        try:
            if what == "commit":
                commit(branches, {f"{name}/{number}": name})
            else:
                branches.merge("pets", Merge(source=name))
            break
        except Conflict as error:
            assert "moved meanwhile" in str(error), error
            print("again", flush=True)
"""
TESTS = str(Path(__file__).parents[2])


def start(root: Path, what: str, name: str, kill: str = "", times: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORK, TESTS, str(root), what, name, kill, str(times)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def together(*processes: subprocess.Popen[str]) -> list[int]:
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    return [process.returncode for process in processes]


def verified(branches: Branches) -> dict[int, dict[str, str]]:
    """What every version holds; all of it is read and checked."""
    newest = max(ref.number for ref in branches.refs("pets", "branch"))
    return {number: contents(branches, f"pets@v{number}") for number in range(1, newest + 1)}


def test_commits_at_once_are_all_there(branches, project):
    commit(branches, {"a": "1"})
    assert together(*(start(project, "commit", name, times=5) for name in ("x", "y"))) == [0, 0]
    expected = {f"{name}/{number}": name for name in ("x", "y") for number in range(5)}
    assert contents(branches, "pets") == {"a": "1", **expected}
    assert [one.number for one in branches.log("pets")] == list(range(11, 0, -1))
    verified(branches)


def test_merges_at_once_are_both_there(branches, project):
    commit(branches, {"a": "1"})
    for name in ("x", "y"):
        branches.create_ref("pets", "branch", name, "", "anna")
        commit(branches, {name: name}, name)
    assert together(start(project, "merge", "x"), start(project, "merge", "y")) == [0, 0]
    assert contents(branches, "pets") == {"a": "1", "x": "x", "y": "y"}
    verified(branches)


PUT = "treadle.kernel.blobs.ObjectBlobStore.put"
UPLOADED = "treadle.kernel.uploads.BlobUpload.finish"
WRITTEN = "sqlalchemy.engine.default.DefaultDialect.do_commit"


def killed_and_again(branches: Branches, project: Path, what: str, kill: str) -> bool:
    """Kills it once and does it again; returns whether it was killed at all."""
    before = verified(branches)
    [code] = together(start(project, what, "x", kill))
    assert code in {0, -signal.SIGKILL}
    after = verified(branches)
    assert before.items() <= after.items()
    assert len(after) - len(before) in {0, 1}
    [again] = together(start(project, what, "x"))
    assert again == 0
    assert contents(branches, "pets") == {"a": "1", "x/0": "x"} | ({"b": "1"} if what == "merge" else {})
    verified(branches)
    return code != 0


@pytest.fixture
def begun(branches):
    commit(branches, {"a": "1"})
    return branches


def ready_to_merge(branches: Branches) -> None:
    branches.create_ref("pets", "branch", "x", "", "anna")
    commit(branches, {"x/0": "x"}, "x")
    commit(branches, {"b": "1"})


@pytest.mark.parametrize(
    "kill", [f"before {PUT} 1", f"after {PUT} 1", f"before {WRITTEN} 1", f"after {WRITTEN} 1"]
)
def test_a_commit_that_is_killed(begun, project, kill):
    assert killed_and_again(begun, project, "commit", kill)


@pytest.mark.parametrize("kill", [f"after {UPLOADED} 1", f"before {WRITTEN} 1", f"after {WRITTEN} 1"])
def test_a_merge_that_is_killed(begun, project, kill):
    ready_to_merge(begun)
    assert killed_and_again(begun, project, "merge", kill)


@pytest.mark.soak
@pytest.mark.parametrize("what", ["commit", "merge"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("where", [PUT, UPLOADED, WRITTEN, "pathlib.Path.replace"])
def test_killed_at_every_write(tmp_path, project, what, when, where):
    for number in range(1, 50):
        root = tmp_path / str(number)
        root.mkdir()
        (root / "treadle.toml").write_text((project / "treadle.toml").read_text())
        workspace = Workspace.open(root)
        branches = Branches(workspace)
        branches.create_dataset("pets", "anna")
        commit(branches, {"a": "1"})
        if what == "merge":
            ready_to_merge(branches)
        killed = killed_and_again(branches, root, what, f"{when} {where} {number}")
        workspace.close()
        if not killed:
            return
    pytest.fail("it was killed again and again")
