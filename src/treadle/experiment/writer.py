"""Writes that trainings wait for, in groups: what waits while one transaction runs goes into the next.

A write is answered only when it is durable. One thread writes; a training's log call costs a
row for its points and one for each metric's latest value.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from treadle.experiment import curves
from treadle.experiment.types import TrackedRun
from treadle.experiment.writes import Append, Begin, Outcome, Transaction, Write
from treadle.kernel.database import Database, database_errors
from treadle.kernel.errors import TreadleError, Unavailable

_log = logging.getLogger("treadle.experiment")
_MOST = 512


class _Waiting(msgspec.Struct):
    write: Write
    done: Future[Any]


class MetricWriter:
    """Writes points and new runs; may be used by several threads.

    Args:
        database: The metadata store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._postgres = database.engine.dialect.name == "postgresql"
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._loose: dict[str, int] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._connection: Any = None

    def append(self, append: Append) -> Future[None]:
        """Has points written; the future is done when they are durable.

        The future's error is NotFound for a run that isn't there, Conflict for a deleted one,
        and StorageError, StorageFull if the database can't be written: then nothing of this
        append is kept.

        Raises:
            Unavailable: If the writer was closed.
        """
        return self._submit(append)

    def begin(self, begin: Begin) -> Future[TrackedRun]:
        """Has a run begun; the future is done when that is durable.

        The future's error is NotFound for an experiment that isn't there, InvalidInput for a
        deleted one, and StorageError, StorageFull as above.

        Raises:
            Unavailable: If the writer was closed.
        """
        return self._submit(begin)

    def _submit(self, write: Write) -> Future[Any]:
        done: Future[Any] = Future()
        with self._lock:
            if self._closed:
                raise Unavailable("the server is stopping")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
                self._thread.start()
            self._waiting.put(_Waiting(write, done))
        return done

    def close(self) -> None:
        """Writes what waits, then ends."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            group = [self._waiting.get()]
            with contextlib.suppress(queue.Empty):
                while len(group) < _MOST:
                    group.append(self._waiting.get_nowait())
            ended = None in group
            self._write([one for one in group if one is not None])
        self._disconnect()

    def _write(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            outcomes = self._commit([one.write for one in group])
        except TreadleError as error:
            self._disconnect()
            if len(group) == 1:
                group[0].done.set_exception(error)
                return
            for one in group:  # one of them may be the cause; the others are not to suffer
                self._write([one])
            return
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            _log.exception("metrics could not be written")
            self._disconnect()
            for one in group:
                one.done.set_exception(error)
            return
        for one, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, TreadleError):
                one.done.set_exception(outcome)
            else:
                one.done.set_result(outcome)
        self._merge(
            one.write.run
            for one, outcome in zip(group, outcomes, strict=True)
            if isinstance(one.write, Append) and outcome is None
        )

    def _commit(self, group: Sequence[Write]) -> list[Outcome]:
        """Writes a group in one transaction; returns what each came to."""
        with database_errors(self._database.engine):
            cursor = self._cursor()
            try:
                cursor.execute("BEGIN" if self._postgres else "BEGIN IMMEDIATE")
                transaction = Transaction(cursor, postgres=self._postgres)
                outcomes = [transaction.add(write) for write in group]
                transaction.flush()
                cursor.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(Exception):
                    cursor.execute("ROLLBACK")
                raise
            finally:
                cursor.close()
        return outcomes

    def _cursor(self) -> Any:
        """A cursor of the writer's own connection, on which it begins and ends transactions itself."""
        if self._connection is None:
            raw = self._database.engine.raw_connection()
            driver: Any = raw.driver_connection
            if self._postgres:
                driver.autocommit = True
            else:
                driver.execute("PRAGMA synchronous=FULL")  # what is answered survives a power cut
            raw.detach()
            self._connection = driver
        return self._connection.cursor()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _merge(self, runs: Iterable[str]) -> None:
        for run in runs:
            count = self._loose.get(run, 0) + 1
            self._loose[run] = count
            if count >= curves.LOOSE:
                del self._loose[run]
                try:
                    with self._database.write() as connection:
                        curves.merge(connection, run)
                except TreadleError as error:  # it is only slower to read; the next append tries again
                    _log.warning("the curves of %s could not be merged: %s", run, error.message)
