"""The groups of held-out rows: the values of a column, or of several together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from treadle.evaluate.holdout import MISSING
from treadle.evaluate.models.measures import Array, Integers
from treadle.kernel.errors import InvalidInput


class Group(NamedTuple):
    """A part of the rows.

    Attributes:
        name: Such as ``origin=JFK``, or ``sex=F, race=Black``.
        rows: The places of its rows.
    """

    name: str
    rows: Integers


class Coded(NamedTuple):
    """A column of texts as numbers.

    Attributes:
        names: Each value, sorted.
        codes: The number of each row's value.
    """

    names: list[str]
    codes: Integers


def coded(column: str, values: Array, rows: int) -> Coded:
    """A column's values as numbers; what is missing is ``(missing)``.

    Raises:
        InvalidInput: If there isn't one for each row.
    """
    if len(values) != rows:
        raise InvalidInput(
            f"there are {rows:,} labels and {len(values):,} values", where=f"group column {column!r}"
        )
    array = np.asanyarray(values)
    if array.dtype.kind not in "OUS" and not np.ma.is_masked(array):
        distinct, places = np.unique(np.asarray(array), return_inverse=True)
        texts = [_text(value) for value in distinct.tolist()]
        names = sorted(set(texts))
        number = {name: i for i, name in enumerate(names)}
        return Coded(names, np.array([number[text] for text in texts], dtype=np.intp)[places])
    plain = array.tolist()  # a masked array's gives None where the mask is set
    known = {value: _text(value) for value in set(plain)}
    names = sorted(set(known.values()))
    number = {name: i for i, name in enumerate(names)}
    code = {value: number[text] for value, text in known.items()}
    return Coded(names, np.fromiter(map(code.__getitem__, plain), dtype=np.intp, count=len(plain)))


def _text(value: Any) -> str:
    return MISSING if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


def groups(
    columns: Mapping[str, Array], rows: int, by: Iterable[str], intersections: Iterable[Sequence[str]]
) -> Iterator[Group]:
    """Every group that has rows: those of single columns first, each sorted by its values.

    Args:
        columns: The columns.
        rows: How many rows there are.
        by: The columns whose values are groups.
        intersections: The columns whose values together are groups.

    Raises:
        InvalidInput: If a column hasn't one value for each row.
    """
    known = {name: coded(name, values, rows) for name, values in columns.items()}
    for names in [*([name] for name in by), *intersections]:
        yield from _cut(names, [known[name] for name in names])


class Combined(NamedTuple):
    """Columns together.

    Attributes:
        values: The combinations of values that there are, sorted.
        codes: The number of each row's combination.
    """

    values: list[tuple[str, ...]]
    codes: Integers


def combined(parts: Sequence[Coded]) -> Combined:
    """The combinations of columns' values that rows have."""
    together = parts[0].codes
    for part in parts[1:]:
        together = together * len(part.names) + part.codes
    if len(parts) == 1:
        return Combined([(name,) for name in parts[0].names], together)
    present, codes = np.unique(together, return_inverse=True)
    values = []
    for code in present.tolist():
        rest, reverse = code, []
        for part in reversed(parts):
            rest, place = divmod(rest, len(part.names))
            reverse.append(part.names[place])
        values.append(tuple(reversed(reverse)))
    return Combined(values, codes)


def named(names: Sequence[str], values: Sequence[str]) -> str:
    """What a group is called: ``sex=F, race=Black``."""
    return ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


def _cut(names: Sequence[str], parts: Sequence[Coded]) -> Iterator[Group]:
    found, codes = combined(parts)
    small = codes.astype(np.uint16) if len(found) < 1 << 16 else codes  # sorted by radix
    ends = np.cumsum(np.bincount(codes, minlength=len(found)))[:-1]
    for values, rows in zip(found, np.split(np.argsort(small, kind="stable"), ends), strict=True):
        yield Group(named(names, values), rows)
