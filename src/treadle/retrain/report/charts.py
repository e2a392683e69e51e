"""The report's pictures, as SVG text: small, static, each mark with its figures on hover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from html import escape

from treadle.kernel import drawing
from treadle.kernel.drawing import Scale, gridlines, nothing, polyline, vertical
from treadle.monitor import WindowResult
from treadle.retrain.report.facts import Facts

WIDTH, LEFT, RIGHT = 960, 96, 16
OUTCOME = {
    "promoted": ("#2e7d32", "▲"),
    "trial": ("#1565c0", "▷"),
    "rolled_back": ("#c62828", "↶"),
    "refused": ("#c62828", "✕"),
    "held": ("#b26a00", "●"),
    "failed": ("#616161", "!"),
    "unchanged": ("#616161", "="),
    "running": ("#1565c0", "…"),
}


def colour(version: int) -> str:
    """The colour of a version, the same in every picture."""
    return drawing.colour(version - 1)


def production(facts: Facts) -> str:
    """What was in production when, as one bar."""
    x = _time(facts)
    marks = []
    for reign in facts.reigns:
        left, right = x(reign.since), x(reign.until or facts.until)
        wide = max(right - left, 2)
        note = f"version {reign.version} from {_day(reign.since)}: {reign.reason}"
        marks.append(
            f'<g><title>{escape(note)}</title><rect x="{left:.1f}" y="6" width="{wide:.1f}" height="34" '
            f'rx="3" fill="{colour(reign.version)}"/>'
            f'<text x="{left + 8:.1f}" y="28" class="on">v{reign.version}</text></g>'
        )
    return _svg(80, marks, _months(facts, 54, grid=False), _decisions(facts, 66))


def performance(facts: Facts) -> str:
    """The metric by window, with its interval, its limit, and the cycles."""
    shown = [w for w in facts.performance if w.value is not None]
    if not shown:
        return nothing("No window has enough labels yet.")
    levels = [v for w in shown for v in (w.low, w.high, w.limit, w.value) if v is not None]
    x, (y, ticks) = _time(facts), vertical(levels, 16, 236)
    marks = list(gridlines(ticks, y, LEFT, WIDTH - RIGHT))
    for window in shown:
        where, ink = x(window.until), colour(window.version)
        if window.low is not None and window.high is not None:
            marks.append(
                f'<line x1="{where:.1f}" x2="{where:.1f}" y1="{y(window.low):.1f}" '
                f'y2="{y(window.high):.1f}" stroke="{ink}" stroke-width="2" opacity=".35"/>'
            )
        marks.append(_dot(where, y(window.value or 0), ink, window))
    marks += _limits(shown, x, y)
    marks += _joined(shown, x, y)
    return _svg(282, marks, _months(facts, 252), _decisions(facts, 272))


def rates(facts: Facts) -> str:
    """What was predicted beside what came true."""
    pairs = [(w, w.mean_prediction, w.base_rate) for w in facts.performance]
    levels = [v for _, *two in pairs for v in two if v is not None]
    if not levels:
        return nothing("No window has labels yet.")
    x, (y, ticks) = _time(facts), vertical([*levels, 0], 16, 176)
    marks = list(gridlines(ticks, y, LEFT, WIDTH - RIGHT))
    for index, (name, style) in enumerate((("mean prediction", "#3465a4"), ("came true", "#2e3436"))):
        points = [(x(w.until), y(two[index] or 0)) for w, *two in pairs if two[index] is not None]
        dash = ' stroke-dasharray="4 3"' if index == 0 else ""
        marks.append(polyline(points, style, dash))
        at, sign = LEFT + 8 + index * 130, "- -" if index == 0 else "—"
        marks.append(f'<text x="{at}" y="12" fill="{style}" class="key">{sign} {name}</text>')
    return _svg(206, marks, _months(facts, 192))


def drift(facts: Facts) -> str:
    """Every input's population stability index by window: a square each, outlined where it alerts."""
    rows = sorted(facts.inputs.items(), key=lambda row: -max((w.value or 0) for w in row[1]))
    rows = [*rows, ("prediction", facts.prediction)] if facts.prediction else rows
    if not rows:
        return nothing("No window has ended yet.")
    x, tall = _time(facts), 18
    marks = []
    for line, (name, results) in enumerate(rows):
        top = 8 + line * tall
        marks.append(f'<text x="{LEFT - 8}" y="{top + 12}" class="tick end">{escape(name[:14])}</text>')
        for window in results:
            left = x(window.since) + 0.5
            wide = max(x(window.until) - left - 0.5, 1)
            edge = ' stroke="#a40000"' if window.state == "alert" else ""
            marks.append(
                f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="{tall - 3}" '
                f'fill="{_heat(window)}"{edge}><title>{escape(window.sentence)}</title></rect>'
            )
    return _svg(32 + len(rows) * tall, marks, _months(facts, 20 + len(rows) * tall, grid=False))


