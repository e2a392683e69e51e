"""The process in which a project's own functions run.

Requests come as JSON lines on standard input, answers go out as JSON lines on what was standard output when
it began; what functions print goes to standard error. It ends when its input does, so that it never outlives
whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import inspect
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

LONGEST = 4 << 20
"""The most bytes that an answer may have."""


class Request(msgspec.Struct, frozen=True):
    """What the process is asked.

    Attributes:
        id: Names it.
        op: To load a function, to call it, or to give up a call.
        spec: The function, as ``package.module:function``.
        args: What it is given by place.
        kwargs: What it is given by name, as far as it takes it.
    """

    id: int
    op: str
    spec: str = ""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}


class Response(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the process answers.

    Attributes:
        id: To which request.
        value: What the function returned.
        error: Why there is none.
        detail: The error in words.
        seconds: How long it took.
        takes: The names that the function takes; of ``load``.
        any: Whether it takes any other name as well; of ``load``.
        code: Identifies the project's own modules that are loaded; of ``load``.
    """

    id: int
    value: Any = None
    error: str | None = None
    detail: str = ""
    seconds: float = 0.0
    takes: list[str] = []
    any: bool = False
    code: str = ""


class Unusable(Exception):
    """What a function returned can't be an answer."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error, self.detail = error, detail


def find(spec: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names.

    Raises:
        Unusable: If it can't be imported, or is none.
    """
    module, _, name = spec.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - a module may even end the process
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name
            and f"{module}.".startswith(f"{error.name}.")
        ):
            raise Unusable("no_module", f"there is no module {error.name!r}") from None
        raise Unusable("import", f"importing {module} raised {_said(error)}") from None
    for part in name.split("."):
        if not hasattr(found, part):
            names = ", ".join(sorted(n for n in dir(found) if not n.startswith("_"))[:12])
            raise Unusable("no_function", f"{module} has no {name!r}; it has {names}")
        found = getattr(found, part)
    if not callable(found):
        raise Unusable("no_function", f"{spec} is no function but a {type(found).__name__}")
    function: Callable[..., Any] = found
    return function


def _said(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0][:500]
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({Path(one.filename).name}:{one.lineno})" for one in last)
    return f"{type(error).__name__}: {first}{place}" if first else f"{type(error).__name__}{place}"


def plain(value: Any) -> Any:
    """What a function returned, as JSON has it.

    Raises:
        Unusable: If it is nothing, not a number, too long, or nothing that JSON has.
    """
    if value is None:
        raise Unusable("nothing", "it returned nothing")
    try:
        found = msgspec.to_builtins(value, enc_hook=_listed)
        size = len(msgspec.json.encode(found))
    except (TypeError, ValueError, NotImplementedError, RecursionError) as error:
        raise Unusable(
            "not_json", f"it returned a {type(value).__name__}, which is no text and no JSON: {error}"
        ) from None
    if not _finite(found):
        raise Unusable("not_json", "it returned NaN or infinity")
    if size > LONGEST:
        raise Unusable("too_long", f"it returned {size:,} bytes; the most is {LONGEST:,}")
    return found


