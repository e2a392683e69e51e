"""Reviews from opening to merging, and all that is refused on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from branching import commit, contents
from datafiles import rows, write
from treadle.data import (
    Branches,
    Datasets,
    Decision,
    Merge,
    MergeReview,
    NewComment,
    NewReview,
    RefSettings,
    ReviewChange,
    Reviews,
    Rows,
    RunGates,
    Tables,
    WriteRows,
)
from treadle.data.branches.types import GATES
from treadle.evaluate import DataGates
from treadle.kernel.errors import AlreadyExists, Conflict, InvalidInput, NotFound, Refused
from treadle.kernel.events import timeline
from treadle.kernel.ids import SequentialIds
from treadle.kernel.workspace import Workspace

APPROVED = Decision(decision="approved", actor="ben")
MERGE = MergeReview(actor="cleo")


def blockers(reviews: Reviews, number: int = 1) -> tuple[str, ...]:
    standing = reviews.show("pets", number).standing
    assert standing
    return standing.blockers


def kinds(reviews: Reviews) -> list[str]:
    return [event.kind for event in reviews.show("pets", 1).events]


def ready(reviews: Reviews) -> None:
    reviews.decide("pets", 1, APPROVED)
    reviews.check("pets", 1, RunGates(actor="ben"))


def test_from_opening_to_merging(opened, branches):
    with pytest.raises(Conflict, match="treadle data review open pets@BRANCH --into main"):
        commit(branches, {"x": "1"})
    with pytest.raises(Conflict, match="it moves by reviews") as caught:
        branches.merge("pets", Merge(source="exp"))
    assert caught.value.fix == "open a review: treadle data review open pets@exp --into main --title TEXT"
    found = opened.show("pets", 1)
    assert (found.review.ref, found.review.state, found.source, found.target) == (
        "pets#1", "open", "pets@v2", "pets@v1",
    )  # fmt: skip
    assert (found.diff.added, found.diff.modified, found.diff.after) == (1, 1, "exp merged into main")
    assert [one.path for one in found.diff.paths] == ["a", "new"]
    assert found.plan.conflicts == ()
    assert blockers(opened) == ("1 approval is needed and none given", "check volume hasn't run")

    opened.comment("pets", 1, NewComment(text="why 2?", path="a", actor="ben"))
    opened.decide("pets", 1, APPROVED)
    assert blockers(opened) == ("check volume hasn't run",)
    event = opened.check("pets", 1, RunGates(actor="ben"))
    [gate] = event.body.gates
    assert (gate.name, gate.outcome) == ("volume", "pass")
    assert gate.findings[0].sentence == "There were 3 files and would be 4, 33.3 % more; up to 10 % may go."
    assert blockers(opened) == ()

    merged = opened.merge("pets", 1, MERGE)
    assert (merged.version.ref, merged.version.branch, merged.version.actor) == ("pets@v3", "main", "cleo")
    assert merged.version.message == "Merge review pets#1: New pets"
    assert contents(branches, "pets") == {"a": "2", "b": "1", "c/d": "1", "new": "1"}
    found = opened.show("pets", 1)
    assert (found.review.state, found.review.merged, found.standing) == ("merged", 3, None)
    assert (found.diff.before, found.diff.after, found.diff.added) == ("pets@v1", "pets@v3", 1)
    assert kinds(opened) == ["opened", "commented", "approved", "checked", "merged"]
    told = [event.message for event in timeline(branches._ws.database, "data:pets")]
    assert "review pets#1 was merged: New pets" in told
    with pytest.raises(Conflict, match="is merged as pets@v3"):
        opened.merge("pets", 1, MERGE)


def test_a_new_commit_makes_approvals_and_checks_stale(opened, branches):
    ready(opened)
    commit(branches, {"e": "1"}, "exp")
    assert blockers(opened) == (
        "1 approval is needed and none given; 1 was for an older commit of the source",
        "check volume has to run again: source or target moved since",
    )
    with pytest.raises(Conflict, match="older commit of the source") as caught:
        opened.merge("pets", 1, MERGE)
    assert (caught.value.where, caught.value.fix) == ("pets@main", "treadle data review check pets#1")
    ready(opened)
    opened.merge("pets", 1, MERGE)
    assert "e" in contents(branches, "pets")


def test_a_target_that_moved_makes_checks_stale_but_not_approvals(opened, branches):
    ready(opened)
    branches.protect("pets", "main", RefSettings(), "anna")
    commit(branches, {"b": "ours"})
    branches.protect("pets", "main", RefSettings(protected=True, approvals=1, checks=("volume",)), "anna")
    assert blockers(opened) == ("check volume has to run again: source or target moved since",)
    with pytest.raises(Conflict, match="has to run again"):
        opened.merge("pets", 1, MERGE)
    opened.check("pets", 1, RunGates())
    opened.merge("pets", 1, MERGE)
    assert contents(branches, "pets") == {"a": "2", "b": "ours", "c/d": "1", "new": "1"}


def test_a_required_check_that_fails_refuses_the_merge(opened, branches):
    commit(branches, {"b": None, "c/d": None, "new": None}, "exp")
    ready(opened)
    [why] = blockers(opened)
    assert why == "check volume failed: There were 3 files and would be 1, 66.7 % less; up to 10 % may go."
    with pytest.raises(Conflict, match="would be 1"):
        opened.merge("pets", 1, MERGE)
    assert branches.head("pets", "main").number == 1
    branches.protect("pets", "main", RefSettings(protected=True, approvals=1), "anna")
    opened.merge("pets", 1, MERGE)  # it isn't required any more


def test_a_required_check_that_cannot_tell_is_no_pass(opened, branches):
    branches.protect("pets", "main", RefSettings(protected=True, checks=("drift",)), "anna")
    opened.check("pets", 1, RunGates())
    with pytest.raises(Conflict, match=r"drift is inconclusive: pets is no table \(a: it is neither"):
        opened.merge("pets", 1, MERGE)


def csv(first: int, last: int, scale: int = 1) -> str:
    return "id,size\n" + "".join(f"{n},{n % 10 * scale}\n" for n in range(first, last))


def gates(reviews: Reviews, branches: Branches, before: dict, after: dict) -> dict[str, list[str]]:
    """What the checks say of a merge that leads from some files to others."""
    branches.protect("pets", "main", RefSettings(), "anna")
    here = contents(branches, "pets")
    commit(branches, {**dict.fromkeys(here), **before})
    branches.create_ref("pets", "branch", "next", "main", "anna")
    commit(branches, {**dict.fromkeys(before), **after}, "next")
    number = reviews.open("pets", NewReview(source="next", title="Next", actor="anna")).number
    checked = reviews.check("pets", number, RunGates())
    return {
        gate.name: [f"{one.outcome}: {one.sentence}" for one in gate.findings] for gate in checked.body.gates
    }


def test_files_of_one_schema_are_checked_as_the_table_that_they_are(reviews, branches):
    before = {"day=1/a.csv": csv(0, 300), "day=2/b.csv": csv(300, 600), "_SUCCESS": "x", "empty": ""}
    found = gates(reviews, branches, before, {**before, "day=3/c.csv": csv(600, 620)})
    assert found["schema"] == ["pass: All 2 columns stay."]
    assert found["volume"] == ["pass: There were 600 rows and would be 620, 3.33 % more; up to 10 % may go."]
    assert [one.partition(" its")[0] for one in found["drift"]] == ["pass: id:", "pass: size:"]
    assert not list((branches._ws.state / "tmp").iterdir())


@pytest.mark.parametrize(
    ("after", "gate", "said"),
    [
        ({"a.csv": csv(0, 600, scale=1000)}, "drift", "fail: size: its distribution moved by"),
        ({"a.csv": "id\n1\n"}, "schema", "fail: Column 'size' (int64) would go."),
        ({"a.csv": csv(0, 60)}, "volume", "fail: There were 600 rows and would be 60, 90 % less"),
        (
            {"a.csv": csv(0, 600), "b.csv": "id,other\n1,2\n"},
            "schema",
            "fail: pets would be a table no more (a.csv: the file has no column 'other', which b.csv has):",
        ),
        (
            {"a.csv": csv(0, 600), "b.parquet": "no Parquet"},
            "schema",
            "fail: pets would be a table no more (b.parquet: not a whole Parquet file:",
        ),
        (
            {"a.csv": csv(0, 600), "README.md": "words"},
            "drift",
            "fail: pets would be a table no more (README.md: it is neither Parquet nor CSV):",
        ),
    ],
)
def test_what_would_be_wrong_with_such_a_table_is_said(after, gate, said, reviews, branches):
    found = gates(reviews, branches, {"a.csv": csv(0, 600)}, after)[gate]
    assert any(one.startswith(said) for one in found)


def test_whoever_asks_for_changes_has_to_be_heard(opened, branches):
    ready(opened)
    asked = Decision(decision="changes_requested", text="a is wrong", actor="dora")
    opened.decide("pets", 1, asked)
    commit(branches, {"a": "3"}, "exp")
    ready(opened)
    assert blockers(opened) == ("dora asked for changes",)
    with pytest.raises(Conflict, match="dora asked for changes"):
        opened.merge("pets", 1, MERGE)
    opened.decide("pets", 1, Decision(decision="approved", actor="dora"))
    assert blockers(opened) == ()
    opened.decide("pets", 1, Decision(decision="withdrawn", actor="dora"))
    opened.decide("pets", 1, Decision(decision="withdrawn", actor="ben"))
    assert blockers(opened) == ("1 approval is needed and none given",)


def test_conflicts_are_named_and_decided_on_the_source(opened, branches):
    branches.protect("pets", "main", RefSettings(), "anna")
    commit(branches, {"a": "ours"})
    found = opened.show("pets", 1)
    assert [one.path for one in found.plan.conflicts] == ["a"]
    assert (found.diff.after, found.diff.added, found.diff.modified) == ("pets@v2", 1, 1)
    for refused in (
        lambda: opened.merge("pets", 1, MERGE),
        lambda: opened.check("pets", 1, RunGates()),
    ):
        with pytest.raises(Conflict, match="1 path changed on both sides: a ") as caught:
            refused()
        assert "treadle data merge pets@main --into exp --ours PATH" in caught.value.fix
    branches.merge("pets", Merge(source="main", target="exp", resolve={"a": "ours"}))
    opened.merge("pets", 1, MERGE)
    assert contents(branches, "pets")["a"] == "2"


def test_what_a_check_before_merges_refuses_leaves_all_as_it_was(opened, branches):
    ready(opened)
    config = branches._ws.config
    of_exp = "sh -c 'test $TREADLE_SOURCE = exp && test -n $TREADLE_MERGED'"
    pets = replace(config.data["rows"], pre_merge=[of_exp, "false"])
    branches._ws.config = replace(config, data={**config.data, "pets": pets})
    with pytest.raises(Conflict, match="'false' refused the merge"):
        opened.merge("pets", 1, MERGE)
    assert opened.show("pets", 1).review.state == "open"
    assert branches.head("pets", "main").number == 1


def test_an_approval_that_is_withdrawn_during_the_merge_stops_it(opened, branches, monkeypatch):
    ready(opened)

    def withdraw(*_: object) -> None:
        opened.decide("pets", 1, Decision(decision="withdrawn", actor="ben"))

    monkeypatch.setattr("treadle.data.branches.joining.run_hooks", withdraw)
    with pytest.raises(Conflict, match="1 approval is needed and none given"):
        opened.merge("pets", 1, MERGE)
    assert branches.head("pets", "main").number == 1
    assert kinds(opened)[-1] == "withdrawn"


def test_a_target_that_moves_during_the_merge_is_judged_anew(opened, branches, monkeypatch):
    ready(opened)
    settings = branches.ref("pets", "branch", "main").settings

    def move(*_: object) -> None:
        monkeypatch.undo()
        branches.protect("pets", "main", RefSettings(), "anna")
        commit(branches, {"b": "meanwhile"})
        branches.protect("pets", "main", settings, "anna")

    monkeypatch.setattr("treadle.data.branches.joining.run_hooks", move)
    with pytest.raises(Conflict, match="check volume has to run again"):
        opened.merge("pets", 1, MERGE)
    opened.check("pets", 1, RunGates())
    monkeypatch.setattr("treadle.data.branches.joining.run_hooks", move)
    branches.protect("pets", "main", settings := replace(settings, checks=()), "anna")
    assert opened.merge("pets", 1, MERGE).version.number == 5
    assert contents(branches, "pets")["b"] == "meanwhile"


def test_closing_and_opening_again(opened):
    closed = opened.change("pets", 1, ReviewChange(state="closed", text="not now", actor="anna"))
    assert closed.state == "closed"
    for refused in (
        lambda: opened.merge("pets", 1, MERGE),
        lambda: opened.decide("pets", 1, APPROVED),
        lambda: opened.check("pets", 1, RunGates()),
        lambda: opened.change("pets", 1, ReviewChange(state="closed")),
    ):
        with pytest.raises(Conflict, match="treadle data review reopen pets#1"):
            refused()
    assert opened.show("pets", 1).standing is None
    opened.comment("pets", 1, NewComment(text="later"))
    second = opened.open("pets", NewReview(source="exp", title="Again", actor="anna"))
    assert second.number == 2
    with pytest.raises(AlreadyExists, match="review pets#2 of exp into main is open already"):
        opened.change("pets", 1, ReviewChange(state="open"))
    opened.change("pets", 2, ReviewChange(state="closed"))
    assert opened.change("pets", 1, ReviewChange(state="open")).state == "open"
    assert [one.number for one in opened.list("pets")] == [2, 1]
    assert [one.number for one in opened.list("pets", "open")] == [1]
    assert [one.number for one in opened.list("pets", limit=1)] == [2]
    assert [one.number for one in opened.list("pets", before=2)] == [1]
    assert kinds(opened) == ["opened", "closed", "commented", "reopened"]


def test_branches_that_are_gone(opened, branches):
    branches.delete_ref("pets", "branch", "exp")
    assert blockers(opened)[0] == "branch 'exp' is gone"
    with pytest.raises(Conflict, match="make the branch again, or close the review"):
        opened.merge("pets", 1, MERGE)
    branches.create_ref("pets", "branch", "exp", "v2", "anna")
    ready(opened)
    opened.merge("pets", 1, MERGE)


def test_what_is_merged_otherwise_leaves_nothing_to_merge(opened, branches):
    branches.protect("pets", "main", RefSettings(), "anna")
    branches.merge("pets", Merge(source="exp"))
    assert blockers(opened) == ("there is nothing to merge: main has all of exp",)
    with pytest.raises(Conflict, match="close it: treadle data review close pets#1"):
        opened.merge("pets", 1, MERGE)


REFUSED = {
    "no title": (NewReview(source="exp", title=" "), InvalidInput, "needs a title"),
    "long title": (NewReview(source="exp", title="x" * 201), InvalidInput, "up to 200 characters"),
    "two lines": (NewReview(source="exp", title="a\nb"), InvalidInput, "no line"),
    "long text": (NewReview(source="exp", title="t", text="x" * 100_001), InvalidInput, "100,000"),
    "itself": (NewReview(source="main", title="t"), InvalidInput, "into itself"),
    "no source": (NewReview(source="exq", title="t"), NotFound, "did you mean 'exp'"),
    "no target": (NewReview(source="exp", target="mian", title="t"), NotFound, "did you mean 'main'"),
    "again": (NewReview(source="exp", title="t"), AlreadyExists, "pets#1"),
    "nothing": (NewReview(source="main", target="exp", title="t"), Conflict, "exp has all of main"),
}  # fmt: skip


def test_reviews_that_cannot_be_opened(opened):
    for new, error, said in REFUSED.values():
        with pytest.raises(error, match=said):
            opened.open("pets", new)
        assert [one.number for one in opened.list("pets")] == [1]


def test_what_cannot_be_said_or_decided(opened, branches):
    refused = [
        (
            lambda: opened.decide("pets", 1, Decision(decision="approved", actor="anna")),
            Refused,
            "can't approve",
        ),
        (
            lambda: opened.decide("pets", 1, replace(APPROVED, commit="0" * 12)),
            Conflict,
            "it moved meanwhile",
        ),
        (
            lambda: opened.decide("pets", 1, replace(APPROVED, decision="changes_requested")),
            InvalidInput,
            "text",
        ),
        (lambda: opened.decide("pets", 1, replace(APPROVED, decision="withdrawn")), Conflict, "neither"),
        (lambda: opened.comment("pets", 1, NewComment(text="  ")), InvalidInput, "a comment needs a text"),
        (
            lambda: opened.comment("pets", 1, NewComment(text="x", path="nope")),
            InvalidInput,
            "has a file 'nope'",
        ),
        (lambda: opened.check("pets", 1, RunGates(names=("volum",))), InvalidInput, "'volume'"),
        (lambda: opened.merge("pets", 1, MergeReview(commit="0" * 12)), Conflict, "it moved meanwhile"),
        (lambda: opened.decide("pets", 1, replace(APPROVED, actor=" ")), InvalidInput, "somebody's name"),
        (lambda: opened.comment("pets", 1, NewComment(text="x", actor="a\0")), InvalidInput, "somebody's"),
        (lambda: opened.show("pets", 2), NotFound, "the last is pets#1"),
        (lambda: opened.show("pest", 1), NotFound, "did you mean 'pets'"),
        (lambda: opened.list("pest"), NotFound, "did you mean 'pets'"),
    ]
    for call, error, said in refused:
        with pytest.raises(error, match=said):
            call()
    assert kinds(opened) == ["opened"]
    head = branches.head("pets", "exp").commit_id
    opened.decide("pets", 1, replace(APPROVED, commit=head[:12]))
    opened.comment("pets", 1, NewComment(text="of what is only in main", path="c/d"))


def test_an_unprotected_target_needs_no_approval(opened, branches):
    branches.protect("pets", "main", RefSettings(), "anna")
    assert blockers(opened) == ()
    assert opened.merge("pets", 1, MERGE).version.number == 3


def test_a_target_without_a_version(opened, branches):
    branches.create_dataset("new", "anna")
    branches.create_ref("pets", "branch", "x", "main", "anna")
    commit(branches, {"a": "1"}, "x", "new")
    opened.open("new", NewReview(source="x", title="First"))
    found = opened.show("new", 1)
    assert (found.target, found.diff.before, found.diff.added) == ("", "", 1)
    [gate] = opened.check("new", 1, RunGates(names=("volume",))).body.gates
    assert gate.findings[0].sentence == "There is 1 file, and none before."
    assert opened.merge("new", 1, MERGE).version.parents == (branches.head("new", "x").commit_id,)


def test_checks_of_the_table_that_is_trained_on(workspace, project, tmp_path):
    """All checks of ``[checks.data]`` look at what the merge would make, merged by row."""
    datasets, branches = Datasets(workspace), Branches(workspace)
    rows(project / "data" / "rows.parquet", 0, 900)
    datasets.snapshot("rows", "anna")
    branches.create_ref("rows", "branch", "exp", "main", "anna")
    branches.protect("rows", "main", RefSettings(protected=True, checks=("schema", "volume")), "anna")
    reviews = Reviews(workspace, branches, DataGates(workspace))

    def on_exp(path: Path) -> None:
        commit(branches, {"rows.parquet": path.read_bytes()}, "exp", "rows")

    on_exp(rows(tmp_path / "more.parquet", 0, 1000))
    reviews.open("rows", NewReview(source="exp", title="100 rows more"))
    found = reviews.show("rows", 1, rows=True)
    assert (found.diff.table.added, found.diff.table.removed, found.diff.table.key) == (100, 0, "id")
    stats = {one.name: (one.stats_before.count, one.stats_after.count) for one in found.diff.table.columns}
    assert stats["hour"] == (900, 1000)
    gates = {one.name: one for one in reviews.check("rows", 1, RunGates(names=GATES)).body.gates}
    assert {one.outcome for name, one in gates.items() if name != "values"} == {"pass"}
    assert gates["values"].outcome == "fail"  # a third of the carriers is missing
    assert reviews.show("rows", 1).standing.blockers == ()  # it isn't required

    on_exp(write(tmp_path / "less.parquet", f"SELECT * EXCLUDE hour FROM '{tmp_path / 'more.parquet'}'"))
    reviews.check("rows", 1, RunGates())
    with pytest.raises(Conflict, match="Column 'hour' is missing"):
        reviews.merge("rows", 1, MERGE)
    on_exp(rows(tmp_path / "again.parquet", 0, 1000))
    reviews.check("rows", 1, RunGates())
    assert reviews.merge("rows", 1, MERGE).version.rows == 1000


def test_a_delta_table_has_no_reviews(project, clock):
    toml = project / "treadle.toml"
    toml.write_text(f'{toml.read_text()}\n[data.sales]\npath = "lake/sales"\nformat = "delta"\n')
    workspace = Workspace.open(project, clock=clock, ids=SequentialIds())
    Tables(workspace).create("sales", WriteRows(rows=Rows(sql="SELECT 1 AS id")))
    branches = Branches(workspace)
    pinned = Datasets(workspace).snapshot("sales", "anna")
    branches.create_ref("sales", "branch", "exp", pinned.ref.partition("@")[2], "anna")
    with pytest.raises(InvalidInput, match="is a Delta table"):
        Reviews(workspace, branches, DataGates(workspace)).open("sales", NewReview(source="exp", title="t"))
    workspace.close()