def cost(facts: Facts) -> str:
    """What each cycle cost, as bars."""
    most = max((turn.cycle.cpu_seconds for turn in facts.turns), default=0) or 1
    marks = []
    for line, turn in enumerate(facts.turns):
        cycle, top = turn.cycle, 4 + line * 22
        wide = cycle.cpu_seconds / most * 560
        ink, _ = OUTCOME.get(cycle.state, ("#616161", ""))
        marks.append(
            f'<text x="170" y="{top + 13}" class="tick end">{_day(cycle.as_of)} {cycle.state}</text>'
            f'<rect x="180" y="{top}" width="{max(wide, 1):.1f}" height="16" fill="{ink}" rx="2"/>'
            f'<text x="{188 + wide:.1f}" y="{top + 13}" class="tick">{cycle.cpu_seconds:.0f} CPU-s</text>'
        )
    return f'<svg viewBox="0 0 840 {10 + len(facts.turns) * 22}" role="img">{"".join(marks)}</svg>'


def _svg(height: int, *parts: Iterable[str]) -> str:
    return drawing.svg(WIDTH, height, *parts)


def _time(facts: Facts) -> Callable[[datetime], float]:
    whole = (facts.until - facts.since).total_seconds() or 1

    def x(at: datetime) -> float:
        share = min(max((at - facts.since).total_seconds() / whole, 0), 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    return x


def _months(facts: Facts, y: int, *, grid: bool = True) -> list[str]:
    """Marks at months; at days or years where months would be too few or too many."""
    x, marks, days = _time(facts), [], (facts.until - facts.since).days
    step = 1 if days < 14 else 7 if days < 70 else 0
    at = facts.since.replace(hour=0, minute=0, second=0, microsecond=0)
    while at <= facts.until:
        show = at.day == 1 if not step else True
        if show and at >= facts.since:
            name = f"{at:%b %Y}" if not step and at.month == 1 else f"{at:%b}" if not step else f"{at:%d %b}"
            if grid:
                marks.append(f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="8" y2="{y - 10}" class="grid"/>')
            marks.append(f'<text x="{x(at):.1f}" y="{y + 4}" class="tick mid">{name}</text>')
        at += timedelta(days=step or 1)
    return marks


def _decisions(facts: Facts, y: int) -> list[str]:
    x, marks = _time(facts), []
    for turn in facts.turns:
        ink, sign = OUTCOME.get(turn.cycle.state, ("#616161", "?"))
        note = f"{_day(turn.cycle.as_of)}: {turn.cycle.state}. {turn.cycle.trigger.reason}"
        marks.append(
            f'<text x="{x(turn.cycle.as_of):.1f}" y="{y + 8}" fill="{ink}" class="mid mark">'
            f"<title>{escape(note)}</title>{sign}</text>"
        )
    return marks


def _dot(x: float, y: float, ink: str, window: WindowResult) -> str:
    ring = ' stroke="#a40000" stroke-width="3"' if window.state == "alert" else ""
    note = f"{_day(window.until)}, version {window.version}: {window.sentence}"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{ink}"{ring}><title>{escape(note)}</title></circle>'
    )


def _limits(windows: Sequence[WindowResult], x: Callable[[datetime], float], y: Scale) -> list[str]:
    """The alert limit as a dashed step under (or over) the points."""
    marks = []
    for window in windows:
        if window.limit is not None:
            left, right, at = x(window.since), x(window.until), y(window.limit)
            left = max(left, right - 24)
            marks.append(
                f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{at:.1f}" y2="{at:.1f}" '
                'stroke="#a40000" stroke-dasharray="3 3" opacity=".6"/>'
            )
    return marks


def _joined(windows: Sequence[WindowResult], x: Callable[[datetime], float], y: Scale) -> list[str]:
    """A thin line through each version's points."""
    marks = []
    for version in sorted({window.version for window in windows}):
        points = [(x(w.until), y(w.value or 0)) for w in windows if w.version == version]
        marks.append(polyline(points, colour(version), ' opacity=".5"'))
    return marks


def _heat(window: WindowResult) -> str:
    """Pale below the limit, deeper with the logarithm of the index above a hundredth."""
    value = window.value or 0.0
    if window.state == "inconclusive":
        return "#eeeeec"
    for edge, fill in ((0.02, "#e8f1e4"), (0.05, "#d6e7c9"), (0.1, "#fbe9b8"), (0.25, "#f5b971")):
        if value < edge:
            return fill
    return "#d9663f"


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
