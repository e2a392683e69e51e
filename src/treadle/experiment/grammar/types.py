"""What a filter and an order say, once read: a list of comparisons and a list of keys."""

from __future__ import annotations

from typing import Literal

import msgspec

Entity = Literal["attribute", "metric", "param", "tag", "dataset"]
Op = Literal["=", "!=", ">", ">=", "<", "<=", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]
Value = float | int | str | tuple[str, ...] | None


class Comparison(msgspec.Struct, frozen=True):
    """One condition; a filter is a tuple of them, all of which must hold.

    Attributes:
        entity: Where the value is found.
        key: Which value; for an attribute, its canonical name, whatever alias was written.
        op: How it is compared.
        value: With what: a finite or infinite float (never NaN) for a metric; an int in 64 bits
            or a float for a numeric attribute; a non-empty tuple for ``IN`` and ``NOT IN``;
            None for ``IS NULL`` and ``IS NOT NULL``; a float for a parameter that is compared as a
            number; text otherwise.
    """

    entity: Entity
    key: str
    op: Op
    value: Value = None


class OrderKey(msgspec.Struct, frozen=True):
    """One key of an order.

    Attributes:
        entity: Where the value is found.
        key: Which value, by its canonical name.
        ascending: Whether the smallest comes first. What has no value comes last either way.
        dataset_name: For a logged model's metric: only as measured on this dataset.
        dataset_digest: For a logged model's metric: only as measured on this dataset's version.
        numeric: For a parameter: whether its values are ordered as the numbers that they are written as.
    """

    entity: Entity
    key: str
    ascending: bool = True
    dataset_name: str | None = None
    dataset_digest: str | None = None
    numeric: bool = False


class LoggedModelOrder(msgspec.Struct, frozen=True):
    """One key of an order of logged models, as clients send it: an object, not a string.

    Attributes:
        field_name: An attribute, or ``metrics.`` and the metric's name, which needs no quotes.
        ascending: Whether the smallest comes first.
        dataset_name: For a metric: only as measured on this dataset.
        dataset_digest: For a metric: only as measured on this dataset's version.
    """

    field_name: str
    ascending: bool = True
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Ordering(msgspec.Struct, frozen=True):
    """How one kind of thing is ordered when a request doesn't fully say.

    Attributes:
        default: The order when none was asked for.
        ties: The keys that are added behind those asked for, unless they are among them,
            so that no two things ever stand level.
    """

    default: tuple[OrderKey, ...]
    ties: tuple[OrderKey, ...]
