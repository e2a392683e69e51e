"""Searching runs and experiments, on every database measured by the naive model."""

import base64
import math
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from searches import FILTERS, KEYS, LONG, MADE, ORDERS, RUN_LISTS, Made, expected, make, walk
from treadle.experiment import search_plan, store
from treadle.experiment.grammar import (
    Comparison,
    OrderKey,
    parse_experiment_filter,
    parse_experiment_order,
    parse_run_filter,
    parse_run_order,
)
from treadle.experiment.search import search_experiments, search_runs
from treadle.experiment.tables import experiments, runs
from treadle.kernel.database import open_database
from treadle.kernel.errors import InvalidInput

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROPERTY = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def database(metadata_url, tmp_path):
    opened = open_database(metadata_url, tmp_path)
    with opened.write() as connection:
        for name in ("one", "two"):
            store.add_experiment(connection, name, NOON, {})
    yield opened
    opened.close()


@pytest.fixture
def short_stretches(monkeypatch):
    """Small runs take every way that large ones do."""
    for name, value in {"FEW": 2, "STRETCH": 2, "PATIENCE": 5, "MANY": 7}.items():
        monkeypatch.setattr(search_plan, name, value)


def fresh(connection, made):
    connection.execute(runs.delete())
    make(connection, made)


SCOPES = st.sampled_from([["0"], ["1"], ["0", "1", "2"], ["2", "9"], []])
VIEWS = st.sampled_from(["active_only", "deleted_only", "all"])


@PROPERTY
@given(RUN_LISTS, SCOPES, FILTERS, ORDERS, VIEWS, st.integers(1, 7))
def test_all_pages_together_are_what_the_model_finds(database, made, scope, filters, order, view, limit):
    with database.write() as connection:
        fresh(connection, made)
    with database.read() as connection:
        found = walk(connection, scope, filters, order, view, limit)
    wanted = expected(made, scope, filters, order, view)
    event(f"found {len(wanted) > 0}, pages {len(wanted) > limit}")
    assert found == wanted


@PROPERTY
@given(RUN_LISTS, SCOPES, FILTERS, ORDERS, VIEWS, st.integers(1, 7))
def test_every_way_of_searching_finds_the_same(
    database, short_stretches, made, scope, filters, order, view, limit
):
    with database.write() as connection:
        fresh(connection, made)
    with database.read() as connection:
        found = walk(connection, scope, filters, order, view, limit)
    assert found == expected(made, scope, filters, order, view)


@settings(PROPERTY, max_examples=30)
@given(RUN_LISTS, st.lists(MADE, max_size=12), FILTERS, ORDERS, st.integers(1, 5))
def test_pages_stay_valid_while_runs_are_added(database, short_stretches, made, added, filters, order, limit):
    known = {one.id for one in made}
    added = list({one.id: one for one in added if one.id not in known}.values())
    with database.write() as connection:
        fresh(connection, made)
    there, found, token = list(made), [], None
    waiting = list(added)
    while True:
        with database.read() as connection:
            page = search_runs(connection, ["0", "1"], filters, order, "active_only", limit, token)
        found += [row["id"] for row in page.rows]
        token = page.token
        if token is None:
            break
        if waiting:
            there.append(waiting.pop())
            with database.write() as connection:
                make(connection, there[-1:])
    every = expected(there, ["0", "1"], filters, order, "active_only")
    assert found == [one for one in every if one in found], "in order, none twice"
    assert set(expected(made, ["0", "1"], filters, order, "active_only")) <= set(found), "none left out"


def simple(name: str, **more: object) -> Made:
    base = {
        "id": name, "experiment": "0", "name": name, "user": "", "status": "finished", "lifecycle": "active",
        "start": 0, "end": None, "metrics": {}, "params": {}, "tags": {}, "inputs": (),
    }  # fmt: skip
    return Made(**base | more)


