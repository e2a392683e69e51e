"""The pictures of a comparison: curves over each other, parallel coordinates, bars of importance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from treadle.experiment.columns import Column, category, columns
from treadle.experiment.comparison import Importance, SharedCurves
from treadle.experiment.types import Run
from treadle.kernel import drawing

WIDTH, LEFT, RIGHT = 960, 72, 16
MOST_LINES = 400
_TOP, _BOTTOM = 34, 268
_LOW, _HIGH = (0x2F, 0x5F, 0xA8), (0xE0, 0x8A, 0x1E)
_MISSING = "not set"
_RHO = chr(0x3C1)


def curves(shared: SharedCurves, names: dict[str, str]) -> str:
    """A metric's curves over each other; gaps where a value isn't finite."""
    levels = [y for curve in shared.curves for y in curve.y if math.isfinite(y)]
    if not levels:
        return drawing.nothing(f"No run has a finite value of {shared.metric}.")
    right = max(x for curve in shared.curves for x in curve.x)
    left = min(x for curve in shared.curves for x in curve.x)
    x = drawing.between(left, right, LEFT, WIDTH - RIGHT)
    y, ticks = drawing.vertical(levels, 12, 224)
    marks = []
    for place, curve in enumerate(shared.curves):
        ink = drawing.colour(place)
        title = f"<title>{escape(names.get(curve.run, curve.run))}</title>"
        for piece in _pieces(curve.x, curve.y):
            points = [(x(a), y(b)) for a, b in piece]
            if len(points) == 1:
                (a, b) = points[0]
                marks.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{ink}">{title}</circle>')
            else:
                marks.append(f"<g>{title}{drawing.polyline(points, ink)}</g>")
    axis = [
        f'<text x="{x(tick):.1f}" y="244" class="tick mid">{tick:g}</text>'
        for tick in drawing.ticks(left, right, 8)
    ]
    unit = "step" if shared.by == "step" else "seconds since the run began"
    axis.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="264" class="tick mid">{unit}</text>')
    return drawing.svg(WIDTH, 272, marks, axis, drawing.gridlines(ticks, y, LEFT, WIDTH - RIGHT))


def _pieces(xs: Sequence[float], ys: Sequence[float]) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(y):
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def parallel(runs: Sequence[Run], metric: str, order: Sequence[str] = (), most_axes: int = 10) -> str:
    """Each run a line through its parameters to its metric, coloured by the metric.

    Args:
        runs: The runs; those without the metric are left out, and of very many an even share by the metric.
        metric: The metric.
        order: Which parameters come first.
        most_axes: At most so many parameters.
    """
    shown = sorted(
        (run for run in runs if math.isfinite(run.metrics.get(metric, math.nan))),
        key=lambda run: run.metrics[metric],
    )
    if len(shown) < 2:
        return drawing.nothing(f"Fewer than two runs have {metric}.")
    if len(shown) > MOST_LINES:
        shown = [shown[round(i * (len(shown) - 1) / (MOST_LINES - 1))] for i in range(MOST_LINES)]
    place = {name: number for number, name in enumerate(order)}
    axes = sorted(columns([run.params for run in shown]), key=lambda one: place.get(one.name, len(place)))
    axes = [one for one in axes if one.kind == "number" or one.distinct <= 20][:most_axes]
    values = tuple(float(run.metrics[metric]) for run in shown)
    axes.append(Column(metric, "number", values))
    step = (WIDTH - 150) / max(len(axes) - 1, 1)
    marks: list[str] = []
    paths: list[list[tuple[float, float]]] = [[] for _ in shown]
    for number, axis in enumerate(axes):
        at = 70 + number * step
        y, labels = _axis(axis)
        is_metric = number == len(axes) - 1
        marks += _axis_marks(axis.name, at, labels, is_metric)
        for path, value in zip(paths, axis.values, strict=True):
            path.append((at, y(value)))
    low, high, faint = values[0], values[-1], ' opacity=".55"'
    lines = [
        f'<g class="run"><title>{escape(run.name)}: {metric_text(metric, value)}</title>'
        f"{drawing.polyline(path, _shade(value, low, high), faint)}</g>"
        for run, path, value in zip(shown, paths, values, strict=True)
    ]
    return drawing.svg(WIDTH, _BOTTOM + 26, marks, lines)


def metric_text(metric: str, value: float) -> str:
    """A metric's value, escaped."""
    return escape(f"{metric} {value:.4g}")


