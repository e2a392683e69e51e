"""What is read from another tracking server's store, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

import msgspec

from treadle.experiment import Curve, ExperimentCopy, LoggedModel, RunCopy
from treadle.registry import ImportCatalogModel


class Trouble(msgspec.Struct, frozen=True):
    """Something that could not be read or taken in; all else goes on.

    Attributes:
        where: The file, run, model or place.
        reason: What is wrong.
    """

    where: str
    reason: str


Tell: TypeAlias = Callable[[Trouble], None]


class Head(msgspec.Struct, frozen=True):
    """A run before it is read.

    Attributes:
        id: Its identifier.
        stamp: Changes when the run does, as far as that can be told without reading it; empty for a
            run that may change at any time, because it hasn't ended.
    """

    id: str
    stamp: str


class SourceFile(msgspec.Struct, frozen=True):
    """A file of a run or a logged model.

    Attributes:
        path: Where it lies among its owner's files.
        size: In bytes; None if that isn't known before it is read.
        read: Gives its bytes piece by piece.
    """

    path: str
    size: int | None
    read: Callable[[], Iterator[bytes]]


class Source(Protocol):
    """A store that runs are read from. Experiments carry the identifiers that they have there.

    What can't be read is told and passed over; a source that can't be read at all raises
    StorageError or Unavailable.
    """

    name: str

    def experiments(self) -> list[ExperimentCopy]:
        """All experiments, deleted ones too."""

    def heads(self, experiment: str) -> Iterator[Head]:
        """The runs of an experiment, deleted ones too."""

    def run(self, run: str) -> RunCopy | None:
        """A run of the experiment that was asked for last, without its files; None if it can't be read."""

    def curves(self, run: str) -> Iterator[tuple[str, Curve]]:
        """A run's curves, each whole."""

    def files(self, run: str) -> Iterable[SourceFile] | None:
        """A run's files; None if where they are can't be reached."""

    def logged_models(self, experiment: str) -> Iterator[LoggedModel]:
        """The logged models of an experiment."""

    def model_files(self, model: LoggedModel) -> Iterable[SourceFile] | None:
        """A logged model's files; None if where they are can't be reached."""

    def registered_models(self) -> Iterator[ImportCatalogModel]:
        """The registered models with their versions, whose sources are as they are there."""

    def close(self) -> None:
        """Lets go of what is open."""