def asked(database, where="", order=(), scope=("0",), view="active_only", limit=100, token=None):
    filters, keys = parse_run_filter(where), parse_run_order(order)
    with database.read() as connection:
        page = search_runs(connection, scope, filters, keys, view, limit, token)
    return [row["id"] for row in page.rows], page.token


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ("metrics.m ASC", ["low", "high", "nan", "none"]),
        ("metrics.m DESC", ["high", "low", "nan", "none"]),
        ("end_time", ["low", "high", "none", "nan"]),
        ("end_time DESC", ["high", "low", "none", "nan"]),
    ],
)
def test_what_has_no_value_comes_last_in_both_directions(database, order, wanted):
    made = [
        simple("low", metrics={"m": -1.0}, end=1000, start=1),
        simple("high", metrics={"m": 1.0}, end=2000, start=2),
        simple("nan", metrics={"m": math.nan}, start=3),
        simple("none", start=4),
    ]
    with database.write() as connection:
        make(connection, made)
    assert asked(database, order=[order])[0] == wanted


def test_a_status_is_written_as_the_protocol_has_it(database):
    with database.write() as connection:
        make(connection, [simple("a"), simple("b", status="failed")])
    assert asked(database, "status = 'FAILED'")[0] == ["b"]
    assert asked(database, "status = 'failed'")[0] == []
    assert asked(database, "status ILIKE 'fin%'")[0] == ["a"]


def test_a_run_among_many_experiments_is_found(database):
    with database.write() as connection:
        for number in range(700):
            store.add_experiment(connection, f"e{number}", NOON, {})
        make(connection, [simple("a", experiment="650"), simple("b", experiment="1"), simple("c")])
    assert asked(database, scope=[str(number) for number in range(1, 702)])[0] == ["a", "b"]


# ── tokens ───────────────────────────────────────────────────────────────


@pytest.fixture
def token(database):
    with database.write() as connection:
        make(connection, [simple(f"r{n}", params={"p": str(n)}, metrics={"m": math.inf}) for n in range(5)])
    _, token = asked(database, order=["metrics.m"], limit=2)
    return token


@pytest.mark.parametrize(
    "other",
    [
        {"order": ["metrics.m DESC"]},
        {"order": []},
        {"where": "params.p = '1'"},
        {"scope": ("1",)},
        {"view": "all"},
    ],
)
def test_a_token_of_another_search_is_refused(database, token, other):
    with pytest.raises(InvalidInput, match="no page token of this search"):
        asked(database, token=token, **{"order": ["metrics.m"]} | other)


@given(st.data())
@settings(PROPERTY, max_examples=40)
def test_a_garbled_token_is_refused(database, token, data):
    raw = bytearray(base64.urlsafe_b64decode(token))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidInput, match="no page token of this search"):
        asked(database, order=["metrics.m"], token=base64.urlsafe_b64encode(raw).decode())


@given(st.text(min_size=1))
@settings(PROPERTY, max_examples=40)
def test_any_other_text_is_no_token(database, text):
    with pytest.raises(InvalidInput, match="no page token of this search"):
        asked(database, token=text)


def test_another_limit_goes_on_with_the_same_token(database, token):
    assert asked(database, order=["metrics.m"], limit=50, token=token) == (["r2", "r3", "r4"], None)


# ── hostile texts ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "where",
    [
        "tags.t = 'a\0b'",
        "run_id IN ('\\x00')",
        "run_id IN ('\\ud800')",
        "tags.`a\0` = ''",
        "tags.t LIKE '" + "%a" * 30_000 + "'",
        "run_id IN (" + ", ".join(f"'{n}'" for n in range(10_001)) + ")",
        " AND ".join(["tags.t = 'x'"] * 101),
    ],
)
def test_what_no_database_could_look_for_is_refused(database, where):
    with pytest.raises(InvalidInput):
        asked(database, where)


def test_more_keys_than_a_query_has_room_for_are_refused(database):
    with pytest.raises(InvalidInput, match="up to 20 keys"):
        asked(database, order=[f"metrics.m{n}" for n in range(21)])


