"""A Parquet file of predictions or of labels as the batch that it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from treadle.kernel.engine import Engine, quote
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.monitor.types import LabelBatch, PredictionBatch

MAX_ROWS = 1_000_000
"""A file is taken whole, in memory."""

INPUT, EMBEDDING, GROUP = "input_", "embedding_", "group_"
_PREDICTION, _OPTIONAL = ("prediction_id", "at", "version", "output"), {"revision": 0, "latency_ms": 0.0}
_LABEL = ("prediction_id", "value", "known_at")
_MOMENTS, _COUNTS = frozenset({"at", "known_at"}), frozenset({"version", "revision"})
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|BOOLEAN|DECIMAL\(.*")
_WHOLE = re.compile(r"U?(TINY|SMALL|BIG)?INT(EGER)?")
_VECTOR = re.compile(r"(FLOAT|DOUBLE)\[\d*\]")
_TIME = re.compile(r"TIMESTAMP.*|DATE")


def read_predictions(engine: Engine, path: Path, batch: str) -> PredictionBatch:
    """The predictions of a file.

    Columns as in the log: ``prediction_id``, ``at`` (a time, or seconds since 1970), ``version``, ``output``,
    ``input_NAME`` for each input, and, if there are any, ``revision``, ``latency_ms``, ``group_NAME`` for
    groups that aren't inputs, and ``embedding_NAME``, lists of numbers of one length.

    Args:
        engine: Reads the file.
        path: The file.
        batch: The batch's identity.

    Raises:
        InvalidInput: If it has other columns, too many rows, or a value is missing.
        CorruptData: If it can't be read.
    """
    types = _types(engine, path)
    inputs = [name for name in types if name.startswith(INPUT)]
    vectors = [name for name in types if name.startswith(EMBEDDING)]
    groups = [name for name in types if name.startswith(GROUP)]
    _check_columns(types, _PREDICTION, [*_OPTIONAL, *inputs, *vectors, *groups])
    found = _read(engine, path, types)
    rows = len(found["prediction_id"])
    needed = {name: _whole(name, found[name]) for name in (*_PREDICTION, *_OPTIONAL) if name in found}
    return PredictionBatch(
        batch=batch,
        ids=needed["prediction_id"],
        at=needed["at"],
        version=needed["version"],
        revision=needed.get("revision", [0] * rows),
        inputs={name.removeprefix(INPUT): _values(found[name]) for name in inputs},
        outputs=needed["output"],
        latency_ms=needed.get("latency_ms", [0.0] * rows),
        embeddings={name.removeprefix(EMBEDDING): _lists(found[name]) for name in vectors},
        groups={name.removeprefix(GROUP): _values(found[name]) for name in groups},
    )


def read_labels(engine: Engine, path: Path, batch: str) -> LabelBatch:
    """The labels of a file: ``prediction_id``, ``value`` and ``known_at`` (a time, or seconds since 1970).

    Groups that are sent with labels are in columns ``group_NAME``.

    Args:
        engine: Reads the file.
        path: The file.
        batch: The batch's identity.

    Raises:
        InvalidInput: If it has other columns, too many rows, or a value is missing.
        CorruptData: If it can't be read.
    """
    types = _types(engine, path)
    groups = [name for name in types if name.startswith(GROUP)]
    _check_columns(types, _LABEL, groups)
    read = _read(engine, path, types)
    found = {name: _whole(name, read[name]) for name in _LABEL}
    return LabelBatch(
        batch=batch,
        ids=found["prediction_id"],
        values=found["value"],
        known_at=found["known_at"],
        groups={name.removeprefix(GROUP): _values(read[name]) for name in groups},
    )


def column_of(where: str) -> str:
    """A place in a batch as the place in the file that it came from."""
    name, comma, row = where.partition(",")
    named = {"ids": "prediction_id", "outputs": "output", "values": "value"}.get(name, name)
    named = named.replace("groups.", GROUP, 1)
    return named.replace("inputs.", INPUT, 1).replace("embeddings.", EMBEDDING, 1) + comma + row


def _types(engine: Engine, path: Path) -> dict[str, str]:
    tables = {"file": [path]}
    described = engine.rows("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM file)", (), tables)
    rows = int(engine.rows("SELECT count(*) FROM file", (), tables)[0][0])
    if rows > MAX_ROWS:
        raise InvalidInput(
            f"the file has {rows:,} rows; a file is taken whole, and has at most {MAX_ROWS:,}",
            fix="write it in several files",
        )
    return {str(name): str(kind) for name, kind in described}


def _check_columns(types: Mapping[str, str], needed: Sequence[str], others: Sequence[str]) -> None:
    missing = [name for name in needed if name not in types]
    if missing:
        raise InvalidInput(
            f"the file has no such column; it has {', '.join(types)}", where=f"column {missing[0]!r}"
        )
    for name, kind in types.items():
        if name not in {*needed, *others}:
            more = [*_OPTIONAL, f"{INPUT}NAME", f"{EMBEDDING}NAME"]
            known = [*needed, f"{GROUP}NAME", *([] if needed is _LABEL else more)]
            raise InvalidInput(
                "what this column is can't be told",
                where=f"column {name!r}",
                fix=did_you_mean(name, known),
            )
        if not _readable(name, kind):
            raise InvalidInput(
                f"a column of {kind} can't be taken", where=f"column {name!r}", fix=f"write {_wanted(name)}"
            )


def _readable(name: str, kind: str) -> bool:
    if name in _MOMENTS:
        return bool(_TIME.fullmatch(kind) or _NUMBER.fullmatch(kind))
    if name == "prediction_id":
        return kind == "VARCHAR" or bool(_WHOLE.fullmatch(kind))
    if name in _COUNTS:
        return bool(_WHOLE.fullmatch(kind))
    if name.startswith(EMBEDDING):
        return bool(_VECTOR.fullmatch(kind))
    return bool(_NUMBER.fullmatch(kind)) or (name.startswith((INPUT, GROUP)) and kind in {"VARCHAR", "UUID"})


def _wanted(name: str) -> str:
    """What a column is to have, in words."""
    if name in _MOMENTS:
        return "timestamps, or seconds since 1970"
    if name == "prediction_id":
        return "texts, or whole numbers"
    if name in _COUNTS:
        return "whole numbers"
    if name.startswith(EMBEDDING):
        return "lists of numbers"
    return "numbers or texts" if name.startswith((INPUT, GROUP)) else "numbers"


def _read(engine: Engine, path: Path, types: Mapping[str, str]) -> dict[str, Any]:
    chosen = ", ".join(f"{_sql(name, kind)} AS {quote(name)}" for name, kind in types.items())
    return dict(engine.columns(f"SELECT {chosen} FROM file", (), {"file": [path]}))  # noqa: S608 - quoted


def _sql(name: str, kind: str) -> str:
    if name in _MOMENTS and _TIME.fullmatch(kind):
        return f"epoch_us({quote(name)}{'::TIMESTAMP' if kind == 'DATE' else ''}) / 1e6"
    if name in _COUNTS:
        return f"{quote(name)}::BIGINT"
    if name.startswith(EMBEDDING):
        return f"{quote(name)}::FLOAT[]"
    if name == "prediction_id" or name.startswith(GROUP) or not _NUMBER.fullmatch(kind):
        return f"{quote(name)}::VARCHAR"
    return f"{quote(name)}::DOUBLE"


def _whole(name: str, column: Any) -> list[Any]:
    """A column in which no value may be missing."""
    missing = np.flatnonzero(np.ma.getmaskarray(column))
    if len(missing):
        raise InvalidInput("the value is missing", where=f"{name}, row {missing[0]}")
    return _values(column)


def _values(column: Any) -> list[Any]:
    found: list[Any] = column.tolist()
    return found


def _lists(column: Any) -> list[Any]:
    """Vectors as lists; None where one, or one of its numbers, is missing."""
    return [None if row is None else row.tolist() for row in np.ma.asarray(column).tolist()]
