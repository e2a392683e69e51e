"""Answers, kept as they come: a check that was killed or stopped goes on where it was."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from treadle.evaluate.behaviour.types import Answered
from treadle.kernel.errors import Busy, CorruptData
from treadle.kernel.files import storage_errors, sync
from treadle.kernel.lock import Holder, exclusive

_SYNC_SECONDS = 1.0
_OLDEST_SECONDS = 7 * 86_400.0


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a journal.

    Attributes:
        check: The check's name.
        key: What identifies what is asked.
        at: When it began, in seconds since 1970.
        version: Of the format.
    """

    check: str
    key: str
    at: float
    version: int = 1


class Journal:
    """The answers of a check that goes on.

    Args:
        path: The file.
        begun: Its first line.
        answers: What it has.
    """

    def __init__(self, path: Path, begun: Begun, answers: list[Answered]) -> None:
        self.path, self.begun, self.answers = path, begun, answers
        self.resumed = len(answers)
        self._synced = time.monotonic()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path, check: str, key: str, *, fresh: bool = False) -> Iterator[Self]:
        """The journal of what is asked; goes on with one that was left less than a week ago.

        Args:
            folder: Where journals are.
            check: The check's name.
            key: What identifies what is asked.
            fresh: Whether to begin anew in any case.

        Raises:
            Busy: If another process asks the same right now.
            CorruptData: If a line of it can't be read.
            StorageFull: If no space is left.
        """
        path = folder / f"{check}-{key[:16]}.jsonl"
        with _alone(path, check):
            begun, answers = (None, []) if fresh else _read(path)
            with storage_errors(str(path)):
                if begun is None:
                    if path.exists():
                        path.replace(path.with_suffix(".old"))
                    begun, answers = Begun(check=check, key=key, at=time.time()), []
                    path.write_bytes(msgspec.json.encode(begun) + b"\n")
                    sync(path)
                    sync(folder)
                journal = cls(path, begun, answers)
            try:
                yield journal
            finally:
                journal.close()

    def add(self, answered: Answered) -> None:
        """Keeps an answer; it is on the disk a second later at most.

        Raises:
            StorageFull: If no space is left.
        """
        with storage_errors(str(self.path)):
            line = msgspec.json.encode(answered) + b"\n"
            while line:
                line = line[os.write(self._descriptor, line) :]
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._descriptor)
                self._synced = time.monotonic()
        self.answers.append(answered)

    def close(self) -> None:
        """Waits until all is on the disk."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                with storage_errors(str(self.path)):
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """Removes it: all is kept elsewhere, or is of no use."""
        self.close()
        with contextlib.suppress(FileNotFoundError), storage_errors(str(self.path)):
            self.path.unlink()


@contextlib.contextmanager
def _alone(path: Path, check: str) -> Iterator[None]:
    try:
        holding = exclusive(path.with_suffix(".lock"), Holder(os.getpid(), f"the check {check!r}"))
        holding.__enter__()
    except Busy as error:
        other = error.message.removesuffix(" is driving this workspace")
        raise Busy(
            f"{other} asks the same right now", where=str(path), fix="wait for it to end, or stop it"
        ) from None
    try:
        yield
    finally:
        holding.__exit__(None, None, None)


def _read(path: Path) -> tuple[Begun | None, list[Answered]]:
    """What a journal has; a last line that was never finished is cut off."""
    try:
        with storage_errors(str(path)):
            content = path.read_bytes()
    except OSError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None, []
        raise
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with storage_errors(str(path)):
            os.truncate(path, whole)
    first, *lines = content[:whole].splitlines() or [b""]
    try:
        begun = msgspec.json.decode(first, type=Begun)
    except msgspec.DecodeError:
        return None, []
    if begun.version != 1:
        return None, []
    answers: list[Answered] = []
    for number, line in enumerate(lines, 2):
        try:
            answers.append(msgspec.json.decode(line, type=Answered))
        except msgspec.DecodeError as error:
            raise CorruptData(
                f"the line is no answer: {error}",
                where=f"{path}:{number}",
                fix="remove the line, or the file to ask everything anew",
            ) from None
    last = answers[-1].at if answers else begun.at
    return (None, []) if time.time() - last > _OLDEST_SECONDS else (begun, answers)
