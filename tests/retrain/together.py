"""Several who ask for something at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from treadle.kernel.errors import TreadleError


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Runs the calls in threads that start at once; returns results and errors."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return call()
        except TreadleError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
