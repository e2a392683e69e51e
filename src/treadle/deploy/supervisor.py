"""Keeps a replica's process alive: restarts it with back-off, and takes it along when it goes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from treadle.deploy.types import ReplicaOptions

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_STEADY = 60.0
_STOP_TIMEOUT = 10.0


def replica_command(options: ReplicaOptions, url: str) -> list[str]:
    """The command of a replica that follows the platform at a URL and dies with its parent."""
    text = msgspec.json.encode(options).decode()
    return [sys.executable, "-m", "treadle.deploy.replica", "--leash", "--url", url, "--options", text]


class Supervisor:
    """Runs a command until it is closed; starts it again when it ends.

    The child is given a pipe as standard input and ends when that does, so it never
    outlives this process, even one that was killed.

    Args:
        command: What to run.
        log: Where its output goes, as it is.
        first_pause: Seconds before the first restart; doubled each time, at most 30,
            and back to this once the command has run for a minute.
    """

    def __init__(self, command: Sequence[str], log: Path, first_pause: float = _FIRST_PAUSE) -> None:
        self._command = list(command)
        self._log = log
        self._first_pause = first_pause
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self.starts = 0

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
            process.wait()
            if process.stdin:
                process.stdin.close()
            if time.monotonic() - began >= _STEADY:
                pause = self._first_pause
            if self._stop.wait(pause):
                return
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stop.is_set():
                return None
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
                )
            self.starts += 1
            return self._process
