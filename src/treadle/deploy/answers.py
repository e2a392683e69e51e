"""The bins in which answers are counted, so that two revisions' answers can be compared."""

from __future__ import annotations

from typing import Literal

_PARTS = 20
_OCTAVES = range(-10, 31)

PROBABILITY: tuple[float, ...] = tuple(part / _PARTS for part in range(1, _PARTS))
"""Upper edges for probabilities: 20 bins of one width."""

VALUE: tuple[float, ...] = (
    *(-(2.0 ** (half / 2)) for half in reversed(range(2 * _OCTAVES[0], 2 * _OCTAVES[-1] + 1))),
    0.0,
    *(2.0 ** (half / 2) for half in range(2 * _OCTAVES[0], 2 * _OCTAVES[-1] + 1)),
)
"""Upper edges for other numbers: two bins to a doubling, from 1/1024 to 2**30 on both sides of 0."""


def edges(output: Literal["probability", "value"]) -> tuple[float, ...]:
    """The upper edges of all bins but the last."""
    return PROBABILITY if output == "probability" else VALUE
