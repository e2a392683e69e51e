"""The routes by which versions of data are deleted, pruned and restored."""

from __future__ import annotations

from treadle.api.route import Call, RouteSpec
from treadle.data import DatasetVersion, DeleteVersions, Deletion, PruneVersions, RestoreVersions


def _delete_versions(call: Call) -> Deletion:
    """Deletes versions that nothing needs, all or none; they can be restored until they are collected."""
    return call.rooms.retention.delete(call.path["dataset"], call.body)


def _prune_versions(call: Call) -> Deletion:
    """Deletes the versions that a policy doesn't keep and nothing needs, or only tells which."""
    return call.rooms.retention.prune(call.path["dataset"], call.body)


def _restore_versions(call: Call) -> list[DatasetVersion]:
    """Restores deleted versions that weren't collected yet."""
    return call.rooms.retention.restore(call.path["dataset"], call.body)


DATA_DELETING_ROUTES = (
    RouteSpec("POST", "/v1/datasets/{dataset}/deletions", _delete_versions, Deletion, DeleteVersions),
    RouteSpec("POST", "/v1/datasets/{dataset}/prunings", _prune_versions, Deletion, PruneVersions),
    RouteSpec(
        "POST",
        "/v1/datasets/{dataset}/restorations",
        _restore_versions,
        list[DatasetVersion],
        RestoreVersions,
    ),
)
