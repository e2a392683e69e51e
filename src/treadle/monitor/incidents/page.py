"""An incident as one self-contained HTML page: sentence, pictures, what production was doing, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import resources

from treadle.kernel import drawing
from treadle.monitor.incidents.types import Cause, Incident, IncidentReport

_WIDTH, _HEIGHT, _LEFT, _BELOW = 640.0, 120.0, 60.0, 16.0


def incident_page(report: IncidentReport) -> str:
    """The page that shows an incident."""
    import jinja2
    from markupsafe import Markup

    source = resources.files(__package__).joinpath("page.html.j2").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(
        css=Markup(drawing.styles()),  # noqa: S704 - our own
        incident=report.incident,
        facts=facts(report),
        causes=[(cause, Markup(course(cause))) for cause in report.causes],  # noqa: S704 - our own SVG of numbers
        beside=report.beside,
        production=report.production,
        next=report.next,
    )


def facts(report: IncidentReport) -> list[tuple[str, str]]:
    """Who, since when, and what became of it."""
    one: Incident = report.incident
    found = [
        ("model", f"{one.model}/{one.version}"),
        ("since", f"{one.since:%Y-%m-%d %H:%M} UTC"),
        ("affected", f"{report.affected}; {report.predictions:,} predictions since it began"),
        ("opened", f"{one.opened_at:%Y-%m-%d %H:%M} UTC, latest alert {one.last_at:%Y-%m-%d %H:%M}"),
    ]
    found += [("grown", what) for what in report.growths]
    if one.acknowledged_at:
        found.append(("taken", f"{one.acknowledged_at:%Y-%m-%d %H:%M} UTC by {one.acknowledged_by}"))
    if one.escalated_at:
        found.append(("escalated", f"{one.escalated_at:%Y-%m-%d %H:%M} UTC: nobody had taken it"))
    if one.resolved_at:
        found.append(("resolved", f"{one.resolved_at:%Y-%m-%d %H:%M} UTC by {one.resolved_by}"))
    return [*found, ("note", one.note)] if one.note else found


def course(cause: Cause) -> str:
    """A cause's windows as a line over time, with its limit; a gap in time is one in the picture."""
    values = cause.course
    if len(values) < 2:
        return drawing.nothing("a figure of one window only")
    ink, limit = drawing.colour(0), (cause.limit,) if cause.limit is not None else ()
    y, at = drawing.vertical([*values, *limit], 10, _HEIGHT - 10)
    moments = [end.timestamp() for end in cause.ends]
    x = drawing.between(moments[0], moments[-1], _LEFT, _WIDTH - 10)
    line = drawing.polyline([(x(when), y(value)) for when, value in zip(moments, values, strict=True)], ink)
    grid = drawing.gridlines(at, y, _LEFT, _WIDTH - 10)
    return drawing.svg(_WIDTH, _HEIGHT + _BELOW, [line], _limit(y, limit), _dates(cause.ends), grid)


def _dates(ends: Sequence[datetime]) -> Iterable[str]:
    """The days of the first and the last window, below the picture."""
    for at, place, side in ((ends[0], _LEFT, ""), (ends[-1], _WIDTH - 10, " end")):
        yield f'<text x="{place:g}" y="{_HEIGHT + _BELOW - 4:g}" class="tick{side}">{at:%Y-%m-%d}</text>'


def _limit(y: drawing.Scale, limit: Iterable[float]) -> Iterable[str]:
    for value in limit:
        ends = [(_LEFT, y(value)), (_WIDTH - 10, y(value))]
        yield drawing.polyline(ends, "currentColor", ' stroke-dasharray="4 4"')
