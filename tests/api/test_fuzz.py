"""Whatever is posted is answered, and never with a 500."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import conftest
from treadle.api.openapi import document
from treadle.api.raw import RAW_ROUTES
from treadle.api.routes import ROUTES
from treadle.client.inprocess import InProcessTransport
from treadle.kernel.errors import ErrorBody

DOCUMENT = document(ROUTES, RAW_ROUTES)
SCHEMAS = DOCUMENT["components"]["schemas"]
POSTS = [route for route in ROUTES if route.method == "POST"]
FUZZ = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TEXTS = st.text(max_size=20) | st.sampled_from(["", "toy", "rows", "run_1", "toy/1", "\0", "..", "NaN", "7"])
NUMBERS = (
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([2**63, -(2**70)])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
MOMENTS = st.sampled_from(
    ["2026-03-01T00:00:00Z", "2026-03-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)


def like(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a schema describes, with everything that it leaves open at its strangest."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        return st.one_of([like(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("type") == "object":
        return like_object(schema)
    if schema.get("type") == "array":
        return st.lists(like(schema.get("items") or {}), max_size=3)
    return SIMPLE.get(schema.get("format") or schema.get("type", ""), JSON)


def like_object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        return st.dictionaries(TEXTS, like(schema.get("additionalProperties") or {}), max_size=3)
    every = {name: like(one) for name, one in schema["properties"].items()}
    needed = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {name: one for name, one in every.items() if name in needed},
        optional={name: one for name, one in every.items() if name not in needed},
    )


SIMPLE = {
    "date-time": MOMENTS,
    "string": TEXTS,
    "integer": st.integers() | st.sampled_from([0, 1, 2**63 - 1, 2**63, -(2**63) - 1]),
    "number": NUMBERS,
    "boolean": st.booleans(),
    "null": st.none(),
}


@pytest.fixture(scope="module")
def transport(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessTransport]:
    """A project without data: what is started ends at once."""
    root = tmp_path_factory.mktemp("fuzz")
    (root / "treadle.toml").write_text(conftest.PROJECT)
    made = InProcessTransport(root)
    run = b'{"id": "run_1", "name": "one", "started_at": "2026-03-01T00:00:00Z"}'
    assert made.send("POST", "/v1/runs", run).status == 200
    yield made
    made.close()


def check(transport: InProcessTransport, target: str, body: bytes) -> None:
    answer = transport.send("POST", target, body)
    raw = answer.read()
    assert answer.status < 500, (target, body, raw)
    if answer.status >= 400:
        assert msgspec.json.decode(raw, type=ErrorBody).message


def target(route: Any) -> str:
    known = {"run": "run_1", "model": "toy", "dataset": "rows", "experiment": "gone"}
    path = re.sub(r"{(\w+)}", lambda found: known.get(found[1], "some"), route.path)
    return f"{path}?{'&'.join(f'{one.name}=x' for one in route.query if one.required)}"


def examples(usual: int) -> Any:
    """So many examples in `make test`, and ten times as many in `make soak`."""
    return pytest.mark.parametrize("examples", [usual, pytest.param(10 * usual, marks=pytest.mark.soak)])


def try_all(transport: InProcessTransport, route: Any, bodies: st.SearchStrategy[bytes], count: int) -> None:
    @settings(FUZZ, max_examples=count)
    @given(body=bodies)
    def run(body: bytes) -> None:
        check(transport, target(route), body)

    run()


@examples(15)
@pytest.mark.parametrize("route", POSTS, ids=[route.path for route in POSTS])
def test_any_json(route: Any, transport: InProcessTransport, examples: int) -> None:
    try_all(transport, route, JSON.map(msgspec.json.encode), examples)


BODIES = [route for route in POSTS if route.body is not None]


@examples(40)
@pytest.mark.parametrize("route", BODIES, ids=[route.path for route in BODIES])
def test_anything_of_the_right_shape(route: Any, transport: InProcessTransport, examples: int) -> None:
    schema = DOCUMENT["paths"][route.path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    try_all(transport, route, like(schema).map(msgspec.json.encode), examples)


@examples(5)
@pytest.mark.parametrize("route", BODIES, ids=[route.path for route in BODIES])
def test_any_bytes(route: Any, transport: InProcessTransport, examples: int) -> None:
    try_all(transport, route, st.binary(max_size=200), examples)


QUERIES = [(route, query) for route in ROUTES for query in route.query]
ASKED = [f"{route.method} {route.path} {query.name}" for route, query in QUERIES]


@pytest.mark.parametrize(
    ("route", "query"), QUERIES, ids=[f"{r.method} {r.path} {q.name}" for r, q in QUERIES]
)
@FUZZ
@given(text=TEXTS | st.integers().map(str) | MOMENTS | st.integers().map(lambda number: f"toy/{number}"))
def test_any_query(route: Any, query: Any, text: str, transport: InProcessTransport) -> None:
    asked = target(route).replace("{cycle}", "x")
    answer = transport.send(route.method, f"{asked}&{query.name}={quote(text, safe='')}")
    assert answer.status < 500, (asked, text, answer.read())
    answer.read()


@FUZZ
@given(body=st.binary(max_size=2000))
def test_any_bytes_are_a_blob(body: bytes, transport: InProcessTransport) -> None:
    digest = msgspec.json.decode(transport.send("POST", "/v1/blobs", body).read(), type=str)
    assert transport.send("GET", f"/v1/blobs/{digest}").read() == body
