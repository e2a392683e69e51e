"""Cycles take their data on branches of their own, and what becomes of those."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
import pytest

from projects import rows
from retrain.wheel import BY_HAND, make, opened
from treadle.data import (
    Branches,
    Datasets,
    Decision,
    MergeReview,
    RefSettings,
    Reviews,
)
from treadle.evaluate import DataGates
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import Cycle, Cycles, CycleState, NewCycle, rules, store
from treadle.retrain.own_branch import begin, tidy
from treadle.retrain.settling import settle
from treadle.retrain.stages import perform

ALL = rows(120, 60)
FEWER = ALL.slice(0, 6600)


def write(workspace: Workspace, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, workspace.root / "data" / "rows.parquet")


@pytest.fixture
def before(tmp_path, clock):
    """A project whose ``main`` has fewer rows than its file by now."""
    with opened(make(tmp_path / "p", FEWER, replicas="1"), clock) as workspace:
        Datasets(workspace).snapshot("rows", "ada")
        write(workspace, ALL)
        yield workspace


def begun(workspace: Workspace) -> tuple[Cycle, str]:
    cycle = Cycles(workspace).create(NewCycle(trigger=BY_HAND))
    return cycle, begin(workspace, cycle).branch


def end(workspace: Workspace, cycle: Cycle, state: CycleState, **facts: Any) -> None:
    with workspace.database.write() as connection:
        store.update(connection, msgspec.structs.replace(cycle, state=state, **facts))
    tidy(workspace, "toy")


def go_on(workspace: Workspace, cycle: Cycle) -> Cycle:
    for stage in cycle.stages:
        if not perform(workspace, cycle.id, stage.name):
            break
    return Cycles(workspace).get(cycle.id)


def heads(workspace: Workspace) -> dict[str, int | None]:
    return {ref.name: ref.number for ref in Branches(workspace).refs("rows", "branch")}


def told(workspace: Workspace) -> list[str]:
    return [e.message for e in timeline(workspace.database, "data:rows") if e.kind.startswith("cycle_data")]


def test_a_refused_cycles_data_stays_apart_with_its_verdict(before: Workspace) -> None:
    cycle, branch = begun(before)
    assert branch == f"cycle/{cycle.id.removeprefix('cycle_')}"
    assert begin(before, cycle).version.ref == "rows@v2"  # as who goes on after a crash does
    assert heads(before) == {"main": 1, branch: 2}
    end(before, cycle, "refused", cause="no_worse overall")
    tidy(before, "toy")
    assert heads(before) == {"main": 1, branch: 2}
    assert told(before) == [
        f"{cycle.id} ended refused by no_worse overall; its data stays as rows@{branch} (rows@v2)"
    ]
    # The same files again are the same version, on another branch.
    again, other = begun(before)
    assert heads(before) == {"main": 1, branch: 2, other: 2}
    end(before, again, "failed")
    Branches(before).delete_ref("rows", "branch", other)
    assert heads(before) == {"main": 1, branch: 2}


def test_branches_of_the_latest_that_did_not_get_in_are_kept(before: Workspace) -> None:
    made = []
    for number in range(rules.KEPT_BRANCHES + 2):
        write(before, ALL.slice(0, 6700 + number))
        cycle, branch = begun(before)
        made.append(branch)
        end(before, cycle, "refused")
    assert set(heads(before)) == {"main", *made[2:]}
    assert len(Datasets(before).log("rows")) == len(made) + 1  # the versions stay until retention takes them


@pytest.mark.parametrize("state", ["trained", "unchanged"])
def test_a_branch_without_a_use_goes(state: CycleState, before: Workspace) -> None:
    cycle, branch = begun(before)
    end(before, cycle, state)
    assert heads(before) == {"main": 1}
    assert told(before) == [f"{cycle.id} ended {state}; branch {branch} was removed; it had rows@v2"]


def test_data_that_main_has_leaves_nothing(before: Workspace) -> None:
    """As of every cycle whose files are as they were: whatever it comes to."""
    write(before, FEWER)
    cycle, branch = begun(before)
    assert heads(before) == {"main": 1, branch: 1}
    end(before, cycle, "refused")
    assert heads(before) == {"main": 1}
    assert [version.number for version in Datasets(before).log("rows")] == [1]


def test_what_main_got_meanwhile_is_merged_by_row(before: Workspace) -> None:
    cycle = Cycles(before).create(NewCycle(trigger=BY_HAND))
    assert perform(before, cycle.id, "data")
    column = pa.array(["XX", *FEWER["carrier"].to_pylist()[1:]])
    write(before, FEWER.set_column(FEWER.schema.get_field_index("carrier"), "carrier", column))
    assert Datasets(before).snapshot("rows", "ada").number == 3
    cycle = go_on(before, cycle)
    assert cycle.state == "promoted"
    assert heads(before) == {"main": 4}
    merged = Datasets(before).get("rows")
    assert (merged.rows, len(merged.parents), merged.actor) == (ALL.num_rows, 2, f"cycle:{cycle.id}")
    found = before.engine.rows(
        "SELECT carrier FROM t WHERE id = 'row-0'", tables={"t": Datasets(before).paths(merged)}
    )
    assert found == [("XX",)]
    assert {data.number for data in Registry(before).get("toy/1").data} == {2}  # what it was made of
    assert cycle.stages[0].summary.startswith(f"rows@v2 on branch {rules.branch_of(cycle.id)}: ")


def test_a_protected_main_moves_by_a_review(before: Workspace) -> None:
    branches = Branches(before)
    branches.protect("rows", "main", RefSettings(protected=True, approvals=1), "ada")
    cycle = go_on(before, Cycles(before).create(NewCycle(trigger=BY_HAND)))
    branch = rules.branch_of(cycle.id)
    assert cycle.state == "promoted"  # the model's gate has let it in; the data has one of its own
    assert heads(before) == {"main": 1, branch: 2}
    reviews = Reviews(before, branches, DataGates(before))
    [review] = reviews.list("rows")
    assert (review.source, review.author) == (branch, f"cycle:{cycle.id}")
    [said] = told(before)
    assert said == (
        f"{cycle.id} ended promoted; rows@{branch} (rows@v2) is not merged into main: main is protected; "
        "review rows#1 is open; treadle data review show rows#1"
    )
    settle(before, "toy")
    assert len(reviews.list("rows")) == 1
    reviews.decide("rows", 1, Decision(decision="approved", actor="ada"))
    reviews.merge("rows", 1, MergeReview(actor="ada"))
    settle(before, "toy")
    assert heads(before) == {"main": 3}
    assert Datasets(before).get("rows").rows == ALL.num_rows


@pytest.mark.parametrize(
    ("state", "status", "promoted", "kept", "fate"),
    [
        ("promoted", "production", True, 0, "merge"),
        ("held", "candidate", False, 0, "wait"),
        ("held", "canary", False, 9, "wait"),
        ("held", "deprecated", True, 0, "merge"),
        ("held", "archived", False, 0, "keep"),
        ("trial", "candidate", False, 9, "wait"),
        ("rolled_back", "candidate", False, 0, "keep"),
        ("failed", "", False, rules.KEPT_BRANCHES, "remove"),
        ("failed", "production", True, 0, "merge"),
        ("trained", "", False, 0, "remove"),
    ],
)
def test_what_becomes_of_a_branch(
    state: CycleState, status: str, promoted: bool, kept: int, fate: str
) -> None:
    assert rules.fate(state, status, promoted=promoted, kept=kept) == fate
