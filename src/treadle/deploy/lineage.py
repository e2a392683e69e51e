"""Where a model version served: its part of the lineage."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.deploy import store
from treadle.deploy.environments import stretches
from treadle.kernel.workspace import Workspace
from treadle.registry import LineageStep


class DeploymentLineage:
    """Goes on from a model version to the times in which it served.

    Args:
        workspace: Where deployments are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def used_by(self, step: LineageStep) -> Iterator[LineageStep]:
        """The times in which a version served, by environment, the latest first."""
        model, _, number = step.id.rpartition("/")
        if step.kind != "model":
            return
        with self._workspace.database.read() as connection:
            known = store.read_revisions(connection, model, None)
        last = next(reversed(self._workspace.config.environments), "production")
        for environment in dict.fromkeys(one.environment for one in known):
            there = stretches(one for one in known if one.environment == environment)
            for one in reversed([one for one in there if one.version == int(number)]):
                until = f"{one.until:%Y-%m-%d %H:%M}" if one.until else "now"
                detail = f"{environment or last}, {one.since:%Y-%m-%d %H:%M} to {until}"
                name = f"{model} revision {one.revision}"
                yield LineageStep(kind="deployment", id=name, of=step.id, detail=detail, at=one.since)
