"""A cycle's data on a branch of its own: made when it begins, merged when its version gets in.

Which branches there are is all the state there is: whoever looks finds what is left to do, as often as
it takes, and does nothing twice.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import NamedTuple

from treadle.data import (
    DEFAULT_BRANCH,
    Branches,
    Datasets,
    DatasetVersion,
    Merge,
    MergeReview,
    NewReview,
    Reviews,
    RunGates,
)
from treadle.evaluate import DataGates
from treadle.kernel.errors import Conflict, TreadleError
from treadle.kernel.events import record, timeline
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.registry import Registry
from treadle.retrain import rules, store
from treadle.retrain.types import Cycle

_log = logging.getLogger("treadle.cycle")
_KINDS = ("cycle_data_stays", "cycle_data_removed", "cycle_data_unmerged")


class Taken(NamedTuple):
    """What a cycle takes for its data.

    Attributes:
        version: The version.
        branch: The cycle's branch, which stands at it; empty where the dataset has no branches.
    """

    version: DatasetVersion
    branch: str


def begin(workspace: Workspace, cycle: Cycle) -> Taken:
    """Makes a version of the data to train on, on the cycle's own branch.

    The branch begins where ``main`` stands. A dataset's first version is made on ``main``: there is nothing
    yet to keep it apart from. A table has no branches; its own versions are what is pinned.

    Raises:
        NotFound: If the files are missing.
        CorruptData: If a file can't be read, or changes meanwhile.
        InvalidInput: If the files don't fit each other, or a declared column is missing.
    """
    train, data = workspace.config.training
    datasets, branches = Datasets(workspace), Branches(workspace)
    actor = f"cycle:{cycle.id}"
    if data.format != "files":
        return Taken(datasets.snapshot(train.data, actor), "")
    if branches.head(train.data, DEFAULT_BRANCH) is None:
        datasets.snapshot(train.data, actor)
    branch = rules.branch_of(cycle.id)
    if not branches.is_branch(train.data, branch):
        branches.create_ref(train.data, "branch", branch, DEFAULT_BRANCH, actor)
    return Taken(datasets.snapshot(train.data, actor, branch), branch)


def tidy(workspace: Workspace, model: str) -> None:
    """Merges the data of cycles whose version is in production, and removes branches that have no use.

    What a branch waits for (a cycle that runs, is in trial or held for a person; a review; a conflict that
    somebody has to resolve) it goes on to wait for. Nothing is raised: the cycle's end doesn't hang on it,
    and whoever looks next tries again.
    """
    if workspace.config.train is None:
        return
    try:
        _Branches(workspace, model, workspace.config.train.data).tidy()
    except TreadleError:
        _log.exception("the branches of %s's cycles", model)


class _Branches:
    """The branches of one model's cycles."""

    def __init__(self, workspace: Workspace, model: str, dataset: str) -> None:
        self._ws, self._model, self._dataset = workspace, model, dataset
        self._branches = Branches(workspace)
        self._told: set[str] = set()

    def tidy(self) -> None:
        with self._ws.database.read() as connection:
            cycles = [one for one in store.select(connection, self._model) if one.state != "running"]
        left = self._left()
        mine = [(one, rules.branch_of(one.id)) for one in reversed(cycles)]
        mine = [(cycle, branch) for cycle, branch in mine if branch in left]
        if not mine:
            return
        said = timeline(self._ws.database, f"data:{self._dataset}", kinds=_KINDS)
        self._told = {event.id for event in said}
        registry = Registry(self._ws)
        history = registry.history(self._model) if any(cycle.version for cycle, _ in mine) else []
        promoted = {move.number for move in history if move.after == "production"}
        statuses = {one.number: one.status for one in registry.list(self._model)} if history else {}
        kept = 0
        for cycle, branch in mine:
            version = self._branches.head(self._dataset, branch)
            if version is None or self._merged(version):
                self._remove(cycle, branch, version)
                continue
            status = statuses.get(cycle.version or 0, "")
            fate = rules.fate(cycle.state, status, promoted=cycle.version in promoted, kept=kept)
            kept += fate == "keep"
            if fate == "merge":
                self._merge(cycle, branch, version)
            elif fate == "keep":
                self._tell(cycle, "stays", f"its data stays as {self._dataset}@{branch} ({version.ref})")
            elif fate == "remove":
                self._remove(cycle, branch, version)

    def _left(self) -> set[str]:
        try:
            refs = self._branches.refs(self._dataset, "branch")
        except TreadleError:  # nothing was ever made of it
            return set()
        return {ref.name for ref in refs}

    def _merged(self, version: DatasetVersion) -> bool:
        """Whether ``main`` has all of a version."""
        base = self._branches.base(f"{self._dataset}@{DEFAULT_BRANCH}", version.ref)
        return base is not None and base.number == version.number

    def _remove(self, cycle: Cycle, branch: str, version: DatasetVersion | None) -> None:
        at = f"; it had {version.ref}" if version else ""
        # First: killed in between, the next look removes it; a branch that is gone nobody would tell of.
        self._tell(cycle, "removed", f"branch {branch} was removed{at}")
        self._branches.delete_ref(self._dataset, "branch", branch)

    def _merge(self, cycle: Cycle, branch: str, version: DatasetVersion) -> None:
        main = self._branches.ref(self._dataset, "branch", DEFAULT_BRANCH)
        if _identity(cycle, "unmerged", main.number) in self._told:
            return  # refused already, and main has moved nowhere since
        why = f"{self._model}/{cycle.version} is in production, trained by {cycle.id}"
        asked = Merge(
            source=branch,
            target=DEFAULT_BRANCH,
            message=why,
            fast_forward=True,
            actor=f"cycle:{cycle.id}",
        )
        try:
            if main.settings.protected:
                self._review(asked, main.settings.approvals)
            else:
                self._branches.merge(self._dataset, asked)
        except Conflict as error:
            fix = f"; {error.fix}" if error.fix else ""
            told = f"{self._dataset}@{branch} ({version.ref}) is not merged into main: {error.message}{fix}"
            self._tell(cycle, "unmerged", told, main.number)
            return
        self._remove(cycle, branch, version)

    def _review(self, asked: Merge, approvals: int) -> None:
        """Opens a review of the branch, once; merges it where nobody has to approve.

        Raises:
            Conflict: Where a person or a check has to let it pass first.
        """
        reviews = Reviews(self._ws, self._branches, DataGates(self._ws))
        known = next((one for one in reviews.list(self._dataset) if one.source == asked.source), None)
        review = known or reviews.open(
            self._dataset,
            NewReview(source=asked.source, title=asked.message[:100], actor=asked.actor),
        )
        if review.state == "open" and not approvals:
            reviews.check(self._dataset, review.number, RunGates(actor=asked.actor))
            reviews.merge(self._dataset, review.number, MergeReview(message=asked.message, actor=asked.actor))
            return
        raise Conflict(
            f"main is protected; review {review.ref} is {review.state}",
            fix=f"treadle data review show {review.ref}",
        )

    def _tell(self, cycle: Cycle, kind: str, what: str, stood: int | None = None) -> None:
        identity = _identity(cycle, kind, stood)
        if identity in self._told:
            return
        verdict = f" by {cycle.cause}" if cycle.cause else ""
        with self._ws.database.write() as connection:
            record(
                connection,
                Event(
                    id=identity,
                    at=self._ws.clock.now(),
                    recorded_at=datetime.now(UTC),
                    subject=f"data:{self._dataset}",
                    kind=f"cycle_data_{kind}",
                    actor=f"cycle:{cycle.id}",
                    message=f"{cycle.id} ended {cycle.state}{verdict}; {what}",
                    facts={"cycle": cycle.id, "state": cycle.state, "cause": cycle.cause},
                ),
            )


def _identity(cycle: Cycle, kind: str, stood: int | None) -> str:
    return f"cycle_data:{cycle.id}:{kind}:{stood or 0}"