def _axis(axis: Column) -> tuple[Callable[[float | str | None], float], list[tuple[float, str]]]:
    """Where a value stands on an axis, and the labels of the axis."""
    has_missing = any(value is None for value in axis.values)
    bottom = _BOTTOM - 22 if has_missing else _BOTTOM
    labels: list[tuple[float, str]] = [(_BOTTOM, _MISSING)] if has_missing else []
    if axis.kind == "category":
        names = sorted({category(value) for value in axis.values if value is not None})
        scale = drawing.between(0, len(names) - 1, bottom, _TOP)
        where = {name: scale(number) for number, name in enumerate(names)}
        labels += [(where[name], name) for name in names]
        return lambda value: _BOTTOM if value is None else where[category(value)], labels
    numbers = [float(value) for value in axis.values if value is not None]
    if axis.log:
        low, high = math.log10(min(numbers)), math.log10(max(numbers))
        log = drawing.between(low, high, bottom, _TOP)
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        labels += [(log(power), f"{10.0**power:g}") for power in powers]
        return lambda value: _BOTTOM if value is None else log(math.log10(float(value))), labels
    straight = drawing.between(min(numbers), max(numbers), bottom, _TOP)
    known = sorted(set(numbers))
    at = known if len(known) <= 6 else drawing.ticks(known[0], known[-1])
    labels += [(straight(tick), f"{tick:.4g}") for tick in at]
    return lambda value: _BOTTOM if value is None else straight(float(value)), labels


def _axis_marks(name: str, at: float, labels: Sequence[tuple[float, str]], is_metric: bool) -> list[str]:
    short = name if len(name) <= 16 else f"{name[:15]}…"
    head = f'<text x="{at:.1f}" y="16" class="mid {"strong" if is_metric else "name"}">'
    marks = [
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_BOTTOM}" class="axis"/>',
        f"{head}<title>{escape(name)}</title>{escape(short)}</text>",
    ]
    for y, label in labels:
        text = label if len(label) <= 12 else f"{label[:11]}…"
        marks.append(f'<text x="{at + 5:.1f}" y="{y + 4:.1f}" class="tick halo">{escape(text)}</text>')
    return marks


def _shade(value: float, low: float, high: float) -> str:
    share = drawing.between(low, high, 0, 1)(value)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(_LOW, _HIGH, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def shades() -> tuple[str, str]:
    """The colours of the lowest and the highest value."""
    return _shade(0, 0, 1), _shade(1, 0, 1)


def bars(found: Importance) -> str:
    """Importance as bars with their intervals; the part that each makes alone is darker."""
    left, right, tall = 170, 760, 24
    x = drawing.between(0, 1, left, right)
    rows = found.params[:20]
    base = 8 + len(rows) * tall
    marks, behind = [], []
    for line, one in enumerate(rows):
        top = 8 + line * tall
        note = f"{one.name}: {one.share:.0%} ({one.low:.0%} to {one.high:.0%}), {one.alone:.0%} alone"
        ink = drawing.PALETTE[0] if one.clear else "#8b929c"
        name = one.name if len(one.name) <= 22 else f"{one.name[:21]}…"
        trend = "" if one.correlation is None else f", {_RHO} {one.correlation:+.2f}"
        text = f"{one.share:.0%}{trend}" if one.clear else f"{one.share:.0%}, no more than chance"
        ends = f'x1="{x(one.low):.1f}" x2="{x(one.high):.1f}"'
        marks.append(
            f"<g><title>{escape(note)}</title>"
            f'<text x="{left - 10}" y="{top + 12}" class="tick end">{escape(name)}</text>'
            f'<rect x="{left}" y="{top}" width="{max(x(min(one.share, 1)) - left, 1):.1f}" height="16" '
            f'fill="{ink}" opacity=".45" rx="2"/>'
            f'<rect x="{left}" y="{top}" width="{max(x(min(one.alone, 1)) - left, 0):.1f}" height="16" '
            f'fill="{ink}" rx="2"/>'
            f'<line {ends} y1="{top + 8}" y2="{top + 8}" class="whisker"/>'
            f'<text x="{right + 12}" y="{top + 12}" class="tick">{escape(text)}</text></g>'
        )
    if found.chance is not None:
        at = x(min(found.chance, 1))
        behind.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="2" y2="{base}" stroke="#c88719" stroke-dasharray="4 3"/>'
            f'<text x="{at:.1f}" y="{base + 13}" class="tick mid">chance</text>'
        )
    return drawing.svg(WIDTH, base + 20, behind, marks)
