"""A card as one self-contained HTML page."""

from __future__ import annotations

from importlib import resources

from treadle.evaluate import forest
from treadle.kernel import drawing
from treadle.registry.card import rules, telling
from treadle.registry.card.types import SECTIONS, Card


def written(text: str) -> str:
    """What somebody wrote in Markdown, as HTML that can do nothing.

    HTML in it is shown as text, addresses that run something are no links, pictures aren't fetched (the
    page is one file), and headings lie below those of the page.
    """
    from markdown_it import MarkdownIt

    reader = MarkdownIt("js-default", {"html": False, "breaks": True}).disable("image")
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = max("h3", token.tag)
    return str(reader.renderer.render(tokens, reader.options, {}))


def page(card: Card) -> str:
    """The page that shows a card."""
    import jinja2
    from markupsafe import Markup

    source = resources.files(__package__).joinpath("page.html.j2").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(
        css=Markup(drawing.styles()),  # noqa: S704 - our own
        card=card,
        version=card.version,
        telling=telling,
        sections=[(section, rules.TITLES[section], rules.ASKS[section]) for section in SECTIONS],
        written=lambda text: Markup(written(text)),  # noqa: S704 - without HTML of the writer's
        picture=lambda some: Markup(forest(some.verdicts, some.zero)),  # noqa: S704 - our own SVG; texts escaped
    )
