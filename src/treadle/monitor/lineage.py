"""What was seen of a model version's predictions: its part of the lineage."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.kernel.workspace import Workspace
from treadle.monitor import store
from treadle.registry import LineageStep

_MOST = 1001


class WindowLineage:
    """Goes on from a model version to the windows of its predictions.

    Args:
        workspace: Where their results are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def used_by(self, step: LineageStep) -> Iterator[LineageStep]:
        """The windows in which a version's predictions were judged, the latest first."""
        model, _, number = step.id.rpartition("/")
        if step.kind != "model":
            return
        with self._workspace.database.read() as connection:
            found = store.count_windows(connection, model, int(number), _MOST)
        for since, until, figures, alerts in found:
            said = f", {alerts} over {'their limits' if alerts > 1 else 'its limit'}" if alerts else ""
            name = f"{model} {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"
            detail = f"{figures} figure{'s' if figures > 1 else ''}{said}"
            yield LineageStep(kind="window", id=name, of=step.id, detail=detail, at=until)
