"""Executes cycles durably: every stage is a step that DBOS remembers, so that a killed process goes on.

A stage that was under way when the process died is done again; its effects have
identities (the cycle's and the stage's), so that doing it again changes nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from treadle.kernel.config import config_digest
from treadle.kernel.errors import StorageError, TreadleError
from treadle.kernel.lock import Holder, exclusive
from treadle.kernel.workspace import Workspace
from treadle.retrain.service import Cycles
from treadle.retrain.stages import perform
from treadle.retrain.types import Cycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK = ".treadle/engine.lock"
_APP_VERSION = "1"
_ATTEMPTS = 20
_current: Workspace | None = None


class Worker:
    """Drives the cycles of one workspace; at most one in all processes does.

    Args:
        workspace: The workspace.
        doing: What this process is, for others to see, such as ``treadle up``.
        url: Where its API answers, if it serves one.
    """

    def __init__(self, workspace: Workspace, doing: str, url: str | None = None) -> None:
        self._ws = workspace
        self._holder = Holder(os.getpid(), doing, url, config_digest(workspace.root))
        self._stack = contextlib.ExitStack()
        self._guard = threading.Lock()
        self._turn: Callable[[str], None] | None = None

    @property
    def driving(self) -> bool:
        """Whether this process drives."""
        return self._turn is not None

    def start(self) -> list[Cycle]:
        """Takes the wheel and goes on with what was interrupted; returns those cycles.

        Raises:
            Busy: If another process has it.
        """
        global _current  # noqa: PLW0603 - DBOS is one to a process, and so is the workspace it drives
        with self._guard:
            if self._turn is not None:
                return []
            self._stack.enter_context(exclusive(self._ws.root / LOCK, self._holder))
            try:
                _current = self._ws
                self._turn = _launch(self._ws)
            except BaseException:
                self._stack.close()
                raise
        interrupted = Cycles(self._ws).list(running=True)
        for cycle in interrupted:
            self.submit(cycle)
        return interrupted

    def submit(self, cycle: Cycle) -> None:
        """Has a cycle executed; one that is being executed is left alone.

        One that was begun again and again fails instead: it may be what kills this process.
        """
        from dbos import DBOS, SetWorkflowID

        self.start()
        assert self._turn is not None  # noqa: S101 - start() has just set it
        before = DBOS.get_workflow_status(cycle.id)
        if before is not None and (before.recovery_attempts or 0) > _ATTEMPTS:
            error = TreadleError(
                "the cycle was interrupted again and again and has been given up",
                where=cycle.id,
                fix="see .treadle/logs, then start a new one with `treadle run`",
            )
            Cycles(self._ws).fail(cycle.id, error)
            return
        with SetWorkflowID(cycle.id):
            handle = DBOS.start_workflow(self._turn, cycle.id)
        status = handle.get_status()
        if status.status in ("ERROR", "CANCELLED"):
            error = TreadleError(
                f"the cycle stopped and could not even say so: {status.error or status.status}",
                where=cycle.id,
                fix="see .treadle/logs, then start a new one with `treadle run`",
            )
            Cycles(self._ws).fail(cycle.id, error)

    def close(self) -> None:
        """Lets go; what runs is taken up again by whoever drives next."""
        global _current  # noqa: PLW0603 - see start()
        with self._guard:
            if self._turn is not None:
                from dbos import DBOS

                DBOS.destroy(workflow_completion_timeout_sec=0)
                self._turn = None
                _current = None
            self._stack.close()


def _launch(workspace: Workspace) -> Callable[[str], None]:
    from dbos import DBOS, DBOSConfig

    config = DBOSConfig(
        name="treadle",
        system_database_url=_system_url(workspace),
        # The machine and folder, not the process: the next process here goes on with this one's work.
        executor_id=f"{socket.gethostname()}:{workspace.root}",
        application_version=_APP_VERSION,
        log_level="ERROR",
    )
    DBOS(config=config)
    step = DBOS.step(name="stage")(_stage)

    def turn(cycle_id: str) -> None:
        for stage in Cycles(_workspace()).get(cycle_id).stages:
            if not step(cycle_id, stage.name):
                return

    # DBOS gives up in its own time, unseen by whoever waits for the cycle: Worker.submit() does it here.
    workflow = DBOS.workflow(name="cycle", max_recovery_attempts=10 * _ATTEMPTS)(turn)
    with _launch_errors(workspace):
        DBOS.launch()
    return workflow


@contextlib.contextmanager
def _launch_errors(workspace: Workspace) -> Iterator[None]:
    """Tells in one error what DBOS would tell in a page of traceback.

    Raises:
        StorageError: If its own tables can't be used.
    """
    log = logging.getLogger("dbos")
    before, log.disabled = log.disabled, True
    try:
        yield
    except sa.exc.DBAPIError as error:
        url = sa.make_url(_system_url(workspace))
        lost = "interrupted cycles go on from their last finished stage without it"
        raise StorageError(
            f"the notes of the workflow engine can't be used: {error.orig}",
            where=url.render_as_string(hide_password=True),
            fix=f"move the file away ({lost})" if url.get_backend_name() == "sqlite" else None,
        ) from error
    finally:
        log.disabled = before


def _stage(cycle_id: str, stage: str) -> bool:
    """One step: performs a stage; returns whether the cycle goes on."""
    return perform(_workspace(), cycle_id, stage)


def _workspace() -> Workspace:
    assert _current is not None  # noqa: S101 - DBOS runs nothing before start() or after close()
    return _current


def _system_url(workspace: Workspace) -> str:
    """DBOS keeps its own tables: in a file beside SQLite's, in the schema ``dbos`` on Postgres."""
    url = workspace.database.engine.url
    if url.get_backend_name() == "sqlite":
        folder = Path(url.database or "").parent
        return f"sqlite:///{folder / 'workflows.db'}"
    return url.render_as_string(hide_password=False).replace("postgresql+psycopg://", "postgresql://")
