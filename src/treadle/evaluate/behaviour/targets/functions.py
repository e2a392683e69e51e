"""Asking a project's own functions: in a process of their own, so that nothing they do ends the check."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from treadle.evaluate.behaviour.targets.gate import Gate
from treadle.evaluate.behaviour.targets.paths import at_path
from treadle.evaluate.behaviour.targets.port import Call
from treadle.evaluate.behaviour.targets.worker import Request, Response
from treadle.evaluate.behaviour.types import ErrorKind, Reply, Usage
from treadle.kernel.config import TargetConfig
from treadle.kernel.errors import ConfigError, InvalidInput

_LOAD_SECONDS = 600.0
_CANCEL_SECONDS = 2.0
_MOST_ABANDONED = 16
_LOST = "lost"
_TAIL = 600


class Loaded(NamedTuple):
    """What is known of a function.

    Attributes:
        takes: The names that it takes.
        any: Whether it takes any other name as well.
        code: Identifies the project's own modules that it comes with.
    """

    takes: frozenset[str]
    any: bool
    code: str


class _Waiting:
    """A call that is under way."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.response: Response | None = None

    def end(self, response: Response) -> None:
        self.response = response
        self.done.set()


class _Child:
    """A process, and who waits for its answers.

    Args:
        process: It.
        printed: How many bytes of the log are older than it.
    """

    def __init__(self, process: subprocess.Popen[bytes], printed: int) -> None:
        self.process, self.printed = process, printed
        self.waiting: dict[int, _Waiting] = {}
        self.abandoned = 0

    def write(self, request: Request) -> None:
        """Sends a request; if the process is dead, whoever reads its answers will say so."""
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(OSError, ValueError):  # it is closed once the process has ended
            self.process.stdin.write(msgspec.json.encode(request) + b"\n")
            self.process.stdin.flush()

    def answers(self) -> Iterator[Response]:
        """Its answers, until it ends."""
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
            for line in self.process.stdout:
                yield msgspec.json.decode(line, type=Response)

    def end(self) -> None:
        """Ends it; whoever reads its answers is told."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Closes its pipes, when it has ended."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()


class FunctionHost:
    """The process in which functions run. It is started again when it dies.

    Whichever call was under way alone when it died is to blame; if there were several, each is tried again
    alone, so that the blame is never wrong.

    Args:
        root: The project's folder, where modules are found.
        log: Where what functions print is kept.
    """

    def __init__(self, root: Path, log: Path) -> None:
        self._root, self._log = root, log
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False
        self._ids = itertools.count(1)
        self._gate = Gate()
        self._loaded: dict[str, Loaded] = {}

    def load(self, spec: str, where: str) -> Loaded:
        """Imports a function, once.

        Args:
            spec: ``package.module:function``.
            where: The key of ``treadle.toml`` that names it.

        Raises:
            ConfigError: If there is no such function, or importing it fails.
        """
        if spec not in self._loaded:
            response = self._send("load", spec, (), {}, _LOAD_SECONDS)
            if response.error:
                raise ConfigError(
                    response.detail or f"{spec} can't be loaded",
                    where=where,
                    fix=f"modules are found in {self._root}, and what they print is in {self._log}",
                )
            self._loaded[spec] = Loaded(frozenset(response.takes), response.any, response.code)
        return self._loaded[spec]

    def call(self, spec: str, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float) -> Response:
        """Calls a function that was loaded; what goes wrong is told in the answer."""
        with self._gate.shared():
            response = self._send("call", spec, args, kwargs, timeout)
        for _ in range(3):
            if response.error != _LOST:
                break
            with self._gate.alone():
                response = self._send("call", spec, args, kwargs, timeout)
        return msgspec.structs.replace(response, error="crashed") if response.error == _LOST else response

    def close(self) -> None:
        """Ends the process; it isn't started again."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child:
            child.end()

    # ── one request ──────────────────────────────────────────────────────

    def _send(
        self, op: str, spec: str, args: tuple[Any, ...], kwargs: dict[str, Any], timeout: float
    ) -> Response:
        number, waiting = next(self._ids), _Waiting()
        with self._lock:
            if self._closed:
                return Response(number, error="crashed", detail="the check has ended")
            child = self._running()
            child.waiting[number] = waiting
            child.write(Request(number, op, spec, list(args), kwargs))
        if waiting.done.wait(timeout) and waiting.response:
            return waiting.response
        return self._too_late(child, number, waiting, timeout)

    def _too_late(self, child: _Child, number: int, waiting: _Waiting, timeout: float) -> Response:
        """Gives a call up; a process that doesn't hear of it is ended, and so is one with many such calls."""
        with self._lock:
            child.write(Request(number, "cancel"))
        heard = waiting.done.wait(_CANCEL_SECONDS) and waiting.response is not None
        if waiting.response and waiting.response.error != "cancelled":
            return waiting.response  # it came just now
        with self._lock:
            child.waiting.pop(number, None)
            child.abandoned += heard and bool(waiting.response and waiting.response.detail)
            stuck = not heard or child.abandoned >= _MOST_ABANDONED
            if stuck and self._child is child:
                self._child = None
        if stuck:
            child.end()
        return Response(number, error="timeout", detail=f"no answer within {timeout:g} s", seconds=timeout)

    def _running(self) -> _Child:
        """The process; started if there is none, with every function loaded again."""
        if self._child is None:
            self._child = self._start()
            threading.Thread(target=self._read, args=(self._child,), daemon=True).start()
            for spec in self._loaded:
                self._child.write(Request(next(self._ids), "load", spec))
        return self._child

    def _start(self) -> _Child:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        ours = str(Path(__file__).parents[4])
        path = os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH", "")]))
        with self._log.open("ab") as log:
            printed = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "treadle.evaluate.behaviour.targets.worker"],
                cwd=self._root,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
            return _Child(process, printed)

    def _read(self, child: _Child) -> None:
        """Hands answers to those who wait, until the process ends; then says so to all who still wait."""
        for response in child.answers():
            with self._lock:
                waiting = child.waiting.pop(response.id, None)
            if waiting:
                waiting.end(response)
        code = child.process.wait()
        with self._lock:
            if self._child is child:
                self._child = None
            lost = dict(child.waiting)
            child.waiting.clear()
            child.close()
        detail = f"the process ended with {_ending(code)}{self._tail(child.printed)}"
        for number, waiting in lost.items():
            waiting.end(Response(number, error="crashed" if len(lost) == 1 else _LOST, detail=detail))

    def _tail(self, printed: int) -> str:
        """The last line that was printed since the log had so many bytes."""
        with contextlib.suppress(OSError):
            text = self._log.read_bytes()[printed:][-_TAIL:].decode(errors="replace").strip()
            return f": {text.splitlines()[-1]}" if text else ""
        return ""


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


