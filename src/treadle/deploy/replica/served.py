"""A model that answers, and what it shares with those before and after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.deploy.replica import protocol
from treadle.deploy.replica.journal import Journal
from treadle.deploy.replica.manyrows import ManyRows
from treadle.deploy.replica.onerow import OneRow
from treadle.deploy.replica.stats import Stats
from treadle.deploy.replica.vitals import Vitals
from treadle.deploy.worker import Table
from treadle.registry import Signature, SmallBatches


class Model(Protocol):
    """A model as the server needs it, whatever runs it."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""

    @property
    def example(self) -> dict[str, list[Any]]:
        """A row or more of what it takes, by column."""

    @property
    def platform(self) -> str:
        """What it is, in the protocol's metadata."""

    @property
    def real(self) -> str:
        """The datatype that its numbers are computed from."""

    @property
    def beside(self) -> bool:
        """Whether it is never asked on the event loop."""

    def predict(self, columns: Mapping[str, Any], /) -> npt.NDArray[np.float64] | Table:
        """The probability or value for each row; or a table, if its signature has several outputs."""

    def small_batches(self) -> SmallBatches | None:
        """A quicker way for some rows; None if there is none."""


class Desk(msgspec.Struct, frozen=True):
    """What outlives a model's versions.

    Attributes:
        model: The model's name.
        stats: Its figures.
        journal: Where its predictions are written down; None when they are not kept.
    """

    model: str
    stats: Stats
    journal: Journal | None


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A model that answers.

    Attributes:
        revision: The deployment's revision.
        version: The model's version.
        loaded: The model.
        small: A quicker way to ask it for a row or some, on the event loop; None if it has none.
        large: The same for whole tables, beside the event loop.
        inputs: What a request to it may bring.
        one_row: Reads the most common requests to it.
        many_rows: Reads those of several rows in JSON.
        metadata: What it takes and gives, as the protocol's JSON.
        vitals: What is learnt of it while it answers.
        desk: Its model's figures and journal.
    """

    revision: int
    version: int
    loaded: Model
    small: SmallBatches | None
    large: SmallBatches | None
    inputs: protocol.Inputs
    one_row: OneRow
    many_rows: ManyRows
    metadata: bytes
    vitals: Vitals
    desk: Desk
