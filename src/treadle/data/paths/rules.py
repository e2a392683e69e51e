"""Where links lead, and which paths a change touches. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.data.paths.types import ChangePaths, CopyPath
from treadle.kernel.errors import InvalidInput

_MOST_LINKS = 40


def led_to(link: str, target: str) -> str | None:
    """The path to which a symbolic link at a path leads; None if that is outside of the dataset."""
    if target.startswith("/"):
        return None
    parts = link.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def check_links(path: str, followed: int) -> None:
    """Refuses links that lead to each other.

    Raises:
        InvalidInput: If too many were followed.
    """
    if followed > _MOST_LINKS:
        raise InvalidInput(f"{path!r} leads through more than {_MOST_LINKS} links: is it a circle?")


def touched(asked: ChangePaths) -> tuple[frozenset[str], tuple[str, ...]]:
    """The paths that a change is about, and the prefixes below which it is about everything."""
    named = [*(one.path for one in asked.put), *asked.remove]
    for copy in asked.copies:
        named += [copy.target, *([copy.source] if not copy.at else [])]
    return frozenset(one for one in named if not one.endswith("/")), tuple(
        one for one in named if one.endswith("/")
    )


def check_copies(copies: Sequence[CopyPath]) -> None:
    """Refuses a copy of a folder to a path, or of a path to a folder.

    Raises:
        InvalidInput: If there is one.
    """
    for copy in copies:
        if copy.source.endswith("/") != copy.target.endswith("/"):
            raise InvalidInput(
                f"{copy.source!r} and {copy.target!r} are not both folders, or both files",
                fix="write both with a slash at the end, or both without",
            )
