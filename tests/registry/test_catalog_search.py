"""Searching the catalogue, on every database measured by the naive model."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.experiment.grammar import (
    MODELS,
    VERSIONS,
    Comparison,
    OrderKey,
    Record,
    arrange,
    complete,
    matches,
)
from treadle.kernel.errors import InvalidInput
from treadle.registry import catalog_store
from treadle.registry.catalog_search import search_models, search_versions
from treadle.registry.catalog_types import CatalogVersion

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = "a" * 32

TEXTS = st.sampled_from(["a", "A", "ab", "b%", "a_b", "é", "*[x]", "Ab"])
KEYS = st.sampled_from(["k", "k.l"])
TAGS = st.dictionaries(KEYS, TEXTS, max_size=2)
PATTERNS = TEXTS.filter(str.isascii) | st.sampled_from(["%", "A%", "_", "%[%", "a_"])
TEXT_OPS = st.sampled_from(["=", "!=", "LIKE", "ILIKE"])
ON_TAGS = st.builds(Comparison, st.just("tag"), KEYS, TEXT_OPS, PATTERNS)
ON_NAMES = st.builds(Comparison, st.just("attribute"), st.just("name"), TEXT_OPS, PATTERNS) | st.builds(
    Comparison,
    st.just("attribute"),
    st.just("name"),
    st.sampled_from(["IN", "NOT IN"]),
    st.tuples(TEXTS, TEXTS),
)
ON_NUMBERS = st.builds(
    Comparison,
    st.just("attribute"),
    st.just("version_number"),
    st.sampled_from(["=", "!=", ">", ">=", "<", "<="]),
    st.sampled_from([-(2**63), 0, 1, 2, 2**63 - 1]),
)
ON_RUNS = st.builds(Comparison, st.just("attribute"), st.just("run_id"), TEXT_OPS, PATTERNS | st.just(RUN))
PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def walk(opened, search, filters, keys, limit):
    found, token = [], None
    with opened.database.read() as connection:
        while True:
            page = search(connection, filters, keys, limit, token)
            found += page.models if hasattr(page, "models") else page.versions
            token = page.token
            if token is None:
                return found


def at(number):
    return NOON.replace(minute=number)


def micros(moment):
    return round(moment.timestamp() * 1_000_000)


@PROPERTY
@given(
    st.dictionaries(TEXTS, st.tuples(TAGS, st.integers(0, 2)), max_size=6),
    st.lists(ON_NAMES | ON_TAGS, max_size=2),
    st.sampled_from([(), (("name", False),), (("last_updated_timestamp", False),)]),
    st.integers(1, 4),
)
def test_all_pages_of_models_are_what_the_model_finds(opened, made, filters, order, limit):
    with opened.database.write() as connection:
        connection.execute(catalog_store.models.delete())
        for name, (tags, when) in made.items():
            catalog_store.insert_model(connection, name, at(when), "")
            catalog_store.put_model_tags(connection, name, tags)
    keys = complete([OrderKey("attribute", key, up) for key, up in order], MODELS)
    records = [
        Record(attributes={"name": name, "last_updated_timestamp": micros(at(when))}, tags=tags)
        for name, (tags, when) in made.items()
    ]
    wanted = [one.attributes["name"] for one in arrange(records, keys) if matches(one, filters)]
    assert [model.name for model in walk(opened, search_models, filters, keys, limit)] == wanted


@PROPERTY
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "B"]), TAGS, st.integers(0, 2), st.sampled_from(["", "ab", RUN])),
        max_size=6,
    ),
    st.lists(ON_NAMES | ON_TAGS | ON_NUMBERS | ON_RUNS, max_size=2),
    st.sampled_from(
        [(), (("version_number", True),), (("name", False),), (("creation_timestamp", True), ("name", True))]
    ),
    st.integers(1, 4),
)
def test_all_pages_of_versions_are_what_the_model_finds(opened, made, filters, order, limit):
    records = []
    with opened.database.write() as connection:
        connection.execute(catalog_store.models.delete())
        for name in ("a", "B"):
            catalog_store.insert_model(connection, name, NOON, "")
        for name, tags, when, run in made:
            number = catalog_store.next_number(connection, name)
            version = CatalogVersion(
                model=name,
                number=number,
                created_at=at(when),
                updated_at=at(when),
                source="s3://b",
                storage="s3://b",
                run=run,
                tags=tags,
            )
            catalog_store.insert_version(connection, version)
            times = {"creation_timestamp": micros(at(when)), "last_updated_timestamp": micros(at(when))}
            own = {"name": name, "version_number": number, "run_id": run or None}
            records.append(Record(attributes=own | times, tags=tags))
    keys = complete([OrderKey("attribute", key, up) for key, up in order], VERSIONS)
    kept = [one.attributes for one in arrange(records, keys) if matches(one, filters)]
    found = walk(opened, search_versions, filters, keys, limit)
    assert [(v.model, v.number) for v in found] == [(one["name"], one["version_number"]) for one in kept]


def test_what_clients_add_to_leave_prompts_out_finds_every_model(catalog):
    assert [m.name for m in catalog.search_models("tag.`mlflow.prompt.is_prompt` != 'true'").models] == [
        "wine"
    ]
    assert catalog.search_models("tag.`mlflow.prompt.is_prompt` = 'true'").models == []


@pytest.mark.parametrize(
    "how", [{"limit": 0}, {"limit": 1001}, {"token": "x"}, {"where": "x = 1"}, {"order": ["name", "name"]}]
)
def test_a_search_that_can_not_be_made(catalog, how):
    with pytest.raises(InvalidInput):
        catalog.search_models(**how)


def test_a_search_of_versions_has_up_to_200_000(catalog):
    with pytest.raises(InvalidInput, match="1 to 200,000"):
        catalog.search_versions(limit=200_001)
