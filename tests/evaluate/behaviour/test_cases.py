"""Cases are refused whole, with file and line, before anything is asked."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from treadle.data import Datasets
from treadle.evaluate.behaviour.case_sources import read_cases
from treadle.evaluate.behaviour.cases import groups_of, json_lines, parse, question, scorers_of
from treadle.kernel.config import BehaviourCheck, ScorerConfig
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound

GOOD = {"id": "a", "input": "1 + 1", "expected": "2"}


def check(cases="cases.jsonl", by=(), fields=None, **scorers):
    found = scorers or {"right": {"kind": "exact"}}
    return BehaviourCheck(
        cases=cases,
        target="app:answer",
        bound=0.5,
        by=list(by),
        fields=fields or {},
        scorers={name: ScorerConfig(**keys) for name, keys in found.items()},
    )


def lines(*cases):
    return json_lines("\n".join(json.dumps(one) for one in cases).encode(), "cases.jsonl")


def test_cases_are_read_as_they_are():
    found = parse(
        lines(
            {**GOOD, "tags": {"topic": "sums", "hard": True, "n": 3}, "country": "DE"},
            {
                "id": 7,
                "input": [{"role": "user", "content": "hi"}],
                "expected": "ho",
                "tags": ["b", "a", "b"],
            },
            {"id": "c", "input": {"x": [1, None]}, "expected": 0},
        ),
        check(),
        "cases.jsonl",
    )
    a, seven, c = found.cases
    assert (a.tags, a.extra) == ({"topic": "sums", "hard": "true", "n": "3"}, {"country": "DE"})
    assert (seven.id, seven.tags) == ("7", ["a", "b"])
    assert (c.input, c.expected) == ({"x": [1, None]}, 0)
    assert groups_of(a, ["topic", "country", "tags"]) == [
        "topic=sums", "country=DE", "tags=topic=sums", "tags=hard=true", "tags=n=3",
    ]  # fmt: skip
    assert groups_of(seven, ["tags", "topic"]) == ["tags=a", "tags=b", "topic=(missing)"]


def test_what_is_asked_has_an_identity_whatever_is_expected():
    (a,), (b,), (c,) = (
        parse(lines({**GOOD, **change}), check(), "x").cases
        for change in ({}, {"expected": "3"}, {"input": "1 + 2"})
    )
    assert question(a) == question(b) != question(c)


MISTAKES = [
    ([{"input": "x", "expected": "y"}], ":1", "no 'id'"),
    ([GOOD, {"id": "b", "inputs": "x", "expected": "y"}], ":2", "no 'input' .*did you mean 'inputs'"),
    ([GOOD, {"id": "b", "input": "x"}], ":2", "nothing that is expected, which the scorer 'right'"),
    ([GOOD, {**GOOD, "input": "z"}], ":2", "the id 'a' is that of cases.jsonl:1"),
    ([{**GOOD, "id": 1.5}], ":1", "neither text nor a whole number"),
    ([{**GOOD, "id": True}], ":1", "neither text nor a whole number"),
    ([{**GOOD, "tags": "hard"}], ":1", "'tags' is neither"),
    ([{**GOOD, "scorers": ["rihgt"]}], ":1", "did you mean 'right'"),
    ([{**GOOD, "scorers": {"right": {"ignor": ["case"]}}}], ":1", "unknown field `ignor`"),
    ([{**GOOD, "scorers": {"right": {"bound": 0}}}], ":1", "can't change"),
    ([{**GOOD, "scorers": "right"}], ":1", "'scorers' is neither"),
    ([{**GOOD, "input": [{"role": "usr", "content": "x"}]}], ":1", "role 'usr'.*did you mean 'user'"),
    ([{**GOOD, "input": [{"role": "user"}]}], ":1", "no content"),
]  # fmt: skip


@pytest.mark.parametrize(("cases", "line", "says"), MISTAKES)
def test_a_mistake_is_named_with_its_line(cases, line, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        parse(lines(*cases), check(), "cases.jsonl")
    assert caught.value.where == f"cases.jsonl{line}"


def test_all_mistakes_are_told_at_once():
    bad = [{"id": str(n), "input": "x"} for n in range(9)]
    with pytest.raises(InvalidInput, match=r"9 of 10 cases can't be used: also cases.jsonl:3: .*and 3 more"):
        parse(lines(GOOD, *bad), check(), "cases.jsonl")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"id": 1', "no JSON"),
        (b"[1]", "no JSON object"),
        (b'{"id": NaN}', "no JSON"),
        (b'{"id":"\xff"}', "no JSON"),
    ],
)
def test_a_line_that_is_no_json_object_is_refused(text, says):
    with pytest.raises(CorruptData, match=says) as caught:
        list(json_lines(b'\xef\xbb\xbf{"id": 1}\n\n' + text, "c.jsonl"))
    assert caught.value.where == "c.jsonl:3"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("number", "two"),
        ("number", True),
        ("regex", 3),
        ("contains", []),
        ("json_schema", "{}"),
        ("similarity", 1),
    ],
)
def test_what_is_expected_must_suit_the_scorer(kind, expected):
    keys = {"passes": 0.5, "by": "words"} if kind == "similarity" else {}
    with pytest.raises(InvalidInput, match="of which 's'"):
        parse(lines({**GOOD, "expected": expected}), check(s={"kind": kind, **keys}), "cases.jsonl")


def test_a_case_may_choose_and_change_its_scorers():
    declared = check(near={"kind": "number", "absolute": 0.1}, says={"kind": "contains", "values": ["x"]})
    found = parse(
        lines(
            {"id": "a", "input": "?", "expected": 2, "scorers": {"near": {"absolute": 0.5}}},
            {"id": "b", "input": "?", "scorers": ["says"]},
        ),
        declared,
        "x",
    )
    a, b = (scorers_of(case, declared) for case in found.cases)
    assert (a["near"].absolute, a["says"]) == (0.5, declared.scorers["says"])
    assert list(b) == ["says"]


def test_no_cases_are_no_check():
    with pytest.raises(InvalidInput, match="there are no cases"):
        parse(lines(), check(), "cases.jsonl")


# ── where they come from ─────────────────────────────────────────────────


def write(folder, *cases):
    path = folder / "cases.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in cases))
    return path


def test_cases_come_from_a_file(workspace):
    write(workspace.root, GOOD)
    found = read_cases(workspace, "c", check())
    assert (found.name, [one.id for one in found.cases]) == ("cases.jsonl", ["a"])


def test_fields_may_have_other_names(workspace):
    write(workspace.root, {"qid": 3, "question": "?", "truth": "!", "id": "other"})
    fields = {"id": "qid", "input": "question", "expected": "truth"}
    (case,) = read_cases(workspace, "c", check(fields=fields)).cases
    assert (case.id, case.input, case.expected, case.extra) == ("3", "?", "!", {"id": "other"})


def test_cases_come_from_a_table_and_from_a_version_of_one(workspace):
    (workspace.root / "data").mkdir()
    path = workspace.root / "data" / "rows.parquet"
    table = pa.table({
        "id": ["a", "b"], "at": pa.array([0, 1], pa.timestamp("us", "UTC")), "hour": [1.0, None],
        "carrier": ["X", "Y"], "late": [True, False], "known_at": pa.array([0, 1], pa.timestamp("us", "UTC")),
        "input": ["?", "??"], "expected": [float("nan"), 2.0],
    })  # fmt: skip
    pq.write_table(table, path)
    Datasets(workspace).snapshot("rows", "me")
    for named in ("rows@v1", "treadle://rows@v1", "data/rows.parquet"):
        found = read_cases(workspace, "c", check(named, ["carrier"], near={"kind": "regex", "pattern": "x"}))
        a, b = found.cases
        assert (a.id, a.input, a.expected, b.expected) == ("a", "?", None, 2.0)
        assert (a.extra["hour"], b.extra["hour"], b.extra["carrier"]) == (1.0, None, "Y")
    with pytest.raises(InvalidInput, match="nothing that is expected") as caught:
        read_cases(workspace, "c", check("rows@v1"))
    assert caught.value.where == "rows@v1 row 1"


@pytest.mark.parametrize("named", ["nowhere.jsonl", "nowhere", "data"])
def test_a_file_that_is_not_there_is_named(workspace, named):
    with pytest.raises(InvalidInput, match=f"no file '{named}'") as caught:
        read_cases(workspace, "c", check(named))
    assert caught.value.where == "treadle.toml [checks.behaviour.c] cases"


def test_a_version_that_is_not_there_is_named(workspace):
    with pytest.raises(NotFound):
        read_cases(workspace, "c", check("rows@v9"))


def test_a_group_that_no_case_has_is_named(workspace):
    write(workspace.root, {**GOOD, "tags": {"topic": "x"}})
    with pytest.raises(InvalidInput, match=r"no case of cases.jsonl has a tag or column 'topc'") as caught:
        read_cases(workspace, "c", check(by=["topc"]))
    assert caught.value.fix == "did you mean 'topic'?"
