"""The server's OpenAPI document, with each model's own inputs and example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treadle.deploy.replica.protocol import OUTPUT_TYPES, PREDICTION_ID, Role
from treadle.deploy.replica.rows import EARLIEST, LATEST
from treadle.deploy.replica.served import Served
from treadle.registry import Output, Signature

_TYPES: dict[Role, tuple[list[str], dict[str, Any]]] = {
    "float": (["FP64", "FP32"], {"type": ["number", "null"], "minimum": -3.4e38, "maximum": 3.4e38}),
    "int": (["INT64"], {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}),
    "bool": (["BOOL"], {"type": "boolean"}),
    "string": (["BYTES"], {"type": ["string", "null"]}),
    "key": (["BYTES"], {"type": "string", "minLength": 1}),
    "time": (["FP64"], {"type": "number", "minimum": EARLIEST, "maximum": LATEST}),
}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_EXAMPLE_ROWS = 2
_READY = {
    "type": "object",
    "required": ["ready"],
    "properties": {"ready": {"type": "boolean"}},
}


def document(served: Sequence[Served], version: str, max_rows: int) -> dict[str, Any]:
    """An OpenAPI 3.1 document.

    Args:
        served: What answers now.
        version: Treadle's version.
        max_rows: The most rows that a request may have.
    """
    paths: dict[str, Any] = {
        "/v2": _get("The server", {"type": "object", "required": ["name", "version", "extensions"]}),
        "/v2/health/live": _get("Whether the server lives", {"type": "object"}),
        "/v2/health/ready": _get("Whether every model answers", _READY, 503),
        "/metrics": {
            "get": {
                "summary": "Figures for Prometheus",
                "responses": {"200": {"description": "Text", "content": {"text/plain": {}}}},
            }
        },
    }
    for one in served:
        name = one.desk.model
        paths[f"/v2/models/{name}"] = _get(f"What {name} takes and gives", {"type": "object"}, 503)
        paths[f"/v2/models/{name}/ready"] = _get(f"Whether {name} answers", _READY, 503)
        paths[f"/v2/models/{name}/infer"] = {"post": _infer(one, max_rows)}
        paths["/invocations" if len(served) == 1 else f"/models/{name}/invocations"] = {
            "post": _invocations(one, max_rows)
        }
    about = {
        "title": ", ".join(one.desk.model for one in served) or "no model yet",
        "version": version,
        "description": "Open Inference Protocol v2, and MLflow's scoring protocol.",
    }
    return {"openapi": "3.1.0", "info": about, "paths": paths}


def _get(summary: str, schema: dict[str, Any], *failures: int) -> dict[str, Any]:
    answers = {str(status): _answer("Not now", {"type": "object"}) for status in failures}
    return {"get": {"summary": summary, "responses": {"200": _answer("The answer", schema), **answers}}}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _failures(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "400": _answer("Not what the model takes", schema),
        "413": _answer("Too large", schema),
        "415": _answer("Of a type or encoding that can't be read", schema),
        "500": _answer("The model failed", schema),
        "503": _answer("Nothing answers yet, or too much waits; come again after `Retry-After`", schema),
        "504": _answer("No answer in time", schema),
    }


def _infer(one: Served, max_rows: int) -> dict[str, Any]:
    features = one.inputs.features
    tensors = [_tensor(name, one.inputs.roles[name]) for name in features]
    optional = [_tensor(name, role) for name, role in one.inputs.roles.items() if name not in features]
    request = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {
                "type": "array",
                "description": f"Each column once; as many values in each, at most {max_rows}. "
                "Optional: " + (", ".join(t["properties"]["name"]["const"] for t in optional) or "none"),
                "items": {"anyOf": [*tensors, *optional]},
                "minItems": len(tensors),
                "maxItems": len(tensors) + len(optional),
            },
        },
    }
    response = {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"const": one.desk.model},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {
                "type": "array",
                "items": {
                    "anyOf": [
                        *(_output(*told) for told in _gives(one.loaded.signature)),
                        _output(PREDICTION_ID, "BYTES", {"type": "string"}),
                    ]
                },
            },
        },
    }
    rows = min(len(next(iter(one.loaded.example.values()))), _EXAMPLE_ROWS)
    example = {
        "inputs": [
            {
                "name": name,
                "shape": [rows],
                "datatype": _TYPES[one.inputs.roles[name]][0][0],
                "data": one.loaded.example[name][:rows],
            }
            for name in features
        ]
    }
    return {
        "summary": f"Ask {one.desk.model}, version {one.version}",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request, "example": example}},
        },
        "responses": {"200": _answer("The predictions", response), **_failures(_ERROR)},
    }


def _gives(signature: Signature) -> list[tuple[str, str, dict[str, Any]]]:
    """Each output's name, datatype, and what its values are."""
    if not signature.outputs:
        bounds = {"minimum": 0, "maximum": 1} if signature.output == "probability" else {}
        return [(signature.output, "FP64", {"type": "number", **bounds})]
    return [(one.name, OUTPUT_TYPES[one.kind], _value(one)) for one in signature.outputs]


def _value(output: Output) -> dict[str, Any]:
    kind = {"float": "number", "int": "integer", "bool": "boolean", "string": "string"}[output.kind]
    return {"type": [kind, "null"] if output.optional else kind}


def _tensor(name: str, role: Role) -> dict[str, Any]:
    datatypes, value = _TYPES[role]
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": name},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 1,
                "maxItems": 2,
            },
            "datatype": {"enum": datatypes},
            "data": {"type": "array", "items": value, "minItems": 1},
        },
    }


def _output(name: str, datatype: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": name},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"const": datatype},
            "data": {"type": "array", "items": value},
        },
    }


def _invocations(one: Served, max_rows: int) -> dict[str, Any]:
    record = {
        "type": "object",
        "required": list(one.inputs.features),
        "properties": {name: _TYPES[role][1] for name, role in one.inputs.roles.items()},
    }
    records = {"type": "array", "items": record, "minItems": 1, "maxItems": max_rows}
    request = {
        "type": "object",
        "required": ["dataframe_records"],
        "properties": {"dataframe_records": records},
    }
    response = {
        "type": "object",
        "required": ["predictions"],
        # Of several outputs it has the form that the model gives them in, which no signature says.
        "properties": {
            "predictions": {}
            if one.loaded.signature.outputs
            else {"type": "array", "items": {"type": "number"}}
        },
    }
    error = {
        "type": "object",
        "required": ["error_code", "message"],
        "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    }
    example = {"dataframe_records": [{name: one.loaded.example[name][0] for name in one.inputs.features}]}
    return {
        "summary": f"Ask {one.desk.model} by MLflow's scoring protocol",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request, "example": example}, "text/csv": {}},
        },
        "responses": {"200": _answer("The predictions", response), **_failures(error)},
    }
