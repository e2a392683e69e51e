"""Which predictions are logged where only a share of them is. No I/O.

A prediction's *draw* is the first eight bytes of the MD5 of its ``prediction_id``, as a big-endian number,
over 2**64: uniform from 0 to 1, the same wherever and whenever it is computed, and in SQL. A prediction is
kept if its draw lies below the share. So who sends it, and how often, makes no difference; and what is kept
at a small share is part of what is kept at a larger one: where the share changed within a stretch of time,
the rows below the least share are an even sample of the whole stretch, and no row needs a weight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from treadle.monitor.types import PredictionBatch

if TYPE_CHECKING:
    from arro3.core import Array

_WHOLE = 1 << 64
_MINUTE = 60_000_000

_DRAW = "('0x' || left(md5(prediction_id), 16))::UBIGINT::DOUBLE / 18446744073709551616.0"
THIN = f"""
    CASE WHEN (SELECT min(coalesce(share, 1)) FROM stretch) >= 1 THEN true
    ELSE {_DRAW} < (SELECT min(coalesce(share, 1)) FROM stretch) END"""  # noqa: S608 - no input
"""SQL: whether a row of the relation ``stretch`` belongs to the sample that is even over all of it."""


def below(share: float) -> str:
    """SQL: whether the prediction that a row is about is kept at a share."""
    return f"{_DRAW} < {share!r}::DOUBLE"


def draw(prediction_id: str) -> float:
    """A prediction's draw, from 0 to 1."""
    digest = hashlib.md5(prediction_id.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") / _WHOLE


def kept(ids: Sequence[str], share: float) -> npt.NDArray[np.bool_]:
    """Which predictions are logged."""
    return np.array([draw(one) < share for one in ids], dtype=np.bool_)


def thin(columns: Mapping[str, Array], keep: npt.NDArray[np.bool_], share: float) -> dict[str, Array]:
    """The rows of a batch that are kept, with the share at which they were."""
    from arro3.core import Array

    places = Array(np.flatnonzero(keep).astype(np.int64))
    rows = {name: column.take(places) for name, column in columns.items()}
    return rows | {"share": Array(np.full(int(keep.sum()), share))}


def volume(batch: PredictionBatch, keep: npt.NDArray[np.bool_]) -> dict[str, Array]:
    """How many predictions of a batch were asked for in each minute, and how many of them are kept.

    Args:
        batch: The batch, before it is thinned.
        keep: Which of its rows are kept.
    """
    from arro3.core import Array, DataType

    minutes = np.round(np.asarray(batch.at) * 1e6).astype(np.int64) // _MINUTE * _MINUTE
    keys, place = np.unique(
        np.column_stack([minutes, batch.version, batch.revision]).astype(np.int64),
        axis=0,
        return_inverse=True,
    )
    many = np.bincount(place.ravel(), minlength=len(keys))
    some = np.bincount(place.ravel(), keep, minlength=len(keys))
    return {
        "minute": Array(keys[:, 0].copy()).cast(DataType.timestamp("us", tz="UTC")),
        "day": Array((keys[:, 0] // (1440 * _MINUTE)).astype(np.int32)).cast(DataType.date32()),
        "version": Array(keys[:, 1].copy()),
        "revision": Array(keys[:, 2].copy()),
        "asked": Array(many.astype(np.int64)),
        "kept": Array(some.astype(np.int64)),
    }
