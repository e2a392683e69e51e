"""A comparison as one self-contained page: tables, curves, parallel coordinates, importance, code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from importlib import resources
from importlib.metadata import version

import msgspec

from treadle.experiment import comparison_charts as charts
from treadle.experiment.comparing import within_noise
from treadle.experiment.comparison import CodeDiff, Comparison, Importance, SharedCurves
from treadle.experiment.types import Run
from treadle.kernel import drawing
from treadle.kernel.units import format_bytes, format_duration


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows.

    Attributes:
        title: Its title.
        lead: What was compared, in a sentence.
        found: The runs side by side.
        curves: The curves to draw.
        codes: How the code of the others differs from the first's.
        searched: All runs of a search; empty if only some were named.
        metric: The metric that the search is about.
        importance: What it depends on.
    """

    title: str
    lead: str
    found: Comparison
    curves: Sequence[SharedCurves] = ()
    codes: Sequence[CodeDiff] = ()
    searched: Sequence[Run] = ()
    metric: str | None = None
    importance: Importance | None = None


def render(page: Page) -> str:
    """The page."""
    import jinja2
    from markupsafe import Markup

    def ours(text: str) -> Markup:
        return Markup(text)  # noqa: S704 - our own SVG and CSS; their texts are escaped

    source = resources.files(__package__).joinpath("comparison.html.j2").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    names = {run.id: run.name for run in page.found.runs}
    several = page.searched or page.found.runs
    order = [one.name for one in page.importance.params] if page.importance else []
    parallel = charts.parallel(several, page.metric, order) if page.metric and len(several) > 1 else ""
    return template.render(
        title=page.title,
        lead=page.lead,
        found=page.found,
        metric=page.metric,
        importance=page.importance,
        bars=ours(charts.bars(page.importance)) if page.importance and page.importance.params else "",
        parallel=ours(parallel),
        curves=[(shared.metric, ours(charts.curves(shared, names))) for shared in page.curves],
        metrics=_metrics(page.found),
        inputs=[(_input(one.name, one.context), _heads(one.digests)) for one in page.found.inputs],
        files=[(one.path, _files(one.digests, one.sizes)) for one in page.found.files],
        codes=page.codes,
        names=names,
        colour=drawing.colour,
        shades=charts.shades(),
        css=ours(drawing.styles()),
        duration=format_duration,
        short=_short,
        lines=lambda text: ours(coloured(text)),
        treadle=version("treadle"),
    )


def _metrics(found: Comparison) -> list[tuple[str, list[tuple[str, bool]], str]]:
    rows = []
    for name, values in found.metrics.items():
        noise = found.noise.get(name)
        cells = [
            ("-" if value is None else _number(value), place > 0 and within_noise(value, values[0], noise))
            for place, value in enumerate(values)
        ]
        rows.append((name, cells, "" if noise is None else f"± {_number(noise)}"))
    return rows


def _number(value: float) -> str:
    return f"{value:.5g}" if math.isfinite(value) else str(value)


def _short(value: object) -> object:
    """A cell: a float to six digits, which the table's own CSV has in full."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else value


def _input(name: str, context: str) -> str:
    return f"{name} ({context})" if context else name


def _heads(digests: Sequence[str | None]) -> list[str | None]:
    return [None if digest is None else digest[:40] for digest in digests]


def _files(digests: Sequence[str | None], sizes: Sequence[int | None]) -> list[str | None]:
    return [
        None if digest is None or size is None else f"{format_bytes(size)}  {digest[:10]}"
        for digest, size in zip(digests, sizes, strict=True)
    ]


def coloured(diff: str) -> str:
    """A difference as HTML, its lines in colours."""
    made = []
    for line in diff.splitlines():
        kind = {"+": "add", "-": "cut", "@": "at"}.get(line[:1], "")
        text = escape(line)
        made.append(f'<span class="{kind}">{text}</span>' if kind else text)
    return "\n".join(made)
