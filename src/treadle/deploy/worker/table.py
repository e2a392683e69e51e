"""What a model answers that gives other than a number a row."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.registry import FieldKind, Signature


class Table(msgspec.Struct, frozen=True):
    """Rows of answers.

    Attributes:
        signature: What the model gives.
        columns: Each output's values by name: an array, [rows] or [rows, width]; of objects for texts.
        form: How the model gave them: as ``records`` (a DataFrame), by name, or in an array.
        rows: How many there are.
    """

    signature: Signature
    columns: dict[str, npt.NDArray[Any]]
    form: Literal["records", "named", "plain"]
    rows: int

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: slice) -> Table:
        """Some of the rows."""
        cut = {name: values[rows] for name, values in self.columns.items()}
        return msgspec.structs.replace(self, columns=cut, rows=len(range(self.rows)[rows]))

    def kind(self, name: str) -> FieldKind:
        """What the values of an output are."""
        return next(one.kind for one in self.signature.outputs if one.name == name)

    @property
    def numbers(self) -> npt.NDArray[np.float64]:
        """A number a row, [rows], as the prediction log has it; empty if there is none."""
        name = self.signature.number
        if name is None:
            return np.empty(0)
        found = self.columns[name]
        return np.asarray(found if found.ndim == 1 else found[:, 0], np.float64)

    def predictions(self) -> Any:
        """The same as MLflow's scoring protocol has it: records, lists by name, or a value or list a row."""
        listed = {one.name: plain(self.columns[one.name]) for one in self.signature.outputs}
        if self.form == "named":
            return listed
        rows = zip(*listed.values(), strict=True)
        if self.form == "records":
            return [dict(zip(listed, row, strict=True)) for row in rows]
        return next(iter(listed.values())) if len(listed) == 1 else [list(row) for row in rows]


def plain(values: npt.NDArray[Any]) -> list[Any]:
    """The values of an array as JSON has them: null for a number that is missing."""
    found: list[Any] = values.tolist()
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return found
    if values.ndim == 2:
        return [[None if math.isnan(one) else one for one in row] for row in found]
    return [None if math.isnan(one) else one for one in found]
