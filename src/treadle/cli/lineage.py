"""``treadle lineage`` and ``treadle data lineage``: where things come from, and where they went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.cli.data_branches import named

if TYPE_CHECKING:
    from treadle.registry import Lineage, LineageStep


# Of one kind so many are shown below one thing; --json tells all.
_SHOWN = 10


@click.command(short_help="What a model was made of, and where it went")
@click.argument("ref", required=False)
@json_option
@pass_app
def lineage(app: App, ref: str | None) -> None:
    """Tell what something was made of, and what used it.

    REF is a model version, such as flights/3 or flights@production (the one in production if none is
    named), a version of data, such as flights@v3, or a run.
    """
    found = app.client.lineage(ref or app.model(None))
    app.answer(found, _show)


@click.command("lineage", short_help="What made a version, and what used it")
@click.argument("ref", metavar="DATASET[@VERSION]")
@json_option
@pass_app
def data_lineage(app: App, ref: str) -> None:
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
    data = "@" in found.ref
    show.following(f"treadle data log {found.ref.partition('@')[0]}" if data else "treadle history")


def _tree(steps: Sequence[LineageStep], root: str, nothing: str) -> None:
    below: dict[str, list[LineageStep]] = {}
    for step in steps:
        below.setdefault(step.of, []).append(step)
    if not steps:
        show.say(f"  {nothing}", "dim")
    seen: set[str] = set()

    def tell(of: str, depth: int) -> None:
        shown: dict[str, int] = {}
        for step in below.get(of, ()):
            shown[step.kind] = shown.get(step.kind, 0) + 1
            if shown[step.kind] > _SHOWN:
                continue
            again = step.id in seen
            detail = f": {step.detail}" if step.detail else ""
            more = " (see above)" if again and step.id in below else ""
            show.say(f"{'  ' * depth}{step.kind} {step.id}{detail}{more}")
            if not again:
                seen.add(step.id)
                tell(step.id, depth + 1)
        for kind, count in shown.items():
            if count > _SHOWN:
                rest = count - _SHOWN
                ending = "s" if rest > 1 else ""
                show.say(f"{'  ' * depth}and {rest:,} more {kind}{ending} (--json)", "dim")

    tell(root, 1)
