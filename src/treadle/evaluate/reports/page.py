"""Evaluations as one self-contained HTML page: sentence, picture, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from itertools import groupby

from treadle.evaluate.reports.ordering import SIGNS, counted, evidence, facts, title, worst_first
from treadle.evaluate.reports.pictures import forest
from treadle.evaluate.rules import aggregate
from treadle.evaluate.types import Evaluation, Verdict
from treadle.kernel import drawing

_DIFFERENCES = frozenset({"no_worse", "null_increase"})


def page(evaluations: Sequence[Evaluation]) -> str:
    """The page that shows some evaluations."""
    import jinja2
    from markupsafe import Markup

    source = resources.files(__package__).joinpath("page.html.j2").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(
        css=Markup(drawing.styles()),  # noqa: S704 - our own
        outcome=aggregate(one.outcome for one in evaluations),
        evaluations=evaluations,
        title=title,
        counted=counted,
        facts=facts,
        evidence=evidence,
        worst_first=worst_first,
        signs=SIGNS,
        pictures=lambda verdicts: [
            (name, Markup(picture))  # noqa: S704 - our own SVG; its texts are escaped
            for name, picture in _pictures(verdicts)
        ],
    )


def _pictures(verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
    """A picture for each check and metric, where the verdicts have intervals."""
    drawn = []
    by_metric = sorted(verdicts, key=lambda one: (one.check, one.metric))
    for (check, metric), some in groupby(by_metric, key=lambda one: (one.check, one.metric)):
        differs = check in _DIFFERENCES or check.startswith("bias")
        if picture := forest(list(some), "no difference" if differs else ""):
            drawn.append((f"{check}, {metric}" if metric else check, picture))
    return drawn
