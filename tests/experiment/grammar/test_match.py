from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.experiment.grammar import (
    OrderKey,
    Record,
    arrange,
    like,
    matches,
    parse_logged_model_filter,
    parse_run_filter,
)

RUN = Record(
    attributes={"run_id": "r1", "status": "FINISHED", "start_time": 10, "end_time": None},
    params={"depth": "6", "empty": ""},
    tags={"team": "Blue"},
    metrics={"auc": 0.5, "loss": math.nan, "top": math.inf},
    datasets=(
        {"name": "train", "digest": "1", "context": "training"},
        {"name": "test", "digest": "2", "context": None},
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        "metrics.auc = 0.5 AND metrics.auc >= 0.5 AND metrics.auc < 1",
        "metrics.loss != 0",
        "metrics.top > 1e300",
        "params.depth = '6'",
        "params.empty = ''",
        "params.empty IS NOT NULL AND params.other IS NULL",
        "tags.team LIKE 'B%' AND tags.team ILIKE 'b_UE'",
        "run_id IN ('r1', 'r2') AND run_id NOT IN ('r3')",
        "start_time > 9.5",
        "datasets.name = 'train' AND datasets.name = 'test'",
        "datasets.name != 'train'",
        "datasets.name = 'test' AND datasets.context = 'training'",
    ],
)
def test_what_holds_matches(text):
    assert matches(RUN, parse_run_filter(text))


@pytest.mark.parametrize(
    "text",
    [
        "metrics.auc > 0.5",
        "metrics.loss = 0",
        "metrics.loss < 1",
        "metrics.loss >= 0",
        "metrics.other != 1",
        "params.other != '1'",
        "params.other LIKE '%'",
        "params.depth IS NULL",
        "tags.team LIKE 'b%'",
        "end_time != 1",
        "user_id != 'x'",
        "datasets.name NOT IN ('train', 'test')",
        "datasets.context != 'training'",
        "params.depth = '6' AND tags.team = 'Red'",
    ],
)
def test_what_doesnt_hold_or_isnt_there_doesnt_match(text):
    assert not matches(RUN, parse_run_filter(text))


def test_no_condition_matches_everything():
    assert matches(Record(), ())


def test_one_of_a_logged_models_values_is_enough_for_each_comparison():
    model = Record(metrics={"acc": (0.1, 0.9)})
    assert matches(model, parse_logged_model_filter("metrics.acc > 0.8 AND metrics.acc < 0.2"))
    assert not matches(model, parse_logged_model_filter("metrics.acc > 0.95"))


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("", "", True),
        ("", "%", True),
        ("", "_", False),
        ("a\nb", "a_b", True),
        ("a\nb", "%", True),
        ("abc", "b", False),
        ("a%c", "a%%c", True),
        ("a\\c", "a\\_", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("A", "a", False),
    ],
)
def test_like_knows_two_wildcards_and_no_escape(text, pattern, expected):
    assert like(text, pattern) is expected


@settings(deadline=None)  # a busy machine is no failure
@given(st.text("ab%_\n.\\", max_size=12), st.text("ab%_\n.\\", max_size=8))
def test_like_agrees_with_a_regular_expression(text, pattern):
    expression = "".join({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern)
    assert like(text, pattern) is bool(re.fullmatch(expression, text, re.DOTALL))


def test_like_stays_quick_on_a_pattern_that_undoes_a_regular_expression():
    assert not like("a" * 2_000, "%a" * 500 + "b")


def test_values_come_in_order_then_nan_then_what_has_none():
    values = [2.0, None, math.nan, 1.0, math.inf]
    records = [
        Record(metrics={} if v is None else {"m": v}, attributes={"n": n}) for n, v in enumerate(values)
    ]

    def order(*keys):
        return [record.attributes["n"] for record in arrange(records, keys)]

    assert order(OrderKey("metric", "m")) == [3, 0, 4, 2, 1]
    assert order(OrderKey("metric", "m", ascending=False)) == [4, 0, 3, 2, 1]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(st.sampled_from("abB"), st.integers(0, 2), st.integers(0, 99)), unique=True))
def test_a_later_key_decides_only_between_equals(rows):
    records = [Record(params={"p": p}, attributes={"a": a, "n": n}) for p, a, n in rows]
    keys = (OrderKey("param", "p"), OrderKey("attribute", "a", ascending=False), OrderKey("attribute", "n"))
    found = [(r.params["p"], r.attributes["a"], r.attributes["n"]) for r in arrange(records, keys)]
    assert found == sorted(rows, key=lambda row: (row[0], -row[1], row[2]))
