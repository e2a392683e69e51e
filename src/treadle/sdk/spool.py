"""Runs that wait in ``.treadle/runs`` until a server, or a workspace, takes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from treadle.experiment import (
    Finish,
    JournalBatch,
    JournalReader,
    LogArtifact,
    LogMetrics,
    NewRun,
    Record,
    Run,
    RunFolder,
)
from treadle.kernel.errors import Busy, TreadleError, Unavailable
from treadle.kernel.files import write_atomic
from treadle.sdk.gather import WRITER as ORIGIN
from treadle.sdk.journal import Journal, is_written

RUNS = ".treadle/runs"
_BATCH = 500
_ORIGIN_SECONDS = 10.0


class RunSink(Protocol):
    """Takes runs in; a :class:`treadle.client.Client` does."""

    def create_run(self, new: NewRun) -> Run:
        """Starts a run; starting it again is the same run."""

    def append_journal(self, run_id: str, batch: JournalBatch) -> Run:
        """Adds records to one of a run's journals, each once."""

    def put_blob(self, path: Path) -> str:
        """Keeps a file's bytes; returns their digest."""


class Pump:
    """Sends a run's journals, from where the other side has them.

    Args:
        folder: The run's folder.
        sink: Where they go.
        only: The one writer whose journal is sent; all of the folder's by default.
    """

    def __init__(self, folder: RunFolder, sink: RunSink, only: str | None = None) -> None:
        self._folder = folder
        self._sink = sink
        self._only = only
        self._run: Run | None = None
        self._readers: dict[str, JournalReader] = {}
        self._names: dict[str, str] = {}

    def send(self) -> bool:
        """Sends what isn't there yet; safe against others that send the same.

        Returns:
            Whether the run has ended and all of its main journal is there; of a run that was
            started elsewhere, or a single writer, whether all of it is there.

        Raises:
            Unavailable: If there is no answer; what was sent counts, and sending again is safe.
            TreadleError: If the other side refuses the run.
        """
        journals = self._journals()
        alive = any(is_written(path) for writer, path in journals.items() if writer)
        try:
            for writer, path in journals.items():
                self._send(writer, path)
        except BaseException:
            self._run = None
            self._readers.clear()
            raise
        if self._only is not None:
            return True
        if self._run is not None and self._run.status == "running" and "" in journals:
            return False
        if not alive:
            write_atomic(marker(self._folder), b"")
        return True

    def _journals(self) -> dict[str, Path]:
        found = self._folder.journals()
        if self._only is not None:
            return {self._only: found[self._only]} if self._only in found else {}
        return {writer: path for writer, path in found.items() if writer or path.exists()}

    def _send(self, writer: str, path: Path) -> None:
        reader = self._readers.get(writer) or self._open(writer, path)
        while records := reader.read(_BATCH):
            first = reader.next - len(records)
            batch = JournalBatch(first, [self._keep(record) for record in records], self._names[writer])
            answer = self._sink.append_journal(self._folder.path.name, batch)
            if self._run is None or not writer:
                self._run = answer

    def _open(self, writer: str, path: Path) -> JournalReader:
        """The journal, from the first record on that the other side doesn't have."""
        if not writer:
            new = self._folder.read_run()
            self._run = run = self._sink.create_run(new)
            if run.started_at != new.started_at:
                # Another machine started a run of this name: both keep all of theirs, as two writers.
                writer_name = f"start-{int(new.started_at.timestamp() * 1e6):x}"
            else:
                writer_name = ""
            self._names[writer] = writer_name
        else:
            self._names[writer] = writer_name = writer
        if writer_name:
            run = self._sink.append_journal(self._folder.path.name, JournalBatch(0, [], writer_name))
        self._readers[writer] = reader = JournalReader(path, run.applied)
        return reader

    def _keep(self, record: Record) -> Record:
        if not isinstance(record, LogArtifact) or record.digest:
            return record
        file = self._folder.artifact(record.path)
        return msgspec.structs.replace(record, digest=self._sink.put_blob(file), size=file.stat().st_size)


def sync(client: RunSink, root: Path, beginning: str = "") -> list[str]:
    """Sends every run of a project that was written without a server.

    A run that is still being written is sent as far as it goes; one whose process is gone
    without having ended it is ended as failed.

    Args:
        client: Where they go.
        root: The project's folder.
        beginning: Only runs whose identifiers begin so.

    Returns:
        The runs that are now there as a whole, oldest first.

    Raises:
        Unavailable: If there is no answer; the rest stays where it is.
        TreadleError: If a run was refused; the others were sent all the same.
    """
    sent: list[str] = []
    refused: list[tuple[Path, TreadleError]] = []
    for folder in _waiting(root, beginning):
        try:
            if (folder.path / "run.json").exists():
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


def _waiting(root: Path, beginning: str) -> Iterator[RunFolder]:
    """Folders of runs that were started here, or that were only written to from here."""
    for path in sorted((root / RUNS).glob("*")):
        folder = RunFolder(path)
        ours = (path / "run.json").exists() or any(folder.writers.glob("*.jsonl"))
        if ours and path.name.startswith(beginning) and not marker(folder).exists():
            yield folder


def marker(folder: RunFolder) -> Path:
    """The file that says that all of a run was sent."""
    return folder.path / "synced"


def _end_if_abandoned(folder: RunFolder) -> None:
    """Ends a run that nobody writes any more, and says what of it is kept."""
    journals = folder.journals()
    others = [path for writer, path in journals.items() if writer not in ("", ORIGIN)]
    try:
        journal = Journal(folder.journal)
    except Busy:
        return
    try:
        if any(is_written(path) for path in others):
            return
        _await(journals.get(ORIGIN))
        count, last, ended = _count(folder.journal)
        if ended:
            return
        for path in others:
            more, at, _ = _count(path)
            count, last = count + more, max(last, at)
        moment = f"{datetime.fromtimestamp(last, UTC):%H:%M:%S} UTC"
        records = "1 record" if count == 1 else f"{count:,} records"
        kept = f"{records} kept, last at {moment}" if count else "nothing was logged"
        journal.append(Finish(last, "failed", f"killed: {kept}"))
    finally:
        journal.close()


def _count(path: Path) -> tuple[int, float, bool]:
    """How many records a journal has, when the last was written, and whether the run ends there."""
    last = path.stat().st_mtime
    reader, ended, measured = JournalReader(path), False, 0.0
    while records := reader.read():
        ended = ended or any(isinstance(record, Finish) for record in records)
        times = [record.at for record in records if isinstance(record, LogMetrics)]
        measured = max([measured, *times])
    return reader.next, measured or last, ended


def _await(origin: Path | None) -> None:
    """Waits for what gathers where the run comes from: it outlives a process that was killed."""
    end = time.monotonic() + _ORIGIN_SECONDS
    while origin is not None and is_written(origin) and time.monotonic() < end:
        time.sleep(0.02)
