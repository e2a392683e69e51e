"""A run's folder, as a script leaves it: what it is, its journal, and its files.

``run.json`` (or ``job.json``) says which run; ``journal.jsonl`` has one record a line,
only ever appended to, so that a crash can tear nothing but the last line, which doesn't
count until its newline is there; ``writers/`` has a journal for each other process that writes
the run; ``files/`` holds the artifacts' bytes.
"""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import msgspec

from treadle.experiment.rules import check_artifact_path
from treadle.experiment.types import NewRun, Record
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound

_decode = msgspec.json.Decoder(Record).decode
_encode = msgspec.json.Encoder().encode


class _Job(msgspec.Struct, frozen=True):
    """The part of ``job.json`` that concerns the run."""

    run: NewRun


class RunFolder:
    """A folder that a run's script writes to.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal.jsonl"
        self.files = path / "files"
        self.writers = path / "writers"

    def journals(self) -> dict[str, Path]:
        """The run's journals by writer; that of the process that started it comes first, as ``""``."""
        found = {path.stem: path for path in sorted(self.writers.glob("*.jsonl"))}
        return {"": self.journal, **found}

    def read_run(self) -> NewRun:
        """The run that the folder belongs to.

        Raises:
            NotFound: If the folder has neither ``run.json`` nor ``job.json``.
            CorruptData: If the file isn't what it should be.
        """
        for file in (self.path / "run.json", self.path / "job.json"):
            try:
                raw = file.read_bytes()
                if file.name == "job.json":
                    return msgspec.json.decode(raw, type=_Job).run
                return msgspec.json.decode(raw, type=NewRun)
            except FileNotFoundError:
                continue
            except msgspec.DecodeError as error:
                raise CorruptData(f"not a run: {error}", where=str(file)) from error
        raise NotFound("there is no run in this folder", where=str(self.path))

    def artifact(self, path: str) -> Path:
        """The file of an artifact, if it is a plain file inside ``files/``.

        Raises:
            InvalidInput: If the path leads elsewhere, by ``..`` or by a link.
            NotFound: If there is no such file.
        """
        file = self.files
        try:
            for part in ("", *check_artifact_path(path).split("/")):
                file = file / part
                mode = file.lstat().st_mode
                if stat.S_ISLNK(mode):
                    raise InvalidInput(
                        f"artifact {path!r} is a link or lies behind one",
                        where=str(file),
                        fix="links are not followed: log the file that it points to",
                    )
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"artifact {path!r} was logged but is not there",
                where=str(file),
                fix="leave what was logged in its place until the run has ended",
            ) from None
        if not stat.S_ISREG(mode):
            raise InvalidInput(f"artifact {path!r} is not a file", where=str(file))
        return file


def encode_line(record: Record) -> bytes:
    """A record as a line of a journal."""
    return _encode(record) + b"\n"


class JournalReader:
    """Reads the whole lines of a journal, also while it is being written.

    Args:
        path: The journal; it may not exist yet.
        first: How many records to pass over.

    Attributes:
        next: The number of the record that is read next.
    """

    def __init__(self, path: Path, first: int = 0) -> None:
        self._path = path
        self._offset = 0
        self.next = 0
        while self.next < first:
            lines = self._lines(first - self.next)
            if not lines:
                raise CorruptData(
                    f"the journal has {self.next} records, but {first} were sent from it",
                    where=str(path),
                    fix="the file was shortened; what was sent is safe",
                )
            self.next += len(lines)

    def read(self, limit: int = 5000) -> list[Record]:
        """The next records, none if there are no more yet.

        Raises:
            CorruptData: If a line isn't a record.
        """
        records: list[Record] = []
        for line in self._lines(limit):
            try:
                records.append(_decode(line))
            except msgspec.DecodeError as error:
                raise CorruptData(
                    f"not a record: {error}", where=f"{self._path}:{self.next + len(records) + 1}"
                ) from error
        self.next += len(records)
        return records

    def _lines(self, limit: int) -> list[bytes]:
        lines: list[bytes] = []
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if len(lines) == limit or not line.endswith(b"\n"):
                    break
                lines.append(line)
        self._offset += sum(map(len, lines))
        return lines
