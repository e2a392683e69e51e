"""What counts as approved, against a naive reading of the events."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from treadle.data import EventBody, GateResult, RefSettings, Review, ReviewEvent
from treadle.data.branches.types import GATES
from treadle.data.reviews import rules

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REVIEW = Review(
    dataset="pets",
    number=1,
    source="exp",
    target="main",
    title="t",
    text="",
    author="anna",
    state="open",
    created_at=NOON,
)
COMMITS = ("c1", "c2")
PEOPLE = ("anna", "ben", "cleo", "dora")


def result(name: str, outcome: str) -> GateResult:
    return GateResult(name=name, outcome=outcome, findings=())


kinds = st.sampled_from(["approved", "changes_requested", "withdrawn", "commented"])
decided = st.tuples(kinds, st.sampled_from(PEOPLE), st.sampled_from(COMMITS))
outcomes = st.sampled_from(["pass", "fail", "inconclusive"])
checked = st.tuples(
    st.just("checked"),
    st.sampled_from(COMMITS),
    st.sampled_from(["t1", "t2"]),
    st.dictionaries(st.sampled_from(GATES), outcomes, min_size=1),
)
histories = st.lists(decided | checked, max_size=20)


def events(history: list[tuple]) -> list[ReviewEvent]:
    found = []
    for position, (kind, *rest) in enumerate(history):
        if kind == "checked":
            source, target, told = rest
            gates = tuple(result(name, outcome) for name, outcome in told.items())
            actor, body = "ben", EventBody(source=source, target=target, gates=gates)
        else:
            actor, body = rest[0], EventBody(source=rest[1])
        found.append(ReviewEvent(position=position, kind=kind, actor=actor, at=NOON, body=body))
    return found


@given(histories, st.integers(0, 3), st.sets(st.sampled_from(GATES)))
def test_a_review_may_be_merged_only_if_everything_says_so(history, approvals, required):
    settings = RefSettings(protected=True, approvals=approvals, checks=tuple(sorted(required)))
    found = rules.standing(REVIEW, events(history), settings, "c1", "t1")

    last = {one[1]: one for one in history if one[0] in {"approved", "changes_requested", "withdrawn"}}
    fresh = {
        who
        for who, (kind, _, commit) in last.items()
        if (kind, commit) == ("approved", "c1") and who != "anna"
    }
    assert {one.actor for one in found.approvals if not one.stale} == fresh
    assert set(found.objections) == {who for who, one in last.items() if one[0] == "changes_requested"}
    newest = {}
    for one in history:
        if one[0] == "checked":
            newest |= dict.fromkeys(one[3], "stale") if one[1:3] != ("c1", "t1") else one[3]
    assert {gate.name: gate.state for gate in found.gates} == dict.fromkeys(required, "missing") | newest
    allowed = (
        len(fresh) >= approvals
        and not found.objections
        and all(newest.get(name) == "pass" for name in required)
    )
    assert (not found.blockers) == allowed


@given(histories, st.integers(0, 3), st.sets(st.sampled_from(GATES)))
def test_nothing_is_needed_where_nothing_is_protected(history, approvals, required):
    settings = RefSettings(approvals=approvals, checks=tuple(required))
    found = rules.standing(REVIEW, events(history), settings, "c1", "t1")
    assert len(found.blockers) == len(found.objections)


@given(histories)
def test_a_new_commit_of_the_source_leaves_no_approval_and_no_check(history):
    settings = RefSettings(protected=True, approvals=1, checks=("schema",))
    found = rules.standing(REVIEW, events(history), settings, "c3", "t1")
    assert all(one.stale for one in found.approvals)
    assert {gate.state for gate in found.gates} <= {"stale", "missing"}
    assert len(found.blockers) == 2 + len(found.objections)


def test_what_is_in_the_way_says_what_to_do():
    settings = RefSettings(protected=True, approvals=1, checks=("schema",))
    history = [("checked", "c1", "t1", {"schema": "fail"})]
    for extra, said in [
        ([], "change the data on exp; what was found: treadle data review show pets#1"),
        ([("checked", "c1", "t1", {"schema": "pass"})], "treadle data review approve pets#1"),
        ([("checked", "c2", "t1", {"schema": "pass"})], "treadle data review check pets#1"),
        ([("changes_requested", "ben", "c1")], "see what was asked for: treadle data review show pets#1"),
    ]:
        found = rules.standing(REVIEW, events([*history, *extra]), settings, "c1", "t1")
        assert rules.next_step(REVIEW, found).endswith(said)