class FunctionTarget:
    """A function that is asked.

    Args:
        host: Where it runs.
        config: Which, and with what.
        where: The key of ``treadle.toml`` that declares it.

    Raises:
        ConfigError: If there is no such function, or it doesn't take what is declared.
    """

    def __init__(self, host: FunctionHost, config: TargetConfig, where: str) -> None:
        assert config.call is not None  # noqa: S101 - whoever makes it has looked
        self._host, self._config = host, config
        self.name = config.call
        loaded = host.load(config.call, where)
        self._takes = loaded.takes
        self.code = loaded.code
        unknown = [key for key in config.params if key not in loaded.takes and not loaded.any]
        if unknown:
            raise ConfigError(
                f"{config.call} takes no {unknown[0]!r}",
                where=f"{where} params",
                fix=f"it takes {', '.join(sorted(loaded.takes)) or 'nothing by name'}",
            )

    def check(self, call: Call) -> None:
        """Every question suits a function."""

    def ask(self, call: Call, timeout: float) -> Reply:
        """Calls the function with the input, and with ``seed`` and ``case`` if it takes them."""
        kwargs: dict[str, Any] = dict(self._config.params)
        if "seed" in self._takes:
            kwargs["seed"] = call.seed
        if "case" in self._takes and call.case is not None:
            kwargs["case"] = msgspec.to_builtins(call.case)
        begun = time.perf_counter()
        found = self._host.call(self.name, (call.input,), kwargs, timeout)
        seconds = found.seconds or time.perf_counter() - begun
        if found.error:
            return Reply(error=_kind(found.error), detail=found.detail, seconds=seconds)
        return self._reply(found.value, seconds)

    def _reply(self, value: Any, seconds: float) -> Reply:
        if self._config.answer is None:
            return Reply(value=value, seconds=seconds)
        try:
            answer = at_path(value, self._config.answer)
        except InvalidInput as error:
            return Reply(error="malformed", detail=error.message, seconds=seconds)
        if answer is None:
            return Reply(error="nothing", detail=f"{self._config.answer} is null", seconds=seconds)
        return Reply(value=answer, seconds=seconds, usage=usage_of(value))

    def close(self) -> None:
        """The process belongs to the host."""


def _kind(error: str) -> ErrorKind:
    return msgspec.convert(error, ErrorKind) if error in get_args(ErrorKind) else "raised"


def usage_of(value: Any) -> Usage:
    """The tokens that an answer says that it took, under the names that OpenAI and Anthropic use."""
    told = value.get("usage") if isinstance(value, dict) else None
    if not isinstance(told, dict):
        return Usage()
    numbers: Iterator[int] = (
        next((n for key in keys if isinstance(n := told.get(key), int) and n >= 0), 0)
        for keys in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    return Usage(*numbers)