def test_as_much_as_may_be_asked_can_be(database):
    with database.write() as connection:
        make(connection, [simple("a", tags={"t": "x"})])
    many = ", ".join(f"'{n}'" for n in range(9_800))
    where = f"run_id NOT IN ({many}) AND " + " AND ".join(["tags.t ILIKE 'X'"] * 99)
    assert asked(database, where, [f"metrics.m{n}" for n in range(20)])[0] == ["a"]


@pytest.mark.parametrize(
    "text",
    ["'; DROP TABLE runs; --", "%", "_", "[a]", "*", "\\", "\\%", "?", "\U0001f600", LONG + "x" * 5000],
)
def test_a_text_finds_itself_alone(database, text):
    with database.write() as connection:
        make(connection, [simple("a", tags={KEYS[0]: text}), simple("b", tags={KEYS[0]: "other"})])
    with database.read() as connection:
        assert walk(connection, ["0"], [Comparison("tag", KEYS[0], "=", text)], []) == ["a"]
        literal = not set(text) & set("%_")
        assert ("b" in walk(connection, ["0"], [Comparison("tag", KEYS[0], "LIKE", text)], [])) != (
            literal or text == "_" or text == "\\%"
        )


# ── experiments ──────────────────────────────────────────────────────────


def named(database, where="", order=(), view="active_only", limit=3):
    found, token = [], None
    filters, keys = parse_experiment_filter(where), parse_experiment_order(order)
    while True:
        with database.read() as connection:
            page = search_experiments(connection, filters, keys, view, limit, token)
        found += [one.name for one in page.experiments]
        token = page.token
        if token is None:
            return found


@pytest.fixture
def many(database):
    """Experiments 3 to 14, of which every fourth is deleted."""
    with database.write() as connection:
        for number in range(3, 15):
            made = NOON.replace(minute=number // 2)
            tags = {"team": "ab"[number % 2]} if number % 3 else {}
            store.add_experiment(connection, f"Exp {number}", made, tags)
            if number % 4 == 0:
                gone = experiments.update().where(experiments.c.id == str(number))
                connection.execute(gone.values(lifecycle="deleted"))
        connection.execute(experiments.delete().where(sa.cast(experiments.c.id, sa.Integer) < 3))
    return database


@pytest.mark.parametrize(
    ("where", "order", "view", "wanted"),
    [
        ("", [], "active_only", [14, 13, 10, 11, 9, 6, 7, 5, 3]),
        ("", [], "deleted_only", [12, 8, 4]),
        ("", ["experiment_id ASC"], "all", list(range(3, 15))),
        ("", ["name"], "active_only", [10, 11, 13, 14, 3, 5, 6, 7, 9]),
        ("", ["creation_time ASC", "name DESC"], "active_only", [3, 5, 7, 6, 9, 11, 10, 13, 14]),
        ("tags.team = 'a'", ["experiment_id"], "all", [4, 8, 10, 14]),
        ("tags.team IS NULL", ["experiment_id"], "active_only", [3, 6, 9]),
        ("name LIKE 'Exp 1%' AND tags.team != 'a'", ["experiment_id"], "active_only", [11, 13]),
        ("name ILIKE 'EXP _'", ["experiment_id DESC"], "active_only", [9, 7, 6, 5, 3]),
        ("experiment_id IN ('5', '13')", [], "active_only", [13, 5]),
        ("creation_time > 1772366580000", ["experiment_id"], "active_only", [9, 10, 11, 13, 14]),
    ],
)
@pytest.mark.parametrize("limit", [1, 4, 100])
def test_experiments_are_found_page_by_page(many, where, order, view, wanted, limit):
    found = named(many, where, order, view, limit)
    if not order and not where and view == "active_only":
        wanted = [14, 13, 10, 11, 9, 6, 7, 5, 3]
    assert found == [f"Exp {number}" for number in wanted]


def test_a_token_of_another_search_of_experiments_is_refused(many):
    with many.read() as connection:
        page = search_experiments(connection, (), (), "active_only", 2, None)
        with pytest.raises(InvalidInput, match="no page token"):
            search_experiments(connection, (), (OrderKey("attribute", "name"),), "active_only", 2, page.token)
