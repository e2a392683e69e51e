"""A card's written parts as one Markdown file, and back. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

from treadle.kernel.errors import Conflict, InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.registry.card.types import SECTIONS, CardText, NewCardText, Section

LONGEST = 64 << 10
"""Characters of a part."""

TITLES: dict[Section, str] = {
    "intended-use": "Intended use",
    "limits": "Limits",
    "ethical-considerations": "Ethical considerations",
    "owners": "Owners",
    "licence": "Licence",
}
ASKS: dict[Section, str] = {
    "intended-use": "What is it for, for whom, and what is it not for?",
    "limits": "Where is it known to be wrong, or never tried?",
    "ethical-considerations": "Whom can it harm, and what was done about it?",
    "owners": "Who answers for it, and how are they reached?",
    "licence": "On which terms may it be used?",
}
_HEADING = re.compile(r"^#{1,2}\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)


def card_file(model: str, texts: Iterable[CardText]) -> str:
    """The file that a person edits: every section, those that nobody has written with a question."""
    known = {one.section: one for one in texts}
    lines = [f"# {model}", ""]
    for section in SECTIONS:
        found = known.get(section)
        said = found.text if found and found.text else f"<!-- {ASKS[section]} -->"
        lines += [f"## {TITLES[section]}", "", said, ""]
    return "\n".join(lines)


def read_card_file(file: str, seen: Iterable[CardText] = ()) -> tuple[NewCardText, ...]:
    """The sections of a file; what isn't in it stays as it is.

    Args:
        file: Markdown with a heading of the second level for each section.
        seen: The parts that the writer saw: what somebody else has written since isn't overwritten.

    Raises:
        InvalidInput: If a heading names no section, or one stands twice, or there is none at all.
    """
    known: dict[Section, int] = {one.section: one.revision for one in seen}
    found: dict[Section, list[str]] = {}
    current: list[str] | None = None
    fence = ""
    for line in file.splitlines():
        fence = _fenced(fence, line)
        heading = None if fence else _HEADING.match(line)
        if heading is None or (line.startswith("# ") and not found):
            if current is not None:
                current.append(line)
            continue
        section = _section(heading[1])
        if section in found:
            raise InvalidInput(f"the section {TITLES[section]!r} stands twice", fix="put both into one")
        current = found[section] = []
    if not found:
        raise InvalidInput("the file has no section", fix=f"begin one with `## {TITLES['intended-use']}`")
    return tuple(
        NewCardText(section=section, text=_plain(lines), over=known.get(section, 0) if known else None)
        for section, lines in found.items()
    )


def _fenced(fence: str, line: str) -> str:
    """The fence of the block of code that goes on behind a line; empty outside of one."""
    mark = _FENCE.match(line)
    if mark is None:
        return fence
    if not fence:
        return mark[1]
    return "" if mark[1].startswith(fence) else fence


def _section(title: str) -> Section:
    by_title: dict[str, Section] = {name.lower(): section for section, name in TITLES.items()}
    by_title |= {section: section for section in SECTIONS}
    found = by_title.get(title.lower())
    if found is None:
        hint = did_you_mean(title, TITLES.values())
        raise InvalidInput(
            f"a card has no section {title!r:.80}", fix=f"{hint}; deeper headings begin with ###"
        )
    return found


def _plain(lines: list[str]) -> str:
    return _COMMENT.sub("", "\n".join(lines)).strip()


def check(new: NewCardText, there: CardText | None) -> None:
    """Refuses a part that can't be written.

    Raises:
        InvalidInput: If it is too long, or would begin another section.
        Conflict: If somebody else has written it since the writer looked.
    """
    where = TITLES[new.section]
    if len(new.text) > LONGEST:
        raise InvalidInput(f"it is longer than {LONGEST:,} characters", where=where, fix="link to the rest")
    fence = ""
    for line in new.text.splitlines():
        fence = _fenced(fence, line)
        if not fence and _HEADING.match(line):
            raise InvalidInput(
                f"the heading {line!r:.80} would begin another section", where=where, fix="use ### or deeper"
            )
    revision = there.revision if there else 0
    if new.over is not None and new.over != revision:
        by = f"{there.actor} has" if there else "somebody has"
        raise Conflict(
            f"{by} written it since you looked",
            where=where,
            fix="look at what it says now, and write again; nothing was changed",
        )
