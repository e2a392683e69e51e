"""Filters and orders applied to plain values: what the database's answers are measured by.

As MLflow's SQL store has it, with one meaning on every database:

- What a record doesn't have matches nothing but ``IS NULL``, not even ``!=`` or ``NOT IN``.
- NaN matches ``!=`` and nothing else.
- ``%`` stands for any text and ``_`` for one character; nothing escapes them. ``LIKE`` heeds case,
  ``ILIKE`` compares both in lower case.
- A parameter that is compared with a number is compared as one; text that is none is only unequal.
- Where there are several values (datasets; a logged model's metric) one that matches is enough,
  for each comparison by itself.
- In an order, what has no value comes last in both directions, and NaN just before it.
  Text is ordered by code points.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from treadle.experiment.columns import number_of
from treadle.experiment.grammar.types import Comparison, OrderKey

_Scalar = str | int | float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A run, an experiment, a model, a version or a logged model, as far as it can be searched.

    Attributes:
        attributes: By canonical name; None is the same as absent.
        params: The parameters.
        tags: The tags.
        metrics: Each metric's value, or values, the one to order by first.
        datasets: Each dataset's ``name``, ``digest`` and ``context``.
    """

    attributes: Mapping[str, _Scalar | None] = {}
    params: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}
    metrics: Mapping[str, float | tuple[float, ...]] = {}
    datasets: tuple[Mapping[str, str | None], ...] = ()


def matches(record: Record, comparisons: Iterable[Comparison]) -> bool:
    """Whether all comparisons hold for a record."""
    return all(_holds(record, comparison) for comparison in comparisons)


def arrange(records: Iterable[Record], keys: Sequence[OrderKey]) -> list[Record]:
    """The records in order. A key's dataset is not looked at: give the metric that it means."""
    arranged = list(records)
    for key in reversed(keys):
        groups: tuple[list[Record], ...] = ([], [], [])
        for record in arranged:
            groups[_rank(_first(record, key))].append(record)
        present, nan, absent = groups
        present.sort(key=functools.partial(_sortable, key), reverse=not key.ascending)
        arranged = [*present, *nan, *absent]
    return arranged


def like(text: str, pattern: str) -> bool:
    """Whether a text matches a pattern of ``LIKE``, in time proportional to both lengths.

    Only the last ``%`` seen is ever taken up again: an earlier one could do no better.
    """
    at = place = 0
    resume_at, resume_place = -1, -1
    while at < len(text):
        here = pattern[place] if place < len(pattern) else ""
        if here == "%":
            resume_at, resume_place = at, place
            place += 1
        elif here in {"_", text[at]}:
            at, place = at + 1, place + 1
        elif resume_place >= 0:
            resume_at += 1
            at, place = resume_at, resume_place + 1
        else:
            return False
    return not pattern[place:].strip("%")


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "LIKE": like,
    "ILIKE": lambda text, pattern: like(text.lower(), pattern.lower()),
    "IN": lambda text, values: text in values,
    "NOT IN": lambda text, values: text not in values,
}


def _holds(record: Record, comparison: Comparison) -> bool:
    values = _values(record, comparison.entity, comparison.key)
    if comparison.op == "IS NULL":
        return not values
    if comparison.op == "IS NOT NULL":
        return bool(values)
    test = _TESTS[comparison.op]
    if comparison.entity == "param" and isinstance(comparison.value, float):
        values = tuple(math.nan if (found := number_of(one)) is None else found for one in values)
    return any(test(value, comparison.value) for value in values)


def _values(record: Record, entity: str, key: str) -> tuple[_Scalar, ...]:
    if entity == "dataset":
        return tuple(name for dataset in record.datasets if (name := dataset.get(key)) is not None)
    if entity == "metric":
        found = record.metrics.get(key, ())
        return found if isinstance(found, tuple) else (found,)
    kept: dict[str, Mapping[str, _Scalar | None]] = {
        "attribute": record.attributes,
        "param": record.params,
        "tag": record.tags,
    }
    value = kept[entity].get(key)
    return () if value is None else (value,)


def _first(record: Record, key: OrderKey) -> _Scalar | None:
    return next(iter(_values(record, key.entity, key.key)), None)


def _sortable(key: OrderKey, record: Record) -> Any:
    return _first(record, key)


def _rank(value: _Scalar | None) -> int:
    if value is None:
        return 2
    return 1 if isinstance(value, float) and math.isnan(value) else 0
