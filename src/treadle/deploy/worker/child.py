"""The process that a model runs in, as the server sees it: started, asked, and ended."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.deploy.worker.environments import environment
from treadle.deploy.worker.table import Table
from treadle.kernel.errors import ModelInvalid
from treadle.registry import Signature

_LOAD = 300.0
_PROCESS = Path(__file__).with_name("process.py")


class _Column(msgspec.Struct):
    name: str
    dtype: str = ""
    values: list[str | None] = []


class _Head(msgspec.Struct):
    """The head of what a worker says; see :mod:`treadle.deploy.worker.process`."""

    ready: bool = False
    error: str = ""
    shape: list[int] = []
    buffers: list[int] = []
    form: Literal["records", "named", "plain"] = "plain"
    columns: list[_Column] = []


class Gone(Exception):
    """The worker is gone, and how."""


class Worker:
    """A process that has a model loaded.

    Args:
        python: The interpreter.
        folder: The model's folder.
        output: Where its output goes.
        local: Whether the interpreter is the server's own.

    Raises:
        ModelInvalid: If it can't load the model.
    """

    def __init__(self, python: Path, folder: Path, output: Path, *, local: bool) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs, output.open("ab") as log_file:
            self.process = subprocess.Popen(
                [str(python), str(_PROCESS), str(theirs.fileno()), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                env=environment(local=local),
                cwd=folder,
            )
        try:
            said, _ = self._receive(_LOAD)
        except Gone as error:
            raise ModelInvalid(f"it can't be loaded: {error}", where=str(output)) from None
        if said.error:
            self.close()
            raise ModelInvalid(
                f"it can't be loaded: {said.error}",
                where=str(output),
                fix="log it with all that it needs in its requirements",
            )

    def ask(
        self,
        columns: list[dict[str, Any]],
        buffers: list[bytes],
        rows: int,
        timeout: float,
        signature: Signature,
    ) -> npt.NDArray[np.float64] | Table:
        """The model's answer: an array, [rows] or [rows, n], or what its signature has instead.

        Raises:
            Gone: If the process died, or didn't answer in time; it is gone then.
            ModelInvalid: If the model failed, or answered other than its signature says.
        """
        head: dict[str, Any] = {"rows": rows, "columns": columns, "buffers": [len(one) for one in buffers]}
        if signature.outputs:
            head["outputs"] = [msgspec.structs.asdict(one) for one in signature.outputs]
        text = msgspec.json.encode(head)
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(struct.pack("<I", len(text)) + text + b"".join(buffers))
        except OSError as error:
            raise Gone(self._end(error, timeout)) from None
        said, found = self._receive(timeout)
        if said.error:
            raise ModelInvalid(f"the model failed on this input: {said.error}")
        if signature.outputs:
            return _table(said, found, rows, signature)
        return np.frombuffer(found[0], np.float64).reshape(said.shape)

    def _receive(self, timeout: float) -> tuple[_Head, list[bytes]]:
        deadline = time.monotonic() + timeout
        try:
            (size,) = struct.unpack("<I", self._bytes(4, deadline))
            head = msgspec.json.decode(self._bytes(size, deadline), type=_Head)
            return head, [self._bytes(size, deadline) for size in head.buffers]
        except (OSError, EOFError, ValueError, MemoryError) as error:
            raise Gone(self._end(error, timeout)) from None

    def _bytes(self, size: int, deadline: float) -> bytes:
        found = bytearray(size)
        view, got = memoryview(found), 0
        while got < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            count = self._socket.recv_into(view[got:])
            if not count:
                raise EOFError
            got += count
        return bytes(found)

    def _end(self, error: Exception, timeout: float) -> str:
        """Ends the process, and says what happened."""
        late = isinstance(error, TimeoutError)
        if not late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)  # it is ending by itself; how, is worth knowing
        status = self.process.poll()
        self.close()
        if late:
            return f"the model didn't answer within {timeout:g} s, and its process was ended"
        if status is None:
            return "the model's process spoke what can't be read, and was ended"
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"the model's process {how}"

    def close(self) -> None:
        """Ends the process."""
        _end(self._socket, self.process)


def _table(said: _Head, buffers: list[bytes], rows: int, signature: Signature) -> Table:
    """The answer as a table."""
    left, columns = iter(buffers), {}
    for column, output in zip(said.columns, signature.outputs, strict=True):
        made = np.frombuffer(next(left), column.dtype) if column.dtype else None
        values: npt.NDArray[Any] = np.array(column.values, object) if made is None else made
        columns[output.name] = values.reshape(rows, output.width) if output.width else values
    return Table(signature, columns, said.form, rows)


def _end(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    if process.poll() is None:
        process.kill()
    process.wait()
