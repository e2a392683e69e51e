"""The routes by which versions are registered, named, tagged, approved and put away."""

from __future__ import annotations

from treadle.api.deployment_routes import STRATEGY, strategy
from treadle.api.route import Call, Query, RouteSpec
from treadle.registry import Approvals, ModelVersion, Registration, Standing, register_model
from treadle.retrain import Approved, approve


def _register(call: Call) -> ModelVersion:
    """Registers the model that a run logged, with all that is known of it."""
    made = register_model(call.rooms.workspace, call.body)
    return call.rooms.registry.get(f"{made.model}/{made.number}")


def _set_alias(call: Call) -> ModelVersion:
    """Lets an alias name a version; it then names no other."""
    ref, alias = call.need("ref"), call.need("alias")
    version = call.rooms.registry.get(ref)
    call.rooms.catalog.set_alias(version.model, alias, str(version.number))
    return call.rooms.registry.get(version.ref)


def _delete_alias(call: Call) -> ModelVersion:
    """Takes an alias away from the version that it names."""
    version = call.rooms.registry.get(f"{call.need('model')}@{call.need('alias')}")
    call.rooms.catalog.delete_alias(version.model, call.need("alias"))
    return call.rooms.registry.get(version.ref)


def _tag(call: Call) -> ModelVersion:
    """Sets a tag of a version."""
    ref, key, value = (call.need(name) for name in ("ref", "key", "value"))
    version = call.rooms.registry.get(ref)
    call.rooms.catalog.tag_version(version.model, str(version.number), key, value)
    return call.rooms.registry.get(version.ref)


def _untag(call: Call) -> ModelVersion:
    """Takes a tag from a version, if it has it."""
    ref, key = call.need("ref"), call.need("key")
    version = call.rooms.registry.get(ref)
    call.rooms.catalog.untag_version(version.model, str(version.number), key)
    return call.rooms.registry.get(version.ref)


def _approve(call: Call) -> Approved:
    """Approves a version for its next stage; once enough have, it goes there."""
    ref, actor, reason = (call.need(name) for name in ("ref", "actor", "reason"))
    return approve(call.rooms.workspace, ref, actor, reason, strategy(call))


def _withdraw(call: Call) -> Standing:
    """Takes back what somebody has approved."""
    ref, actor, reason = (call.need(name) for name in ("ref", "actor", "reason"))
    return Approvals(call.rooms.workspace).withdraw(ref, actor, reason)


def _standing(call: Call) -> Standing:
    """Where a version stands on its way to production, and who approved it."""
    return Approvals(call.rooms.workspace).standing(call.need("ref"))


def _archive(call: Call) -> ModelVersion:
    """Puts a version away for good, so that nothing keeps its data but its run."""
    ref, actor, reason = (call.need(name) for name in ("ref", "actor", "reason"))
    registry, key = call.rooms.registry, call.rooms.workspace.ids.new("archival")
    version = registry.get(ref)
    registry.archive(version.model, version.number, actor, reason, key)
    return registry.get(version.ref)


def _refuse(call: Call) -> ModelVersion:
    """Refuses a version that waits for an approval; it can't go to production any more."""
    ref, actor, reason = (call.need(name) for name in ("ref", "actor", "reason"))
    registry, key = call.rooms.registry, call.rooms.workspace.ids.new("refusal")
    version = registry.get(ref)
    registry.refuse(version.model, version.number, actor, reason, key)
    return registry.get(version.ref)


_MODEL, _REF, _ALIAS, _KEY, _VALUE = (
    Query(name, required=True) for name in ("model", "ref", "alias", "key", "value")
)
_DECISION = (_REF, *(Query(name, required=True) for name in ("actor", "reason")))
MODEL_ROUTES = (
    RouteSpec("POST", "/v1/models", _register, ModelVersion, Registration),
    RouteSpec("POST", "/v1/model/approval", _approve, Approved, query=(*_DECISION, STRATEGY)),
    RouteSpec("DELETE", "/v1/model/approval", _withdraw, Standing, query=_DECISION),
    RouteSpec("GET", "/v1/model/approval", _standing, Standing, query=(_REF,)),
    RouteSpec("POST", "/v1/model/refusal", _refuse, ModelVersion, query=_DECISION),
    RouteSpec("POST", "/v1/model/archival", _archive, ModelVersion, query=_DECISION),
    RouteSpec("POST", "/v1/model/alias", _set_alias, ModelVersion, query=(_REF, _ALIAS)),
    RouteSpec("DELETE", "/v1/model/alias", _delete_alias, ModelVersion, query=(_MODEL, _ALIAS)),
    RouteSpec("POST", "/v1/model/tag", _tag, ModelVersion, query=(_REF, _KEY, _VALUE)),
    RouteSpec("DELETE", "/v1/model/tag", _untag, ModelVersion, query=(_REF, _KEY)),
)
