"""The routes by which versions are registered, named and tagged."""

from __future__ import annotations

from treadle.api.route import Call, Query, RouteSpec
from treadle.registry import ModelVersion, Registration, register_model


def _register(call: Call) -> ModelVersion:
    """Registers the model that a run logged, with all that is known of it."""
    made = register_model(call.rooms.workspace, call.body)
    return call.rooms.registry.get(f"{made.model}/{made.number}")


def _set_alias(call: Call) -> ModelVersion:
    """Lets an alias name a version; it then names no other."""
    version = call.rooms.registry.get(call.need("ref"))
    call.rooms.catalog.set_alias(version.model, call.need("alias"), str(version.number))
    return call.rooms.registry.get(version.ref)


def _delete_alias(call: Call) -> ModelVersion:
    """Takes an alias away from the version that it names."""
    version = call.rooms.registry.get(f"{call.need('model')}@{call.need('alias')}")
    call.rooms.catalog.delete_alias(version.model, call.need("alias"))
    return call.rooms.registry.get(version.ref)


def _tag(call: Call) -> ModelVersion:
    """Sets a tag of a version."""
    version = call.rooms.registry.get(call.need("ref"))
    call.rooms.catalog.tag_version(version.model, str(version.number), call.need("key"), call.need("value"))
    return call.rooms.registry.get(version.ref)


def _untag(call: Call) -> ModelVersion:
    """Takes a tag from a version, if it has it."""
    version = call.rooms.registry.get(call.need("ref"))
    call.rooms.catalog.untag_version(version.model, str(version.number), call.need("key"))
    return call.rooms.registry.get(version.ref)


_MODEL, _REF, _ALIAS, _KEY, _VALUE = (
    Query(name, required=True) for name in ("model", "ref", "alias", "key", "value")
)
MODEL_ROUTES = (
    RouteSpec("POST", "/v1/models", _register, ModelVersion, Registration),
    RouteSpec("POST", "/v1/model/alias", _set_alias, ModelVersion, query=(_REF, _ALIAS)),
    RouteSpec("DELETE", "/v1/model/alias", _delete_alias, ModelVersion, query=(_MODEL, _ALIAS)),
    RouteSpec("POST", "/v1/model/tag", _tag, ModelVersion, query=(_REF, _KEY, _VALUE)),
    RouteSpec("DELETE", "/v1/model/tag", _untag, ModelVersion, query=(_REF, _KEY)),
)
