"""A model that answers from a process of its own: what it does to that, it doesn't do to the server."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from treadle.deploy.worker.child import Gone, Worker
from treadle.deploy.worker.table import Table
from treadle.kernel.errors import ModelInvalid, TreadleError, Unavailable
from treadle.registry import Signature, SmallBatches, made_up_example, read_example, read_mlmodel

log = logging.getLogger("treadle.worker")

MLMODEL = "MLmodel"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class ForeignModel:
    """A model that answers from a process of its own, which is started again when it dies.

    Safe to use from several threads at once; it answers one at a time.

    Args:
        worker: The process; further ones are made by ``start``.
        start: Makes one.
        signature: What the model takes and gives.
        example: Rows that it was proven on, or one that only shows their form.
        timeout: Seconds that an answer may take.

    Attributes:
        signature: As given.
        example: As given.
        platform: What the model is.
        beside: It is never asked on the event loop: it may take as long as it likes.
    """

    platform = "mlflow_pyfunc"
    real = "FP64"
    beside = True

    def __init__(
        self,
        worker: Worker,
        start: Any,
        signature: Signature,
        example: dict[str, list[Any]],
        timeout: float,
    ) -> None:
        self.signature = signature
        self.example = example
        self._start = start
        self._timeout = timeout
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._finalizer: Any = None
        self.take(worker)

    @classmethod
    def load(cls, folder: Path, python: Path, output: Path, timeout: float, *, local: bool) -> ForeignModel:
        """Starts a process for a model and proves on the model's example that it answers.

        Args:
            folder: The model's files, ``MLmodel`` among them.
            python: The interpreter that has what the model needs.
            output: Where the process's output goes.
            timeout: Seconds that an answer may take.
            local: Whether the interpreter is the server's own.

        Raises:
            ModelInvalid: If it can't be loaded, isn't of a form that is served, or fails on its example.
        """
        described = read_mlmodel((folder / MLMODEL).read_bytes())
        if described is None or described.signature is None:
            raise ModelInvalid(
                described.problem if described else "its MLmodel can't be read",
                where=MLMODEL,
                fix="log it with signature=mlflow.models.infer_signature(inputs, predictions), of a table of "
                "numbers, texts and truth values that gives a number a row",
            )

        def start() -> Worker:
            return Worker(python, folder, output, local=local)

        signature = described.signature
        example = _example(folder, described.example, signature)
        model = cls(start(), start, signature, example or made_up_example(signature), timeout)
        if example:
            model._prove()
        return model

    def predict(self, columns: Mapping[str, Any]) -> npt.NDArray[np.float64] | Table:
        """The probability or value for each row, or all that its signature has.

        Args:
            columns: Every input by name: lists, or one-dimensional arrays.

        Raises:
            ModelInvalid: If the model fails on these values, kills its process or takes too long.
            Unavailable: While its process is being started again.
        """
        heads, buffers, rows = [], [], 0
        for field in self.signature.inputs:
            head, buffer, rows = _packed(field.name, field.kind, columns[field.name])
            heads.append(head)
            buffers += buffer
        with self._lock:
            if self._worker is None:
                raise Unavailable("the model's process died and is being started again")
            try:
                found = self._worker.ask(heads, buffers, rows, self._timeout, self.signature)
            except Gone as error:
                self._restart()
                raise ModelInvalid(str(error)) from None
        if isinstance(found, Table):
            return found
        if found.ndim == 2 and found.shape[1] == 2 and self.signature.output == "probability":
            found = found[:, 1]
        if found.shape != (rows,):
            raise ModelInvalid(f"the model answers {rows} rows with a result of shape {list(found.shape)}")
        return np.asarray(found, np.float64)

    def small_batches(self) -> SmallBatches | None:
        """None: there is no quicker way."""
        return None

    def close(self) -> None:
        """Ends the process; what is no longer referred to is closed by itself."""
        if self._finalizer:
            self._finalizer()

    @property
    def pid(self) -> int | None:
        """Of the process that answers now, if one does."""
        return self._worker.process.pid if self._worker else None

    def take(self, worker: Worker) -> None:
        """Lets a process answer from now on."""
        self._worker = worker
        self._finalizer = weakref.finalize(self, worker.close)

    def _restart(self) -> None:
        self._worker = None
        self._finalizer()
        thread = threading.Thread(target=_revive, args=(weakref.ref(self), self._start), daemon=True)
        thread.start()

    def _prove(self) -> None:
        try:
            found = self.predict(self.example)
        except (TreadleError, ValueError, TypeError, OverflowError) as error:
            self.close()
            said = error.message if isinstance(error, TreadleError) else str(error)
            raise ModelInvalid(f"the model fails on its own example: {said}", where=MLMODEL) from error
        scores = found.numbers if isinstance(found, Table) else found
        bad = ~np.isfinite(scores)
        if self.signature.output == "probability":
            bad |= (scores < 0) | (scores > 1)
        if bad.any():
            self.close()
            row = int(bad.argmax())
            raise ModelInvalid(
                f"the model answers {scores[row]:g} to row {row} of its own example, which is no "
                f"{self.signature.output}",
                where=MLMODEL,
            )


def _revive(model: weakref.ref[ForeignModel], start: Any) -> None:
    """Starts a model's process again, with back-off, as long as anybody has the model."""
    pause = _FIRST_PAUSE
    while True:
        time.sleep(pause)
        if model() is None:
            return
        try:
            worker = start()
        except (ModelInvalid, OSError) as error:
            log.warning("a model's process can't be started again: %s", error)
            pause = min(2 * pause, _LONGEST_PAUSE)
            continue
        found = model()
        if found is None:
            worker.close()
        else:
            found.take(worker)
            log.info("a model's process was started again")
        return


def _example(folder: Path, name: str, signature: Signature) -> dict[str, list[Any]]:
    path = folder / name
    if not name or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return {}
    return read_example(path.read_bytes(), signature)


def _packed(name: str, kind: str, values: Any) -> tuple[dict[str, Any], list[bytes], int]:
    """A column as the worker reads it."""
    if kind == "string":
        plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
        return {"name": name, "values": plain}, [], len(plain)
    dtype = {"float": "<f8", "int": "<i8", "bool": "|b1"}[kind]
    if kind == "float" and not isinstance(values, np.ndarray):
        values = [np.nan if value is None else value for value in values]
    array = np.ascontiguousarray(values, dtype)
    return {"name": name, "dtype": dtype}, [array.tobytes()], len(array)
