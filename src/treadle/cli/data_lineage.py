"""``treadle data lineage``: where data comes from, and where it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.cli.data_branches import named

if TYPE_CHECKING:
    from treadle.registry import Lineage, LineageStep


@click.command("lineage", short_help="What made a version, and what used it")
@click.argument("ref", metavar="DATASET[@VERSION]")
@json_option
@pass_app
def lineage(app: App, ref: str) -> None:
    """Tell what a version was made of and by, and which runs, models and versions used it."""
    found = app.client.data_lineage(*named(app, ref))
    app.answer(found, _show)


def _show(found: Lineage) -> None:
    show.say(f"{found.ref} was made of")
    _tree(found.made_of, found.ref, "nobody said")
    show.say("used by")
    _tree(found.used_by, found.ref, "nothing yet")
    if found.cut:
        show.say("and more (only the nearest are told)", "dim")
    show.following(f"treadle data log {found.ref.partition('@')[0]}")


def _tree(steps: Sequence[LineageStep], root: str, nothing: str) -> None:
    below: dict[str, list[LineageStep]] = {}
    for step in steps:
        below.setdefault(step.of, []).append(step)
    if not steps:
        show.say(f"  {nothing}", "dim")
    seen: set[str] = set()

    def tell(of: str, depth: int) -> None:
        for step in below.get(of, ()):
            again = step.id in seen
            detail = f": {step.detail}" if step.detail else ""
            more = " (see above)" if again and step.id in below else ""
            show.say(f"{'  ' * depth}{step.kind} {step.id}{detail}{more}")
            if not again:
                seen.add(step.id)
                tell(step.id, depth + 1)

    tell(root, 1)
