"""Scorers that compare text and JSON as they are."""

from __future__ import annotations

import functools
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.evaluate.behaviour.scorers.numbers import Number, numbers
from treadle.evaluate.behaviour.scorers.patterns import Matcher
from treadle.evaluate.behaviour.scorers.schema import JsonSchema
from treadle.evaluate.behaviour.scorers.text import Contains, Exact, Regex, normal, same
from treadle.evaluate.behaviour.targets import functions
from treadle.evaluate.behaviour.targets.functions import FunctionHost
from treadle.evaluate.behaviour.types import Case
from treadle.kernel.config import ScorerConfig
from treadle.kernel.errors import ConfigError


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patterns")
    made = FunctionHost(folder, folder / "log")
    yield made
    made.close()


@pytest.fixture(scope="module")
def matcher(host):
    return Matcher(host)


FEW = settings(max_examples=40, deadline=None)


def case(expected):
    return Case(id="a", input="?", expected=expected)


def value(scorer, expected, answer, **keys):
    made = scorer(ScorerConfig(kind="exact", **keys))
    return made.score(case(expected), answer).value


ALL = ["case", "space", "punctuation", "accents"]


@pytest.mark.parametrize(
    ("expected", "answer", "ignore", "right"),
    [
        ("Paris", "Paris", [], 1), ("Paris", "paris", [], 0), ("Paris", "PARIS", ["case"], 1),
        ("Straße", "STRASSE", ["case"], 1), ("Paris", " Paris\n", [], 0), ("a b", " a \n b", ["space"], 1),
        ("Paris", "Paris.", ["punctuation"], 1), ("Zürich", "Zurich", ["accents"], 1),
        ("e\u0301", "\u00e9", [], 1), ("yes", "«Yes!»  ", ALL, 1), (["NY", "New York"], "New York", [], 1),
        (["NY", "New York"], "Boston", [], 0), (["NY"], ["NY"], [], 1), (4, "4", [], 1), (4, "4.0", [], 1),
        (4, 4.0, [], 1), (True, 1, [], 0), (True, "true", [], 1), ({"a": [1]}, '{"a": [1.0]}', [], 1),
        ({"a": 1}, {"a": 1, "b": 2}, [], 0), ("4", 4, [], 0), (4, "four", [], 0),
    ],
)  # fmt: skip
def test_exact(expected, answer, ignore, right):
    assert value(Exact, expected, answer, ignore=ignore) == right


@FEW
@given(st.text(), st.sets(st.sampled_from(ALL)))
def test_what_is_made_normal_stays(text, ignore):
    once = normal(text, ignore)
    assert normal(once, ignore) == once


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@FEW
@given(JSON)
def test_json_is_the_same_as_itself_read_back(given):
    assert same(given, given)
    assert same(json.loads(json.dumps(given)), given)
    assert not same([given], {"x": given})


def test_the_reason_says_what_was_and_what_should_be():
    found = Exact(ScorerConfig(kind="exact")).score(case("b" * 100), "a")
    assert found.reason == f"'a' is not '{'b' * 77}...'"


@pytest.mark.parametrize(
    ("expected", "answer", "keys", "right"),
    [
        (None, "order 66", {"pattern": r"\d+"}, 1), (None, "order 66", {"pattern": r"\d+", "whole": True}, 0),
        ("^a.c$", "abc", {}, 1), (None, {"n": 5}, {"pattern": '"n":5'}, 1), ("(", "x", {}, None),
    ],
)  # fmt: skip
def test_regex(expected, answer, keys, right, matcher):
    assert value(lambda config: Regex(config, matcher), expected, answer, **keys) == right


