"""The OpenAPI document, made from the routes' own types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

import treadle
from treadle.api.route import RouteSpec
from treadle.kernel.errors import ErrorBody


def document(routes: Sequence[RouteSpec]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the routes."""
    kinds: list[Any] = [ErrorBody]
    kinds += [kind for route in routes for kind in (route.result, route.body) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Treadle", "version": treadle.__version__},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: RouteSpec, schema_of: dict[str, Any]) -> dict[str, Any]:
    path = [{"name": name, "in": "path", "required": True} for name in re.findall(r"{(\w+)}", route.path)]
    query = [{"name": name, "in": "query", "required": False} for name in route.query]
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.do.__name__.strip("_"),
        "parameters": [{**parameter, "schema": {"type": "string"}} for parameter in path + query],
        "responses": {
            "200": {"description": "It worked.", "content": _json(schema_of.get(repr(route.result), {}))},
            "default": {"description": "It didn't.", "content": _json(schema_of[repr(ErrorBody)])},
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(schema_of[repr(route.body)])}
    return operation


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
