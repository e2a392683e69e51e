"""A suite: what rows must be, and what their columns are for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import msgspec

from treadle.kernel.config import Config, DataCheck

WHERE = "treadle.toml [checks.data]"


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """What rows must be.

    Attributes:
        checks: The checks, as ``[checks.data]`` has them.
        columns: The columns that must be there: the model's features.
        label: The column that is predicted, which must be there as well.
        task: What the label is: ``binary``, ``regression``, or classes by any other name.
        key: The column that names a row.
        time: The column that says when a row happened.
        label_time: The column that says when its label became known.
        confidence: Of intervals, and of all tests together.
    """

    checks: DataCheck = DataCheck()
    columns: tuple[str, ...] = ()
    label: str | None = None
    task: str = "binary"
    key: str | None = None
    time: str | None = None
    label_time: str | None = None
    confidence: float = 0.95

    @classmethod
    def of(cls, config: Config) -> Self:
        """The suite of a project: ``[checks.data]``, for what ``[train]`` is trained on, if it trains."""
        confidence = config.checks.performance.confidence
        if config.train is None:
            return cls(checks=config.checks.data, task=config.project.task, confidence=confidence)
        train, dataset = config.training
        return cls(
            checks=config.checks.data,
            columns=tuple(train.features),
            label=dataset.label,
            task=config.project.task,
            key=dataset.key,
            time=dataset.time,
            label_time=dataset.label_time,
            confidence=confidence,
        )

    @property
    def modelled(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return (*self.columns, self.label) if self.label else self.columns

    @property
    def alpha(self) -> float:
        """The chance that any of the tests fails rows that are as they should be."""
        return 1 - self.confidence


def present(names: Iterable[str], columns: Iterable[str]) -> list[str]:
    """Those of some names that the data has, each once, in their order."""
    known = set(columns)
    return [name for name in dict.fromkeys(names) if name in known]
