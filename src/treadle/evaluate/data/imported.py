"""Suites of other tools, as far as checks of data can say them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from treadle.kernel.config import DataCheck
from treadle.kernel.errors import InvalidInput

ANY = r"(.|\n)*"
"""A pattern of any text."""


class ImportedSuite(msgspec.Struct, frozen=True):
    """What a suite of another tool says, as checks of data.

    Attributes:
        checks: What can be said.
        unsaid: What can't, a rule each, with the reason.
    """

    checks: DataCheck
    unsaid: tuple[str, ...]


class Unsaid(Exception):
    """Why a rule can't be said."""


def put(made: dict[str, Any], key: str, name: str, value: Any) -> None:
    """Says something of a column, or of a condition.

    Raises:
        Unsaid: If something else is said of it already.
    """
    table = made.setdefault(key, {})
    if table.get(name, value) != value:
        raise Unsaid(f"`{key}` of {name} is said already, and otherwise")
    table[name] = value


def built(made: dict[str, Any], unsaid: Sequence[str], where: str) -> ImportedSuite:
    """What was said, as checks.

    Raises:
        InvalidInput: If a value is none that a check takes.
    """
    try:
        return ImportedSuite(msgspec.convert(made, DataCheck), tuple(unsaid))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"it says what no check can: {error}", where=where) from None
