"""Which column is what, guessed from names, types and values. No I/O."""

from __future__ import annotations

import re

import msgspec

from treadle.cli.look import ColumnFacts, TableFacts

_LABELS = ("label", "target", "y", "late", "outcome")
_LABEL_TIME = re.compile(
    r"(label|target|outcome)_?(time|at|date)|(known|resolved|closed|landed|ended)_(at|time)"
)
_TIMES = ("time", "timestamp", "at", "ts", "datetime", "date", "event_time", "event_at")
_KEYS = ("id", "key", "uuid", "guid")
_NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")
_FEATURE = re.compile(_NUMBER.pattern + r"|BOOLEAN|VARCHAR|ENUM\(.*\)")
_KEY = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|VARCHAR|UUID")


class Guess(msgspec.Struct, frozen=True, kw_only=True):
    """What the columns of a dataset seem to be.

    Attributes:
        time: Says when a row happened.
        key: Names a row.
        label: What to predict.
        label_time: Says when the label became known.
        features: The columns that a model may see.
        left_out: The columns that it had better not see, and why.
        binary: Whether the label is true or false.
    """

    time: str | None = None
    key: str | None = None
    label: str | None = None
    label_time: str | None = None
    features: tuple[str, ...] = ()
    left_out: dict[str, str] = {}
    binary: bool = True

    @property
    def trainable(self) -> bool:
        """Whether a model can be trained with what was found."""
        return bool(self.time and self.label and self.features)


def guess(table: TableFacts) -> Guess:
    """What the columns of a dataset seem to be."""
    label = _label(table.columns)
    time, label_time = _times(table.columns)
    key = _key(table.columns, {column.name for column in (label, time, label_time) if column})
    roles = [column.name for column in (time, key, label, label_time) if column]
    features, left_out = [], dict[str, str]()
    for column in table.columns:
        if column.name in roles:
            continue
        if why := _why_not(column, label):
            left_out[column.name] = why
        else:
            features.append(column.name)
    return Guess(
        time=time.name if time else None,
        key=key.name if key else None,
        label=label.name if label else None,
        label_time=label_time.name if label and label_time else None,
        features=tuple(features),
        left_out=left_out,
        binary=label is None or label.binary or label.type == "BOOLEAN",
    )


def _why_not(column: ColumnFacts, label: ColumnFacts | None) -> str | None:
    """Why a column had better not be a feature; None if it may."""
    if column.is_time:
        return "a time"
    if not _FEATURE.fullmatch(column.type):
        return f"of type {column.type.lower()}"
    if label and len(label.name) > 1 and label.name.lower() in re.split(r"[_\W]+", column.name.lower()):
        return "may give the label away"
    if column.unique and not re.fullmatch(r"FLOAT|DOUBLE|DECIMAL\(.*\)", column.type):
        return "names a row"
    return None


def _label(columns: tuple[ColumnFacts, ...]) -> ColumnFacts | None:
    """A column with a label's name; else an ``is_*`` that is true or false; else the first that is."""
    fit = [c for c in columns if c.type == "BOOLEAN" or _NUMBER.fullmatch(c.type)]
    named = [c for name in _LABELS for c in fit if c.name.lower() == name]
    boolean = [c for c in fit if c.type == "BOOLEAN"]
    is_something = [c for c in fit if c.name.lower().startswith("is_") and (c.binary or c.type == "BOOLEAN")]
    return next(iter([*named, *is_something, *boolean]), None)


def _times(columns: tuple[ColumnFacts, ...]) -> tuple[ColumnFacts | None, ColumnFacts | None]:
    """When a row happened, and when its label became known: a later time whose name says so."""
    times = [column for column in columns if column.is_time and column.nulls < 1]
    later = [column for column in times if _LABEL_TIME.fullmatch(column.name.lower())]
    sure = [column for column in times if column not in later and column.nulls == 0]
    order = {name: index for index, name in enumerate(_TIMES)}
    sure.sort(key=lambda c: (order.get(c.name.lower(), len(order)), c.mean_time or 0.0))
    return next(iter(sure), None), next(iter(later), None)


def _key(columns: tuple[ColumnFacts, ...], taken: set[str]) -> ColumnFacts | None:
    """A column that names each row, by its own name if one says so."""
    fit = [c for c in columns if c.unique and c.name not in taken and _KEY.fullmatch(c.type)]
    named = [c for c in fit if c.name.lower() in _KEYS or c.name.lower().endswith(("_id", "_key", "_uuid"))]
    return next(iter([*named, *(c for c in fit if c.type in ("VARCHAR", "UUID"))]), None)
