"""Logged models: made, changed, measured and found, on every database; the search by the naive model."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.experiment import LoggedModels, logged_store, store
from treadle.experiment.grammar import (
    LOGGED_MODELS,
    Comparison,
    LoggedModelOrder,
    OrderKey,
    Record,
    arrange,
    complete,
    matches,
)
from treadle.experiment.logged_models import HISTORY_TAG, link_models, log_model_metrics
from treadle.experiment.logged_search import search
from treadle.experiment.logged_types import DatasetFilter, LoggedModel, ModelMetric
from treadle.experiment.types import ModelLink, NewRun
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = "a" * 32


@pytest.fixture
def opened(tmp_path: Path, metadata_url: str):
    (tmp_path / "treadle.toml").write_text(f'[project]\nname = "t"\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(tmp_path)
    with workspace.database.write() as connection:
        store.add_experiment(connection, "one", NOON, {})
        store.insert_run(connection, NewRun(id=RUN, name="r", started_at=NOON), "0")
    yield workspace
    workspace.close()


@pytest.fixture
def models(opened):
    return LoggedModels(opened)


def measure(opened, *metrics):
    with opened.database.write() as connection:
        log_model_metrics(connection, metrics)


def metric(model, name="acc", value=0.5, at=0, **more):
    return ModelMetric(model=model, name=name, value=value, at=at, **{"run": RUN} | more)


def test_a_model_is_as_it_was_made(models):
    made = models.create("1", name="clf", model_type="tree", run=RUN, params={"a": "1"}, tags={"t": "é"})
    assert models.get(made.id) == made
    assert (made.status, made.lifecycle, made.run, made.model_type) == ("pending", "active", RUN, "tree")
    assert made.artifacts == f"mlflow-artifacts:/1/models/{made.id}/artifacts"
    assert made.created_at.microsecond % 1000 == 0, "clients see milliseconds: so does whoever orders by them"


def test_a_model_without_a_name_gets_one_of_its_own(models):
    first, second = models.create("0"), models.create("0", name="")
    assert first.name
    assert second.name


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "a\0b", "x" * 501])
def test_a_name_that_can_not_be_one(models, name):
    with pytest.raises(InvalidInput, match="can't be the name of a logged model"):
        models.create("0", name=name)


def test_a_model_needs_an_experiment_that_is_there(opened, models):
    with pytest.raises(NotFound, match="No Experiment with id=7"):
        models.create("7")
    with opened.database.write() as connection:
        found = store.find_experiment(connection, "1")
        store.update_experiment(connection, msgspec.structs.replace(found, lifecycle="deleted"))
    with pytest.raises(InvalidInput, match="was deleted"):
        models.create("1")


@pytest.mark.parametrize("texts", [{"": "x"}, {"k" * 251: "x"}, {"a\0": "x"}, {"k": "x" * 1_000_001}])
def test_params_and_tags_that_can_not_be_kept(models, texts):
    made = models.create("0")
    for do in (models.log_params, models.set_tags):
        with pytest.raises(InvalidInput):
            do(made.id, texts)
    assert models.get(made.id) == made


def test_a_nul_in_a_value_goes_on_every_database(models):
    made = models.create("0", params={"p": "a\0b"}, tags={"t": "\0"})
    assert (models.get(made.id).params, models.get(made.id).tags) == ({"p": "ab"}, {"t": ""})


def test_finalizing_says_whether_the_files_are_there(models):
    made = models.create("0")
    assert models.finalize(made.id, "ready").status == "ready"
    assert models.finalize(made.id, "failed").status == "failed"
    assert models.get(made.id).updated_at >= made.updated_at


def test_a_deleted_model_is_only_seen_by_who_asks_for_it(models):
    made = models.create("0", name="gone")
    models.delete(made.id)
    models.delete(made.id)
    with pytest.raises(NotFound, match=r"Logged model with ID .* not found"):
        models.get(made.id)
    assert models.get(made.id, deleted=True).lifecycle == "deleted"
    assert models.search(["0"]).models == []


def test_params_never_change(models):
    made = models.create("0", params={"a": "1"})
    models.log_params(made.id, {"a": "1", "b": "2"})
    with pytest.raises(InvalidInput, match="key='a' was already logged with value='1'"):
        models.log_params(made.id, {"a": "2", "c": "3"})
    assert models.get(made.id).params == {"a": "1", "b": "2"}


def test_tags_are_replaced_and_taken_away(models):
    made = models.create("0", tags={"a": "1"})
    assert models.set_tags(made.id, {"a": "2", "b": "3"}).tags == {"a": "2", "b": "3"}
    models.delete_tag(made.id, "a")
    assert models.get(made.id).tags == {"b": "3"}
    with pytest.raises(NotFound, match="No tag with key 'a'"):
        models.delete_tag(made.id, "a")


@pytest.mark.parametrize("name", ["m-none", "m-\0", "", "x" * 5000])
def test_a_model_that_is_not_there(models, name):
    for do in (
        models.get,
        models.delete,
        lambda one: models.finalize(one, "ready"),
        lambda one: models.set_tags(one, {"a": "b"}),
        lambda one: models.delete_tag(one, "a"),
        lambda one: models.log_params(one, {"a": "b"}),
    ):
        with pytest.raises(NotFound, match=r"Logged model with ID .* not found"):
            do(name)


def test_metrics_are_kept_once_each(opened, models):
    made = models.create("0")
    same = metric(made.id, at=1000, dataset_name="d", dataset_digest="1")
    other = metric(made.id, at=1000, dataset_name="e")
    measure(opened, same, other, same)
    measure(opened, same, metric(made.id, "nan", math.nan), metric(made.id, "inf", math.inf))
    found = {(m.name, m.dataset_name): m.value for m in models.get(made.id).metrics}
    assert found == {
        ("acc", "d"): 0.5,
        ("acc", "e"): 0.5,
        ("nan", ""): found["nan", ""],
        ("inf", ""): found["inf", ""],
    }
    assert math.isnan(found["nan", ""])
    assert found["inf", ""] > 1e308
    assert len(models.get(made.id).metrics) == 4


def test_metrics_of_a_model_that_is_not_there_keep_nothing(opened, models):
    made = models.create("0")
    with pytest.raises(NotFound, match="Logged model with ID 'm-no' not found"):
        measure(opened, metric(made.id), metric("m-no"))
    with pytest.raises(InvalidInput):
        measure(opened, metric(made.id, dataset_name="\0"))
    assert models.get(made.id).metrics == ()


def test_runs_are_linked_with_what_they_used_and_made(models):
    made, other = models.create("0"), models.create("0")
    models.link(RUN, [ModelLink(made.id, "output", 3), ModelLink(other.id, "output", 1)])
    models.link(RUN, [ModelLink(made.id, "output", 3), ModelLink(made.id, "input")])
    assert models.links([RUN, "unknown"]) == {
        RUN: [
            ModelLink(made.id, "input"),
            ModelLink(other.id, "output", 1),
            ModelLink(made.id, "output", 3),
        ]
    }


def test_a_run_that_can_not_be_linked(opened, models):
    with pytest.raises(NotFound, match=r"Run with id=.* not found"):
        models.link("b" * 32, [ModelLink("m-1", "output")])
    with pytest.raises(InvalidInput), opened.database.write() as connection:
        link_models(connection, RUN, [ModelLink("", "output")])
    with pytest.raises(InvalidInput), opened.database.write() as connection:
        link_models(connection, RUN, [ModelLink("m-1", "output", 2**63)])
    with opened.database.write() as connection:
        store.delete_runs(connection, "0", datetime.now(UTC))
    with pytest.raises(InvalidInput, match="must be in the 'active' state"):
        models.link(RUN, [ModelLink("m-1", "output")])
    assert models.links([RUN]) == {}


def test_a_runs_history_of_models_grows(opened, models):
    models.record(RUN, {"artifact_path": "a"})
    models.record(RUN, {"artifact_path": "b"})
    with opened.database.read() as connection:
        tags = store.exact_run(connection, RUN).tags
    assert msgspec.json.decode(tags[HISTORY_TAG]) == [{"artifact_path": "a"}, {"artifact_path": "b"}]


def test_a_metric_counts_only_on_the_datasets_asked_for(opened, models):
    first, second = (models.create("0", name=name) for name in ("first", "second"))
    measure(
        opened,
        metric(first.id, value=0.9, dataset_name="train", dataset_digest="1"),
        metric(first.id, value=0.6, dataset_name="test", dataset_digest="1"),
        metric(second.id, value=0.7, dataset_name="test", dataset_digest="2"),
    )

    def names(where="", datasets=(), **order):
        asked = [LoggedModelOrder("metrics.acc", ascending=False, **order)]
        return [m.name for m in models.search(["0"], where=where, datasets=datasets, order=asked).models]

    assert names("metrics.acc > 0.8") == ["first"]
    assert names("metrics.acc > 0.8", [DatasetFilter("test")]) == []
    assert names("metrics.acc > 0.65", [DatasetFilter("test")]) == ["second"]
    assert names("metrics.acc > 0.5", [DatasetFilter("test", "1"), DatasetFilter("none")]) == ["first"]
    assert names(datasets=[DatasetFilter("train")]) == ["first"]
    assert names(dataset_name="test") == ["second", "first"]
    assert names(dataset_name="test", dataset_digest="1") == ["first", "second"]


def test_a_model_is_ordered_by_its_latest_value(opened, models):
    first, second = (models.create("0", name=name) for name in ("first", "second"))
    measure(
        opened,
        metric(first.id, value=9.0, at=1),
        metric(first.id, value=1.0, at=2),
        metric(second.id, value=5.0),
    )
    found = models.search(["0"], order=[LoggedModelOrder("metrics.acc")]).models
    assert [model.name for model in found] == ["first", "second"]


@pytest.mark.parametrize(
    "how",
    [
        {"limit": 0},
        {"limit": 1001},
        {"token": "x"},
        {"token": "W10="},
        {"datasets": [DatasetFilter("")]},
        {"where": "nothing = 'x'"},
        {"where": "name = 'a\0'"},
        {"where": f"name LIKE '{'%a' * 6000}'"},
        {"order": [LoggedModelOrder("params.a")]},
    ],
)
def test_a_search_that_can_not_be_made(models, how):
    models.create("0")
    with pytest.raises(InvalidInput):
        models.search(["0"], **how)


def test_a_page_token_is_good_for_its_own_search_alone(models):
    for _ in range(3):
        models.create("0")
    token = models.search(["0"], limit=2).token
    assert len(models.search(["0"], limit=1, token=token).models) == 1
    for other in ({"where": "name != 'x'"}, {"order": [LoggedModelOrder("name")]}):
        with pytest.raises(InvalidInput, match="no page token of this search"):
            models.search(["0"], token=token, **other)


# ── the search, by the naive model ───────────────────────────────────────

TEXTS = st.sampled_from(["", "a", "A", "ab", "a%", "a_b", "[a]", "*", "é", "B", "b'", "\\"])
NAMES = st.sampled_from(["a", "b.c", "A"])
FLOATS = st.sampled_from([0.0, -1.5, 2.0, 1e300, math.nan])
METRICS = st.lists(st.tuples(NAMES, FLOATS, st.integers(0, 3), st.sampled_from(["", "d"])), max_size=4)


@st.composite
def collections(draw):
    found = []
    for number in range(draw(st.integers(0, 7))):
        at = NOON + timedelta(milliseconds=draw(st.integers(0, 2)))
        made = LoggedModel(
            id=f"m-{number}",
            experiment=draw(st.sampled_from(["0", "1"])),
            name=draw(TEXTS),
            artifacts="mlflow-artifacts:/0",
            status=draw(st.sampled_from(["pending", "ready"])),
            model_type=draw(TEXTS),
            run=draw(st.sampled_from(["", "r"])),
            created_at=at,
            updated_at=at,
            params=draw(st.dictionaries(NAMES, TEXTS, max_size=2)),
            tags=draw(st.dictionaries(NAMES, TEXTS, max_size=2)),
            metrics=tuple(
                metric(f"m-{number}", n, v, at=at_, run="r", dataset_name=d)
                for n, v, at_, d in {(n, a, d): (n, v, a, d) for n, v, a, d in draw(METRICS)}.values()
            ),
        )
        found.append(made)
    return found


TEXT_OPS = st.sampled_from(["=", "!=", "LIKE", "ILIKE"])
LISTS = st.lists(TEXTS, min_size=1, max_size=2).map(tuple)
SIGNS = st.sampled_from(["=", "!=", ">", ">=", "<", "<="])
PATTERNS = TEXTS.filter(str.isascii) | st.sampled_from(["%", "a%", "_", "%B", "%[a%", "A_"])


@st.composite
def comparisons(draw):
    entity = draw(st.sampled_from(["attribute", "param", "tag", "metric", "time"]))
    if entity == "metric":
        return Comparison("metric", draw(NAMES), draw(SIGNS), draw(FLOATS.filter(lambda v: v == v)))
    if entity == "time":
        base = round(NOON.timestamp() * 1000)
        value = draw(st.sampled_from([base, base + 1, base + 0.5, 0, 2**62]))
        return Comparison("attribute", "creation_timestamp", draw(SIGNS), value)
    key = (
        draw(st.sampled_from(["name", "model_type", "source_run_id", "status"]))
        if entity == "attribute"
        else draw(NAMES)
    )
    if draw(st.booleans()):
        return Comparison(entity, key, draw(st.sampled_from(["IN", "NOT IN"])), draw(LISTS))
    return Comparison(entity, key, draw(TEXT_OPS), draw(PATTERNS | st.just("READY")))


KEYS = st.builds(
    OrderKey,
    st.just("attribute"),
    st.sampled_from(["name", "status", "model_type", "source_run_id", "creation_timestamp"]),
    st.booleans(),
) | st.builds(OrderKey, st.just("metric"), NAMES, st.booleans())


def record(model):
    latest: dict[str, list[float]] = {}
    # As the order has it: the latest, then the rest; of one time, the dataset without a name comes first.
    for one in sorted(model.metrics, key=lambda m: (-m.at, m.dataset_name)):
        latest.setdefault(one.name, []).append(one.value)
    return Record(
        attributes={
            "model_id": model.id,
            "name": model.name,
            "model_type": model.model_type or None,
            "source_run_id": model.run or None,
            "status": model.status.upper(),
            "creation_timestamp": round(model.created_at.timestamp() * 1000),
        },
        params=model.params,
        tags=model.tags,
        metrics={name: tuple(values) for name, values in latest.items()},
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    collections(),
    st.lists(comparisons(), max_size=2),
    st.lists(KEYS, max_size=2, unique_by=lambda key: key.key),
    st.integers(1, 4),
)
def test_all_pages_together_are_what_the_model_finds(opened, made, filters, order, limit):
    with opened.database.write() as connection:
        connection.execute(logged_store.logged_models.delete())
        for one in made:
            logged_store.insert_model(connection, one)
            log_model_metrics(connection, one.metrics)
    keys = complete(order, LOGGED_MODELS)
    here = [record(one) for one in made if one.experiment == "0"]
    wanted = [one.attributes["model_id"] for one in arrange(here, keys) if matches(one, filters)]
    found, token = [], None
    with opened.database.read() as connection:
        while True:
            page = search(
                connection, ["0"], filters=filters, datasets=(), order=keys, limit=limit, token=token
            )
            found += [model.id for model in page.models]
            token = page.token
            if token is None:
                break
    assert found == wanted
