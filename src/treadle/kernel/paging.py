"""Pages of a query, from key to key: they neither skip nor repeat while rows come and go."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa

from treadle.kernel.errors import InvalidInput

_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Mark = tuple[_Int64, str | _Int64 | float | None]


class SortKey(msgspec.Struct, frozen=True):
    """One key of an order; the keys together must tell any two rows apart.

    Attributes:
        value: What is ordered by.
        ascending: Whether the smallest comes first.
        rank: Ordered by first, the smallest first, whatever the direction; where it isn't 0 there
            is no value. None where there always is one.
    """

    value: sa.ColumnElement[Any]
    ascending: bool = True
    rank: sa.ColumnElement[int] | None = None


def by_code_point(connection: sa.Connection, text: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """A text to be ordered by its characters' numbers, not as a language has it."""
    return text.collate("C") if connection.dialect.name == "postgresql" else text


class _Token(msgspec.Struct, frozen=True, array_like=True):
    asked: str
    marks: list[_Mark]


def page(
    connection: sa.Connection,
    query: sa.Select[Any],
    keys: Sequence[SortKey],
    *,
    limit: int,
    token: str | None,
    asked: object,
) -> tuple[list[sa.RowMapping], str | None]:
    """One page of a query's rows, and the token of the next if there is one.

    Args:
        connection: Where to ask.
        query: The rows, in no order.
        keys: Their order.
        limit: How many rows a page has.
        token: What came with the page before; None for the first.
        asked: What was searched for, in whatever order: a token is good for that alone.

    Raises:
        InvalidInput: If the token is none, or another search's.
    """
    asked = hashlib.blake2s(repr(asked).encode(), digest_size=9).hexdigest()
    if token:
        query = query.where(_after(keys, _decode(token, asked, keys)))
    marks = [
        part.label(f"page_{kind}_{number}")
        for number, key in enumerate(keys)
        for kind, part in (("rank", sa.literal(0) if key.rank is None else key.rank), ("value", key.value))
    ]
    found = connection.execute(query.add_columns(*marks).order_by(*_order(keys)).limit(limit + 1))
    rows = list(found.mappings())
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    marks_of_last = [(last[f"page_rank_{n}"], last[f"page_value_{n}"]) for n in range(len(keys))]
    packed = msgspec.json.encode(_Token(asked, [(r, None if r else v) for r, v in marks_of_last]))
    return rows[:limit], base64.urlsafe_b64encode(packed).decode()


def _order(keys: Sequence[SortKey]) -> list[sa.ColumnElement[Any]]:
    order: list[sa.ColumnElement[Any]] = []
    for key in keys:
        if key.rank is not None:
            order.append(key.rank.asc())
        order.append(key.value.asc() if key.ascending else key.value.desc())
    return order


def _after(keys: Sequence[SortKey], marks: Sequence[_Mark]) -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = sa.false()
    for key, (rank, value) in reversed(list(zip(keys, marks, strict=True))):
        if key.rank is not None and rank:
            beyond, same = key.rank > rank, key.rank == rank
        else:
            beyond = key.value > value if key.ascending else key.value < value
            same = key.value == value
            if key.rank is not None:
                beyond = sa.or_(key.rank > 0, beyond)
        condition = sa.or_(beyond, sa.and_(same, condition))
    return condition


def _decode(token: str, asked: str, keys: Sequence[SortKey]) -> list[_Mark]:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(token), type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        found = None
    if found is None or found.asked != asked or not _fits(found.marks, keys):
        raise InvalidInput(
            f"{token!r:.80} is no page token of this search",
            where="page_token",
            fix="use the one that came with the page before, and ask the same as for that page",
        )
    return found.marks


def _fits(marks: Sequence[_Mark], keys: Sequence[SortKey]) -> bool:
    """Whether each key could have its mark: a token may be anybody's work."""
    return len(marks) == len(keys) and all(
        bool(rank) if value is None else isinstance(value, str) == isinstance(key.value.type, sa.String)
        for key, (rank, value) in zip(keys, marks, strict=True)
    )
