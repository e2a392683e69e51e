"""How answers look: tables, sentences, durations, outcomes. Plain, and narrow enough for 80 columns."""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

from treadle.kernel.config.base import Metric
from treadle.kernel.units import format_duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from treadle.evaluate.types import Evaluation

# Terminals obey these; a name from elsewhere must not give orders.
_CONTROL = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)))
_FOUR_DIGITS = 9_999.5  # from here on they would be rounded to five
_BLOCKS = "▁▂▃▄▅▆▇█"
_MARKS = {
    "pass": ("✓", "green"),
    "ok": ("✓", "green"),
    "done": ("✓", "green"),
    "finished": ("✓", "green"),
    "promoted": ("✓", "green"),
    "trained": ("✓", "green"),
    "serving": ("✓", "green"),
    "production": ("✓", "green"),
    "unchanged": ("=", "green"),
    "fail": ("✗", "red"),
    "failed": ("✗", "red"),
    "refused": ("✗", "red"),
    "rolled_back": ("✗", "red"),
    "alert": ("!", "red"),
    "inconclusive": ("?", "yellow"),
    "warn": ("!", "yellow"),
    "held": ("?", "yellow"),
    "trial": ("…", "cyan"),
    "running": ("…", "cyan"),
    "pending": ("·", "dim"),
    "quiet": ("·", "dim"),
    "fires": ("!", "cyan"),
    "held back": ("?", "yellow"),
    "skipped": ("-", "dim"),
}


def console(*, stderr: bool = False) -> Console:
    """Where answers go. Without a terminal: no colour, and lines as long as they need to be."""
    from rich.console import Console

    file = sys.stderr if stderr else sys.stdout
    made = Console(file=file, markup=False, emoji=False, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made = Console(
            file=file, markup=False, emoji=False, highlight=False, width=100_000, color_system=None
        )
    return made


def clean(text: str) -> str:
    """Text without characters that a terminal would obey."""
    return text.translate(_CONTROL)


def say(text: str | Text = "", style: str = "") -> None:
    """Prints a sentence."""
    console().print(clean(text) if isinstance(text, str) else text, style=style or None)


def put(renderable: RenderableType) -> None:
    """Prints a table; without the padding at the ends of lines where there is no terminal."""
    where = console()
    if where.is_terminal:
        where.print(renderable)
        return
    with where.capture() as captured:
        where.print(renderable)
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")  # noqa: T201 - the answer


def following(*commands: str) -> None:
    """Names the next commands."""
    for index, command in enumerate(commands):
        say(marked(f"{'next:' if index == 0 else '     '} {command}", "dim"))


def marked(text: str, style: str) -> Text:
    """Text in a style."""
    from rich.text import Text

    return Text(clean(text), style=style)


def mark(state: str) -> Text:
    """The sign of an outcome or a state."""
    sign, style = _MARKS.get(state, ("·", "dim"))
    return marked(sign, style)


def state(word: str) -> Text:
    """An outcome or a state, with its sign and colour."""
    from rich.text import Text

    sign, style = _MARKS.get(word, ("·", "dim"))
    return Text.assemble((f"{sign} {clean(word)}", style))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "nothing yet") -> None:
    """Prints rows under their headings; ``>`` before a heading sets its numbers to the right.

    A ``!`` before a heading keeps its cells on one line: identifiers and dates.
    """
    from rich.table import Table

    lines = list(rows)
    if not lines:
        say(empty, "dim")
        return
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        heading = column.lstrip(">!")
        made.add_column(
            heading,
            justify="right" if ">" in column[:2] else "left",
            no_wrap="!" in column[:2] or ">" in column[:2],
            overflow="fold",
        )
    for line in lines:
        made.add_row(*(cell_of(value) for value in line))
    put(made)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Prints names and values, one a line; what is None is left out."""
    from rich.table import Table

    made = Table.grid(padding=(0, 2), pad_edge=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            made.add_row(clean(name), cell_of(value))
    put(made)


def cell_of(value: object) -> Text:
    """A value as a cell."""
    from rich.text import Text

    if isinstance(value, Text):
        return value
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, datetime):
        return Text(when(value))
    if isinstance(value, float):
        return Text(number(value))
    return Text(clean(str(value)))


def when(moment: datetime | None) -> str:
    """A moment as ``2013-07-01 12:00``, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else "-"


