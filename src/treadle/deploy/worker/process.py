"""Loads an MLflow model and answers for it: a process of its own, in the model's own environment.

Stands on Python, NumPy, pandas and MLflow alone, all of which the model brings: Treadle isn't
installed there. It is run as a file: ``python process.py FD FOLDER``, where FD is a connected socket.

A message is the length of its head in four bytes (little-endian), the head as JSON, and as many bytes
as the head's ``buffers`` say. Questions have ``rows`` and ``columns``: a name each, and either a dtype,
whose values are the next buffer, or ``values``. Answers have ``shape`` and one buffer of 64-bit floats,
or ``error``. Questions with ``outputs`` (a name, kind, width and whether one may be missing each) are
answered with ``columns`` like those of questions, and with the ``form`` that the model gave them in. The
first message is the worker's: ``ready``, or why not.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from typing import Any

_NUMBERS = (bool, int, float)


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
            raise TypeError(f"it answers with {kind}, and its signature doesn't say so") from None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape[:1] != (rows,) or values.ndim > 2:
        raise ValueError(f"it answers {rows} rows with a result of shape {list(values.shape)}")
    return np.ascontiguousarray(values, np.float64)


def columns(found: Any, outputs: list[dict[str, Any]], rows: int) -> Any:
    """What the model answered as its signature has it: the form, and each output's head and buffers."""
    form, by_name = parts(found, outputs)
    heads, buffers = [], []
    for output in outputs:
        values = shaped(output, by_name[output["name"]], rows)
        if output["kind"] == "string":
            heads.append({"name": output["name"], "values": texts(output, values)})
        else:
            array = numeric(output, values)
            heads.append({"name": output["name"], "dtype": array.dtype.str})
            buffers.append(array.tobytes())
    return form, heads, buffers


def parts(found: Any, outputs: list[dict[str, Any]]) -> Any:
    """Each output's values by name, and the form: ``records``, ``named``, or ``plain``."""
    import numpy as np
    import pandas as pd

    names, kinds = [output["name"] for output in outputs], (pd.DataFrame, dict)
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        found = pd.DataFrame(found)
    if isinstance(found, kinds):
        given = {str(name): found[name] for name in found}
        if len(names) == 1 and names[0] not in given:
            return "plain", {names[0]: found.to_numpy() if isinstance(found, pd.DataFrame) else found}
        lacks = [name for name in names if name not in given]
        if lacks:
            raise ValueError(f"it answers without {', '.join(lacks)}, which its signature has")
        form = "named" if isinstance(found, dict) else "records"
        return form, {name: np.asarray(given[name]) for name in names}
    values = found.to_numpy() if hasattr(found, "to_numpy") else np.asarray(found)
    if len(names) == 1:
        return "plain", {names[0]: values}
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(
            f"it answers with shape {list(values.shape)}; its signature has {len(names)} columns"
        )
    return "plain", {name: values[:, at] for at, name in enumerate(names)}


def shaped(output: dict[str, Any], values: Any, rows: int) -> Any:
    """An output's values, [rows] or [rows, width]."""
    import numpy as np

    values, width = np.asarray(values), output["width"]
    if not width and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    wanted = (rows, width) if width else (rows,)
    if values.shape != wanted:
        shape = list(values.shape)
        raise ValueError(f"its output {output['name']!r} has shape {shape}; its signature has {list(wanted)}")
    return values


def texts(output: dict[str, Any], values: Any) -> Any:
    """An output's texts, row by row; None for one that is missing."""
    found = values.ravel().tolist()
    for at, value in enumerate(found):
        if isinstance(value, str):
            continue
        if not output["optional"] or not (value is None or value != value):  # noqa: PLR0124 - NaN
            raise TypeError(contradiction(output, at, value, "text"))
        found[at] = None
    return found


def numeric(output: dict[str, Any], values: Any) -> Any:
    """An output's numbers or truth values, in an array of the type that its signature has."""
    import numpy as np

    kind = output["kind"]
    if values.dtype.kind == "O":  # what pandas makes of missing values, and of types that are mixed
        plain = [np.nan if value is None else value for value in values.ravel().tolist()]
        fits = [isinstance(value, _NUMBERS) for value in plain]
        wrong = None if all(fits) else fits.index(False)
        if wrong is not None:
            raise TypeError(contradiction(output, wrong, plain[wrong], kind))
        values = np.array(plain).reshape(values.shape)
    if values.dtype.kind not in ("b" if kind == "bool" else "iuf"):
        raise TypeError(contradiction(output, 0, values.flat[0] if values.size else None, kind))
    made = values.astype({"bool": "|b1", "int": "<i8", "float": "<f8"}[kind])
    bad = made != values if kind != "float" else ~np.isfinite(made)
    if output["optional"] and kind == "float":
        bad &= ~np.isnan(made)
    if bad.any():
        at = int(bad.ravel().argmax())
        raise ValueError(contradiction(output, at, values.ravel()[at], kind))
    return np.ascontiguousarray(made)


def contradiction(output: dict[str, Any], at: int, value: Any, kind: str) -> str:
    """That a value is not what the signature says."""
    where = f"its output {output['name']!r}, row {at // (output['width'] or 1)}"
    return f"{where} is {str(value)[:40]} ({type(value).__name__}), which is no {kind} as its signature says"


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
        outputs, rows = question[0].get("outputs"), question[0]["rows"]
        try:
            found = model.predict(table(schema, *question))
            if outputs:
                form, heads, buffers = columns(found, outputs, rows)
            else:
                found = numbers(found, rows)
        except Exception as error:  # noqa: BLE001 - as above
            write(stream, {"error": said(error)})
            continue
        if outputs:
            write(stream, {"form": form, "columns": heads}, *buffers)
        else:
            write(stream, {"shape": list(found.shape)}, found.tobytes())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
