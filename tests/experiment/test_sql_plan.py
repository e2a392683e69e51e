"""What may be left unread: seen by what is pushed down, and by answers that stay the same."""
# ruff: noqa: E501 - a query a line

from __future__ import annotations

import duckdb
import msgspec
import pytest

from treadle.experiment.sql_plan import Need, needs


def plan(query: str) -> dict[str, Need]:
    raw = duckdb.connect().execute("SELECT json_serialize_sql($1)", [query]).fetchall()[0][0]
    return needs(msgspec.json.decode(raw))


@pytest.mark.parametrize(
    ("query", "table", "need"),
    [
        ("SELECT * FROM points WHERE run = 'a' AND 'loss' = name", "points", Need({"run": ("a",), "name": ("loss",)})),
        ("SELECT * FROM points WHERE name IN ('a', 'b') AND value > 3", "points", Need({"name": ("a", "b")})),
        ("SELECT * FROM points WHERE name IN ('a', 'b') AND name = 'b'", "points", Need({"name": ("b",)})),
        ("SELECT * FROM points p, runs r WHERE p.run = r.id AND r.experiment = 'x'", "points", Need({}, True)),
        ("SELECT * FROM points p JOIN runs r ON r.id = p.run WHERE r.status = 'failed'", "runs", Need({"status": ("failed",)})),
        ("SELECT * FROM (SELECT * FROM tags WHERE name = 'host') t LEFT JOIN runs r ON r.id = t.run", "tags", Need({"name": ("host",)})),
        ("WITH p AS (SELECT * FROM POINTS WHERE NAME = 'loss') SELECT * FROM p a, p b", "points", Need({"name": ("loss",)})),
    ],
)  # fmt: skip
def test_what_is_pushed_down(query, table, need):
    assert plan(query)[table] == need


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM points WHERE run = 'a' OR name = 'b'",
        "SELECT * FROM points WHERE NOT (run = 'a')",
        "SELECT * FROM points WHERE name = 'a' UNION ALL SELECT * FROM points WHERE name = 'b'",
        "SELECT * FROM points a, points b WHERE a.name = 'x' AND b.name = 'y'",
        "SELECT * FROM runs LEFT JOIN points ON run = id AND points.name = 'loss'",
        "SELECT * FROM runs r LEFT JOIN points p ON p.run = r.id WHERE r.name = 'x'",
        "SELECT count(*) FILTER (WHERE name = 'loss') FROM points",
        "SELECT * FROM points WHERE value = 'a'",
        "SELECT * FROM points WHERE name = lower('A')",
        "SELECT * FROM points WHERE name IN ('a', lower('B'))",
        "SELECT * FROM points WHERE name NOT IN ('a')",
        "SELECT * FROM points, tags WHERE name = 'a'",
        "WITH points AS (SELECT 1 AS run, 'x' AS name) SELECT * FROM points WHERE name = 'x'",
        "SELECT * FROM points AS p(a, name) WHERE name = 'a'",
        "SELECT * FROM points QUALIFY name = 'a'",
    ],
)
def test_what_is_not_understood_is_not_used(query):
    found = plan(query).get("points", Need())
    assert found == Need()
