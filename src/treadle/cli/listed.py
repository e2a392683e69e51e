"""Columns of a list of runs: chosen ones, or all there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from treadle.cli import show
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean

if TYPE_CHECKING:
    from treadle.experiment.types import Run

ATTRIBUTES = ("id", "name", "experiment", "status", "user", "started_at", "ended_at", "duration", "source",
              "recipe", "cycle", "replica", "seed", "message")  # fmt: skip


def named(text: str | None, runs: Sequence[Run]) -> list[str]:
    """The columns that were asked for; all but the tags if none were.

    Raises:
        InvalidInput: If there is no such column.
    """
    own = [
        f"{kind}.{name}"
        for kind in ("params", "metrics", "tags")
        for name in sorted({name for run in runs for name in getattr(run, kind)})
    ]
    known = [*ATTRIBUTES, *own]
    if text is None:
        return [name for name in known if not name.startswith("tags.")]
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known and not (not runs and "." in name):
            raise InvalidInput(f"runs have no column {name!r}", fix=did_you_mean(name, known))
    return names


def value(run: Run, name: str) -> object:
    """A run's value in a column; None if it has none. A duration is in seconds."""
    kind, dot, key = name.partition(".")
    if dot:
        return cast("object", getattr(run, kind).get(key))
    if name == "duration":
        return (run.ended_at - run.started_at).total_seconds() if run.ended_at else None
    return cast("object", getattr(run, name))


def show_columns(runs: Sequence[Run], names: Sequence[str]) -> None:
    """Prints runs in these columns."""
    rows = [[value(run, name) for name in names] for run in runs]
    headings = [f">{name}" if name.startswith("metrics.") else name for name in names]
    show.table(headings, rows, empty="no runs")
