"""Runs and comparisons as a notebook shows them: small HTML that follows the notebook's own colours."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from html import escape

from treadle.experiment.comparing import within_noise
from treadle.experiment.comparison import Comparison
from treadle.experiment.types import Run
from treadle.kernel.units import format_duration

_MOST_ROWS, _MOST_COLUMNS = 50, 12


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table, everything escaped."""
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def cell(value: object) -> str:
    """A value, escaped; numbers with five significant digits."""
    if value is None:
        return "<span style='opacity:.5'>-</span>"
    if isinstance(value, float) and not isinstance(value, bool):
        return escape(f"{value:.5g}" if math.isfinite(value) else str(value))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return escape(str(value)[:200])


def run_html(run: Run) -> str:
    """One run."""
    took = format_duration((run.ended_at - run.started_at).total_seconds()) if run.ended_at else ""
    rows: list[tuple[object, ...]] = [("run", run.id), ("name", run.name), ("experiment", run.experiment)]
    rows += [("status", run.status), ("started", run.started_at), ("took", took)]
    rows += [(f"params.{name}", value) for name, value in run.params.items()]
    rows += [(f"metrics.{name}", value) for name, value in run.metrics.items()]
    return table(["", run.name], rows)


def runs_html(runs: Sequence[Run]) -> str:
    """A list of runs: the metrics and parameters that most of them have."""
    shown = runs[:_MOST_ROWS]
    metrics = Counter(name for run in shown for name in run.metrics)
    params = Counter(name for run in shown for name in run.params)
    names = [f"params.{name}" for name, _ in params.most_common(_MOST_COLUMNS // 2)]
    names += [f"metrics.{name}" for name, _ in metrics.most_common(_MOST_COLUMNS - len(names))]
    rows = [
        (run.id, run.name, run.status, run.started_at, *(_named(run, name) for name in names))
        for run in shown
    ]
    more = f"<p>and {len(runs) - len(shown):,} more</p>" if len(runs) > len(shown) else ""
    return table(["run", "name", "status", "started", *names], rows) + more


def _named(run: Run, name: str) -> object:
    kind, _, key = name.partition(".")
    return run.params.get(key) if kind == "params" else run.metrics.get(key)


def comparison_html(found: Comparison) -> str:
    """Runs side by side."""
    rows: list[tuple[object, ...]] = [("run", *(run.id for run in found.runs))]
    rows += [(f"params.{name}", *values) for name, values in found.params.items()]
    for name, values in found.metrics.items():
        noise = found.noise.get(name)
        marked = (
            f"{value:.5g} ≈"
            if place and value is not None and within_noise(value, values[0], noise)
            else value
            for place, value in enumerate(values)
        )
        rows.append((f"metrics.{name}", *marked))
    rows += [(f"data {one.name}", *(d and d[:12] for d in one.digests)) for one in found.inputs]
    rows += [(f"package {name}", *versions) for name, versions in found.packages.items()]
    rows += [(f"file {one.path}", *(d and d[:12] for d in one.digests)) for one in found.files]
    note = "<p>≈: no further from the first than replicas are from each other</p>" if found.noise else ""
    return table(["", *(run.name for run in found.runs)], rows) + note