def _listed(value: Any) -> Any:
    """Arrays and scalars of NumPy and its kin as lists and numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise NotImplementedError(f"{type(value).__name__} isn't JSON")


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_finite, value))
    return all(map(_finite, value.values())) if isinstance(value, dict) else True


def own_code(root: Path) -> str:
    """Identifies the sources of all modules that are loaded from the project's folder."""
    files = {
        Path(file).resolve()
        for module in list(sys.modules.values())
        if isinstance(file := getattr(module, "__file__", None), str) and file.endswith(".py")
    }
    hasher = hashlib.sha256()
    for file in sorted(one for one in files if one.is_relative_to(root)):
        if "site-packages" not in file.parts:
            hasher.update(f"{file.relative_to(root)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return hasher.hexdigest()


class Worker:
    """Runs functions: async ones in one loop, others in a thread each.

    Args:
        send: Takes the answers.
        root: The project's folder.
    """

    def __init__(self, send: Callable[[Response], None], root: Path) -> None:
        self._send, self._root = send, root
        self._functions: dict[str, Callable[..., Any]] = {}
        self._given_up: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def handle(self, request: Request) -> None:
        """Does what is asked, or begins it."""
        if request.op == "cancel":
            self._give_up(request)
        elif request.op == "load":
            self._send(self._load(request))
        elif request.spec not in self._functions:
            self._send(
                Response(request.id, error="raised", detail=f"{request.spec} can't be loaded any more")
            )
        elif inspect.iscoroutinefunction(_called(self._functions[request.spec])):
            self._tasks[request.id] = asyncio.create_task(self._await(request))
        else:
            threading.Thread(target=self._run, args=(request,), daemon=True).start()

    def _load(self, request: Request) -> Response:
        try:
            function = find(request.spec)
        except Unusable as error:
            return Response(request.id, error=error.error, detail=error.detail)
        self._functions[request.spec] = function
        takes, anything = _takes(function)
        return Response(request.id, takes=takes, any=anything, code=own_code(self._root))

    def _give_up(self, request: Request) -> None:
        self._given_up.add(request.id)
        task = self._tasks.pop(request.id, None)
        if task:
            task.cancel()
        self._send(Response(request.id, error="cancelled", detail="" if task else "its thread goes on"))

    async def _await(self, request: Request) -> None:
        started = time.perf_counter()
        try:
            value = await self._functions[request.spec](*request.args, **request.kwargs)
            self._told(_answer(request, value, time.perf_counter() - started))
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the function's
            self._told(_failed(request, error, time.perf_counter() - started))
        finally:
            self._tasks.pop(request.id, None)

    def _run(self, request: Request) -> None:
        started = time.perf_counter()
        try:
            value = self._functions[request.spec](*request.args, **request.kwargs)
            response = _answer(request, value, time.perf_counter() - started)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the function's
            response = _failed(request, error, time.perf_counter() - started)
        self._told(response)

    def _told(self, response: Response) -> None:
        if response.id not in self._given_up:
            self._send(response)


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is really called: of an object its ``__call__``."""
    return function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__


def _takes(function: Callable[..., Any]) -> tuple[list[str], bool]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [], False
    named = [one.name for one in parameters if one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}]
    return named, any(one.kind is one.VAR_KEYWORD for one in parameters)


def _answer(request: Request, value: Any, seconds: float) -> Response:
    try:
        return Response(request.id, value=plain(value), seconds=seconds)
    except Unusable as error:
        return Response(request.id, error=error.error, detail=error.detail, seconds=seconds)


def _failed(request: Request, error: BaseException, seconds: float) -> Response:
    traceback.print_exception(error)
    return Response(request.id, error="raised", detail=_said(error), seconds=seconds)


def main() -> None:
    """Serves until standard input ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what functions print is no answer
    root = Path.cwd().resolve()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    lock = threading.Lock()

    def send(response: Response) -> None:
        line = msgspec.json.encode(response) + b"\n"
        with lock:
            answers.write(line)
            answers.flush()

    # Ctrl-C reaches this process as well; whoever asks decides when it ends. (Not SIG_IGN: that would be
    # inherited by the processes that a function starts.)
    signal.signal(signal.SIGINT, lambda *_: None)
    loop = asyncio.new_event_loop()
    worker = Worker(send, root)
    tasks: set[asyncio.Task[None]] = set()

    def begin(request: Request) -> None:
        tasks.add(task := loop.create_task(worker.handle(request)))
        task.add_done_callback(tasks.discard)

    def read() -> None:
        for line in requests:
            loop.call_soon_threadsafe(begin, msgspec.json.decode(line, type=Request))
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    loop.run_forever()


if __name__ == "__main__":
    main()
