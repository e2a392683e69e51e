"""Stages of the team's own, and who lets a version into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from treadle.kernel.errors import ConfigError, Conflict, InvalidInput, NotFound, Refused
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.registry import Approvals, Catalog, Registry

TEAMS = """
[teams.risk]
members = ["ada", "ben", "cy"]
[teams.ops]
members = ["dan"]
"""
Open = Callable[[str], Workspace]


@pytest.fixture
def reopen(tmp_path: Path, workspace: Workspace) -> Iterator[Open]:
    """Opens the workspace with other settings."""
    opened = []

    def reopen(text: str) -> Workspace:
        (Path(workspace.root) / "treadle.toml").write_text(f'[project]\nname = "toy"\n{text}{TEAMS}')
        opened.append(Workspace.open(Path(workspace.root)))
        return opened[-1]

    yield reopen
    for one in opened:
        one.close()


@pytest.fixture
def version(workspace, make_version) -> str:
    return Registry(workspace).register(make_version("a", made_by="ada")).ref


def promote(workspace: Workspace, outcome: str = "pass", key: str = "p", **more: object):
    more = {"override": outcome != "pass"} | more
    return Registry(workspace).promote("toy", 1, "ann", "better", key, outcome=outcome, **more)


def test_as_many_approvals_as_were_asked_for_by_those_who_may(reopen, version):
    workspace = reopen('[registry.stages.production]\napprovals = 2\nroles = ["risk"]\n')
    approvals = Approvals(workspace)
    assert (approvals.standing(version).needed, approvals.standing(version).may) == (2, ("ada", "ben", "cy"))
    with pytest.raises(Refused, match="2 more of 2 approvals are needed by ada, ben, cy"):
        promote(workspace)
    with pytest.raises(Refused) as refused:
        approvals.add(version, "dan", "fine", "pass")
    assert "dan can't approve it for production: that is for risk" in str(refused.value)
    assert "ask ada, ben, cy" in str(refused.value)
    with pytest.raises(InvalidInput, match="a reason is needed"):
        approvals.add(version, "ada", "  ", "pass")
    assert approvals.add(version, "ada", "fine", "pass").given == 1
    with pytest.raises(Conflict, match="ada has approved it for production already"):
        approvals.add(version, "ada", "really", "pass")
    with pytest.raises(Refused, match="1 more of 2"):
        promote(workspace)
    standing = approvals.add(version, "ben", "fine too", "pass")
    assert [(one.actor, one.reason, one.stage) for one in standing.approvals] == [
        ("ada", "fine", "production"),
        ("ben", "fine too", "production"),
    ]
    assert promote(workspace)[-1].after == "production"
    kinds = [event.kind for event in timeline(workspace.database, "model:toy")]
    assert kinds == ["registered", "approved", "approved", "promoted"]


def test_an_approval_is_of_exactly_one_version(reopen, version, make_version):
    workspace = reopen("[registry.stages.production]\napprovals = 1\n")
    Approvals(workspace).add(version, "eve", "fine", "pass")
    other = Registry(workspace).register(make_version("b"))
    assert Approvals(workspace).standing(other.ref).given == 0
    with pytest.raises(Refused):
        Registry(workspace).promote("toy", 2, "ann", "x", "p2", outcome="pass")


def test_four_eyes(reopen, version):
    workspace = reopen('[registry.stages.production]\nroles = ["risk"]\nfour_eyes = true\n')
    with pytest.raises(Refused, match="ada made or registered it, and production takes four eyes") as refused:
        Approvals(workspace).add(version, "ada", "mine is good", "pass")
    assert "ask ben, cy" in str(refused.value)
    Approvals(workspace).add(version, "ben", "fine", "pass")
    promote(workspace)


def test_four_eyes_want_to_know_who_looks(reopen, version):
    workspace = reopen("[registry.stages.production]\nfour_eyes = true\n")
    with pytest.raises(Refused, match="mlflow doesn't say who asks"):
        Approvals(workspace).add(version, "mlflow", "fine", "pass")


def test_a_verdict_that_is_needed_is_not_overridden(reopen, version):
    workspace = reopen('[registry.stages.production]\nneeds = ["verdict"]\n')
    with pytest.raises(Refused, match="production takes a verdict"):
        Approvals(workspace).add(version, "ada", "fine", "inconclusive")
    with pytest.raises(Refused, match=r"its evaluations must pass \(they came to inconclusive\)"):
        promote(workspace, outcome="inconclusive")
    promote(workspace)


def test_what_was_taken_back_does_not_count(reopen, version):
    workspace = reopen("[registry.stages.production]\napprovals = 1\n")
    approvals = Approvals(workspace)
    with pytest.raises(NotFound, match="ada has not approved"):
        approvals.withdraw(version, "ada", "x")
    approvals.add(version, "ada", "fine", "pass")
    taken = approvals.withdraw(version, "ada", "I was wrong")
    assert (taken.given, taken.approvals[0].withdrawn_reason) == (0, "I was wrong")
    with pytest.raises(Refused):
        promote(workspace)
    assert timeline(workspace.database, "model:toy")[-1].message == (
        "toy/1 no longer approved for production by ada: I was wrong"
    )
    assert approvals.add(version, "ada", "it was right after all", "pass").given == 1


def test_a_rollback_asks_nobody_again_unless_an_approval_was_withdrawn(
    workspace, reopen, version, make_version
):
    promote(workspace)
    Registry(workspace).register(make_version("b"))
    Registry(workspace).promote("toy", 2, "ann", "x", "p2", outcome="pass")
    opened = reopen("[registry.stages.production]\napprovals = 2\n")
    promote(opened, key="back")
    assert Registry(opened).production("toy").number == 1


def test_stages_are_gone_through_in_order(reopen, version):
    workspace = reopen(
        '[registry.stages.shadow]\n[registry.stages.canary]\nroles = ["ops"]\n[registry.stages.production]\n'
    )
    registry, approvals = Registry(workspace), Approvals(workspace)
    assert approvals.standing(version).next == "shadow"
    for wrong in ("canary", "staging"):
        with pytest.raises(Conflict, match=f"a version that is candidate can't become {wrong}"):
            registry.stage("toy", 1, "ann", "x", "w", to=wrong)
    with pytest.raises(Conflict, match="candidate can't become production"):
        promote(workspace)
    registry.stage("toy", 1, "ann", "on", "s", to="shadow")
    assert Catalog(workspace).version("toy", "1").stage == "Staging"
    assert timeline(workspace.database, "model:toy")[-1].message == "toy/1 staged in shadow: on"
    with pytest.raises(Refused, match="by dan"):
        registry.stage("toy", 1, "ann", "on", "c", to="canary")
    approvals.add(version, "dan", "fine", "pass")
    registry.stage("toy", 1, "ann", "on", "c", to="canary")
    assert approvals.standing(version).next == "production"
    promote(workspace)
    assert [one.after for one in registry.history("toy")] == ["candidate", "shadow", "canary", "production"]


def test_a_stage_that_was_undeclared_since_can_be_left(workspace, reopen, version):
    opened = reopen("[registry.stages.shadow]\n")
    Registry(opened).stage("toy", 1, "ann", "on", "s", to="shadow")
    assert Approvals(workspace).standing(version).next is None
    Registry(workspace).archive("toy", 1, "ann", "gone", "a")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[registry.stages.production]\nroles = ["risc"]\n', "did you mean 'risk'"),
        ("[registry.stages.archived]\n", "can't be a stage"),
        ('[registry.stages.production]\nroles = ["ops"]\napprovals = 2\n', "2 must approve, and 1 may"),
        ('[registry.stages.production]\nneeds = ["verdicts"]\n', "verdict"),
        ("[registry.stages.production]\nfour_eyse = true\n", "did you mean 'four_eyes'"),
    ],
)
def test_stages_that_can_not_be(reopen, text, says):
    with pytest.raises(ConfigError, match=says):
        reopen(text)


def test_approvals_at_once_are_all_counted(reopen, version):
    workspace = reopen('[registry.stages.production]\napprovals = 3\nroles = ["risk"]\n')
    with ThreadPoolExecutor(6) as pool:
        add, names = Approvals(workspace).add, ("ada", "ben", "cy")
        for one in [pool.submit(add, version, name, "ok", "pass") for name in names * 2]:
            assert isinstance(one.exception(), Conflict | None)
    standing = Approvals(workspace).standing(version)
    assert (standing.given, len(standing.approvals)) == (3, 3)
