"""Lineage: what data and models were made of, and what used them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec
import sqlalchemy as sa

from treadle.data import Branches, DataInput, Datasets, DatasetVersion
from treadle.experiment import Experiments, LoggedModels, Run, RunInput
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace
from treadle.registry import store
from treadle.registry.catalog_store import versions as entries
from treadle.registry.lineage_types import MODEL_SOURCE, Lineage, LineageStep
from treadle.registry.service import Registry
from treadle.registry.types import ModelVersion

MOST = 1000
"""So many steps are told in each direction at most."""


class Further(Protocol):
    """Goes on where the registry knows no more: what deployments and monitors made of a model."""

    def used_by(self, step: LineageStep) -> Iterable[LineageStep]:
        """What used something; nothing of a kind that it doesn't know."""


class Lineages:
    """Follows data and models through versions and runs, in both directions.

    It reads what others wrote down: the origin of versions, the inputs of runs, the runs of models.

    Args:
        workspace: Where everything is kept.
        further: Go on from models.
    """

    def __init__(self, workspace: Workspace, further: Sequence[Further] = ()) -> None:
        self._ws = workspace
        self._branches = Branches(workspace)
        self._datasets = Datasets(workspace)
        self._experiments = Experiments(workspace)
        self._logged = LoggedModels(workspace)
        self._registry = Registry(workspace)
        self._further = further

    def of(self, ref: str, most: int = MOST) -> Lineage:
        """Where a version of data comes from, and where it went.

        Args:
            ref: The version, such as ``flights@v3``.
            most: At most so many steps in each direction.

        Raises:
            InvalidInput: If it isn't written like a reference.
            NotFound: If there is no such version.
        """
        return self._around("version", self._branches.resolve(ref, deleted=True).ref, most)

    def about(self, ref: str, most: int = MOST) -> Lineage:
        """The same of anything: ``flights/3``, ``flights@production``, ``flights@v3`` or a run.

        What names both, such as ``flights``, is the model.

        Args:
            ref: What.
            most: At most so many steps in each direction.

        Raises:
            NotFound: If there is nothing of that name.
        """
        if model := self._model(ref):
            return self._around("model", model.ref, most)
        if version := self._version(ref):
            return self._around("version", version.ref, most)
        if run := self._run(ref):
            return self._around("run", run.id, most)
        raise NotFound(
            f"there is no model version, data version or run {ref!r:.80}",
            fix="write MODEL/NUMBER, MODEL@production, DATASET@VERSION or a run; see `treadle models`",
        )

    def _around(self, kind: str, name: str, most: int) -> Lineage:
        start = LineageStep(kind=kind, id=name, of="")
        before, cut = _follow(start, self._made_of, most)
        after, cut_too = _follow(start, self._used_by, most)
        return Lineage(ref=name, made_of=before, used_by=after, cut=cut or cut_too)

    def users(self, version: DatasetVersion) -> list[LineageStep]:
        """What uses a version itself: runs, models of those runs, and versions made of it."""
        return list(self._used_by(LineageStep(kind="version", id=version.ref, of="")))

    # ── upstream ─────────────────────────────────────────────────────────

    def _made_of(self, step: LineageStep) -> Iterator[LineageStep]:
        ways = {"version": self._origin, "run": self._inputs, "model": self._ingredients}
        if way := ways.get(step.kind):
            yield from way(step.id)

    def _origin(self, ref: str) -> Iterator[LineageStep]:
        version = self._version(ref)
        for source in version.origin if version else ():
            yield LineageStep(kind=source.kind, id=source.id, of=ref, detail=source.detail)

    def _inputs(self, run_id: str) -> Iterator[LineageStep]:
        run = self._run(run_id)
        if run is None:
            return
        for used in run.inputs:
            kind = "model" if used.source_type == MODEL_SOURCE else "version"
            name = used.name if kind == "model" else _named(used)
            yield LineageStep(kind=kind, id=name, of=run_id, detail=used.context, at=run.started_at)
        for link in self._logged.links([run_id]).get(run_id, ()):
            if link.kind == "input":
                yield self._logged_model(link.model, run_id)

    def _ingredients(self, ref: str) -> Iterator[LineageStep]:
        model = self._model(ref)
        if model is None:
            return
        if model.run:
            yield LineageStep(kind="run", id=model.run, of=ref, at=model.created_at)
        uses: dict[str, list[str]] = {}
        for rows in model.data:
            name = f"{rows.spec.dataset}@v{rows.number}"
            uses.setdefault(name, []).append(f"{rows.rows:,} rows for {rows.role}")
        for name, said in uses.items():
            yield LineageStep(kind="version", id=name, of=ref, detail=", ".join(said))

    def _logged_model(self, identity: str, of: str) -> LineageStep:
        """A logged model that a run used: as the version that it was registered as, if it was."""
        found = self._versions(entries.c.logged_model == identity)
        if found:
            return LineageStep(kind="model", id=found[0].ref, of=of, detail=found[0].status)
        return LineageStep(kind="logged model", id=identity, of=of)

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
        elif step.kind == "model":
            yield from self._made_with(step.id)
        for one in self._further:
            yield from one.used_by(step)
        if step.kind not in ("version", "run"):
            return
        for made, detail in self._datasets.made_of(step.kind, step.id):
            yield LineageStep(kind="version", id=made.ref, of=step.id, detail=detail, at=made.created_at)

    def _models(self, run: str) -> Iterator[LineageStep]:
        found = self._versions(store.versions.c.run == run)
        for one in sorted(found, key=lambda version: (version.model, version.number)):
            yield LineageStep(kind="model", id=one.ref, of=run, detail=one.status, at=one.created_at)

    def _made_with(self, ref: str) -> Iterator[LineageStep]:
        """The runs that began with a model."""
        model = self._model(ref)
        if model is None:
            return
        runs = [(run, used.context) for run, used in self._experiments.using(ref, model.id, MOST + 1)]
        if model.logged_model:
            known = map(self._run, self._logged.users(model.logged_model, MOST + 1))
            runs += [(run, "") for run in known if run is not None]
        for run, context in runs:
            detail = ", ".join(filter(None, [context, run.name, run.status]))
            yield LineageStep(kind="run", id=run.id, of=ref, detail=detail, at=run.started_at)

    # ── both ─────────────────────────────────────────────────────────────

    def _version(self, ref: str) -> DatasetVersion | None:
        """A version that something names; None for one that isn't kept here."""
        try:
            return self._branches.resolve(ref, deleted=True)
        except (NotFound, InvalidInput):
            return None

    def _versions(self, where: sa.ColumnElement[bool]) -> list[ModelVersion]:
        with self._ws.database.read() as connection:
            return store.list_versions(connection, where)

    def _model(self, ref: str) -> ModelVersion | None:
        try:
            return self._registry.get(ref)
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
