"""Tells a collector of lineage what became of runs and which versions they made."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator

from treadle.data import Datasets
from treadle.experiment import Experiments, Run
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import NotFound, Refused
from treadle.kernel.workspace import Workspace
from treadle.registry import store as versions
from treadle.registry.openlineage import events, store
from treadle.registry.openlineage.sinks import Sink, sink_of
from treadle.registry.openlineage.types import RunEvent
from treadle.registry.service import Registry

_log = logging.getLogger("treadle.openlineage")
MOST = 500
"""So many runs, and versions, are told of at a time."""


class OpenLineage:
    """Delivers events by comparing what is with what was told.

    Nothing is written when a run begins or ends, so that nothing waits for a collector and a restart
    loses nothing. An event may be sent twice, if the process dies between sending and noting it: its
    run, type and time are the same then.

    Args:
        workspace: Where runs and versions are.
        sink: Takes the events; what ``[lineage]`` names when left out, if it names one.
    """

    def __init__(self, workspace: Workspace, sink: Sink | None = None) -> None:
        self._workspace = workspace
        config = workspace.config.lineage
        target = config.openlineage
        self._namespace = config.namespace or f"treadle://{workspace.config.project.name}"
        self._sink = sink or (sink_of(target, workspace.root, os.environ) if target else None)
        self._clock = SystemClock()

    @property
    def wanted(self) -> bool:
        """Whether anybody is told."""
        return self._sink is not None

    def deliver(self) -> int:
        """Tells what wasn't told yet, in the order in which it happened; how many events that was.

        Raises:
            Unavailable: If the collector takes none now; what is left is told the next time.
            StorageError: The same, of a file.
        """
        if self._sink is None:
            return 0
        database = self._workspace.database
        with database.read() as connection:
            after = store.since(connection)
        if after is None:
            with database.write() as connection:
                store.begin(connection, self._clock.now())
            return 0
        with database.read() as connection:
            runs = store.untold_runs(connection, after, MOST)
            models = store.untold_versions(connection, after, MOST)
        count = 0
        for run_id, state in runs:
            for event, now in self._of_run(run_id, state):
                self._send(event, "run", run_id, now)
                count += 1
        for ref in models:
            count += self._model(ref)
        return count

    def _of_run(self, run_id: str, state: str) -> Iterator[tuple[RunEvent, str]]:
        """What is to be told of a run, and the state that it is told in then."""
        run = self._run(run_id)
        if run is None:
            return
        if not state:
            yield events.started(run, self._namespace), "running"
        if run.status in events.ENDS:
            with self._workspace.database.read() as connection:
                made = versions.list_versions(connection, versions.versions.c.run == run_id)
            data = [one for one, _ in Datasets(self._workspace).made_of("run", run_id)]
            yield events.ended(run, self._namespace, made, data), run.status

    def _model(self, ref: str) -> int:
        try:
            version = Registry(self._workspace).get(ref)
        except NotFound:  # deleted since
            return 0
        run = self._run(version.run)
        if run is not None:
            self._send(events.registered(version, run, self._namespace), "model", ref, "registered")
            return 1
        self._note("model", ref, "unknown")  # made by a run that isn't here
        return 0

    def _run(self, run_id: str) -> Run | None:
        try:
            return Experiments(self._workspace).get(run_id)
        except NotFound:
            return None

    def _send(self, event: RunEvent, kind: str, identity: str, state: str) -> None:
        assert self._sink is not None  # noqa: S101 - looked at before
        try:
            self._sink.send(event)
        except Refused as error:
            _log.warning("%s %s of %s is left out: %s", kind, event.event_type, identity, error.message)
        self._note(kind, identity, state)

    def _note(self, kind: str, identity: str, state: str) -> None:
        with self._workspace.database.write() as connection:
            store.tell(connection, kind, identity, state, self._clock.now())


class Backoff:
    """How long to wait after so many failures: doubled each time, up to five minutes.

    Args:
        first: Seconds between two looks while all is well.
        most: The longest wait, in seconds.
    """

    def __init__(self, first: float = 5.0, most: float = 300.0) -> None:
        self._first = first
        self._most = most
        self._failures = 0

    def after(self, do: Callable[[], object]) -> float:
        """Does something, and says for how long to wait then; whatever goes wrong is logged."""
        try:
            do()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look may be better
            self._failures += 1
            wait = min(self._most, self._first * 2.0**self._failures)
            _log.warning("lineage could not be told, again in %.0f s: %s", wait, error)
            return wait
        self._failures = 0
        return self._first
