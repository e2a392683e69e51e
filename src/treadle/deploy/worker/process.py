"""Loads an MLflow model and answers for it: a process of its own, in the model's own environment.

Stands on Python, NumPy, pandas and MLflow alone, all of which the model brings: Treadle isn't
installed there. It is run as a file: ``python process.py FD FOLDER``, where FD is a connected socket.

A message is the length of its head in four bytes (little-endian), the head as JSON, and as many bytes
as the head's ``buffers`` say. Questions have ``rows`` and ``columns``: a name each, and either a dtype,
whose values are the next buffer, or ``values``. Answers have ``shape`` and one buffer of 64-bit floats,
or ``error``. The first message is the worker's: ``ready``, or why not.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from typing import Any


def read(stream: Any) -> Any:
    """The next message: its head and its buffers; None at the end."""
    start = stream.read(4)
    if len(start) < 4:
        return None
    head = json.loads(stream.read(struct.unpack("<I", start)[0]))
    return head, [stream.read(size) for size in head.get("buffers", ())]


def write(stream: Any, head: dict[str, Any], *buffers: bytes) -> None:
    """Sends a message."""
    text = json.dumps({**head, "buffers": [len(one) for one in buffers]}).encode()
    stream.write(struct.pack("<I", len(text)) + text + b"".join(buffers))
    stream.flush()


def table(schema: Any, head: dict[str, Any], buffers: list[bytes]) -> Any:
    """The rows in the form that MLflow checks them in: a DataFrame, or one tensor."""
    import numpy as np
    import pandas as pd

    left, columns = iter(buffers), {}
    for column in head["columns"]:
        if "dtype" in column:
            columns[column["name"]] = np.frombuffer(next(left), column["dtype"])
        else:
            columns[column["name"]] = np.array(column["values"], object)
    if schema.is_tensor_spec():
        return np.stack(list(columns.values()), 1).astype(schema.inputs[0].type)
    types = dict(zip(schema.input_names(), schema.pandas_types()))  # noqa: B905 - Python 3.9 has no strict
    return pd.DataFrame({name: pd.Series(values).astype(types[name]) for name, values in columns.items()})


def numbers(found: Any, rows: int) -> Any:
    """What the model answered, as an array of 64-bit floats."""
    import numpy as np

    values = found.to_numpy() if hasattr(found, "to_numpy") else np.asarray(found)
    if values.dtype.kind not in "fiub":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            kind = "text" if values.dtype.kind in "US" else type(values.flat[0]).__name__
            raise TypeError(f"it answers with {kind}, and only numbers are served") from None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape[:1] != (rows,) or values.ndim > 2:
        raise ValueError(f"it answers {rows} rows with a result of shape {list(values.shape)}")
    return np.ascontiguousarray(values, np.float64)


def said(error: BaseException) -> str:
    """What happened, in a line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:500]}" if text else type(error).__name__


def main(descriptor: int, folder: str) -> None:
    """Answers until the other end is closed."""
    stream = socket.socket(fileno=descriptor).makefile("rwb")
    try:
        import mlflow.pyfunc

        model = mlflow.pyfunc.load_model(folder)
        schema = model.metadata.get_input_schema()
    except BaseException as error:  # whatever a model's code does, it is told
        write(stream, {"error": said(error)})
        raise
    write(stream, {"ready": True})
    while True:
        question = read(stream)
        if question is None:
            return
        try:
            found = numbers(model.predict(table(schema, *question)), question[0]["rows"])
        except Exception as error:  # noqa: BLE001 - as above
            write(stream, {"error": said(error)})
        else:
            write(stream, {"shape": list(found.shape)}, found.tobytes())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
