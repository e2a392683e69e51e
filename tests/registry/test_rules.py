"""The state machine, in full, and who was in production when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.kernel.errors import Conflict, InvalidInput, Refused
from treadle.registry import rules
from treadle.registry.types import ModelVersion, Signature, Transition

START = datetime(2026, 1, 1, tzinfo=UTC)
STATUSES = ("candidate", "staging", "production", "deprecated", "refused", "archived")
ALLOWED = {
    ("candidate", "staging"),
    ("candidate", "production"),
    ("candidate", "refused"),
    ("candidate", "archived"),
    ("staging", "production"),
    ("staging", "archived"),
    ("production", "deprecated"),
    ("deprecated", "production"),
    ("deprecated", "archived"),
    ("refused", "archived"),
}


@pytest.fixture
def version(make_version) -> ModelVersion:
    fields = msgspec.structs.asdict(make_version())
    return ModelVersion(**fields, number=1, id="x", created_at=START, status="candidate")


@pytest.mark.parametrize("after", STATUSES)
@pytest.mark.parametrize("before", STATUSES)
def test_every_move_is_allowed_or_refused(version, before, after):
    there = msgspec.structs.replace(version, status=before)
    if (before, after) in ALLOWED:
        rules.check_move(there, after)
    else:
        with pytest.raises(Conflict, match=f"{before} can't become {after}"):
            rules.check_move(there, after)


@pytest.mark.parametrize("outcome", ["fail", "inconclusive", ""])
def test_only_a_pass_or_a_reasoned_override_goes_on(version, outcome):
    rules.check_outcome(version, "pass", "", override=False)
    rules.check_outcome(version, outcome, "the label was wrong", override=True)
    with pytest.raises(Refused):
        rules.check_outcome(version, outcome, "because", override=False)
    with pytest.raises(InvalidInput, match="reason"):
        rules.check_outcome(version, outcome, "  ", override=True)


@pytest.mark.parametrize(
    ("current", "expect", "fine"),
    [
        (None, None, True),
        (3, None, True),
        (3, 3, True),
        (None, 0, True),
        (3, 0, False),
        (None, 3, False),
        (4, 3, False),
    ],
)
def test_compare_and_swap(version, current, expect, fine):
    if fine:
        rules.check_expected(version, current, expect)
    else:
        with pytest.raises(Conflict, match="in production by now"):
            rules.check_expected(version, current, expect)


@pytest.mark.parametrize(
    ("ref", "parsed"),
    [
        ("flights", ("flights", None)),
        ("flights/3", ("flights", 3)),
        ("flights@production", ("flights", "production")),
        ("a.b-c@latest", ("a.b-c", "latest")),
        ("flights@champion", ("flights", "champion")),
        ("me@home@latest", ("me@home", "latest")),
    ],
)
def test_references(ref, parsed):
    assert rules.parse_ref(ref) == parsed


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "/",
        "a/",
        "/3",
        "a/x",
        "a/-1",
        "a/3/4",
        "@latest",
        "a@b c",
        "a@",
        "a/9999999999",
        f"a/{'9' * 5000}",
    ],
)
def test_wrong_references(ref):
    with pytest.raises(InvalidInput):
        rules.parse_ref(ref)


def test_all_problems_are_told_at_once(make_version):
    assert rules.problems(make_version()) == []
    broken = make_version(
        metrics={},
        evaluations=(),
        data=(),
        serve={},
        profile="",
        code="",
        signature=Signature((), "value"),
        files=(),
    )
    text = "; ".join(rules.problems(broken))
    for word in (
        "metrics",
        "evaluations",
        "data",
        "serve",
        "profile",
        "code",
        "signature",
        "model.onnx",
        "example.json",
    ):
        assert word in text


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/passwd", "a/../../b", "a\\b", "a//b", "./a"])
def test_a_file_outside_the_model_is_a_problem(make_version, path):
    new = make_version()
    files = (*new.files, msgspec.structs.replace(new.files[0], path=path))
    assert any("folder" in problem for problem in rules.problems(msgspec.structs.replace(new, files=files)))


def test_what_a_version_is_does_not_depend_on_who_registers_it(make_version):
    new = make_version()
    same = make_version(run="run_b", files=tuple(reversed(new.files)), metrics={"roc_auc": 0.1})
    assert rules.version_id(new) == rules.version_id(same)
    assert rules.version_id(new) != rules.version_id(make_version(recipe="r_2"))
    assert rules.version_id(new) != rules.version_id(make_version(files=new.files[1:]))


def transition(number: int, after: str, at: datetime) -> Transition:
    return Transition(
        model="m",
        number=number,
        before="candidate",
        after=after,
        at=at,
        actor="a",
        reason="r",  # type: ignore[arg-type]
    )


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), max_size=12), st.integers(-1, 40))
def test_production_at_any_moment_is_what_a_simulation_says(promotions, hour):
    """Promotions with gaps of 0 to 3 hours, against stepping through time."""
    history, current, now, expected = [], None, 0, None
    for number, gap in promotions:
        now += gap
        if number != current:
            at = START + timedelta(hours=now)
            history += [transition(current, "deprecated", at)] if current else []
            history.append(transition(number, "production", at))
            current = number
        if now <= hour:
            expected = current
    found = rules.in_production(history, START + timedelta(hours=hour))
    assert found == ([expected] if expected else [])


def test_time_may_go_back_in_a_replay():
    history = [
        transition(1, "production", START),
        transition(1, "deprecated", START - timedelta(days=365)),
        transition(2, "production", START - timedelta(days=365)),
    ]
    assert rules.in_production(history, START) == [2]
    assert rules.in_production(history, START - timedelta(days=366)) == []
