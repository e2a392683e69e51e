"""The page itself: the template filled with facts and pictures."""

from __future__ import annotations

from collections import Counter
from importlib import resources

import treadle
from treadle.evaluate import forest
from treadle.kernel import drawing
from treadle.kernel.units import format_duration
from treadle.kernel.workspace import Workspace
from treadle.retrain.report import charts
from treadle.retrain.report.facts import Facts, gather
from treadle.retrain.types import Trigger


def render_report(workspace: Workspace, model: str) -> str:
    """A model's history as a self-contained HTML page: what ran when, why, and at what cost.

    Raises:
        NotFound: If the model has no version yet.
    """
    return render(gather(workspace, model))


def render(facts: Facts) -> str:
    """The page that shows some facts."""
    import jinja2
    from markupsafe import Markup

    source = resources.files(__package__).joinpath("page.html.j2").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    ends = Counter(turn.cycle.state for turn in facts.turns)
    return template.render(
        css=Markup(drawing.styles()),  # noqa: S704 - our own
        facts=facts,
        charts={
            name: Markup(make(facts))  # noqa: S704 - our own SVG; its texts are escaped
            for name, make in (
                ("production", charts.production),
                ("performance", charts.performance),
                ("rates", charts.rates),
                ("drift", charts.drift),
                ("cost", charts.cost),
            )
        },
        forest=lambda verdicts: Markup(forest(verdicts)),  # noqa: S704 - as above
        outcome=charts.OUTCOME,
        started=_started,
        colour=charts.colour,
        duration=format_duration,
        ends=ends,
        kinds=Counter(alert.kind for alert in facts.alerts),
        treadle=treadle.__version__,
    )


def _started(trigger: Trigger) -> str:
    """What started a cycle, in words."""
    if trigger.kind == "alert":
        return "Started by an alert"
    if trigger.kind == "manual":
        return f"Started by {trigger.actor}"
    return f"Started by the {trigger.kind} trigger {trigger.name}"
