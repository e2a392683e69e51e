"""Gathers what a run comes from in a process of its own: Git, the packages, the machine.

That takes from a tenth of a second to many; in a thread it would hold up the training, which
waits for the interpreter's lock. As a process it also outlives a training that is killed. It
is one more writer of the run: its journal is ``writers/origin.jsonl``.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from treadle.experiment import LogArtifact, LogProvenance, LogTags, Provenance, RunFolder
from treadle.kernel.errors import TreadleError
from treadle.kernel.files import write_atomic
from treadle.kernel.origin import git, machine, packages
from treadle.sdk.journal import Journal

WRITER = "origin"
PATCH, LOCK = "provenance/changes.patch", "provenance/requirements.txt"
_BOOT = (
    "import json, sys; order = json.loads(sys.stdin.read()); sys.path[:] = order.pop('path');"
    " from treadle.sdk.gather import main; main(order)"
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to gather.

    Attributes:
        folder: The run's folder.
        cwd: The working folder.
        code: Whether to look at the code; a job's is known to who started it.
        tags: The tags that the script gave itself, which stay.
        journal: The open journal, where another process opened it.
    """

    folder: str
    cwd: str
    code: bool
    tags: tuple[str, ...] = ()
    journal: int = -1


class Gatherer:
    """Whoever gathers, while it does."""

    def __init__(self, ended: Callable[[float], bool]) -> None:
        self._ended = ended

    def wait(self, seconds: float) -> bool:
        """Waits for its end, so long; returns whether it has ended."""
        return self._ended(seconds)


_left: list[subprocess.Popen[bytes]] = []
"""Processes that may outlive their run; kept, for their end must be taken notice of."""


def start(order: Order) -> Gatherer:
    """Begins to gather; never raises.

    The journal is opened and locked here: from now on whoever looks finds it being written, also
    if this process is killed before the other one has begun.
    """
    try:
        journal = Journal(_journal(order))
    except TreadleError:  # a full disk, or somebody gathers already
        return Gatherer(lambda _: True)
    order = msgspec.structs.replace(order, journal=journal.descriptor)
    try:
        process = _spawn(order)
    except OSError:
        process = None
    if process is None:
        thread = threading.Thread(target=gather, args=(order,), name="treadle-origin", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads can be started
            journal.close()
        return Gatherer(lambda seconds: _joined(thread, seconds))
    journal.close()
    _left[:] = [one for one in _left if one.poll() is None]
    _left.append(process)
    return Gatherer(lambda seconds: _waited(process, seconds))


def _joined(thread: threading.Thread, seconds: float) -> bool:
    if thread.ident is not None:
        thread.join(seconds)
    return not thread.is_alive()


def _waited(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _spawn(order: Order) -> subprocess.Popen[bytes] | None:
    """A Python like this one that gathers; None where this program can't be started as Python."""
    if not sys.executable or getattr(sys, "frozen", False):
        return None
    if not Path(sys.executable).name.lower().startswith(("python", "pypy")):
        return None
    beside = [str(Path(module.__file__ or "").parents[1]) for module in (sys.modules["treadle"], msgspec)]
    path = [place for place in (*sys.path, *beside) if isinstance(place, str)]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C ends the training, not this
        pass_fds=(order.journal,),
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    with contextlib.suppress(OSError), process.stdin:
        process.stdin.write(json.dumps({"path": path, **msgspec.to_builtins(order)}).encode())
    return process


def main(order: dict[str, object]) -> None:
    """What the process does."""
    gather(msgspec.convert(order, Order))


def gather(order: Order) -> None:
    """Gathers all of it into the run's folder; what goes wrong is kept as a reason."""
    folder = RunFolder(Path(order.folder))
    with contextlib.suppress(Exception), contextlib.ExitStack() as stack:
        journal = Journal.adopt(_journal(order), order.journal)
        stack.callback(journal.close)
        steps: tuple[tuple[str, Callable[[Order, RunFolder, Journal], None]], ...] = (
            ("code", _code),
            ("environment", _environment),
            ("hardware", _hardware),
        )
        for name, step in steps:
            try:
                step(order, folder, journal)
            except Exception as error:  # noqa: BLE001 - whatever it is, the rest is still worth having
                problem = f"{name}: {type(error).__name__}: {error}"[:500]
                journal.append(LogProvenance(Provenance(problems=(problem,))))


def _journal(order: Order) -> Path:
    return RunFolder(Path(order.folder)).writers / f"{WRITER}.jsonl"


def _code(order: Order, folder: RunFolder, journal: Journal) -> None:
    if not order.code:
        return
    found = git.look(Path(order.cwd))
    if found.patch:
        _keep(folder, journal, PATCH, found.patch)
    journal.append(
        LogProvenance(
            Provenance(
                folder=order.cwd if found.folder is None else found.folder,
                commit=found.commit,
                branch=found.branch,
                repository=found.repository,
                dirty=found.dirty,
                patch=PATCH if found.patch else None,
                problems=found.problems,
            )
        )
    )
    tags = {"commit": found.commit or "", "dirty": str(found.dirty).lower()} if found.commit else {}
    if new := {name: value for name, value in tags.items() if name not in order.tags}:
        journal.append(LogTags(new))


def _environment(_: Order, folder: RunFolder, journal: Journal) -> None:
    lock = packages.lock()
    _keep(folder, journal, LOCK, lock.encode())
    journal.append(
        LogProvenance(
            Provenance(lock=LOCK, environment=packages.digest(lock), packages=len(lock.splitlines()))
        )
    )


def _hardware(_: Order, __: RunFolder, journal: Journal) -> None:
    journal.append(LogProvenance(Provenance(hardware=machine.hardware())))


def _keep(folder: RunFolder, journal: Journal, path: str, data: bytes) -> None:
    write_atomic(folder.files / path, data)
    journal.append(LogArtifact(path, len(data)))
