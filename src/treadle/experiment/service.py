"""Keeping runs: written by their journals, each record once."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from treadle.experiment import beside, rules, store
from treadle.experiment.folder import JournalReader, RunFolder
from treadle.experiment.types import (
    Artifact,
    Finish,
    JournalBatch,
    LogArtifact,
    Media,
    NewRun,
    Point,
    Record,
    Run,
    RunInput,
)
from treadle.kernel import names
from treadle.kernel.clock import SystemClock
from treadle.kernel.errors import CorruptData, InvalidInput
from treadle.kernel.workspace import Workspace

_DIGEST = re.compile(r"[0-9a-f]{64}")
_BATCH = 10_000


class Experiments:
    """The runs of a workspace.

    Args:
        workspace: Where they are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database
        self._blobs = workspace.blobs

    def create(self, new: NewRun) -> Run:
        """Starts a run. Starting one that is known changes nothing and returns it as it stands.

        Raises:
            InvalidInput: If a name, parameter or tag can't be used.
        """
        rules.check_run(new)
        with self._database.write() as connection:
            if store.insert_run(connection, new):
                beside.put_new(connection, new)
            return store.find_run(connection, new.id)

    def apply(self, run_id: str, batch: JournalBatch) -> Run:
        """Adds records to one of a run's journals, each once; all of the batch or nothing.

        A batch without records asks how many of the writer's are kept.

        Returns:
            The run; ``applied`` counts the writer's records.

        Raises:
            NotFound: If there is no such run.
            InvalidInput: If the writer can't be one, a record says something it can't say, or an
                artifact's bytes aren't in the blob store.
            Conflict: If records before the batch are missing, or a parameter would change.
        """
        self._check_artifacts(batch.records)
        if batch.writer:
            names.check_name("writer", batch.writer)
        with self._database.write() as connection:
            before = run = store.find_run(connection, run_id, lock=True)
            if batch.writer:
                kept = beside.applied(connection, run_id, batch.writer)
                run = msgspec.structs.replace(run, applied=kept)
            records = rules.unseen(run, batch)
            if not records:
                return run
            # Where several write, the one that began it may tell a parameter after another did.
            writer = batch.writer or ("main" if beside.has_writers(connection, run_id) else "")
            changes = rules.fold(run, store.last_steps(connection, run_id), records, writer)
            run = after = rules.after(run, changes)
            if batch.writer:
                after = msgspec.structs.replace(run, applied=before.applied)
                beside.put_applied(connection, run_id, batch.writer, run.applied)
            store.update_run(connection, before, after)
            store.add_points(connection, run_id, changes)
            store.put_artifacts(connection, run.id, changes.artifacts.values(), SystemClock().now())
            store.put_inputs(connection, run.id, list(changes.inputs.values()))
            beside.put_media(connection, run.id, changes.artifacts.values())
            beside.put_provenance(connection, run.id, changes.provenance)
            return run

    def ingest(self, folder: Path) -> Run:
        """Takes in what a script left in its folder: the run, its new records, its files.

        May be called while the script still writes, and again after a crash. A torn last
        line waits until it is whole.

        Args:
            folder: Has ``job.json`` or ``run.json``, ``journal.jsonl``, ``writers/`` and ``files/``.

        Raises:
            NotFound: If there is no run in the folder, or a file that it logged is missing.
            CorruptData: If the journal can't be read.
            InvalidInput: If an artifact's path leads out of the folder or through a link, or
                a record says something it can't say; nothing of this call is kept then.
            Conflict: If a parameter would change; nothing of this call is kept then.
        """
        place = RunFolder(folder)
        run = self.create(place.read_run())
        for writer, journal in place.journals().items():
            if writer:
                run = self.apply(run.id, JournalBatch(0, [], writer))
            run = self._take_in(place, run, writer, journal)
        return self.get(run.id)

    def _take_in(self, place: RunFolder, run: Run, writer: str, journal: Path) -> Run:
        """Takes in the new records of one journal; ``run.applied`` counts those that are known."""
        known = run.applied
        records = list(_new_records(journal, run))
        for record in rules.fold(run, {}, records, writer).artifacts.values():
            place.artifact(record.path)
        for start in range(0, len(records), _BATCH):
            piece = [self._keep(place, record) for record in records[start : start + _BATCH]]
            run = self.apply(run.id, JournalBatch(known + start, piece, writer))
        return run

    def add_files(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Keeps files of a run, by path.

        Raises:
            NotFound: If there is no such run.
            InvalidInput: If a path can't be one.
        """
        kept = [
            LogArtifact(rules.check_artifact_path(path), len(data), self._blobs.put(data))
            for path, data in files.items()
        ]
        with self._database.write() as connection:
            run = store.find_run(connection, run_id, lock=True)
            store.put_artifacts(connection, run.id, kept, SystemClock().now())

    def media(self, run_id: str) -> builtins.list[Media]:
        """The files of a run that show something, by name and step.

        Raises:
            NotFound: If there is no such run.
        """
        with self._database.read() as connection:
            return beside.select_media(connection, store.find_run(connection, run_id).id)

    def end(self, run_id: str, at: datetime, message: str) -> Run:
        """Ends a run as failed whose script is gone; does nothing to one that has ended.

        Raises:
            NotFound: If there is no such run.
        """
        with self._database.write() as connection:
            run = store.find_run(connection, run_id, lock=True)
            if run.status == "running":
                ended = rules.ended(run, Finish(at.timestamp(), "failed", message))
                store.update_run(connection, run, ended)
                return ended
            return run

    def get(self, run_id: str) -> Run:
        """A run with where it comes from and what it used, by its identifier or an unambiguous beginning.

        Raises:
            NotFound: If there is none.
            InvalidInput: If several begin so.
        """
        with self._database.read() as connection:
            return beside.whole(connection, store.find_run(connection, run_id))

    def using(self, dataset: str, digest: str, limit: int) -> builtins.list[tuple[Run, RunInput]]:
        """The runs that used data, the newest first, each with what it noted of it; no deleted ones.

        Args:
            dataset: The dataset's name.
            digest: Of its content.
            limit: At most so many.
        """
        with self._database.read() as connection:
            return store.runs_using(connection, dataset, digest, limit)

    def list(
        self,
        experiment: str | None = None,
        limit: int = 100,
        sort: str = "-started_at",
        cycle: str | None = None,
        where: str = "",
    ) -> builtins.list[Run]:
        """Runs in an order.

        Args:
            experiment: Only those of this experiment.
            limit: At most so many.
            sort: ``started_at``, ``ended_at``, ``duration``, ``name``, ``status``, ``user``, ``id``,
                ``metrics.NAME``, ``params.NAME`` (as numbers if they are) or ``tags.NAME``; with a
                minus sign, descending. Runs that lack it, or whose value is NaN, come last.
            cycle: Only those of this cycle.
            where: Only those that fit this filter; see :mod:`treadle.experiment.grammar`.

        Raises:
            InvalidInput: If ``sort``, ``limit`` or ``where`` can't be used.
            NotFound: If no run has the metric to sort by.
        """
        if not 1 <= limit <= 100_000:
            raise InvalidInput(f"`limit` can't be {limit}", fix="use 1 to 100000")
        with self._database.read() as connection:
            return store.select_runs(connection, experiment, cycle, sort, limit, where)

    def history(self, run_id: str, metric: str) -> builtins.list[Point]:
        """A metric's curve, by step and then in the order in which it was logged.

        Raises:
            NotFound: If there is no such run, or it has no such metric.
        """
        with self._database.read() as connection:
            return store.select_points(connection, store.find_run(connection, run_id).id, metric)

    def artifacts(self, run_id: str) -> builtins.list[Artifact]:
        """The files that a run made, by path.

        Raises:
            NotFound: If there is no such run.
        """
        with self._database.read() as connection:
            return store.select_artifacts(connection, store.find_run(connection, run_id).id)

    def _keep(self, place: RunFolder, record: Record) -> Record:
        """The record; an artifact's bytes go to the blob store first, and their digest into it."""
        if not isinstance(record, LogArtifact) or record.digest:
            return record
        file = place.artifact(record.path)
        size = file.stat().st_size
        return msgspec.structs.replace(record, digest=self._blobs.put_file(file), size=size)

    def _check_artifacts(self, records: builtins.list[Record]) -> None:
        for record in records:
            if isinstance(record, LogArtifact) and not (
                _DIGEST.fullmatch(record.digest) and self._blobs.claim(record.digest)
            ):
                raise InvalidInput(
                    f"the bytes of artifact {record.path!r} are not in the blob store",
                    where=record.digest or "no digest",
                    fix="put them there first, then send the record with their digest",
                )


def _new_records(journal: Path, run: Run) -> Iterator[Record]:
    try:
        reader = JournalReader(journal, run.applied)
    except CorruptData:
        if run.status == "running":
            raise
        return  # The run has ended, and the gate has added metrics of its own since.
    while records := reader.read():
        yield from records
