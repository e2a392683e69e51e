"""Comparing runs: reads what belongs to them, and says what differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from treadle.experiment import beside, code_diff, comparing, curves, store
from treadle.experiment.comparison import Axis, CodeDiff, Comparison, Importance, SharedCurves
from treadle.experiment.comparison_page import Page, render
from treadle.experiment.importance import importance
from treadle.experiment.types import Artifact, Run
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace

MOST_RUNS, MOST_POINTS = 100, 10_000
_READABLE = 4 << 20
_SIDE_BY_SIDE, _MOST_CODES, _MOST_CURVES = 8, 6, 12


class Comparisons:
    """Comparisons of the runs of a workspace.

    Args:
        workspace: Where they are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database
        self._blobs = workspace.blobs
        self._root: Path = workspace.root

    def compare(self, ids: Sequence[str]) -> Comparison:
        """Runs side by side, in the order asked for.

        Raises:
            NotFound: If one of them isn't there.
            InvalidInput: If none is asked for, or more than a hundred.
        """
        with self._database.read() as connection:
            runs = _find(connection, ids)
            files = {run.id: store.select_artifacts(connection, run.id) for run in runs}
        requirements = self._texts(files, {run.id: comparing.lock_of(run) for run in runs})
        return comparing.compare(runs, files, {run.id: run.inputs for run in runs}, requirements)

    def code(self, first: str, second: str) -> CodeDiff:
        """How the code of two runs differs.

        Raises:
            NotFound: If one of them isn't there.
        """
        with self._database.read() as connection:
            one, other = _find(connection, [first, second])
            files = {run.id: store.select_artifacts(connection, run.id) for run in (one, other)}
        patches = self._texts(files, {run.id: code_diff.patch_of(run) for run in (one, other)})
        return code_diff.between(self._root, one, other, patches)

    def curves(self, ids: Sequence[str], metric: str, by: Axis = "step", most: int = 500) -> SharedCurves:
        """A metric's curves over one axis, thinned to about so many points each.

        Raises:
            NotFound: If one of the runs isn't there, or none of them has the metric.
            InvalidInput: If no run is asked for, or more than a hundred, or the number of points can't be.
        """
        if not 2 <= most <= MOST_POINTS:
            raise InvalidInput(f"`points` can't be {most}", fix=f"use 2 to {MOST_POINTS:,}")
        with self._database.read() as connection:
            runs = _find(connection, ids)
            if not any(metric in run.metrics for run in runs):
                raise unknown("metric", metric, {name for run in runs for name in run.metrics})
            found = {run.id: curves.read(connection, run.id, metric) for run in runs}
        return comparing.share_axis(metric, by, runs, found, most)

    def importance(
        self,
        metric: str,
        experiment: str | None = None,
        where: str = "",
        params: Sequence[str] | None = None,
    ) -> Importance:
        """Which parameters a metric depends on, over the runs that fit.

        Raises:
            InvalidInput: If ``where`` is no filter.
            NotFound: If no run has the metric.
        """
        return importance(self.search(metric, experiment, where, 20_000), metric, params=params)

    def page(
        self,
        ids: Sequence[str],
        metric: str | None = None,
        experiment: str | None = None,
        where: str = "",
    ) -> str:
        """A comparison as one self-contained HTML page.

        Args:
            ids: The runs to set side by side; if there are none, the page is about all that fit.
            metric: What parallel coordinates and importance are about.
            experiment: Only runs of this experiment.
            where: Only runs that fit this filter.

        Raises:
            NotFound: If one of the runs isn't there, no run fits, or none of them has the metric.
            InvalidInput: If ``where`` is no filter, or neither runs nor a metric are named.
        """
        searched: list[Run] = []
        if not ids:
            if metric is None:
                raise InvalidInput("there is nothing to compare", fix="name at least one run, or a metric")
            searched = self.search(metric, experiment, where, 20_000)
            if not searched:
                raise NotFound(
                    "no run fits", where=where or experiment, fix="`treadle runs` lists what there is"
                )
            ids = [run.id for run in searched[:_SIDE_BY_SIDE]]
        found = self.compare(ids)
        if metric is not None and not any(metric in run.metrics for run in found.runs):
            raise unknown("metric", metric, found.metrics)
        others = found.runs[1:_MOST_CODES] if not searched else ()
        return render(
            Page(
                title=f"{metric} over {len(searched):,} runs"
                if searched
                else f"{_counted(len(ids))} side by side",
                lead=_lead(searched, metric, experiment, where),
                found=found,
                curves=[self.curves(ids, name) for name in self._drawn(found, metric)],
                codes=[self.code(found.runs[0].id, run.id) for run in others],
                searched=searched,
                metric=metric,
                importance=importance(searched, metric) if searched and metric else None,
            )
        )

    def _drawn(self, found: Comparison, metric: str | None) -> list[str]:
        """The metrics that are worth a picture: those with several points, at most a dozen."""
        names = [name for name in (metric, *found.metrics) if name]
        with self._database.read() as connection:
            several = store.several_points(connection, [run.id for run in found.runs])
        return [name for name in dict.fromkeys(names) if name in several][:_MOST_CURVES]

    def search(self, metric: str | None, experiment: str | None, where: str, most: int) -> list[Run]:
        """The runs that fit; of one metric, those with the highest values first.

        Raises:
            InvalidInput: If ``where`` is no filter.
            NotFound: If no run has the metric.
        """
        sort = f"-metrics.{metric}" if metric else "-started_at"
        with self._database.read() as connection:
            return store.select_runs(connection, experiment, None, sort, most, where)

    def _texts(self, files: dict[str, list[Artifact]], paths: dict[str, str]) -> dict[str, str]:
        """A text file of each run that has it, if it isn't too large to be one."""
        found = {}
        for run, mine in files.items():
            for file in mine:
                if file.path == paths[run] and file.size <= _READABLE:
                    try:
                        found[run] = self._blobs.get(file.digest).decode(errors="replace")
                    except NotFound:
                        continue  # a file that was cleared away is as good as one that wasn't kept
        return found


def _find(connection: sa.Connection, ids: Sequence[str]) -> list[Run]:
    if not ids:
        raise InvalidInput("there is nothing to compare", fix="name at least one run")
    if len(ids) > MOST_RUNS:
        raise InvalidInput(
            f"{len(ids):,} runs are too many to set side by side",
            fix=f"name up to {MOST_RUNS}, or use a filter",
        )
    return [beside.whole(connection, store.find_run(connection, run_id)) for run_id in ids]


def _lead(searched: Sequence[Run], metric: str | None, experiment: str | None, where: str) -> str:
    if not searched:
        return "What differs between them; what is the same in all is left out."
    within = f" of {experiment}" if experiment else ""
    fits = f" that fit {where}" if where else ""
    return f"All runs{within}{fits}; side by side, those with the highest {metric}."


def _counted(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"
