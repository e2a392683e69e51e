"""Writes that trainings wait for, in groups: what waits while one transaction runs goes into the next.

A write is answered only when it is durable. One at a time writes: the writer's own thread, or
whoever asks it to write at once, which on a quick disk costs less than handing over to a thread.
A training's log call costs a row for its points and one for each metric's latest value.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias

import msgspec

from treadle.experiment import curves
from treadle.experiment.appends import append_at_once
from treadle.experiment.types import TrackedRun
from treadle.experiment.writes import Append, Begin, Outcome, Transaction, Write
from treadle.kernel.database import LOCK_TIMEOUT, Database, database_errors
from treadle.kernel.errors import TreadleError, Unavailable

_log = logging.getLogger("treadle.experiment")
_MOST = 512
_QUICK = 0.01
_WEIGHT = 0.1


class _Waiting(msgspec.Struct):
    write: Write
    done: Future[Any]


class _Merge(msgspec.Struct):
    run: str


_Task: TypeAlias = _Waiting | _Merge | None


class _Locked(Exception):
    """Another process or thread writes to the database."""


class MetricWriter:
    """Writes points and new runs; may be used by several threads.

    Args:
        database: The metadata store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._postgres = database.engine.dialect.name == "postgresql"
        self._waiting: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._loose: dict[str, int] = {}
        self._state = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._writing = threading.Lock()
        self._connection: Any = None
        self._usual = 0.0

    def append(self, append: Append) -> Future[None]:
        """Has points written; the future is done when they are durable.

        The future's error is NotFound for a run that isn't there, Conflict for a deleted one,
        and StorageError, StorageFull if the database can't be written: then nothing of this
        append is kept.

        Raises:
            Unavailable: If the writer was closed.
        """
        return self.submit(append)

    def begin(self, begin: Begin) -> Future[TrackedRun]:
        """Has a run begun; the future is done when that is durable.

        The future's error is NotFound for an experiment that isn't there, InvalidInput for a
        deleted one, and StorageError, StorageFull as above.

        Raises:
            Unavailable: If the writer was closed.
        """
        return self.submit(begin)

    def submit(self, write: Write) -> Future[Any]:
        """Has something written; see :meth:`append` and :meth:`begin`.

        Raises:
            Unavailable: If the writer was closed.
        """
        done: Future[Any] = Future()
        self._enqueue(_Waiting(write, done))
        return done

    def write_now(self, writes: Sequence[Write]) -> list[Outcome] | None:
        """Writes in the calling thread, in one transaction, if that can be expected to take under 10 ms.

        Returns:
            What each came to, as the futures would tell it; None if nothing was written, because
            another one writes just now, transactions take longer, or this one failed:
            :meth:`submit` them then.
        """
        slow = self._postgres or self._usual > _QUICK
        if slow or self._closed or not self._writing.acquire(blocking=False):
            return None
        try:
            outcomes = self._commit(writes, wait=False)
            full = self._full(writes, outcomes)
        except _Locked:
            return None
        except Exception:  # noqa: BLE001 - the thread tries again, and tells whoever waits
            self._disconnect()
            return None
        finally:
            self._writing.release()
        for run in full:
            self._enqueue(_Merge(run))
        return outcomes

    def close(self) -> None:
        """Writes what waits, then ends."""
        with self._state:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join()
        with self._writing:
            self._disconnect()

    def _enqueue(self, task: _Task) -> None:
        with self._state:
            if self._closed:
                raise Unavailable("the server is stopping")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
                self._thread.start()
            self._waiting.put(task)

    def _run(self) -> None:
        ended = False
        while not ended:
            tasks = [self._waiting.get()]
            with contextlib.suppress(queue.Empty):
                while len(tasks) < _MOST:
                    tasks.append(self._waiting.get_nowait())
            ended = None in tasks
            self._write([one for one in tasks if isinstance(one, _Waiting)])
            for task in tasks:
                if isinstance(task, _Merge):
                    self._merge(task.run)

    def _write(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            outcomes, full = self._commit_all([one.write for one in group])
        except TreadleError as error:
            if len(group) == 1:
                group[0].done.set_exception(error)
                return
            for one in group:  # one of them may be the cause; the others are not to suffer
                self._write([one])
            return
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            _log.exception("metrics could not be written")
            for one in group:
                one.done.set_exception(error)
            return
        for one, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, TreadleError):
                one.done.set_exception(outcome)
            else:
                one.done.set_result(outcome)
        for run in full:
            self._merge(run)

    def _commit_all(self, group: Sequence[Write]) -> tuple[list[Outcome], list[str]]:
        """Writes a group when it is its turn; what each came to, and the runs to be merged then."""
        with self._writing:
            try:
                outcomes = self._commit(group, wait=True)
            except BaseException:
                self._disconnect()
                raise
            return outcomes, self._full(group, outcomes)

    def _commit(self, group: Sequence[Write], *, wait: bool) -> list[Outcome]:
        """Writes a group in one transaction; returns what each came to.

        Raises:
            _Locked: If another one writes just now, and this one doesn't wait.
        """
        with database_errors(self._database.engine):
            cursor = self._cursor()
            began = time.perf_counter()
            try:
                appends = [one for one in group if isinstance(one, Append)] if self._postgres else []
                if appends and len(appends) == len(group):
                    return append_at_once(cursor, appends)
                self._start(cursor, began + LOCK_TIMEOUT if wait else None)
                transaction = Transaction(cursor, postgres=self._postgres)
                outcomes = transaction.add(group)
                transaction.flush()
                cursor.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(Exception):
                    cursor.execute("ROLLBACK")
                raise
            finally:
                cursor.close()
        self._usual += _WEIGHT * (time.perf_counter() - began - self._usual)
        return outcomes

    def _start(self, cursor: Any, deadline: float | None) -> None:
        """Begins a transaction; waits its turn until the deadline, if there is one."""
        if self._postgres:
            cursor.execute("BEGIN")
            return
        pause = 0.0005
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                if deadline is None:
                    raise _Locked from None
                if time.perf_counter() > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 0.02)
            else:
                return

    def _cursor(self) -> Any:
        """A cursor of the writer's own connection, on which it begins and ends transactions itself."""
        if self._connection is None:
            raw = self._database.engine.raw_connection()
            driver: Any = raw.driver_connection
            if self._postgres:
                driver.autocommit = True
            else:
                driver.execute("PRAGMA synchronous=FULL")  # what is answered survives a power cut
                driver.execute("PRAGMA busy_timeout=0")
            raw.detach()
            self._connection = driver
        return self._connection.cursor()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _full(self, writes: Sequence[Write], outcomes: Sequence[Outcome]) -> list[str]:
        """The runs that have so many appends now that they are to be merged."""
        found = []
        for write, outcome in zip(writes, outcomes, strict=True):
            if isinstance(write, Append) and outcome is None:
                count = self._loose.get(write.run, 0) + 1
                self._loose[write.run] = count
                if count >= curves.LOOSE:
                    del self._loose[write.run]
                    found.append(write.run)
        return found

    def _merge(self, run: str) -> None:
        try:
            with self._database.write() as connection:
                curves.merge(connection, run)
        except TreadleError as error:  # it is only slower to read; later appends try again
            _log.warning("the curves of %s could not be merged: %s", run, error.message)
