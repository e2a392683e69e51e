"""MLflow's scoring protocol: ``POST /invocations``.

After MLflow's documentation of its inference server (`mlflow models serve`): JSON with one of
``dataframe_split``, ``dataframe_records``, ``instances`` and ``inputs``, or CSV with a line of names.
As there, columns that the model doesn't take are let pass. Pure: bytes in, rows out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import msgspec

from treadle.deploy.replica.protocol import Inputs, Role, not_json
from treadle.deploy.replica.reply import Denied
from treadle.deploy.replica.rows import Rows, add_column, complete
from treadle.kernel.errors import InvalidInput

_KEYS = "dataframe_split, dataframe_records, instances, inputs"
_DATATYPES: dict[Role, str] = {
    "float": "FP64",
    "int": "INT64",
    "bool": "BOOL",
    "string": "BYTES",
    "key": "BYTES",
    "time": "FP64",
}


class _Split(msgspec.Struct):
    columns: list[str]
    data: list[list[Any]]


class _Asked(msgspec.Struct):
    dataframe_split: _Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: Any = None
    inputs: Any = None


_DECODER = msgspec.json.Decoder(_Asked)


def read(body: bytes, kind: bytes, known: Inputs, max_rows: int) -> Rows:
    """The rows of a request.

    Args:
        body: The request's body.
        kind: Its ``Content-Type``.
        known: What it may bring.
        max_rows: The largest number of rows allowed.

    Raises:
        InvalidInput: If it is none of the forms, or not what the model takes.
        Denied: If it is of a type that can't be read (415).
    """
    media = kind.partition(b";")[0].strip().lower()
    if media == b"text/csv":
        columns = _from_csv(body, known)
    elif media in (b"application/json", b""):
        columns = _from_json(body, known)
    else:
        raise Denied(
            415, f"bodies of type {media[:60].decode('latin-1')!r} can't be read; send JSON or text/csv"
        )
    rows = Rows(-1, {})
    for name, role in known.roles.items():
        if name in columns:
            values = columns[name]
            add_column(rows, known, name, role, _datatype(role, values), values, max_rows)
    return complete(rows, known)


def _datatype(role: Role, values: list[Any]) -> str:
    first = type(values[0]) if values else None
    if role == "key" and first is int:
        return "INT64"
    return "BYTES" if role == "time" and first is str else _DATATYPES[role]


def _from_json(body: bytes, known: Inputs) -> dict[str, list[Any]]:
    try:
        asked = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the body is none of {_KEYS}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(body, error) from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None
    given = [name for name in asked.__struct_fields__ if getattr(asked, name) is not None]
    if len(given) != 1:
        found = f"this has {' and '.join(given)}" if given else "this has none"
        raise InvalidInput(f"the body must have one of {_KEYS}; {found}")
    if asked.dataframe_split is not None:
        return _table(asked.dataframe_split.columns, asked.dataframe_split.data)
    if asked.dataframe_records is not None:
        return _records(asked.dataframe_records)
    if given == ["instances"]:
        return _instances(asked.instances, known)
    if isinstance(asked.inputs, dict):
        return {name: _column(name, values) for name, values in asked.inputs.items()}
    return _instances(asked.inputs, known)


def _instances(instances: Any, known: Inputs) -> dict[str, list[Any]]:
    """Rows: objects by name, or lists of values in the order of the features."""
    if not isinstance(instances, list) or not instances:
        raise InvalidInput("rows are a list, with at least one of them")
    if all(type(row) is dict for row in instances):
        return _records(instances)
    if len(known.features) == 1 and not any(type(row) is list for row in instances):
        return {known.features[0]: instances}
    if not all(type(row) is list for row in instances):
        raise InvalidInput("rows are objects by name, or lists of values; all of one form")
    return _table(list(known.features), instances)


def _column(name: str, values: Any) -> list[Any]:
    if type(values) is not list:
        raise InvalidInput(f"input {name!r} must be a list of values, one a row")
    return [value[0] if type(value) is list and len(value) == 1 else value for value in values]


def _table(names: list[str], data: list[list[Any]]) -> dict[str, list[Any]]:
    if not data:
        raise InvalidInput("the request has no rows")
    for row, values in enumerate(data):
        if len(values) != len(names):
            raise InvalidInput(f"row {row} has {len(values)} values; there are {len(names)} columns")
    if len(set(names)) != len(names):
        raise InvalidInput("a column is there twice")
    return dict(zip(names, map(list, zip(*data, strict=True)), strict=True))


def _records(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    if not records:
        raise InvalidInput("the request has no rows")
    # As in pandas, a name that a record lacks is missing in its row.
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


# ── CSV ──────────────────────────────────────────────────────────────────


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_PARSERS: dict[Role, Callable[[str], Any]] = {
    "float": float,
    "int": int,
    "bool": _boolean,
    "string": str,
    "key": str,
}


def _from_csv(body: bytes, known: Inputs) -> dict[str, list[Any]]:
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode())) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"the body is not CSV: {error}") from None
    if len(lines) < 2:
        raise InvalidInput("the request has no rows; CSV begins with a line of the columns' names")
    texts = _table(lines[0], lines[1:])
    return {name: _parsed(name, known.roles[name], texts[name]) for name in texts if name in known.roles}


def _parsed(name: str, role: Role, texts: list[str]) -> list[Any]:
    if role == "time":
        try:
            return [float(text) for text in texts]
        except ValueError:
            return list(texts)
    parse, values = _PARSERS[role], []
    for row, text in enumerate(texts):
        try:
            values.append(parse(text) if text else None)
        except (ValueError, KeyError):
            raise InvalidInput(f"input {name!r}, row {row}: {text[:40]!r} is not of type {role}") from None
    return values
