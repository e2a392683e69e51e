"""Merges by path, and what refuses them."""

import sys

import pytest

from branching import commit, contents
from treadle.data import Branches
from treadle.data.branches.joining import Reviewed
from treadle.data.branches.merge_types import Merge, Revert
from treadle.data.branches.types import RefSettings
from treadle.kernel.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from treadle.kernel.events import timeline


@pytest.fixture
def forked(branches):
    """``exp`` and ``main`` began with the same and each changed something of its own."""
    commit(branches, {"a": "1", "b": "1", "c/d": "1", "e": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(branches, {"a": "ours", "new": "ours"})
    commit(branches, {"b": None, "c/d": "theirs", "other": "theirs"}, "exp")
    return branches


def test_what_one_side_changed_is_taken(forked):
    plan = forked.plan_merge("pets", Merge(source="exp"))
    assert (plan.source, plan.target, plan.base) == (
        "pets@v3",
        "pets@v2",
        forked.resolve("pets@v1").commit_id,
    )
    assert (plan.added, plan.modified, plan.deleted, plan.conflicts) == (1, 1, 1, ())
    assert forked.head("pets", "main").number == 2

    merged = forked.merge("pets", Merge(source="exp", actor="ben"))
    assert merged.changed
    assert merged.version.parents == tuple(forked.resolve(f"pets@v{n}").commit_id for n in (2, 3))
    assert (merged.version.message, merged.version.actor) == ("Merge exp into main", "ben")
    expected = {"a": "ours", "new": "ours", "c/d": "theirs", "other": "theirs", "e": "1"}
    assert contents(forked, "pets@main") == expected
    assert contents(forked, "pets@exp") == {"a": "1", "c/d": "theirs", "e": "1", "other": "theirs"}
    assert [one.number for one in forked.log("pets")] == [4, 3, 2, 1]
    assert [one.number for one in forked.log("pets@exp")] == [3, 1]
    assert [one.number for one in forked.log("pets", limit=2, before=4)] == [3, 2]

    again = forked.merge("pets", Merge(source="exp"))
    assert (again.changed, again.version) == (False, merged.version)
    assert forked.merge("pets", Merge(source="main", target="exp")).changed  # it hasn't all of main
    assert contents(forked, "pets@exp") == expected
    assert forked.base("pets@main", "pets@exp").number == 4


def test_a_branch_that_only_follows_gets_a_merge_of_the_same_tree(branches):
    commit(branches, {"a": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    there = commit(branches, {"a": "2"}, "exp")
    merged = branches.merge("pets", Merge(source="exp")).version
    assert (merged.tree, merged.digest) == (there.tree, there.digest)
    assert len(merged.parents) == 2


def test_a_branch_that_only_follows_is_moved_on_to_where_it_was_asked(workspace, branches):
    commit(branches, {"a": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    there = commit(branches, {"a": "2"}, "exp")
    asked = Merge(source="exp", fast_forward=True, message="it is right", actor="ben")
    done = branches.merge("pets", asked)
    assert (done.changed, done.version, done.plan.modified) == (True, there, 1)
    assert branches.head("pets", "main") == there
    assert not branches.merge("pets", asked).changed
    [told] = timeline(workspace.database, "data:pets", kinds=["forwarded"])
    assert (told.actor, told.message) == ("ben", "branch main moved from v1 on to pets@v2: it is right")
    # Where the target has versions of its own, it is a merge as ever.
    commit(branches, {"b": "ours"})
    commit(branches, {"c": "theirs"}, "exp")
    both = branches.merge("pets", asked).version
    assert len(both.parents) == 2
    assert contents(branches, "pets") == {"a": "2", "b": "ours", "c": "theirs"}


def test_what_is_protected_or_refused_is_not_moved_on_either(workspace, branches):
    first = commit(branches, {"a": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    there = commit(branches, {"a": "2"}, "exp")
    asked = Merge(source="exp", fast_forward=True)
    branches.protect("pets", "main", RefSettings(protected=True), "anna")
    with pytest.raises(Conflict, match="moves by reviews"):
        branches.merge("pets", asked)

    def refuse(connection, version):
        raise Conflict("not yet")

    with pytest.raises(Conflict, match="not yet"):
        branches.merge("pets", asked, Reviewed(there, refuse))
    assert branches.head("pets", "main") == first
    assert branches.merge("pets", asked, Reviewed(there, lambda *_: None)).version == there


CONFLICTS = {
    "both modified": ({"a": "ours"}, {"a": "theirs"}, [("a", "modified", "modified")]),
    "deleted there": ({"a": "ours"}, {"a": None}, [("a", "modified", "deleted")]),
    "deleted here": ({"a": None}, {"a": "theirs"}, [("a", "deleted", "modified")]),
    "both added": ({"n": "ours"}, {"n": "theirs"}, [("n", "added", "added")]),
    "a folder here": ({"n/x": "1", "n/y": "1"}, {"n": "2"}, [("n", "absent", "added")]),
    "a folder there": (
        {"n": "1"},
        {"n/x": "2", "n/y": "2"},
        [("n/x", "absent", "added"), ("n/y", "absent", "added")],
    ),
    "a folder instead": (
        {"a": "ours"},
        {"a": None, "a/b": "2"},
        [("a", "modified", "deleted"), ("a/b", "absent", "added")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflicts_are_named_and_resolved(branches, name):
    ours, theirs, expected = CONFLICTS[name]
    commit(branches, {"a": "1", "z": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    before = commit(branches, ours)
    commit(branches, {**theirs, "z": "2"}, "exp")
    plan = branches.plan_merge("pets", Merge(source="exp"))
    assert [(one.path, one.ours, one.theirs) for one in plan.conflicts] == expected

    with pytest.raises(Conflict, match="changed on both sides") as error:
        branches.merge("pets", Merge(source="exp"))
    for path, mine, other in expected:
        assert f"{path} ({mine} in the target, {other} in the source" in error.value.message
    assert "--strategy ours|theirs" in error.value.fix
    assert branches.head("pets", "main") == before

    kept = contents(branches, "pets@main") | {"z": "2"}
    taken = contents(branches, "pets@exp")
    branches.create_ref("pets", "branch", "second", "main", "anna")
    branches.merge("pets", Merge(source="exp", target="second", strategy="theirs"))
    assert contents(branches, "pets@second") == taken
    sides = {path: "ours" for path, _, _ in expected}
    branches.merge("pets", Merge(source="exp", resolve=sides))
    assert contents(branches, "pets@main") == kept


def test_the_same_change_is_no_conflict(branches):
    commit(branches, {"a": "1", "b": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(branches, {"a": "2", "b": None, "c": "3"})
    commit(branches, {"a": "2", "b": None, "c": "3", "d": "4"}, "exp")
    plan = branches.merge("pets", Merge(source="exp")).plan
    assert (plan.added, plan.modified, plan.deleted) == (1, 0, 0)


def test_a_folder_is_resolved_at_once(branches):
    commit(branches, {"x/a": "1", "x/y/b": "1", "c": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(branches, {"x/a": "2", "x/y/b": "2", "c": "2"})
    commit(branches, {"x/a": "3", "x/y/b": "3", "c": "3"}, "exp")
    sides = {"x/": "theirs", "x/y/": "ours"}
    with pytest.raises(Conflict, match="1 path changed on both sides: c"):
        branches.merge("pets", Merge(source="exp", resolve=sides))
    with pytest.raises(Conflict, match="no conflict at 'nope'"):
        branches.merge("pets", Merge(source="exp", resolve={"nope": "ours"}))
    branches.merge("pets", Merge(source="exp", resolve={**sides, "c": "ours"}))
    assert contents(branches, "pets@main") == {"x/a": "3", "x/y/b": "2", "c": "2"}


def test_merged_crosswise(branches):
    """Each took the other's change; then one of them changes what came from the other."""
    commit(branches, {"p": "1", "q": "1", "r": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(branches, {"p": "main"})
    commit(branches, {"q": "exp"}, "exp")
    branches.merge("pets", Merge(source="v3", target="main"))
    branches.merge("pets", Merge(source="v2", target="exp"))
    commit(branches, {"q": "exp again"}, "exp")
    commit(branches, {"p": "main again"})
    branches.merge("pets", Merge(source="exp"))
    assert contents(branches, "pets@main") == {"p": "main again", "q": "exp again", "r": "1"}


def test_merged_crosswise_and_decided_differently(branches):
    """What each side decided for itself is asked again; it isn't one of the two by chance."""
    commit(branches, {"p": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(branches, {"p": "main"})
    commit(branches, {"p": "exp"}, "exp")
    branches.merge("pets", Merge(source="v3", target="main", strategy="ours"))
    branches.merge("pets", Merge(source="v2", target="exp", strategy="ours"))
    with pytest.raises(Conflict, match="p "):
        branches.merge("pets", Merge(source="exp"))


def test_into_an_empty_branch_and_of_nothing_in_common(branches):
    branches.create_dataset("empty", "anna")
    commit(branches, {"a": "1"}, dataset="empty", branch="side")
    branches.merge("empty", Merge(source="side"))
    assert contents(branches, "empty@main") == {"a": "1"}
    commit(branches, {"a": "2", "b": "2"}, dataset="empty", branch="apart")
    with pytest.raises(Conflict, match=r"a \(added in the target, added in the source"):
        branches.merge("empty", Merge(source="apart"))


def test_what_is_not_there(forked):
    with pytest.raises(NotFound, match="no version 'nope'"):
        forked.merge("pets", Merge(source="nope"))
    with pytest.raises(NotFound, match="no branch 'nope'"):
        forked.merge("pets", Merge(source="exp", target="nope"))
    with pytest.raises(Conflict, match="not at v1"):
        forked.merge("pets", Merge(source="exp", expected=1))


def test_protected_branches_move_by_reviews(forked):
    settings = RefSettings(protected=True, approvals=2, checks=("volume",))
    assert forked.protect("pets", "main", settings, "anna").settings == settings
    assert forked.ref("pets", "branch", "main").settings == settings
    assert timeline(forked._ws.database, "data:pets")[-1].message == "branch main of pets is protected now"
    for refused in (
        lambda: commit(forked, {"x": "1"}),
        lambda: forked.merge("pets", Merge(source="exp")),
        lambda: forked.revert("pets", Revert(version="v2")),
        lambda: forked.delete_ref("pets", "branch", "main"),
    ):
        with pytest.raises(Conflict, match="protected"):
            refused()
    assert forked.plan_merge("pets", Merge(source="exp")).modified == 1
    assert forked.head("pets", "main").number == 2
    allowed = Reviewed(forked.resolve("pets@exp"), lambda *_: None)
    assert forked.merge("pets", Merge(source="exp"), allowed).version.number == 4
    forked.protect("pets", "main", RefSettings(), "anna")
    commit(forked, {"x": "1"})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (RefSettings(protected=True, checks=("volme",)), "did you mean 'volume'?"),
        (RefSettings(protected=True, approvals=-1), "0 to 20"),
        (RefSettings(protected=True, approvals=21), "0 to 20"),
        (RefSettings(approvals=1), "protected"),
    ],
)
def test_protections_that_cannot_be(forked, settings, said):
    with pytest.raises(InvalidInput, match=said):
        forked.protect("pets", "main", settings, "anna")
    assert forked.ref("pets", "branch", "main").settings == RefSettings()


def test_a_branch_that_is_protected_meanwhile_does_not_move(forked, monkeypatch):
    """Whoever looked before it was protected is refused in the transaction that would move it."""
    monkeypatch.setattr(Branches, "check_open", lambda *_, **__: None)
    forked.protect("pets", "main", RefSettings(protected=True), "anna")
    with pytest.raises(Conflict, match="treadle data review open pets@BRANCH --into main"):
        commit(forked, {"x": "1"})
    assert forked.head("pets", "main").number == 2


def test_what_a_merge_would_make(forked):
    plan, version = forked.would_be("pets", Merge(source="exp"))
    assert (version.number, plan.modified) == (0, 1)
    again = forked.would_be("pets", Merge(source="exp"))[1]
    assert again == version
    assert contents(forked, f"pets@{version.commit_id}")["c/d"] == "theirs"
    assert forked.head("pets", "main").number == 2
    assert forked.merge("pets", Merge(source="exp")).version.tree == version.tree
    assert forked.would_be("pets", Merge(source="exp"))[1] is None


def test_reverts(branches):
    commit(branches, {"a": "1", "b": "1"})
    second = commit(branches, {"a": "2", "c": "2"})
    commit(branches, {"b": "3"})
    reverted = branches.revert("pets", Revert(version="v2"))
    assert (reverted.message, reverted.parents) == (
        "Revert pets@v2",
        (branches.resolve("pets@v3").commit_id,),
    )
    assert contents(branches, "pets") == {"a": "1", "b": "3"}
    with pytest.raises(Conflict, match="nothing would change"):
        branches.revert("pets", Revert(version="v2"))
    branches.revert("pets", Revert(version="v2", restore=True))
    assert branches.resolve("pets").tree == second.tree
    with pytest.raises(Conflict, match=r"a \(modified in the target, deleted in the source\)"):
        branches.revert("pets", Revert(version="v1"))


def test_checks_before_a_merge(reopen):
    """They see the candidate; one that fails leaves the target as it was."""
    check = (
        "import os, sys; told = dict(os.environ); print(told['TREADLE_SOURCE'], 'is bad'); "
        "names = ('TREADLE_DATASET', 'TREADLE_TARGET', 'TREADLE_MERGED'); "
        "open('seen', 'w').write(''.join(map(told.get, names))); sys.exit(os.path.exists('bad'))"
    )
    hook = f"""{sys.executable} -c "{check}\""""
    workspace = reopen(add=f"\n[data.pets]\npath = 'pets'\npre_merge = ['''{hook}''']\n")
    branches = Branches(workspace)
    commit(branches, {"a": "1"})
    branches.create_ref("pets", "branch", "exp", "main", "anna")
    commit(branches, {"a": "2"}, "exp")
    (workspace.root / "bad").touch()
    with pytest.raises(Conflict, match="exp is bad") as error:
        branches.merge("pets", Merge(source="exp"))
    assert error.value.where == "[data.pets] pre_merge"
    assert branches.head("pets", "main").number == 1
    seen = (workspace.root / "seen").read_text()
    assert seen.startswith("petsmain")
    assert contents(branches, f"pets@{seen[-64:]}") == {"a": "2"}

    (workspace.root / "bad").unlink()
    merged = branches.merge("pets", Merge(source="exp"))
    assert (workspace.root / "seen").read_text() == f"petsmain{merged.version.commit_id}"


def test_a_check_that_can_not_be_run(reopen):
    workspace = reopen(add="\n[data.pets]\npath = 'pets'\npre_merge = ['/nowhere/check']\n")
    branches = Branches(workspace)
    commit(branches, {"a": "1"})
    commit(branches, {"a": "1"}, "exp")
    with pytest.raises(Conflict, match="can't be run"):
        branches.merge("pets", Merge(source="exp", strategy="theirs"))


def test_names_are_taken_once(branches):
    commit(branches, {"a": "1"})
    branches.create_ref("pets", "tag", "best", "", "anna")
    for kind in ("tag", "branch"):
        with pytest.raises(AlreadyExists):
            branches.create_ref("pets", kind, "best", "", "anna")
    assert branches.resolve("pets@best").number == 1
    branches.delete_ref("pets", "tag", "best")
    with pytest.raises(NotFound):
        branches.resolve("pets@best")
