"""What the client asks when versions of data are deleted, pruned and restored."""

from __future__ import annotations

from urllib.parse import quote

from msgspec.structs import replace

from treadle.client.calls import Calls
from treadle.data import DatasetVersion, DeleteVersions, Deletion, PruneVersions, RestoreVersions


class RetentionCalls(Calls):
    """Calls of the routes that delete, prune and restore versions of data."""

    def delete_data(self, dataset: str, asked: DeleteVersions) -> Deletion:
        """Deletes versions that nothing needs, all or none; they can be restored until they are collected."""
        asked = replace(asked, actor=_actor())
        found: Deletion = self._ask(Deletion, "POST", f"{_of(dataset)}/deletions", asked)
        return found

    def prune_data(self, dataset: str, asked: PruneVersions) -> Deletion:
        """Deletes the versions that a policy doesn't keep and nothing needs, or only tells which."""
        asked = replace(asked, actor=_actor())
        found: Deletion = self._ask(Deletion, "POST", f"{_of(dataset)}/prunings", asked)
        return found

    def restore_data(self, dataset: str, asked: RestoreVersions) -> list[DatasetVersion]:
        """Restores deleted versions that weren't collected yet."""
        asked = replace(asked, actor=_actor())
        path = f"{_of(dataset)}/restorations"
        found: list[DatasetVersion] = self._ask(list[DatasetVersion], "POST", path, asked)
        return found


def _of(dataset: str) -> str:
    return f"/v1/datasets/{quote(dataset, safe='')}"


def _actor() -> str:
    from treadle.client.client import actor

    return actor()
