"""The OpenAPI document, made from the routes' own types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

import treadle
from treadle.api.route import Query, RawSpec, RouteSpec, summary
from treadle.kernel.errors import ErrorBody

_JSON = "application/json"


def document(routes: Sequence[RouteSpec], raw: Sequence[RawSpec]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the routes."""
    kinds: list[Any] = [ErrorBody, None]
    kinds += [kind for route in routes for kind in (route.result, route.body) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    error = _content(_JSON, schema_of[repr(ErrorBody)])
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        answer = _content(_JSON, schema_of[repr(route.result)])
        operation = _operation(route.path, route.do, route.query, answer, error)
        if route.body is not None:
            operation["requestBody"] = {
                "required": True,
                "content": _content(_JSON, schema_of[repr(route.body)]),
            }
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    for spec in raw:
        answer = _content(spec.gives, {"type": "string"} if spec.gives == _JSON else {})
        path = re.sub(r"{(\w+):\w+}", r"{\1}", spec.path)  # OpenAPI has no word for a part with slashes
        operation = _operation(path, spec.endpoint, spec.query, answer, error)
        if spec.takes is not None:
            operation["requestBody"] = {"required": True, "content": _content(spec.takes, {})}
        paths.setdefault(path, {})[spec.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Treadle", "version": treadle.__version__},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(path: str, do: Any, query: Sequence[Query], answer: Any, error: Any) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    return {
        "summary": summary(do),
        "operationId": do.__name__.strip("_"),
        "parameters": parameters + [_parameter(one) for one in query],
        "responses": {
            "200": {"description": "It worked.", "content": answer},
            "default": {"description": "It didn't.", "content": error},
        },
    }


def _parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": query.kind}
    if query.format:
        schema["format"] = query.format
    if query.many:
        schema = {"type": "array", "items": schema}
    return {"name": query.name, "in": "query", "required": query.required, "schema": schema}


def _content(media: str, schema: Any) -> dict[str, Any]:
    return {media: {"schema": schema}}
