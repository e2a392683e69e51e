"""The SQL door: a question in SQL over runs, answered by a process of its own, streamed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from treadle.experiment.sql_child import SqlJob, too_large
from treadle.experiment.sql_types import MOST_ROWS, SqlPiece, SqlQuery, SqlTable
from treadle.kernel.errors import Busy, InvalidInput, TreadleError, from_body
from treadle.kernel.workspace import Workspace

SECONDS = 60.0
ABREAST = 2
_PATIENCE, _TO_READ = 30.0, 10
_LONGEST = 100_000
_encode = msgspec.json.Encoder().encode


class SqlDoor:
    """Answers questions in SQL about the runs of a workspace.

    Args:
        workspace: Where they are kept.
        models: Gives the rows of the table of models: model, number, status, run, when registered (in
            microseconds since 1970), and who approved it.
        seconds: The most seconds until an answer begins; ten times as long until it has been read.
    """

    def __init__(
        self,
        workspace: Workspace,
        models: Callable[[], list[list[Any]]] | None = None,
        seconds: float = SECONDS,
    ) -> None:
        url = workspace.database.engine.url
        self._metadata = url.render_as_string(hide_password=False)
        self._root = workspace.root
        self._uploads = workspace.state / "tmp"
        self._models = models
        self._seconds = seconds
        self._places = threading.Semaphore(ABREAST)

    def tables(self) -> list[SqlTable]:
        """What can be asked."""
        from treadle.experiment.sql_tables import TABLES

        return list(TABLES)

    def ask(self, query: SqlQuery) -> Answered:
        """Asks; returns once the answer begins, or the file is written.

        Raises:
            InvalidInput: If the query isn't one SELECT, is wrong, or needs too much time or memory.
            Busy: If others ask already, for too long.
        """
        if not 1 <= query.limit <= MOST_ROWS:
            raise InvalidInput(f"`limit` can't be {query.limit}", fix=f"use 1 to {MOST_ROWS:,}")
        if not query.query.strip() or len(query.query) > _LONGEST or "\0" in query.query:
            raise InvalidInput("there is no query", fix=f"give one SELECT of up to {_LONGEST:,} characters")
        if not self._places.acquire(timeout=_PATIENCE):
            raise Busy(f"{ABREAST} other queries are being answered", fix="try again in a minute")
        folder = None
        try:
            out = None
            if query.format == "parquet":
                self._uploads.mkdir(parents=True, exist_ok=True)
                folder = Path(tempfile.mkdtemp(dir=self._uploads))
                out = folder / "answer.parquet"
            models = self._models() if self._models and "models" in query.query.lower() else []
            job = SqlJob(self._metadata, str(self._root), query, models, None if out is None else str(out))
            answered = Answered(_encode(job), self._seconds, self._places.release, out)
        except BaseException:
            self._places.release()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return answered


class Answered:
    """An answer under way; close it, read or not.

    Args:
        job: What the process is told.
        seconds: The most seconds that it may take.
        release: Called once when it is closed.
        out: The Parquet file that it writes, if it does.

    Attributes:
        out: The Parquet file that was written, in a folder of its own, whose deletion is the caller's.
    """

    def __init__(self, job: bytes, seconds: float, release: Callable[[], None], out: Path | None) -> None:
        self.out = out
        self._release = release
        self._seconds = seconds
        self._late = threading.Event()
        self._closed = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "treadle.experiment.sql_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._timer = threading.Timer(seconds, self._stop)
        self._timer.daemon = True
        self._timer.start()
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018 - they are pipes
        self._lines = self._process.stdout
        try:
            try:
                self._process.stdin.write(job)
                self._process.stdin.close()
            except BrokenPipeError:
                pass  # it has ended, and the first piece says why
            self._first, self._line = self._next()
            self._timer.cancel()
            self._timer = threading.Timer(_TO_READ * seconds, self._stop)
            self._timer.daemon = True
            self._timer.start()
        except BaseException:
            self._end()
            raise

    def _next(self) -> tuple[SqlPiece, bytes]:
        """The next piece.

        Raises:
            TreadleError: If it is an error.
        """
        line = self._lines.readline()
        if not line.endswith(b"\n"):
            if self._late.is_set():
                raise InvalidInput(
                    f"the query took longer than {self._seconds:g} s",
                    fix="narrow it: fewer runs, one metric, fewer joined rows",
                )
            raise too_large()
        piece = msgspec.json.decode(line, type=SqlPiece)
        if piece.error is not None:
            raise from_body(piece.error)
        return piece, line

    def lines(self) -> Iterator[bytes]:
        """The answer's lines, each a :class:`SqlPiece` in JSON; what goes wrong on the way is the last."""
        try:
            piece, line = self._first, self._line
            while True:
                yield line
                if piece.end is not None:
                    return
                piece, line = self._next()
        except TreadleError as error:
            yield _encode(SqlPiece(error=error.body())) + b"\n"
        finally:
            self.close()

    def close(self) -> None:
        """Ends the process, whether or not it has answered."""
        self._end()
        if self._closed.acquire(blocking=False):
            self._release()

    def _stop(self) -> None:
        self._late.set()
        self._process.kill()

    def _end(self) -> None:
        self._timer.cancel()
        self._process.kill()
        self._lines.close()
        self._process.wait()
