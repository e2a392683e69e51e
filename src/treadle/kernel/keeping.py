"""What must not be collected: each room says which blobs, runs and versions of data its rows need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Protocol

import msgspec
import sqlalchemy as sa

from treadle.kernel.workspace import Workspace

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_PIECE = 1000


class Needed(msgspec.Struct, frozen=True):
    """A run or a logged model that something needs.

    Attributes:
        id: Its identifier.
        reason: What needs it, such as ``model version flights/3``.
    """

    id: str
    reason: str


class DataUse(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version that something needs.

    Attributes:
        digest: What identifies its content.
        number: Its number; 0 where only the content was noted.
        by: What needs it and for what, such as ``run 3f2a was trained on it``.
        fix: What ends that, as a command or in words.
    """

    digest: str
    number: int = 0
    by: str
    fix: str


class Keeper(Protocol):
    """A room that refers to blobs, runs, logged models or versions of data."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of all blobs that the room's rows need.

        Args:
            workspace: For what is written down in blobs.
            connection: Where the rows are.
            without: Runs, logged models and dataset versions whose files don't count, for they are going
                to be deleted.
        """

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """The runs and logged models that the room's rows need."""

    def uses(self, connection: sa.Connection, dataset: str) -> Iterator[DataUse]:
        """The versions of a dataset that the room's rows need."""


def digests(connection: sa.Connection, *columns: sa.Column[object]) -> Iterator[str]:
    """Everything in some columns that looks like a digest: rather one too many than one too few."""
    for column in columns:
        query = sa.select(sa.type_coerce(column, sa.Text)).where(column.is_not(None))
        for text in connection.execution_options(yield_per=_PIECE).execute(query).scalars():
            yield from _DIGEST.findall(text)
