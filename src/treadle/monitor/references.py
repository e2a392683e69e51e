"""Samples of the rows that versions were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from treadle.data import Datasets
from treadle.kernel.engine import quote
from treadle.kernel.errors import TreadleError
from treadle.kernel.workspace import Workspace
from treadle.registry import ModelVersion, Signature

Rows = dict[str, npt.NDArray[Any]]


class References:
    """Hands out training rows, those of the last version from memory.

    That they are still there is looked up every time: rows that were deleted are gone here as well.

    Args:
        workspace: Where the data is.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._last: tuple[Path, int] | None = None
        self._rows: Rows = {}

    def sample(self, version: ModelVersion, columns: Sequence[str], size: int) -> Rows | None:
        """The same rows every time; None if they can't be had any more.

        Args:
            version: The version.
            columns: Which columns.
            size: How many rows at most.
        """
        train = next((data for data in version.data if data.role == "train"), None)
        if train is None or version.signature is None:
            return None
        try:
            path = Datasets(self._ws).slice(train.spec, "train")[1]
            if self._last != (path, size):
                self._rows = self._read(path, version.signature, size)
                self._last = (path, size)
        except TreadleError:  # deleted, or of a dataset that isn't here
            return None
        return {name: self._rows[name] for name in columns} if self._rows.keys() >= set(columns) else None

    def _read(self, path: Path, signature: Signature, size: int) -> Rows:
        names = ", ".join(
            f"{quote(field.name)}::{'VARCHAR' if field.kind == 'string' else 'DOUBLE'} AS {quote(field.name)}"
            for field in signature.inputs
        )
        # The file has an order of its own: its rows' numbers are the same every time.
        sql = (
            f"SELECT {names} FROM (SELECT *, row_number() OVER () AS number_ FROM log) "  # noqa: S608 - quoted
            f"ORDER BY hash(number_), number_ LIMIT {size}"
        )
        return dict(self._ws.engine.columns(sql, (), {"log": [path]}))
