"""The port through which reviews ask for verdicts on data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from treadle.data.reviews.types import GateResult


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Data that is judged.

    Attributes:
        count: How many paths it has.
        bytes: How many bytes they have.
        rows: How many rows it has, where it is a table.
        files: The table's rows, as Parquet files on this machine; none where it isn't one.
        why: Why it isn't one; empty where it is.
    """

    count: int
    bytes: int
    rows: int = 0
    files: tuple[Path, ...] = ()
    why: str = ""


class Judge(Protocol):
    """Runs data checks on what a merge would make, beside what the target has."""

    def judge(
        self, dataset: str, names: Sequence[str], after: Judged, before: Judged | None
    ) -> tuple[GateResult, ...]:
        """The verdicts of some checks, in the order of their names.

        Args:
            dataset: The dataset.
            names: Which checks, of :data:`treadle.data.branches.types.GATES`.
            after: What the merge would make.
            before: What the target has; None where it has no version.

        Raises:
            CorruptData: If a file can't be read.
        """
