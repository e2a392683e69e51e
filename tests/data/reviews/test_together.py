"""Merges of reviews at once, and merges that are killed: one of two wins, and nothing is half merged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from branching import commit, contents
from killing import sweep
from treadle.data import Branches, Decision, NewReview, RefSettings, Reviews, RunGates

MERGE = """
import sys
from pathlib import Path
from treadle.data import Branches, MergeReview, Reviews
from treadle.evaluate import DataGates
from treadle.kernel.errors import Conflict
from treadle.kernel.workspace import Workspace

workspace = Workspace.open(Path(sys.argv[1]))
branches = Branches(workspace)
reviews = Reviews(workspace, branches, DataGates(workspace))
print("ready", flush=True)
sys.stdin.readline()
try:
    print(reviews.merge("pets", int(sys.argv[2]), MergeReview()).version.ref)
except Conflict as error:
    print(error.message)
"""


def merged_at_once(root: Path, *numbers: int) -> list[str]:
    """What merges of reviews say that begin at the same moment, each in a process of its own."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MERGE, str(root), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in numbers
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(numbers)
    return sorted(told)


@pytest.fixture
def two(reviews: Reviews, branches: Branches) -> Reviews:
    """Two reviews that may be merged, of branches that changed other paths."""
    branches.create_ref("pets", "branch", "other", "main", "anna")
    commit(branches, {"other": "1"}, "other")
    for number, source in enumerate(("exp", "other"), 1):
        reviews.open("pets", NewReview(source=source, title=source, actor="anna"))
        reviews.decide("pets", number, Decision(decision="approved", actor="ben"))
        reviews.check("pets", number, RunGates())
    return reviews


def test_two_merges_of_one_review(two, branches, project):
    told = merged_at_once(project, 1, 1)
    assert told == ["pets@v4", "review pets#1 is merged as pets@v4: there is nothing to merge"]
    assert branches.head("pets", "main").number == 4
    assert [one.kind for one in two.show("pets", 1).events].count("merged") == 1


def test_two_reviews_into_one_target_one_wins_and_the_other_is_told(two, branches, project):
    won, told = merged_at_once(project, 1, 2)
    assert won == "pets@v4"
    assert told.endswith("can't be merged: check volume has to run again: source or target moved since")
    assert branches.head("pets", "main").number == 4
    assert sorted(one.state for one in two.list("pets")) == ["merged", "open"]


def test_two_reviews_into_one_target_are_both_there_where_no_check_is_required(two, branches, project):
    branches.protect("pets", "main", RefSettings(protected=True, approvals=1), "anna")
    assert merged_at_once(project, 1, 2) == ["pets@v4", "pets@v5"]
    assert contents(branches, "pets") == {"a": "2", "b": "1", "c/d": "1", "new": "1", "other": "1"}


def test_a_merge_of_a_review_that_is_killed_here_and_there(tmp_path):
    assert sweep("data_actions", "merge_review", tmp_path, every=19) >= 2


@pytest.mark.soak
def test_a_merge_of_a_review_that_is_killed_at_every_step(tmp_path):
    assert sweep("data_actions", "merge_review", tmp_path) >= 40
