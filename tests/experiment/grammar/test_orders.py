from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.experiment.grammar import (
    EXPERIMENTS,
    LOGGED_MODELS,
    MODELS,
    RUNS,
    VERSIONS,
    LoggedModelOrder,
    OrderKey,
    complete,
    parse_experiment_order,
    parse_logged_model_order,
    parse_model_order,
    parse_run_order,
    parse_version_order,
)
from treadle.kernel.errors import InvalidInput


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (parse_run_order, "metrics.a", ("metric", "a", True)),
        (parse_run_order, "metric.a ASC", ("metric", "a", True)),
        (parse_run_order, "metrics.a  Desc", ("metric", "a", False)),
        (parse_run_order, "metrics.`a b`ASC", ("metric", "a b", True)),
        (parse_run_order, 'metrics."a/b" DESC', ("metric", "a/b", False)),
        (parse_run_order, "metrics.'a\"b' desc", ("metric", 'a"b', False)),
        (parse_run_order, "metrics.DESC", ("metric", "DESC", True)),
        (parse_run_order, "metrics.timestamp", ("metric", "timestamp", True)),
        (parse_run_order, "param.a", ("param", "a", True)),
        (parse_run_order, "tags.a.b DESC", ("tag", "a.b", False)),
        (parse_run_order, "attr.status", ("attribute", "status", True)),
        (parse_run_order, '"start_time"', ("attribute", "start_time", True)),
        (parse_run_order, "Created DESC", ("attribute", "start_time", False)),
        (parse_run_order, "run.run_id", ("attribute", "run_id", True)),
        (parse_experiment_order, "`name` DESC", ("attribute", "name", False)),
        (parse_experiment_order, "attribute.last_update_time", ("attribute", "last_update_time", True)),
        (parse_model_order, "timestamp DESC", ("attribute", "last_updated_timestamp", False)),
        (parse_model_order, "name", ("attribute", "name", True)),
        (parse_version_order, "version_number DESC", ("attribute", "version_number", False)),
        (parse_version_order, "attribute.creation_timestamp", ("attribute", "creation_timestamp", True)),
    ],
)
def test_a_key_means_what_mlflow_means_by_it(parse, text, expected):
    assert parse([text]) == (OrderKey(*expected),)


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (parse_run_order, "", "a field is expected"),
        (parse_run_order, "metrics.a b", "'b' isn't a direction"),
        (parse_run_order, "metrics.a DESC NULLS LAST", "'NULLS' is too much"),
        (parse_run_order, "metrics.a, metrics.b", "isn't a direction"),
        (parse_run_order, "-metrics.a", "has no meaning"),
        (parse_run_order, "metrics.a-b", "metrics.`a-b`"),
        (parse_run_order, "metrics.`a", "never closed"),
        (parse_run_order, "'start_time'", "a field is expected"),
        (parse_run_order, "START_TIME", "did you mean 'start_time'?"),
        (parse_run_order, "datasets.name", "isn't something"),
        (parse_run_order, "duration", "there is no attribute"),
        (parse_experiment_order, "tags.a", "isn't something"),
        (parse_experiment_order, "attributes.name", "did you mean 'attribute'?"),
        (parse_model_order, "creation_timestamp", "there is no attribute"),
        (parse_model_order, "attribute.name", "isn't something"),
        (parse_version_order, "version", "did you mean 'version_number'?"),
        (parse_version_order, "run_id", "there is no attribute"),
    ],
)
def test_what_isnt_a_key_is_refused_with_its_number(parse, text, says):
    with pytest.raises(InvalidInput, match=re.escape(says)) as refusal:
        parse([*["name"][: parse is not parse_run_order], text])
    assert refusal.value.where.startswith(f"order_by {1 + (parse is not parse_run_order)}, character")


@pytest.mark.parametrize(
    ("parse", "twice"),
    [
        (parse_run_order, ["start_time", "created DESC"]),
        (parse_run_order, ["metrics.a", "metric.`a`"]),
        (parse_model_order, ["timestamp", "last_updated_timestamp"]),
        (parse_version_order, ["name", "attribute.name DESC"]),
    ],
)
def test_a_field_named_twice_is_refused(parse, twice):
    with pytest.raises(InvalidInput, match="ordered by twice"):
        parse(twice)


def test_the_same_key_of_another_entity_is_another_field():
    assert len(parse_run_order(["metrics.a", "params.a", "tags.a"])) == 3


def test_of_a_field_named_twice_for_experiments_the_first_counts():
    assert parse_experiment_order(["name", "name DESC"]) == (OrderKey("attribute", "name"),)


def test_a_logged_models_order_is_an_object_and_its_metric_may_name_a_dataset():
    asked = [
        LoggedModelOrder("metrics.val/acc", ascending=False, dataset_name="d", dataset_digest="1"),
        LoggedModelOrder("metrics.`a b`"),
        LoggedModelOrder("creation_time", dataset_name="d"),
        LoggedModelOrder("creation_timestamp_ms", ascending=False),
    ]
    assert parse_logged_model_order(asked) == (
        OrderKey("metric", "val/acc", ascending=False, dataset_name="d", dataset_digest="1"),
        OrderKey("metric", "a b"),
        OrderKey("attribute", "creation_timestamp"),
    )


@pytest.mark.parametrize("name", ["", "metric.a", "params.a", "foo", "name ", "metrics.", "attributes.name"])
def test_a_logged_models_order_by_something_else_is_refused(name):
    with pytest.raises(InvalidInput):
        parse_logged_model_order([LoggedModelOrder(name)])


def test_an_order_is_completed_until_nothing_stands_level():
    def plain(keys, ordering):
        return [f"{key.key} {'ASC' if key.ascending else 'DESC'}" for key in complete(keys, ordering)]

    assert plain([], RUNS) == ["start_time DESC", "run_id ASC"]
    assert plain(parse_run_order(["start_time"]), RUNS) == ["start_time ASC", "run_id ASC"]
    assert plain([OrderKey("metric", "start_time")], RUNS)[1:] == ["start_time DESC", "run_id ASC"]
    assert plain([], EXPERIMENTS) == ["creation_time DESC", "experiment_id ASC"]
    assert plain(parse_experiment_order(["name"]), EXPERIMENTS) == ["name ASC", "experiment_id DESC"]
    assert plain([], MODELS) == ["name ASC"]
    assert plain([], VERSIONS) == ["last_updated_timestamp DESC", "name ASC", "version_number DESC"]
    assert plain(parse_version_order(["name DESC"]), VERSIONS) == ["name DESC", "version_number DESC"]
    assert plain([], LOGGED_MODELS) == ["creation_timestamp DESC", "model_id ASC"]


@pytest.mark.parametrize(
    "parse", [parse_run_order, parse_experiment_order, parse_model_order, parse_version_order]
)
@settings(deadline=None)  # a busy machine is no failure
@given(
    text=st.text()
    | st.lists(st.sampled_from(["name", "metrics.", "`", '"a"', " ", "DESC", ","])).map("".join)
)
def test_no_text_raises_anything_but_a_refusal(parse, text):
    with contextlib.suppress(InvalidInput):
        assert len(parse([text])) == 1


@settings(deadline=None)  # a busy machine is no failure
@given(st.text())
def test_no_field_name_raises_anything_but_a_refusal(name):
    with contextlib.suppress(InvalidInput):
        assert len(parse_logged_model_order([LoggedModelOrder(name)])) == 1
