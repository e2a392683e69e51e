"""A card as Markdown, for a repository or a hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from treadle.registry.card import rules, telling
from treadle.registry.card.types import SECTIONS, Card


def markdown(card: Card) -> str:
    """The whole card; written parts stand as they were written."""
    return "\n".join(_lines(card)).rstrip() + "\n"


def _lines(card: Card) -> Iterator[str]:
    yield from (f"# {_plain(card.version.ref)}", "")
    yield from _pairs(telling.head(card))
    for section in SECTIONS:
        text = card.text(section)
        yield from (f"## {rules.TITLES[section]}", "")
        if text and text.text:
            yield from (
                text.text,
                "",
                f"*{_plain(text.actor)}, {text.at:%Y-%m-%d}, revision {text.revision}*",
                "",
            )
        else:
            yield from ("*Nobody has written this yet.*", "")
    yield from _generated(card)


def _generated(card: Card) -> Iterator[str]:
    yield from ("## Metrics", "")
    yield from _table(("metric", "value"), telling.metrics(card), "No metric is known of it.")
    yield from _figures(telling.figures(card, bias=False))
    yield from ("## Bias", "")
    yield from _figures(telling.figures(card, bias=True))
    bias = [(one.outcome, one.subject, one.sentence) for one in telling.bias(card)]
    yield from _table(("", "of", "what was found"), bias, "Not tested.")
    yield from ("## What its checks leave open", "")
    nothing = "Nothing: every check passed." if card.evaluations else "No check was made of it."
    yield from _table(("", "check", "of", "what was found"), telling.open_points(card), nothing)
    yield from ("## Data", "")
    headings = ("role", "version", "from", "until", "rows", "content")
    yield from _table(headings, telling.data(card), "It isn't known what it was trained on.")
    yield from ("## Training and lineage", "")
    yield from _pairs(telling.training(card))
    yield from ("## Cost and carbon", "")
    yield from _pairs(telling.spent(card))
    yield from ("## Status", "")
    yield from _table(("when", "status", "by", "because"), telling.history(card), "")
    yield from _table(("evaluation", "of", "outcome", "at", "by"), telling.judged(card), "")


def _figures(found: Iterable[telling.Figures]) -> Iterator[str]:
    for some in found:
        yield from (f"### {_plain(some.title)}", "")
        sign = "+" if some.zero else ""
        rows = [
            (
                one.subject,
                f"{one.estimate:{sign}.4f}",
                f"{one.low:{sign}.4f} to {one.high:{sign}.4f}",
                f"{one.n:,}",
            )
            for one in some.verdicts
        ]
        yield from _table(("group", "estimate", "interval", some.verdicts[0].unit), rows, "")


def _pairs(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield from (f"- **{name}**: {_plain(value)}" for name, value in rows)
    yield ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> Iterator[str]:
    if not rows:
        yield from (f"*{nothing}*", "") if nothing else ()
        return
    yield f"| {' | '.join(headings)} |"
    yield "|---" * len(headings) + "|"
    yield from (f"| {' | '.join(map(_plain, row))} |" for row in rows)
    yield ""


def _plain(text: str) -> str:
    """Text that stays text: names of groups may hold what Markdown or HTML reads."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(text.split()))
