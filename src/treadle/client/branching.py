"""What the client asks of branches and tags of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from msgspec.structs import replace

from treadle.client.calls import Calls
from treadle.data import (
    DataDiff,
    DatasetVersion,
    Merge,
    Merged,
    MergePlan,
    NewRef,
    Protection,
    Ref,
    RefSettings,
    Revert,
)

if TYPE_CHECKING:
    from treadle.registry import Lineage

_PATHS = {"branch": "branches", "tag": "tags"}


class BranchCalls(Calls):
    """Calls of the routes of branches and tags."""

    def data_refs(self, dataset: str, kind: Literal["branch", "tag"] = "branch") -> list[Ref]:
        """The branches or the tags of a dataset, by name."""
        found: list[Ref] = self._ask(list[Ref], "GET", f"{_of(dataset)}/{_PATHS[kind]}")
        return found

    def create_data_ref(self, dataset: str, kind: Literal["branch", "tag"], name: str, at: str = "") -> Ref:
        """Makes a branch or a tag at a version; at the head of ``main`` when none is named."""
        new = NewRef(name=name, at=at, actor=_actor())
        made: Ref = self._ask(Ref, "POST", f"{_of(dataset)}/{_PATHS[kind]}", new)
        return made

    def delete_data_ref(self, dataset: str, kind: Literal["branch", "tag"], name: str) -> None:
        """Removes a branch or a tag; its versions stay."""
        self._ask(None, "DELETE", f"{_of(dataset)}/{_PATHS[kind]}", name=name)

    def protect_data(self, dataset: str, branch: str, settings: RefSettings) -> Ref:
        """Changes how a branch is protected."""
        asked = Protection(branch=branch, settings=settings, actor=_actor())
        changed: Ref = self._ask(Ref, "POST", f"{_of(dataset)}/protections", asked)
        return changed

    def data_version(self, dataset: str, at: str = "") -> DatasetVersion:
        """The version that a branch, a tag, a number or a commit names; the head of ``main`` without one."""
        found: DatasetVersion = self._ask(DatasetVersion, "GET", f"{_of(dataset)}/version", at=at or None)
        return found

    def data_lineage(self, dataset: str, at: str = "") -> Lineage:
        """Where a version comes from, and which runs, models and versions used it."""
        from treadle.registry import Lineage

        found: Lineage = self._ask(Lineage, "GET", f"{_of(dataset)}/lineage", at=at or None)
        return found

    def data_history(
        self, dataset: str, at: str = "", limit: int = 100, before: int | None = None
    ) -> list[DatasetVersion]:
        """A version and all that it follows, newest first."""
        path = f"{_of(dataset)}/history"
        found: list[DatasetVersion] = self._ask(
            list[DatasetVersion], "GET", path, at=at or None, limit=limit, before=before
        )
        return found

    def data_diff(
        self, dataset: str, before: str, after: str = "", limit: int = 1000, *, rows: bool = False
    ) -> DataDiff:
        """How two versions differ: by path and, on demand, by row and column."""
        path = f"{_of(dataset)}/diff"
        asked = {"before": before or None, "after": after or None, "rows": "1" if rows else None}
        found: DataDiff = self._ask(DataDiff, "GET", path, limit=limit, **asked)
        return found

    def plan_data_merge(self, dataset: str, asked: Merge) -> MergePlan:
        """What a merge would do; changes nothing."""
        found: MergePlan = self._ask(MergePlan, "POST", f"{_of(dataset)}/merge-plans", asked)
        return found

    def merge_data(self, dataset: str, asked: Merge) -> Merged:
        """Merges a version into a branch."""
        asked = replace(asked, actor=_actor())
        done: Merged = self._ask(Merged, "POST", f"{_of(dataset)}/merges", asked)
        return done

    def revert_data(self, dataset: str, asked: Revert) -> DatasetVersion:
        """Takes the changes of a version back, or brings an older version back."""
        asked = replace(asked, actor=_actor())
        made: DatasetVersion = self._ask(DatasetVersion, "POST", f"{_of(dataset)}/reverts", asked)
        return made


def _of(dataset: str) -> str:
    return f"/v1/datasets/{quote(dataset, safe='')}"


def _actor() -> str:
    from treadle.client.client import actor

    return actor()
