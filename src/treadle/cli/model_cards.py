"""``treadle models card``: what is known of a version, and what its people say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.errors import InvalidInput
from treadle.kernel.files import write_atomic

if TYPE_CHECKING:
    from treadle.registry import CardFormat, CardText


@click.command("card", short_help="The model card: make it, write its parts")
@click.argument("ref")
@click.option("--format", "wanted", type=click.Choice(["html", "md"]), help="By the file's name if left out.")
@click.option("-o", "out", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Where to.")
@click.option("--edit", is_flag=True, help="Write its parts, in your editor.")
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write its parts from Markdown: ## Intended use ...",
)
@json_option
@pass_app
def card(
    app: App, ref: str, wanted: CardFormat | None, out: Path | None, edit: bool, source: Path | None
) -> None:
    """Make a version's card, or write the parts that people write.

    Intended use, limits, ethical considerations, owners and licence are the
    model's; all else is generated, and never overwrites them.
    """
    ref = app.ref(ref)
    if edit or source is not None:
        written = _write(app, app.client.model(ref).model, source)
        app.answer(written, show_texts)
        return
    if app.json:
        app.answer(app.client.card_texts(app.client.model(ref).model), show_texts)
        return
    wanted = wanted or ("html" if out is not None and out.suffix in {".html", ".htm"} else "md")
    made = app.client.model_card(ref, wanted)
    if out is None:
        click.echo(made.decode(), nl=False)
        return
    write_atomic(out, made)
    show.say(f"wrote {out}")
    show.following(f"treadle models card {ref} --edit")


def _write(app: App, model: str, source: Path | None) -> list[CardText]:
    """Writes the parts that a file has, or those that a person changes in an editor."""
    from treadle.registry import card_file, read_card_file

    if source is not None:
        try:
            text = source.read_text("utf-8")
        except UnicodeDecodeError:
            raise InvalidInput("it isn't text in UTF-8", where=str(source)) from None
        except OSError as error:
            raise InvalidInput(f"it can't be read: {error.strerror}", where=str(source)) from None
        return app.client.write_card(model, read_card_file(text))
    seen = app.client.card_texts(model)
    changed = click.edit(card_file(model, seen), extension=".md")
    if changed is None:
        show.say("nothing was changed")
        return seen
    return app.client.write_card(model, read_card_file(changed, seen))


def show_texts(texts: list[CardText]) -> None:
    """Prints what is written on a card, by whom and when."""
    rows = [(one.section, one.revision, one.actor, one.at, f"{len(one.text):,}") for one in texts if one.text]
    show.table(
        ["section", ">revision", "by", "at", ">characters"], rows, empty="nobody has written anything yet"
    )
    if texts:
        show.following(f"treadle models card {texts[0].model} -o card.html")
