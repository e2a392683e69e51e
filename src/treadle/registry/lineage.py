"""Lineage: which versions and steps made data, and which runs and models used it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from treadle.data import Branches, DataInput, Datasets, DatasetVersion
from treadle.experiment import Experiments, Run, RunInput
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace
from treadle.registry import store
from treadle.registry.lineage_types import Lineage, LineageStep

MOST = 1000
"""So many steps are told in each direction at most."""


class Lineages:
    """Follows data through versions, runs and models, in both directions.

    It reads what others wrote down: the origin of versions, the inputs of runs, the runs of models.

    Args:
        workspace: Where everything is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._branches = Branches(workspace)
        self._datasets = Datasets(workspace)
        self._experiments = Experiments(workspace)

    def of(self, ref: str, most: int = MOST) -> Lineage:
        """Where a version comes from, and where it went.

        Args:
            ref: The version, such as ``flights@v3``.
            most: At most so many steps in each direction.

        Raises:
            InvalidInput: If it isn't written like a reference.
            NotFound: If there is no such version.
        """
        version = self._branches.resolve(ref, deleted=True)
        start = LineageStep(kind="version", id=version.ref, of="")
        before, cut = _follow(start, self._made_of, most)
        after, cut_too = _follow(start, self._used_by, most)
        return Lineage(ref=version.ref, made_of=before, used_by=after, cut=cut or cut_too)

    def users(self, version: DatasetVersion) -> list[LineageStep]:
        """What uses a version itself: runs, models of those runs, and versions made of it."""
        return list(self._used_by(LineageStep(kind="version", id=version.ref, of="")))

    # ── upstream ─────────────────────────────────────────────────────────

    def _made_of(self, step: LineageStep) -> Iterator[LineageStep]:
        if step.kind == "version":
            version = self._version(step.id)
            for source in version.origin if version else ():
                yield LineageStep(kind=source.kind, id=source.id, of=step.id, detail=source.detail)
        elif step.kind == "run" and (run := self._run(step.id)):
            for used in run.inputs:
                name, how = _named(used), used.context
                yield LineageStep(kind="version", id=name, of=step.id, detail=how, at=run.started_at)

    # ── downstream ───────────────────────────────────────────────────────

    def _used_by(self, step: LineageStep) -> Iterator[LineageStep]:
        if step.kind == "version":
            version = self._version(step.id)
            if version is None:
                return
            for run, used in self._experiments.using(version.dataset, version.digest, MOST + 1):
                if _number(used) in (0, version.number):
                    detail = ", ".join(filter(None, [used.context, run.name, run.status]))
                    yield LineageStep(kind="run", id=run.id, of=step.id, detail=detail, at=run.started_at)
        elif step.kind == "run":
            yield from self._models(step.id)
        else:
            return
        for made, detail in self._datasets.made_of(step.kind, step.id):
            yield LineageStep(kind="version", id=made.ref, of=step.id, detail=detail, at=made.created_at)

    def _models(self, run: str) -> Iterator[LineageStep]:
        with self._ws.database.read() as connection:
            found = store.list_versions(connection, store.versions.c.run == run)
        for one in sorted(found, key=lambda version: (version.model, version.number)):
            yield LineageStep(kind="model", id=one.ref, of=run, detail=one.status, at=one.created_at)

    # ── both ─────────────────────────────────────────────────────────────

    def _version(self, ref: str) -> DatasetVersion | None:
        """A version that something names; None for one that isn't kept here."""
        try:
            return self._branches.resolve(ref, deleted=True)
        except (NotFound, InvalidInput):
            return None

    def _run(self, run_id: str) -> Run | None:
        try:
            return self._experiments.get(run_id)
        except (NotFound, InvalidInput):
            return None


def _named(used: RunInput) -> str:
    number = _number(used)
    return f"{used.name}@v{number}" if number else f"{used.name}@{used.digest[:12]}"


def _number(used: RunInput) -> int:
    """The version's number that a run noted; 0 if it noted none, as runs of other trackers do."""
    try:
        return msgspec.json.decode(used.source, type=DataInput).number
    except msgspec.DecodeError:
        return 0


def _follow(
    start: LineageStep, neighbours: Callable[[LineageStep], Iterator[LineageStep]], most: int
) -> tuple[tuple[LineageStep, ...], bool]:
    """All that can be reached, the nearest first; each thing is gone on from once."""
    found: dict[tuple[str, str, str], LineageStep] = {}
    seen = {(start.kind, start.id)}
    waiting = deque([start])
    while waiting:
        for step in neighbours(waiting.popleft()):
            if len(found) >= most:
                return tuple(found.values()), True
            found.setdefault((step.kind, step.id, step.of), step)
            if (step.kind, step.id) not in seen:
                seen.add((step.kind, step.id))
                waiting.append(step)
    return tuple(found.values()), False
