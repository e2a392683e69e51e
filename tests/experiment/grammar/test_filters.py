"""A table of filters, each checked by hand against what MLflow 3.17's own parser and store say."""

from __future__ import annotations

import math

import pytest

from treadle.experiment.grammar import (
    Comparison,
    parse_experiment_filter,
    parse_logged_model_filter,
    parse_model_filter,
    parse_run_filter,
    parse_version_filter,
)

ACCEPTED_RUNS = [
    ("metrics.a > 1", "metric", "a", ">", 1.0),
    ("metric.a >= -1.5e-3", "metric", "a", ">=", -0.0015),
    ("metrics.a = 1E3", "metric", "a", "=", 1000.0),
    ("metrics.a < .5", "metric", "a", "<", 0.5),
    ("metrics.a <= 1.", "metric", "a", "<=", 1.0),
    ("metrics.a=-.5", "metric", "a", "=", -0.5),
    ("metrics.a>-1", "metric", "a", ">", -1.0),
    ("metrics.a = 00012", "metric", "a", "=", 12.0),
    ("metrics.a > 1e999", "metric", "a", ">", math.inf),
    ("metrics.a > 12345678901234567890123", "metric", "a", ">", 12345678901234567890123.0),
    ("metrics.a != 1", "metric", "a", "!=", 1.0),
    ("metrics.`a b` > 1", "metric", "a b", ">", 1.0),
    ('metrics."a b" > 1', "metric", "a b", ">", 1.0),
    ("metrics.'a b' > 1", "metric", "a b", ">", 1.0),
    ("metrics.`val/acc` > 1", "metric", "val/acc", ">", 1.0),
    ("metrics.a.b > 1", "metric", "a.b", ">", 1.0),
    ("metrics.`a.b` > 1", "metric", "a.b", ">", 1.0),
    ("metrics.`a``b` > 1", "metric", "a``b", ">", 1.0),
    ("metrics.top_5 > 1", "metric", "top_5", ">", 1.0),
    ("metrics.5fold > 1", "metric", "5fold", ">", 1.0),
    ("metrics.é > 1", "metric", "é", ">", 1.0),
    ("metrics.* > 1", "metric", "*", ">", 1.0),
    ("`metrics`.a > 1", "metric", "a", ">", 1.0),
    ("params.a = 'x'", "param", "a", "=", "x"),
    ("param.a = 'x'", "param", "a", "=", "x"),
    ("parameter.a='x'", "param", "a", "=", "x"),
    ("parameters.a != 'x'", "param", "a", "!=", "x"),
    ("params.and = 'x'", "param", "and", "=", "x"),
    ("params.order = 'x'", "param", "order", "=", "x"),
    ("params.null IS NULL", "param", "null", "IS NULL", None),
    ("params.a is null", "param", "a", "IS NULL", None),
    ("params.\"it's\" = 'x'", "param", "it's", "=", "x"),
    ("params.`\"a\"` = 'x'", "param", '"a"', "=", "x"),
    ('tags.a = "it\'s"', "tag", "a", "=", "it's"),
    ("tag.a = 'x'", "tag", "a", "=", "x"),
    ("tags.a = 'it''s'", "tag", "a", "=", "it''s"),
    (r"tags.a = 'it\'s'", "tag", "a", "=", r"it\'s"),
    ('tags.a = "a""b"', "tag", "a", "=", 'a""b'),
    ("tags.a = 'a\"b'", "tag", "a", "=", 'a"b'),
    ("tags.a = ''", "tag", "a", "=", ""),
    (r"tags.a = 'a\\'", "tag", "a", "=", r"a\\"),
    (r"tags.a = 'a\nb'", "tag", "a", "=", r"a\nb"),
    ("tags.a = 'x\ny'", "tag", "a", "=", "x\ny"),
    ("tags.a like 'a%'", "tag", "a", "LIKE", "a%"),
    ("tags.a ILIKE'a_'", "tag", "a", "ILIKE", "a_"),
    ("tags.a IS NOT NULL", "tag", "a", "IS NOT NULL", None),
    ("tags.a Is  Not\nNull", "tag", "a", "IS NOT NULL", None),
    ("tags.`a.b` is null", "tag", "a.b", "IS NULL", None),
    ("tags.mlflow.runName = 'x'", "tag", "mlflow.runName", "=", "x"),
    ("tags.a\n=\n'x'", "tag", "a", "=", "x"),
    ("tags.a\xa0= 'x'", "tag", "a", "=", "x"),
    ("status = 'FINISHED'", "attribute", "status", "=", "FINISHED"),
    ("attribute.status = 'x'", "attribute", "status", "=", "x"),
    ("attributes.`status` LIKE 'x'", "attribute", "status", "LIKE", "x"),
    ('attr.status != "x"', "attribute", "status", "!=", "x"),
    ("run.status = 'x'", "attribute", "status", "=", "x"),
    ("\"status\" = 'x'", "attribute", "status", "=", "x"),
    ("`status` = 'x'", "attribute", "status", "=", "x"),
    ("user_id = 'x'", "attribute", "user_id", "=", "x"),
    ("artifact_uri LIKE 's3%'", "attribute", "artifact_uri", "LIKE", "s3%"),
    ("run_id IN ('a','b')", "attribute", "run_id", "IN", ("a", "b")),
    ("run_id NOT IN ('a', \"b\",)", "attribute", "run_id", "NOT IN", ("a", "b")),
    ("attributes.run_id not\nin('x')", "attribute", "run_id", "NOT IN", ("x",)),
    (r"run_id IN ('it\'s', 'a\tb')", "attribute", "run_id", "IN", ("it's", "a\tb")),
    (r"run_id IN ('a\\', '\x41\u0042')", "attribute", "run_id", "IN", ("a\\", "AB")),
    ("run_id IN ('a' 'b', 'c')", "attribute", "run_id", "IN", ("ab", "c")),
    ("start_time > 1700000000000", "attribute", "start_time", ">", 1700000000000),
    ("start_time > 1.5", "attribute", "start_time", ">", 1.5),
    ("end_time < 1e5", "attribute", "end_time", "<", 100000.0),
    ("start_time = 007", "attribute", "start_time", "=", 7),
    ("created > 1", "attribute", "start_time", ">", 1),
    ("attribute.Created > 1", "attribute", "start_time", ">", 1),
    ("run_name = 'x'", "attribute", "run_name", "=", "x"),
    ("`run name` = 'x'", "attribute", "run_name", "=", "x"),
    ("attributes.\"Run Name\" ILIKE 'x'", "attribute", "run_name", "ILIKE", "x"),
    ("datasets.name = 'x'", "dataset", "name", "=", "x"),
    ("dataset.digest LIKE 'x%'", "dataset", "digest", "LIKE", "x%"),
    ("datasets.context IN ('a','b')", "dataset", "context", "IN", ("a", "b")),
]
ACCEPTED_EXPERIMENTS = [
    ("name = 'x'", "attribute", "name", "=", "x"),
    ("attribute.name ilike 'x%'", "attribute", "name", "ILIKE", "x%"),
    ("experiment_id = '1'", "attribute", "experiment_id", "=", "1"),
    ("experiment_id = ' 01 '", "attribute", "experiment_id", "=", "1"),
    ("experiment_id NOT IN ('1','2')", "attribute", "experiment_id", "NOT IN", ("1", "2")),
    ("creation_time > 1", "attribute", "creation_time", ">", 1),
    ("last_update_time <= 5", "attribute", "last_update_time", "<=", 5),
    ("tags.`a b` = 'x'", "tag", "a b", "=", "x"),
    ("tag.a IS NOT NULL", "tag", "a", "IS NOT NULL", None),
]
ACCEPTED_MODELS = [
    ("name ilike '%x'", "attribute", "name", "ILIKE", "%x"),
    ("attribute.name != 'x'", "attribute", "name", "!=", "x"),
    ("name NOT IN ('a')", "attribute", "name", "NOT IN", ("a",)),
    ("tags.`mlflow.prompt.is_prompt` = 'true'", "tag", "mlflow.prompt.is_prompt", "=", "true"),
]
ACCEPTED_VERSIONS = [
    ("name IN ('a')", "attribute", "name", "IN", ("a",)),
    ("run_id NOT IN ('a')", "attribute", "run_id", "NOT IN", ("a",)),
    ("source_path LIKE 'x'", "attribute", "source_path", "LIKE", "x"),
    ("version_number >= 2", "attribute", "version_number", ">=", 2),
    ("version_number = '2'", "attribute", "version_number", "=", 2),
    ("tag.a = 'x'", "tag", "a", "=", "x"),
]
ACCEPTED_LOGGED = [
    ("name IN ('a')", "attribute", "name", "IN", ("a",)),
    ("attributes.model_id = 'x'", "attribute", "model_id", "=", "x"),
    ("source_run_id = 'x'", "attribute", "source_run_id", "=", "x"),
    ("status = READY", "attribute", "status", "=", "READY"),
    ("model_type ilike 'x'", "attribute", "model_type", "ILIKE", "x"),
    ("creation_timestamp > 1", "attribute", "creation_timestamp", ">", 1),
    ("creation_time > 1.5", "attribute", "creation_timestamp", ">", 1.5),
    ("creation_timestamp_ms > 1", "attribute", "creation_timestamp", ">", 1),
    ("last_updated_timestamp_ms > 1", "attribute", "last_updated_timestamp", ">", 1),
    ("metrics.a/b > -1e3", "metric", "a/b", ">", -1000.0),
    ("params.a = 0.010", "param", "a", "=", "0.010"),
    ("params.a in ('x', 'y')", "param", "a", "IN", ("x", "y")),
    ("tags.`a b` NOT IN ('x')", "tag", "a b", "NOT IN", ("x",)),
]
PARSERS = {
    parse_run_filter: ACCEPTED_RUNS,
    parse_experiment_filter: ACCEPTED_EXPERIMENTS,
    parse_model_filter: ACCEPTED_MODELS,
    parse_version_filter: ACCEPTED_VERSIONS,
    parse_logged_model_filter: ACCEPTED_LOGGED,
}


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        pytest.param(parse, text, Comparison(*parts), id=f"{parse.__name__}-{text!a}")
        for parse, table in PARSERS.items()
        for text, *parts in table
    ],
)
def test_one_comparison_means_what_mlflow_means_by_it(parse, text, expected):
    (found,) = parse(text)
    assert found == expected
    assert type(found.value) is type(expected.value)


@pytest.mark.parametrize("parse", PARSERS)
def test_an_empty_filter_compares_nothing(parse):
    assert parse("") == ()
    assert parse("AND") == ()


@pytest.mark.parametrize("between", [" AND ", " and ", " ", " AND\nAND ", " And "])
def test_comparisons_are_joined_by_and_however_sloppily(between):
    found = parse_run_filter(f"AND tags.a = 'x'{between}metrics.b > 1{between}tags.c IS NULL AND")
    assert [(c.entity, c.key) for c in found] == [("tag", "a"), ("metric", "b"), ("tag", "c")]
