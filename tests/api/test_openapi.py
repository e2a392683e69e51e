"""The OpenAPI document is whole, and what it says is what is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from treadle.api.openapi import document
from treadle.api.raw import RAW_ROUTES
from treadle.api.routes import ROUTES
from treadle.kernel.errors import ErrorBody

DOCUMENT = document(ROUTES, RAW_ROUTES)
OPERATIONS = [(method, path, one) for path, item in DOCUMENT["paths"].items() for method, one in item.items()]
NAMES = [f"{method} {path}" for method, path, _ in OPERATIONS]
# Tables, reviews and incidents are asked of elsewhere: this project has none.
READS = [
    r
    for r in ROUTES
    if r.method == "GET"
    and not r.path.startswith("/v1/data/tables/")
    and "/reviews/" not in r.path
    and "{incident}" not in r.path
]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def test_every_reference_resolves() -> None:
    assert (DOCUMENT["openapi"], set(DOCUMENT["info"])) == ("3.1.0", {"title", "version"})
    references = [node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node]
    assert references
    used = {reference.removeprefix("#/components/schemas/") for reference in references}
    assert used == set(DOCUMENT["components"]["schemas"])
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in used)


def test_every_route_is_in_it_once() -> None:
    routes = [(route.method.lower(), route.path) for route in (*ROUTES, *RAW_ROUTES)]
    assert len(set(routes)) == len(routes)
    told = [(method, path.replace(":path", "")) for method, path in routes]
    assert sorted(told) == sorted((method, path) for method, path, _ in OPERATIONS)
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=NAMES)
def test_an_operation_is_complete(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"].endswith(".")
    parameters = operation["parameters"]
    in_path = {one["name"] for one in parameters if one["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", path))
    assert all(one["required"] is True for one in parameters if one["in"] == "path")
    assert {one["in"] for one in parameters} <= {"path", "query"}
    assert all("type" in one["schema"] for one in parameters)
    assert len({one["name"] for one in parameters}) == len(parameters)
    assert set(operation["responses"]) == {"200", "default"}
    problem = operation["responses"]["default"]["content"]["application/json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/ErrorBody"}
    assert method == "post" or "requestBody" not in operation
    assert method != "head"


def test_the_error_of_the_document_is_the_error_that_is_sent() -> None:
    shape = DOCUMENT["components"]["schemas"]["ErrorBody"]
    assert set(shape["properties"]) == set(ErrorBody.__struct_fields__)
    assert shape["required"] == ["code", "message"]


def test_the_document_is_served(transport: Any) -> None:
    answer = transport.send("GET", "/openapi.json")
    assert msgspec.json.decode(answer.read()) == msgspec.json.decode(msgspec.json.encode(DOCUMENT))


@pytest.mark.parametrize("route", READS, ids=[route.path for route in READS])
def test_answers_are_of_the_declared_type(route: Any, transport: Any) -> None:
    """Strictly: no key that the document doesn't have, no value of another type."""
    known = {
        "model": "toy",
        "dataset": "rows",
        "data": "rows",
        "run": ask(transport, "/v1/runs?limit=1")[0]["id"],
        "cycle": ask(transport, "/v1/cycles")[0]["id"],
        "evaluation": ask(transport, "/v1/cycles")[0]["evaluations"][0],
        "ref": "toy/1",
        "metric": "loss",
        "source": "nowhere",
        "job": msgspec.json.decode(transport.send("POST", "/v1/checks/jobs", b"{}").read())["id"],
        "other": ask(transport, "/v1/runs?limit=1")[0]["id"],
    }
    if route.path.startswith("/v1/load-tests/"):
        begun = transport.send("POST", "/v1/deployments/toy/load-tests?actor=eve", b"{}").read()
        known["job"] = msgspec.json.decode(begun)["id"]
    path = re.sub(r"{(\w+)(?::path)?}", lambda found: known[found[1]], route.path)
    query = "&".join(f"{one.name}={known[one.name]}" for one in route.query if one.required)
    raw = transport.send("GET", f"{path}?{query}").read()
    value = msgspec.json.decode(raw, type=route.result)
    empty = ("/v1/monitors/", "/v1/runs/{run}/media", "/v1/import", "/v1/data/status", "/v1/checks/jobs")
    also = ("/v1/datasets/{dataset}/tags", "/v1/datasets/{dataset}/reviews", "/v1/model/card/texts")
    calm = ("/v1/models/{model}/incidents", "/v1/models/{model}/mutes", "/v1/deployments/{model}/load-tests",
            "/v1/deployments/{model}/environments")  # fmt: skip
    assert value or route.path.startswith((*empty, *also, *calm))
    assert msgspec.json.decode(msgspec.json.encode(value)) == msgspec.json.decode(raw)
    operation = DOCUMENT["paths"][route.path]["get"]
    check(msgspec.json.decode(raw), operation["responses"]["200"]["content"]["application/json"]["schema"])


def ask(transport: Any, target: str) -> Any:
    return msgspec.json.decode(transport.send("GET", target).read())


TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def check(value: Any, schema: dict[str, Any]) -> None:
    """Whether a value is what a schema says: the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        fits = [one for one in schema["anyOf"] if _fits(value, one)]
        assert fits, (value, schema)
        return
    if "enum" in schema:
        assert value in schema["enum"]
        return
    if "type" not in schema:
        return
    assert isinstance(value, TYPES[schema["type"]]), (value, schema)
    if schema["type"] == "array":
        for item in value:
            check(item, schema.get("items") or {})
    if schema["type"] == "object":
        properties = schema.get("properties", {})
        assert set(schema.get("required", ())) <= set(value)
        for name, inner in value.items():
            assert name in properties or "additionalProperties" in schema, name
            check(inner, properties.get(name) or schema["additionalProperties"])


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    try:
        check(value, schema)
    except AssertionError:
        return False
    return True
