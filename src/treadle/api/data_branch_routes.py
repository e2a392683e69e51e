"""The routes of branches and tags of data: made, compared, merged, protected."""

from __future__ import annotations

from treadle.api.route import NEWEST, Call, Query, RouteSpec
from treadle.data import (
    DataDiff,
    DatasetVersion,
    Merge,
    Merged,
    MergePlan,
    NewRef,
    Protection,
    Ref,
    Revert,
)


def _branches(call: Call) -> list[Ref]:
    """The branches of a dataset, by name."""
    return call.rooms.branches.refs(call.path["dataset"], "branch")


def _create_branch(call: Call) -> Ref:
    """Makes a branch at a version; no bytes are copied."""
    new: NewRef = call.body
    return call.rooms.branches.create_ref(call.path["dataset"], "branch", new.name, new.at, new.actor)


def _delete_branch(call: Call) -> None:
    """Removes a branch; its versions stay."""
    call.rooms.branches.delete_ref(call.path["dataset"], "branch", call.need("name"))


def _tags(call: Call) -> list[Ref]:
    """The tags of a dataset, by name."""
    return call.rooms.branches.refs(call.path["dataset"], "tag")


def _create_tag(call: Call) -> Ref:
    """Gives a version a name that stays."""
    new: NewRef = call.body
    return call.rooms.branches.create_ref(call.path["dataset"], "tag", new.name, new.at, new.actor)


def _delete_tag(call: Call) -> None:
    """Removes a tag; its version stays."""
    call.rooms.branches.delete_ref(call.path["dataset"], "tag", call.need("name"))


def _protect(call: Call) -> Ref:
    """Changes how a branch is protected."""
    asked: Protection = call.body
    return call.rooms.branches.protect(call.path["dataset"], asked.branch, asked.settings, asked.actor)


def _version(call: Call) -> DatasetVersion:
    """The version that a branch, a tag, a number or a commit names, deleted or not; of `main` without one."""
    return call.rooms.branches.resolve(_ref(call, "at"), deleted=True)


def _history(call: Call) -> list[DatasetVersion]:
    """A version and all that it follows, newest first; on after the last by `before`, its number."""
    before = call.whole("before", 0, least=0, most=NEWEST)
    return call.rooms.branches.log(_ref(call, "at"), call.whole("limit", 100), before or None)


def _diff(call: Call) -> DataDiff:
    """How two versions differ: by path and, where `rows` is 1 and they are tables, by row and column."""
    return call.rooms.branches.compare(
        _ref(call, "before"),
        _ref(call, "after"),
        limit=call.whole("limit", 1000),
        rows=call.query.get("rows") == "1",
    )


def _plan_merge(call: Call) -> MergePlan:
    """What a merge would do, and its conflicts; changes nothing."""
    return call.rooms.branches.plan_merge(call.path["dataset"], call.body)


def _merge(call: Call) -> Merged:
    """Merges a version into a branch: all of it or nothing."""
    return call.rooms.branches.merge(call.path["dataset"], call.body)


def _revert(call: Call) -> DatasetVersion:
    """Takes the changes of a version back, or brings an older version back, as a new version."""
    return call.rooms.branches.revert(call.path["dataset"], call.body)


def _ref(call: Call, name: str) -> str:
    at, dataset = call.query.get(name, ""), call.path["dataset"]
    return f"{dataset}@{at}" if at else dataset


_AT = Query("at")
_LIMIT = Query("limit", kind="integer")

DATA_BRANCH_ROUTES = (
    RouteSpec("GET", "/v1/datasets/{dataset}/branches", _branches, list[Ref]),
    RouteSpec("POST", "/v1/datasets/{dataset}/branches", _create_branch, Ref, NewRef),
    RouteSpec(
        "DELETE",
        "/v1/datasets/{dataset}/branches",
        _delete_branch,
        None,
        query=(Query("name", required=True),),
    ),
    RouteSpec("GET", "/v1/datasets/{dataset}/tags", _tags, list[Ref]),
    RouteSpec("POST", "/v1/datasets/{dataset}/tags", _create_tag, Ref, NewRef),
    RouteSpec(
        "DELETE", "/v1/datasets/{dataset}/tags", _delete_tag, None, query=(Query("name", required=True),)
    ),
    RouteSpec("POST", "/v1/datasets/{dataset}/protections", _protect, Ref, Protection),
    RouteSpec("GET", "/v1/datasets/{dataset}/version", _version, DatasetVersion, query=(_AT,)),
    RouteSpec(
        "GET",
        "/v1/datasets/{dataset}/history",
        _history,
        list[DatasetVersion],
        query=(_AT, _LIMIT, Query("before", kind="integer")),
    ),
    RouteSpec(
        "GET",
        "/v1/datasets/{dataset}/diff",
        _diff,
        DataDiff,
        query=(Query("before"), Query("after"), _LIMIT, Query("rows", kind="integer")),
    ),
    RouteSpec("POST", "/v1/datasets/{dataset}/merge-plans", _plan_merge, MergePlan, Merge),
    RouteSpec("POST", "/v1/datasets/{dataset}/merges", _merge, Merged, Merge),
    RouteSpec("POST", "/v1/datasets/{dataset}/reverts", _revert, DatasetVersion, Revert),
)
