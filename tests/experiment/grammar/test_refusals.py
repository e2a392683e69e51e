"""A table of what isn't a filter: MLflow refuses each too, unless the table says otherwise."""

from __future__ import annotations

import re

import pytest

from treadle.experiment.grammar import (
    parse_experiment_filter,
    parse_logged_model_filter,
    parse_model_filter,
    parse_run_filter,
    parse_version_filter,
)
from treadle.kernel.errors import InvalidInput

REFUSED_RUNS = [
    (" ", 1, "white space"),
    ("metrics.a > +1", 13, "'+' has no meaning"),
    ("metrics.a > - 1", 13, "'-' has no meaning"),
    ("metrics.a > 0x10", 13, "'0x10' isn't a number"),
    ("metrics.a > 1_000", 13, "isn't a number"),
    ("metrics.a > 1e", 13, "isn't a number"),
    ("metrics.a > 1.5.2", 13, "isn't a number"),
    ("metrics.a > nan", 13, "number"),
    ("metrics.a > '1'", 13, "write a number without quotes"),
    ("metrics.a LIKE '1'", 11, "LIKE can't be used with the metric 'a'"),
    ("metrics.a IN ('1')", 11, "IN can't"),
    ("metrics.a IS NULL", 11, "IS NULL can't"),
    ("metrics.a == 1", 11, "write ="),
    ("metrics.a <> 1", 11, "write !="),
    ("metrics.a => 1", 11, "write >="),
    ("metrics.a BETWEEN 1 AND 2", 11, "isn't an operator"),
    ("metrics.a > > 1", 13, "number"),
    ("metrics.a", 10, "the operator is missing"),
    ("metrics.a >", 12, "the value is missing"),
    ("metrics.a > 1 2", 15, "a field is expected"),
    ("1 < metrics.a", 1, "a field is expected"),
    ("metrics.a > 1 OR metrics.b < 2", 15, "OR isn't offered"),
    ("NOT metrics.a > 1", 1, "use != or NOT IN"),
    ("(metrics.a > 1)", 1, "no parentheses"),
    ("metrics.a > 1;", 14, "without ';'"),
    ("metrics.a/b > 1", 1, "metrics.`a/b`"),
    ("metrics.f1-score > 1", 1, "metrics.`f1-score`"),
    ("metrics.a b > 1", 11, "isn't an operator"),
    ("metrics. > 1", 1, "key of the metric is missing"),  # MLflow: matches nothing
    ("params.`a`.b = 'x'", 11, "the whole key"),  # MLflow: takes the backticks for a part of the key
    ("metrics.`a > 1", 9, "never closed"),
    ("Metrics.a > 1", 1, "did you mean 'metrics'?"),
    ("foo.a > 1", 1, "known: attributes, datasets, metrics, params, tags"),
    ("loss > 1", 1, "a metric is written metrics.loss"),
    ("STATUS = 'x'", 1, "did you mean 'status'?"),
    ("lifecycle_stage = 'active'", 1, "there is no attribute"),
    ("run name = 'x'", 1, "there is no attribute 'run'"),
    ("'status' = 'x'", 1, "a field is expected"),
    ("tags.a = x", 10, "write 'x'"),
    ("tags.a = `x`", 10, "write 'x'"),
    ("tags.a = 1", 10, "write '1'"),
    ("tags.a = null", 10, "quoted text is expected"),
    ("tags.a = 'x", 10, "never closed"),
    ("tags.a = 'x' 'y'", 14, "a field is expected"),
    ("tags.a = 'x', tags.b = 'y'", 13, "a field is expected"),
    ("tags.a = 'x' -- c", 14, "has no meaning"),
    ("tags.a = 'x' /* c */", 14, "has no meaning"),
    ("tags.a NOT LIKE 'a'", 8, "isn't an operator"),
    ("tags.a NOT NULL", 8, "isn't an operator"),
    ("tags.a IN ('a')", 8, "use =, !=, LIKE, ILIKE, IS NULL, IS NOT NULL"),
    ("tags.a > 'x'", 8, "> can't be used"),
    ("status IS NULL", 8, "IS NULL can't"),
    ("status IN ('a')", 8, "IN can't"),
    ("run_id IN ()", 12, "quoted text is expected"),
    ("run_id IN (1)", 12, "write '1'"),
    ("run_id IN (a)", 12, "write 'a'"),
    ("run_id IN ('a'", 15, "isn't closed"),
    ("run_id IN ('a',,'b')", 16, "quoted text is expected"),
    ("run_id IN (('a'))", 12, "quoted text is expected"),  # MLflow: takes the inner list
    ("run_id IN 'a'", 11, "in parentheses"),
    ("run_id = ('a')", 10, "only with IN"),
    ("start_time > '1'", 14, "number"),
    ("start_time > 99999999999999999999", 14, "64 bits"),
    ("datasets.profile = 'x'", 1, "there is no dataset 'profile'"),
    ("datasets.name IS NULL", 15, "IS NULL can't"),
]
REFUSED_EXPERIMENTS = [
    ("attributes.name = 'x'", 1, "did you mean 'attribute'?"),
    ("metrics.a > 1", 1, "isn't something to search by"),
    ("name IN ('a')", 6, "IN can't"),
    ("experiment_id = 1", 17, "write '1'"),
    ("experiment_id = 'x'", 17, "isn't an integer"),
    ("experiment_id IN ('1', 'x')", 24, "isn't an integer"),
    ("experiment_id LIKE '1'", 15, "LIKE can't"),
    ("creation_time > 1.0", 17, "isn't an integer"),
    ("creation_time IS NULL", 15, "IS NULL can't"),
]
REFUSED_MODELS = [
    ("tags.a IS NULL", 8, "IS NULL can't"),
    ("creation_timestamp > 1", 1, "known: name"),
    ("name = 1", 8, "quoted text"),
    ("name > 'x'", 6, "> can't"),
]
REFUSED_VERSIONS = [
    ("version = 1", 1, "did you mean 'version_number'?"),
    ("version_number = 1.0", 18, "isn't an integer"),
    ("version_number = 'x'", 18, "isn't an integer"),
    ("version_number LIKE '1'", 16, "LIKE can't"),
    ("source_path IN ('x')", 13, "IN can't"),
    ("current_stage = 'x'", 1, "there is no attribute"),
]
REFUSED_LOGGED = [
    ("metric.a > 1", 1, "did you mean 'metrics'?"),
    ("datasets.name = 'x'", 1, "isn't something to search by"),
    ("params.a IS NULL", 10, "IS NULL can't"),
    ("params.a IN (x)", 14, "write 'x'"),
    ("metrics.a > '1'", 13, "number"),
    ("last_updated_time > 1", 1, "did you mean 'last_updated_timestamp'?"),
    ("name = 'x' OR name = 'y'", 12, "OR isn't offered"),
]
REFUSED = {
    parse_run_filter: REFUSED_RUNS,
    parse_experiment_filter: REFUSED_EXPERIMENTS,
    parse_model_filter: REFUSED_MODELS,
    parse_version_filter: REFUSED_VERSIONS,
    parse_logged_model_filter: REFUSED_LOGGED,
}


@pytest.mark.parametrize(
    ("parse", "text", "at", "says"),
    [
        pytest.param(parse, *row, id=f"{parse.__name__}-{row[0]}")
        for parse, table in REFUSED.items()
        for row in table
    ],
)
def test_what_isnt_a_filter_is_refused_with_its_place_and_a_way_out(parse, text, at, says):
    with pytest.raises(InvalidInput, match=re.escape(says)) as refusal:
        parse(text)
    assert refusal.value.where == f"filter, character {at}"
    assert refusal.value.fix


def test_a_huge_filter_is_refused_in_one_short_message():
    with pytest.raises(InvalidInput) as refusal:
        parse_run_filter("x" * 1_000_000 + " > 1")
    assert len(str(refusal.value)) < 500