def took(since: datetime | None, until: datetime | None = None) -> str:
    """How long something took, or has taken by now."""
    if since is None:
        return ""
    return format_duration(max(0.0, ((until or datetime.now(UTC)) - since).total_seconds()))


def cpu(seconds: float | None) -> str:
    """Compute that was spent: ``42 CPU-seconds``, ``3,480 CPU-seconds (58m)``."""
    if seconds is None:
        return "-"
    digits = 1 if seconds < 10 else 0
    long = f" ({format_duration(seconds)})" if seconds >= 600 else ""
    return f"{seconds:,.{digits}f} CPU-seconds{long}"


def number(value: float | None) -> str:
    """A figure with four significant digits."""
    if value is None:
        return "-"
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < _FOUR_DIGITS:
        return f"{value:.4g}"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:,.0f}"


def counted(count: int, thing: str, things: str | None = None) -> str:
    """``1 row``, ``336,776 rows``."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def ranked(metrics: Iterable[str]) -> list[str]:
    """Metrics, those first that matter most: on held-out rows, known to the checks; the machine's last."""
    known = get_args(Metric)

    def rank(name: str) -> tuple[bool, bool, int, str]:
        last = name.rsplit(".", 1)[-1]
        place = known.index(last) if last in known else len(known)
        return name.startswith("system/"), not name.startswith("holdout."), place, name

    return sorted(metrics, key=rank)


def room() -> int:
    """How many columns a line may have."""
    return console().width


def spark(values: Sequence[float], width: int = 32, bounds: tuple[float, float] | None = None) -> str:
    """A curve in one line; more values than ``width`` are averaged in stretches.

    Args:
        values: The curve.
        width: The most characters.
        bounds: The lowest and the highest value of the scale; the curve's own by default.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    if len(finite) > width:
        cuts = [len(finite) * i // width for i in range(width + 1)]
        finite = [math.fsum(finite[a:b]) / (b - a) for a, b in itertools.pairwise(cuts)]
    low, high = bounds or (min(finite), max(finite))
    span = (high - low) or 1.0
    return "".join(_BLOCKS[min(7, int((value - low) / span * 8))] for value in finite)


def short(names: Sequence[str], least: int = 14) -> list[str]:
    """Identifiers cut to a beginning that tells them apart; whole where there is no terminal."""
    if not console().is_terminal:
        return list(names)
    length = least
    while len({name[:length] for name in names}) < len(set(names)):
        length += 1
    return [name[:length] for name in names]


def verdicts(evaluations: Iterable[Evaluation]) -> None:
    """Prints what gates found: what failed, can't be told or warns as sentences, the rest counted."""
    found = [verdict for evaluation in evaluations for verdict in evaluation.verdicts]
    passed = sum(verdict.outcome == "pass" for verdict in found)
    for outcome in ("fail", "inconclusive", "warn"):
        for verdict in found:
            if verdict.outcome == outcome:
                item(outcome, verdict.sentence)
    if passed:
        item("pass", f"{counted(passed, 'check')} passed")


def item(outcome: str, text: str) -> None:
    """Prints a sentence behind the sign of its outcome."""
    from rich.table import Table

    made = Table.grid(padding=(0, 1))
    made.add_row(" ", mark(outcome), clean(text))
    put(made)


def is_dumb() -> bool:
    """Whether a live display would only litter: no terminal, or one that can't move its cursor."""
    return not console().is_terminal or os.environ.get("TERM") == "dumb"
