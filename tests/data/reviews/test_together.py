"""Merges of reviews at once, and merges that are killed: one of two wins, and nothing is half merged."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from branching import commit, contents
from killing import sweep
from treadle.data import (
    Branches,
    Decision,
    MergeReview,
    NewComment,
    NewReview,
    RefSettings,
    ReviewChange,
    Reviews,
    RunGates,
)
from treadle.data.reviews import merging
from treadle.data.reviews.looking import Sides
from treadle.evaluate import DataGates
from treadle.kernel.errors import AlreadyExists, Conflict
from treadle.kernel.workspace import Workspace

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


def at_once(*works: Callable[[], object]) -> list[object]:
    """What works give, or the conflicts that they end in, done in threads that begin together."""
    together = threading.Barrier(len(works))

    def begun(work: Callable[[], object]) -> object:
        together.wait()
        try:
            return work()
        except Conflict as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(begun, works))


def test_opened_said_decided_and_merged_at_once_on_each_metadata_store(project, clock, metadata_url):
    toml = project / "treadle.toml"
    toml.write_text(f'{toml.read_text()}\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(project, clock=clock)
    branches = Branches(workspace)
    reviews = Reviews(workspace, branches, DataGates(workspace))
    branches.create_dataset("pets", "anna")
    commit(branches, {"a": "1"})
    names = [f"b{number}" for number in range(4)]
    for name in names:
        branches.create_ref("pets", "branch", name, "main", "anna")
        commit(branches, {name: "1"}, name)
    branches.protect("pets", "main", RefSettings(protected=True, approvals=1), "anna")

    def opening(name: str) -> Callable[[], object]:
        return lambda: reviews.open("pets", NewReview(source=name, title=name, actor="anna")).number

    opened = at_once(*map(opening, [*names, *names]))
    assert sorted(one for one in opened if isinstance(one, int)) == [1, 2, 3, 4]
    assert sum(isinstance(one, AlreadyExists) for one in opened) == 4

    [told] = at_once(lambda: reviews.merge("pets", 1, MergeReview()))
    assert "1 approval is needed" in str(told)
    at_once(*[lambda: reviews.comment("pets", 1, NewComment(text="x", actor="ben"))] * 4)
    approved = Decision(decision="approved", actor="ben")
    at_once(*[lambda one=one: reviews.decide("pets", one, approved) for one in (1, 1, 2, 3, 4)])
    assert [event.position for event in reviews.show("pets", 1).events] == list(range(7))

    done = at_once(*[lambda one=one: reviews.merge("pets", one, MergeReview()) for one in (1, 1, 2, 3)])
    told = [one.message for one in done if isinstance(one, Conflict)]
    assert len(told) == 1
    assert "review pets#1 is merged" in told[0]
    close, merge = (
        lambda: reviews.change("pets", 4, ReviewChange(state="closed")),
        lambda: reviews.merge("pets", 4, MergeReview()),
    )
    assert sum(isinstance(one, Conflict) for one in at_once(close, merge)) == 1
    merged = reviews.list("pets", "merged")
    expected = {"a": "1", **{one.source: "1" for one in merged}}
    assert contents(branches, "pets") == expected
    assert len(merged) == (4 if reviews.show("pets", 4).review.state == "merged" else 3)
    workspace.close()


def test_a_merge_of_a_review_that_is_killed_here_and_there(tmp_path):
    assert sweep("data_actions", "merge_review", tmp_path, every=30) >= 1


@pytest.mark.soak
def test_a_merge_of_a_review_that_is_killed_at_every_step(tmp_path):
    assert sweep("data_actions", "merge_review", tmp_path) >= 40


def test_a_review_that_another_merges_between_two_looks_is_said_to_be_merged(
    workspace: Workspace, branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews = Reviews(workspace, branches, DataGates(workspace))
    reviews.open("pets", NewReview(source="exp", title="New pets", actor="anna"))
    real = merging.look

    def late(*asked: Any) -> Sides:
        monkeypatch.setattr(merging, "look", real)
        reviews.merge("pets", 1, MergeReview())
        return real(*asked)

    monkeypatch.setattr(merging, "look", late)
    with pytest.raises(Conflict, match="review pets#1 is merged"):
        reviews.merge("pets", 1, MergeReview())
