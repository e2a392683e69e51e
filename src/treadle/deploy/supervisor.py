"""Keeps a replica's process alive: restarts it with back-off, and takes it along when it goes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from treadle.deploy.probing import RESTARTED, Patience, Prober, says_it_loads
from treadle.deploy.types import ReplicaOptions

_log = logging.getLogger("treadle.supervisor")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_STEADY = 60.0
_STOP_TIMEOUT = 10.0
_RESTART = 75
_NOT_AT_ONCE = 5.0
# Bytes of a log in which an error's message is looked for.
_LAST = 2_000


def replica_command(
    options: ReplicaOptions,
    url: str,
    listening: socket.socket | None = None,
    door: socket.socket | None = None,
) -> list[str]:
    """The command of a replica that follows the platform at a URL and dies with its parent.

    Args:
        options: How to run.
        url: Where the platform's API answers.
        listening: The socket that it is to answer at; none opens one of its own.
        door: Another one, at which it answers alone.
    """
    text = msgspec.json.encode(options).decode()
    command = [sys.executable, "-m", "treadle.deploy.replica", "--leash", "--url", url, "--options", text]
    if door is not None:
        command += ["--door", str(door.fileno())]
    return command if listening is None else [*command, "--listening", str(listening.fileno())]


class Supervisor:
    """Runs a command until it is closed; starts it again when it ends.

    The child is given a pipe as standard input and ends when that does, so it never
    outlives this process, even one that was killed. It inherits the socket that it answers
    at: callers that come between two of its lives wait in that socket's queue, and are not
    turned away.

    Args:
        command: What to run.
        log: Where its output goes, as it is.
        first_pause: Seconds before the first restart; doubled each time, at most 30,
            and back to this once the command has run for a minute. A command that ended
            with status 75 asked to be started again, and is at once if it has run for
            five seconds.
        listening: The socket that the command answers at; closed with the supervisor.
        asked: A socket at which the command answers alone, the same or another: it is asked there whether
            it is alive, and killed, to be started again, once it hangs. Without one it isn't.
        patience: How long it may take to answer that.
        state: Its folder, in which it says whether it loads a model: then it may take far longer.

    Attributes:
        starts: How often it was started.
        hung: How often it was killed because it hung.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        first_pause: float = _FIRST_PAUSE,
        listening: socket.socket | None = None,
        asked: socket.socket | None = None,
        patience: Patience | None = None,
        state: Path | None = None,
    ) -> None:
        self._command = list(command)
        self._log = log
        self._first_pause = first_pause
        self._listening = listening
        self._asked = asked
        self._address = None if asked is None else asked.getsockname()[:2]
        self._patience = patience or Patience()
        self._state = state
        self._why = ""
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self.starts = self.hung = 0

    @property
    def pid(self) -> int | None:
        """The process that runs now, if one does."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> None:
        """Begins."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the process: gracefully, and after 10 seconds by force."""
        with self._lock:
            self._stop.set()
            process = self._process
            for one in (self._listening, self._asked):
                if one is not None:
                    # The process has its own; whoever comes from now on is turned away once that is closed.
                    one.close()
        if process:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_TIMEOUT)
            if process.poll() is None:
                process.kill()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = self._first_pause
        while process := self._spawn():
            began = time.monotonic()
            ended = threading.Event()
            if self._address is not None:
                watching = (process, self._address, ended)
                threading.Thread(target=self._watch, args=watching, name="prober", daemon=True).start()
            status = process.wait()
            ended.set()
            if process.stdin:
                process.stdin.close()
            lasted = time.monotonic() - began
            if lasted >= _STEADY:
                pause = self._first_pause
            wanted = status == _RESTART and lasted >= _NOT_AT_ONCE
            if self._stop.is_set():
                return
            self._tell(status, 0.0 if wanted else pause)
            if self._stop.wait(0.0 if wanted else pause):
                return
            if not wanted:
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _watch(
        self, process: subprocess.Popen[bytes], address: tuple[str, int], ended: threading.Event
    ) -> None:
        """Kills a process once it hangs: one that is stopped heeds nothing less."""
        state, since = self._state, int(time.time())  # some file systems keep whole seconds
        prober = Prober(
            address,
            process.pid,
            self._patience,
            loads=lambda: state is not None and says_it_loads(state, since),
        )
        with contextlib.closing(prober):
            while not ended.wait(0.0 if prober.waits else self._patience.every):
                if why := prober.ask():
                    self._why = why
                    self.hung += 1
                    _log.warning("the process %s of inference hangs and is killed: %s", self._log.stem, why)
                    process.kill()
                    return

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stop.is_set():
                return None
            inherited = {one.fileno() for one in (self._listening, self._asked) if one is not None}
            why, self._why = self._why, ""
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=tuple(inherited),
                    env=os.environ | ({RESTARTED: why} if why else {}),
                )
            self.starts += 1
            return self._process

    def _tell(self, status: int, pause: float) -> None:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        why = f": {last}" if status > 0 and (last := _last_words(self._log)) else ""
        said = "the process %s of inference %s; it is started again in %.1f s (its log: %s)%s"
        _log.warning(said, self._log.stem, how, pause, self._log, why)


def _last_words(log: Path) -> str:
    """What a process said last: an error's message, without the way there."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST))
        lines = file.read().decode(errors="replace").rstrip().splitlines()
    starts = [number for number, line in enumerate(lines) if line and not line[0].isspace()]
    return "\n".join(lines[starts[-1] :]) if starts else ""
