"""Processes that drive a workspace and die at an exact point: forked from one that has imported everything.

``python driver.py`` reads requests from its standard input, a JSON object a line, and answers each
with two lines: the number of the process that does it, and how that process ended. The process
is one of its own: nothing but imported modules is shared, and SIGKILL takes it alone.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRELOADED = (
    "dbos",
    "duckdb",
    "obstore.store",
    "onnxruntime",
    "psycopg",
    "scipy.stats",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "treadle.api",
    "treadle.cli.follow",
    "treadle.cli.main",
    "treadle.cli.run",
    "treadle.cli.server",
    "treadle.retrain.stages",
    "treadle.retrain.worker",
)


def install(when: str, name: str, number: int) -> None:
    """Kills this process before or after a function is called for the n-th time.

    Args:
        when: ``before`` or ``after``.
        name: The function, as ``package.module.Class.method`` or ``package.module.TABLE.key``.
        number: Which call.
    """
    holder, last = _resolve(name)
    original = holder[last] if isinstance(holder, dict) else getattr(holder, last)
    calls, guard = 0, threading.Lock()

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        with guard:
            calls += 1
            mine = calls
        if mine == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if mine == number and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    if isinstance(holder, dict):
        holder[last] = wrapper
    else:
        setattr(holder, last, wrapper)


def _resolve(name: str) -> tuple[Any, str]:
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:-1]:
            found = getattr(found, part)
        return found, parts[-1]
    raise LookupError(name)


def run(root: Path, *arguments: str) -> int:
    """A command of ``treadle``."""
    from treadle.cli.main import run as call

    return call(["--project", str(root), *arguments])


def wheel(root: Path) -> int:
    """Takes the wheel, as ``treadle up`` does, until every workflow has ended."""
    from dbos import DBOS

    from treadle.api.rooms import Rooms

    rooms = Rooms(root, "wheel", None)
    rooms.worker.start()
    for workflow in DBOS.list_workflows(status=["PENDING", "ENQUEUED"]):
        DBOS.retrieve_workflow(workflow.workflow_id).get_result()
    rooms.close()
    return 0


def _child(request: dict[str, Any]) -> int:
    root = Path(request["root"])
    with (root / "driver.txt").open("ab", buffering=0) as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(root)
    for when, name, number in request["kills"]:
        install(when, name, number)
    do: Callable[..., int] = {"run": run, "wheel": wheel}[request["do"]]
    code = do(root, *request["arguments"])
    sys.stdout.flush()
    return code


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = _child(json.loads(line))
            except BaseException:  # noqa: BLE001 - a child of a fork must never go on as its parent
                traceback.print_exc()
            finally:
                os._exit(code)
        _answer(pid)
        _answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
