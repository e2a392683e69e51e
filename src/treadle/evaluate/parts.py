"""One kind of checks among those that somebody asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from treadle.evaluate.types import Evaluation, Kind, Planned


class Part(NamedTuple):
    """One kind of checks.

    Attributes:
        kind: Which.
        same: What identifies what is judged, and by what; None for what never answers alike.
        judge: Judges it, under an identity.
        plan: Says what will be tested.
    """

    kind: Kind
    same: tuple[object, ...] | None
    judge: Callable[[str], Evaluation]
    plan: Callable[[], list[Planned]]
