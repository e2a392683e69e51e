"""Rows of a dataset as requests of the Open Inference Protocol, sent to an inference server."""

from __future__ import annotations

import threading
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec

from treadle.data import Datasets, DatasetVersion, SliceSpec
from treadle.kernel.engine import quote
from treadle.kernel.errors import Unavailable
from treadle.kernel.workspace import Workspace


def requests(workspace: Workspace, version: DatasetVersion, since: datetime, until: datetime) -> list[bytes]:
    """One request an hour of the data: the rows that happened in it, with their keys and times."""
    train, data = workspace.config.training
    spec = SliceSpec(dataset=version.dataset, version=version.digest, since=since, until=until)
    _, path = Datasets(workspace).slice(spec, "input")
    time, key = quote(data.time or ""), quote(data.key or "")
    features = ", ".join(quote(name) for name in train.features)
    rows = workspace.engine.rows(
        f"SELECT CAST(epoch({time}) AS BIGINT), CAST({key} AS VARCHAR), {features} "  # noqa: S608 - quoted
        f"FROM rows ORDER BY {time}, {key}",
        (),
        {"rows": path},
    )
    types = {column.name: column.type for column in version.columns}
    tensors = [(data.time or "", "INT64"), (data.key or "", "BYTES")]
    tensors += [(name, _datatype(types[name])) for name in train.features]
    most = workspace.config.serve.max_rows
    bodies = []
    for _, hour in groupby(rows, key=lambda row: row[0] // 3600):
        batch = list(hour)
        bodies += [_body(tensors, batch[at : at + most]) for at in range(0, len(batch), most)]
    return bodies


def _body(tensors: list[tuple[str, str]], rows: list[tuple[Any, ...]]) -> bytes:
    columns = zip(*rows, strict=True)
    inputs = [
        {"name": name, "shape": [len(rows), 1], "datatype": datatype, "data": values}
        for (name, datatype), values in zip(tensors, columns, strict=True)
    ]
    return msgspec.json.encode({"inputs": inputs})


def _datatype(column: str) -> str:
    """The tensor type for a column's SQL type; numbers go as FP64, in which any may be missing."""
    return {"VARCHAR": "BYTES", "BOOLEAN": "BOOL"}.get(column, "FP64")


class Traffic:
    """Sends requests and counts what became of them; may be used by several threads.

    Args:
        url: The inference server's address.
        model: The model to ask.
    """

    def __init__(self, url: str, model: str) -> None:
        import urllib3

        self._url = url
        self._infer = f"{url}/v2/models/{model}/infer"
        self._pool = urllib3.PoolManager(maxsize=16, retries=False, timeout=30.0)
        self._lock = threading.Lock()
        self.requests = 0
        self.failed = 0
        self.rows = 0

    def send(self, body: bytes) -> None:
        """Sends one request; one that isn't answered with predictions counts as failed."""
        import urllib3

        try:
            answer = self._pool.request("POST", self._infer, body=body)
            rows = _rows(answer.data) if answer.status == 200 else 0
        except urllib3.exceptions.HTTPError:
            rows = 0
        with self._lock:
            self.requests += 1
            self.rows += rows
            self.failed += rows == 0

    def flush(self) -> None:
        """Waits until everything answered so far has reached the prediction log.

        Raises:
            Unavailable: If the server can't hand its log on.
        """
        import urllib3

        try:
            answer = self._pool.request("POST", f"{self._url}/treadle/flush")
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable("the inference server went away", where=self._url) from error
        if answer.status != 200:
            raise Unavailable(
                f"the prediction log could not be handed on: {answer.data[:200]!r}", where=self._url
            )


class _Output(msgspec.Struct):
    shape: list[int]


class _Answer(msgspec.Struct):
    outputs: list[_Output]


def _rows(raw: bytes) -> int:
    try:
        return msgspec.json.decode(raw, type=_Answer).outputs[0].shape[0]
    except (msgspec.DecodeError, IndexError):
        return 0
