"""What must hold for any filter: printed and read again it is itself, and no text breaks the reader."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.experiment.grammar import (
    Comparison,
    parse_experiment_filter,
    parse_logged_model_filter,
    parse_model_filter,
    parse_run_filter,
    parse_version_filter,
)
from treadle.kernel.errors import InvalidInput

PARSERS = [
    parse_run_filter,
    parse_experiment_filter,
    parse_model_filter,
    parse_version_filter,
    parse_logged_model_filter,
]
PREFIXES = {
    "metric": ["metrics.", "metric.", "`metrics`."],
    "param": ["params.", "param.", "parameters.", "parameter."],
    "tag": ["tags.", "tag."],
    "attribute": ["", "attributes.", "attribute.", "attr.", "run."],
    "dataset": ["datasets.", "dataset."],
}
SIGNS = ["=", "!=", ">", ">=", "<", "<="]
TEXT = ["=", "!=", "LIKE", "ILIKE"]
keys = st.text(min_size=1).filter(
    lambda key: not {"`", '"', "'"} <= set(key) and not ("`" in key and key.endswith("\\"))
)
texts = st.text().filter(lambda text: not ({'"', "'"} <= set(text) or text.endswith("\\")))
floats = st.floats(allow_nan=False, allow_infinity=False)
int64 = st.integers(-(2**63), 2**63 - 1)


def comparison(entity, key, ops, value):
    return st.builds(Comparison, st.just(entity), key, st.sampled_from(ops), value)


comparisons = st.one_of(
    comparison("metric", keys, SIGNS, floats),
    comparison("param", keys, TEXT, texts),
    comparison("tag", keys, TEXT, texts),
    comparison("tag", keys, ["IS NULL", "IS NOT NULL"], st.none()),
    comparison("attribute", st.sampled_from(["status", "run_name", "user_id"]), TEXT, texts),
    comparison("attribute", st.sampled_from(["start_time", "end_time"]), SIGNS, int64 | floats),
    comparison("attribute", st.just("run_id"), ["IN", "NOT IN"], st.lists(st.text(), min_size=1).map(tuple)),
    comparison("dataset", st.sampled_from(["name", "digest", "context"]), TEXT, texts),
)


def quoted(text, marks):
    """In the first kind of quote that isn't in the text and that a backslash at its end can't undo."""
    mark = next(mark for mark in marks if mark not in text and (mark == "`" or not text.endswith("\\")))
    return f"{mark}{text}{mark}"


def printed(draw, said):
    space = draw(st.sampled_from([" ", "  ", "\n", "\t "]))
    marks = draw(st.permutations("`'\""))
    prefix = draw(st.sampled_from(PREFIXES[said.entity]))
    key = said.key if said.entity in {"attribute", "dataset"} else quoted(said.key, marks)
    op = draw(st.sampled_from([said.op, said.op.lower(), said.op.title()])).replace(" ", space)
    start = f"{prefix}{key}{space}{op}"
    if said.value is None:
        return start
    if isinstance(said.value, tuple):
        escaped = (item.replace("\\", "\\\\").replace("'", "\\'") for item in said.value)
        listed = ", ".join(f"'{item}'" for item in escaped)
        return f"{start}{space}({listed})"
    value = quoted(said.value, "'\"") if isinstance(said.value, str) else repr(said.value)
    return f"{start}{space}{value}"


@settings(deadline=None)  # a busy machine is no failure
@given(st.data())
def test_a_printed_filter_reads_as_itself(data):
    said = data.draw(st.lists(comparisons, max_size=4))
    between = data.draw(st.sampled_from([" AND ", "\nand\n", "  And "]))
    text = between.join(printed(data.draw, each) for each in said)
    assert parse_run_filter(text) == tuple(said)


FIELDS = (
    "metrics. params. tags. datasets. attributes. a status start_time run_id experiment_id version_number"
)
OPERATORS = "= != >= < == <> LIKE ILIKE IN NOT IS NULL AND OR"
VALUES = """( ) , ' " ` \\ . ; -- 1 -1.5e3 'x' "y" `z` ('a','b') ('1') % _ \x00 é"""
WORDS = st.sampled_from(f"{FIELDS} {OPERATORS} {VALUES}".split())


@pytest.mark.parametrize("parse", PARSERS)
@settings(deadline=None)  # a busy machine is no failure
@given(text=st.text() | st.lists(WORDS).map(" ".join) | st.lists(WORDS).map("".join))
def test_no_text_raises_anything_but_a_refusal(parse, text):
    with contextlib.suppress(InvalidInput):
        assert all(isinstance(each, Comparison) for each in parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "'" * 100_001,
        "tags.a = '" + '\\"' * 100_000,
        "run_id IN ('" + "\\'" * 100_000,
        "`" * 99_999,
        "(" * 100_000,
        "tags.a = " + "9" * 100_000,
        "~" * 100_000,
    ],
)
def test_a_long_hostile_text_is_refused_at_once(text):
    with pytest.raises(InvalidInput):
        parse_run_filter(text)