EXPLODES, ENDLESS = "(x+x+)+y", "x" * 40


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(functions, "_CANCEL_SECONDS", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_pattern_that_finds_no_end_is_told_and_the_others_are_tried(host):
    matcher = Matcher(host, seconds=0.3)
    slow = Regex(ScorerConfig(kind="regex", pattern=EXPLODES), matcher)
    assert slow.score(case(None), "xxy").value == 1
    for _ in range(3):
        found = slow.score(case(None), ENDLESS)
        assert found.value is None
        assert "found no end within 0.3 s" in found.reason
    begun = time.monotonic()
    assert "isn't tried any more" in slow.score(case(None), ENDLESS).reason
    assert time.monotonic() - begun < 0.1
    assert (
        Regex(ScorerConfig(kind="regex", pattern="x+"), Matcher(host)).score(case(None), ENDLESS).value == 1
    )


@pytest.mark.usefixtures("impatient")
def test_a_schema_whose_pattern_finds_no_end_is_told(tmp_path, host):
    (tmp_path / "s.json").write_text(json.dumps({"properties": {"a": {"pattern": EXPLODES}}}))
    config = ScorerConfig(kind="json_schema", schema="s.json")
    ready = JsonSchema(config, tmp_path, "here", Matcher(host))
    assert (ready.score(case(None), {"a": "xxy"}).value, ready.score(case(None), {"a": "y"}).value) == (1, 0)
    found = JsonSchema(config, tmp_path, "here", Matcher(host, seconds=0.3)).score(case(None), {"a": ENDLESS})
    assert found.value is None
    assert "a pattern of the schema found no end" in found.reason


@pytest.mark.parametrize(
    ("expected", "answer", "keys", "right"),
    [
        ("b", "abc", {}, 1), (["a", "d"], "abc", {}, 0), (["a", "d"], "abc", {"match": "any"}, 1),
        (["x", "y"], "abc", {"match": "any"}, 0), ("x", "abc", {"values": ["AB"], "ignore": ["case"]}, 1),
        ("1", {"a": 1}, {}, 1),
    ],
)  # fmt: skip
def test_contains(expected, answer, keys, right):
    assert value(Contains, expected, answer, **keys) == right


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The answer is 42.", [42]), ("1,234.5 and -3", [1234.5, -3]), ("$5 for 20% of 1e3", [5, 20, 1000]),
        ("\u22127", [-7]), ("10-5", [10, 5]), ("1, 2,3", [1, 2, 3]), ("gpt4 v1.2.3", []), ("1.2.3", [1.2]),
        (".5 5. 42km", [0.5, 5, 42]), ("none", []), ("12,34", [12, 34]), ("1,2345", [1, 2345]),
    ],
)  # fmt: skip
def test_numbers_in_text(text, found):
    assert numbers(text) == found


@FEW
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_python_writes_it(number):
    assert numbers(repr(number)) == [number]


@pytest.mark.parametrize(
    ("expected", "answer", "keys", "right"),
    [
        (42, "42", {}, 1), (42, "42.0 ", {}, 1), (42, "It is 42", {}, 0), (42, 42, {}, 1),
        (42, "Not 41 but 42.", {"find": "last"}, 1), (42, "42 or 43", {"find": "last"}, 0),
        (3.14, "3.1", {"absolute": 0.05}, 1), (100, "104", {"relative": 0.05}, 1),
        (100, "106", {"relative": 0.05}, 0), (-100, "-104", {"relative": 0.05}, 1),
        (42, True, {}, 0), (42, "nan", {}, 0), (42, "none", {"find": "last"}, 0), (42, [42], {}, 0),
    ],
)  # fmt: skip
def test_number(expected, answer, keys, right):
    assert value(Number, expected, answer, **keys) == right


SCHEMA = {
    "type": "object",
    "required": ["sum"],
    "properties": {"sum": {"type": "integer"}, "next": {"$ref": "#"}},
}


@pytest.fixture
def schema(matcher):
    return functools.partial(checking, matcher)


def checking(matcher, folder, content=None, expected=None):
    keys = {}
    if content is not None:
        (folder / "s.json").write_text(content)
        keys = {"schema": "s.json"}
    made = JsonSchema(ScorerConfig(kind="json_schema", **keys), folder, "here", matcher)
    return lambda answer: made.score(case(expected), answer)


def test_json_schema(tmp_path, schema):
    check = schema(tmp_path, json.dumps(SCHEMA))
    assert check('{"sum": 3}').value == 1
    assert check({"sum": 3, "next": {"sum": 4}}).value == 1
    wrong = check('{"sum": 3, "next": {"sum": "x"}}')
    assert (wrong.value, wrong.reason) == (0, "$.next.sum: \"'x' is not of type 'integer'\"")
    assert check("```json\n{}\n```").reason.endswith("invalid character (byte 0)")
    assert schema(tmp_path, expected=SCHEMA)('{"sum": 3}').value == 1
    assert schema(tmp_path, expected={"type": "wat"})("1").value is None


def test_a_schema_is_of_the_draft_that_it_names(tmp_path, schema):
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 3, "exclusiveMaximum": True}
    check = schema(tmp_path, json.dumps(old))
    assert (check("3").value, check("2").value) == (0, 1)


@pytest.mark.parametrize(("content", "says"), [("{", "no JSON schema"), ('{"type": 3}', "no JSON schema")])
def test_what_is_no_schema_is_refused(tmp_path, content, says, schema, matcher):
    with pytest.raises(ConfigError, match=says):
        schema(tmp_path, content)
    with pytest.raises(ConfigError, match="No such file"):
        JsonSchema(ScorerConfig(kind="json_schema", schema="nowhere.json"), tmp_path, "here", matcher)


def test_nothing_is_fetched(tmp_path, schema):
    assert schema(tmp_path, '{"$ref": "http://127.0.0.1:9/x"}')("1").value is None
