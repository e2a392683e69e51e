"""The requests of a load test: a row each, as the Open Inference Protocol has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.registry import Signature

_DATATYPES = {"float": "FP64", "int": "INT64", "bool": "BOOL", "string": "BYTES"}


def rows_of(example: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The rows of an example that is kept by column."""
    names = list(example)
    return [dict(zip(names, row, strict=True)) for row in zip(*example.values(), strict=True)]


def bodies(rows: Sequence[Mapping[str, Any]], signature: Signature) -> tuple[bytes, ...]:
    """A request's body for each row.

    Raises:
        InvalidInput: If a row lacks an input, or has one that the model doesn't take; says which row.
    """
    names = [field.name for field in signature.inputs]
    for number, row in enumerate(rows, 1):
        _check(row, names, number)
    return tuple(_body(row, signature) for row in rows)


def _check(row: Mapping[str, Any], names: Sequence[str], number: int) -> None:
    missing = [name for name in names if name not in row]
    unknown = [name for name in row if name not in names]
    if missing:
        raise InvalidInput(
            f"it has no {missing[0]!r}", where=f"row {number}", fix=f"each row needs {', '.join(names)}"
        )
    if unknown:
        raise InvalidInput(
            f"the model takes no {unknown[0]!r}",
            where=f"row {number}",
            fix=did_you_mean(unknown[0], names),
        )


def _body(row: Mapping[str, Any], signature: Signature) -> bytes:
    inputs = [
        {
            "name": field.name,
            "shape": [1],
            "datatype": _DATATYPES[field.kind],
            "data": [row[field.name]],
        }
        for field in signature.inputs
    ]
    return msgspec.json.encode({"inputs": inputs})
