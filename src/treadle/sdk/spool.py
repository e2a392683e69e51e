"""Runs that wait in ``.treadle/runs`` until a server, or a workspace, takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from treadle.experiment import (
    Finish,
    JournalBatch,
    JournalReader,
    LogArtifact,
    NewRun,
    Record,
    Run,
    RunFolder,
)
from treadle.kernel.errors import Busy, TreadleError, Unavailable
from treadle.kernel.files import write_atomic
from treadle.sdk.journal import Journal

RUNS = ".treadle/runs"
_BATCH = 500


class RunSink(Protocol):
    """Takes runs in; a :class:`treadle.client.Client` does."""

    def create_run(self, new: NewRun) -> Run:
        """Starts a run; starting it again is the same run."""

    def append_journal(self, run_id: str, batch: JournalBatch) -> Run:
        """Adds records to a run's journal, each once."""

    def put_blob(self, path: Path) -> str:
        """Keeps a file's bytes; returns their digest."""


class Pump:
    """Sends a run's journal, from where the other side has it.

    Args:
        folder: The run's folder.
        sink: Where it goes.
    """

    def __init__(self, folder: RunFolder, sink: RunSink) -> None:
        self._folder = folder
        self._sink = sink
        self._run: Run | None = None
        self._reader: JournalReader | None = None

    def send(self) -> bool:
        """Sends what isn't there yet; safe against others that send the same.

        Returns:
            Whether the run has ended and all of it is there.

        Raises:
            Unavailable: If there is no answer; what was sent counts, and sending again is safe.
            TreadleError: If the other side refuses the run.
        """
        reader, self._reader = self._reader, None
        if reader is None:
            self._run = self._sink.create_run(self._folder.read_run())
            reader = JournalReader(self._folder.journal, self._run.applied)
        assert self._run is not None  # noqa: S101 - set with the first reader
        while True:
            first = reader.next
            records = reader.read(_BATCH)
            if not records:
                break
            batch = JournalBatch(first, [self._keep(record) for record in records])
            self._run = self._sink.append_journal(self._run.id, batch)
        self._reader = reader
        if self._run.status == "running":
            return False
        write_atomic(_marker(self._folder), str(reader.next).encode())
        return True

    def _keep(self, record: Record) -> Record:
        if not isinstance(record, LogArtifact) or record.digest:
            return record
        file = self._folder.artifact(record.path)
        return msgspec.structs.replace(record, digest=self._sink.put_blob(file), size=file.stat().st_size)


def sync(client: RunSink, root: Path) -> list[str]:
    """Sends every run of a project that was written without a server.

    A run that is still being written is sent as far as it goes; one whose process is gone
    without having ended it is ended as failed.

    Args:
        client: Where they go.
        root: The project's folder.

    Returns:
        The runs that are now there as a whole, oldest first.

    Raises:
        Unavailable: If there is no answer; the rest stays where it is.
        TreadleError: If a run was refused; the others were sent all the same.
    """
    sent: list[str] = []
    refused: list[tuple[Path, TreadleError]] = []
    for path in sorted((root / RUNS).glob("*/run.json")):
        folder = RunFolder(path.parent)
        if _marker(folder).exists():
            continue
        try:
            _end_if_abandoned(folder)
            if Pump(folder, client).send():
                sent.append(folder.path.name)
        except Unavailable:
            raise
        except TreadleError as error:
            refused.append((folder.path, error))
    if refused:
        path, first = refused[0]
        raise type(first)(
            f"not all runs could be sent: {len(refused)} refused, {len(sent)} sent; {first.message}",
            where=first.where or str(path),
            fix=first.fix,
        )
    return sent


def _marker(folder: RunFolder) -> Path:
    return folder.path / "synced"


def _end_if_abandoned(folder: RunFolder) -> None:
    try:
        journal = Journal(folder.journal)
    except Busy:
        return
    try:
        last_sign = folder.journal.stat().st_mtime
        reader, ended = JournalReader(folder.journal), False
        while records := reader.read():
            ended = ended or any(isinstance(record, Finish) for record in records)
        if not ended:
            journal.append(Finish(last_sign, "failed", "the process ended without finishing the run"))
    finally:
        journal.close()
