"""A place for each model: its figures, and its journal on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from treadle.deploy.replica.journal import Journal, Sync
from treadle.deploy.replica.served import Desk
from treadle.deploy.replica.stats import Stats
from treadle.kernel.ids import Ids


def open_desks(models: Sequence[str], folder: Path, ids: Ids, kept: Sync | None) -> list[Desk]:
    """A desk for each model.

    Args:
        models: Their names.
        folder: Where journals are; each model has a folder of its own in it.
        ids: Makes the identities of their segments.
        kept: When predictions are forced to the disk; None if they aren't kept.
    """
    if kept is None:
        return [Desk(model, Stats(), None) for model in models]
    if len(models) == 1:
        _adopt(folder, folder / models[0])
    return [Desk(model, Stats(), Journal(folder / model, ids, sync=kept)) for model in models]


def _adopt(folder: Path, own: Path) -> None:
    """Brings segments to their model's folder that were written when a server had only one model."""
    for path in [*folder.glob("*.open"), *folder.glob("*.sealed")]:
        if path.is_file():
            own.mkdir(exist_ok=True)
            path.rename(own / path.name)
