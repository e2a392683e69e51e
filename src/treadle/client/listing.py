"""A list of runs that a notebook shows as a table, and that becomes a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from treadle.client.answers import data_frame
from treadle.experiment.types import Run

if TYPE_CHECKING:
    import pandas as pd

_FIELDS = ("id", "name", "experiment", "status", "user", "started_at", "ended_at")


class RunList(list[Run]):
    """Runs, in an order."""

    def _repr_html_(self) -> str:
        from treadle.experiment import runs_html

        return runs_html(self)

    def frame(self) -> pd.DataFrame:
        """A row a run; a column for each parameter, metric and tag: ``params.X``, ``metrics.X``, ``tags.X``.

        Raises:
            MissingExtra: If pandas isn't installed.
        """
        own = [
            (kind, name)
            for kind in ("params", "metrics", "tags")
            for name in sorted({name for run in self for name in getattr(run, kind)})
        ]
        rows: list[tuple[Any, ...]] = [
            (
                *(getattr(run, field) for field in _FIELDS),
                *(_plain(getattr(run, kind).get(name)) for kind, name in own),
            )
            for run in self
        ]
        return data_frame([*_FIELDS, *(f"{kind}.{name}" for kind, name in own)], rows)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, float) else value
