"""A first ``[monitor]`` for a model, by its profile and traffic, with the reason for each line. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta

from treadle.evaluate import psi_quantile
from treadle.kernel.config.monitor import ColumnConfig, MonitorConfig
from treadle.kernel.units import format_duration
from treadle.monitor import rules
from treadle.monitor.profile import Shape, counts
from treadle.monitor.types import CategoryProfile, NumericProfile, Profile

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LENGTHS = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 7 * 24, 28 * 24))
_MOST_PARTS, _LEAST_SHARE, _MOST_SEGMENTS = 10, 0.05, 3
_OWN, _NAMED = 0.5, 0.2
_IDLE, _MAJOR = 0.1, 0.25


def suggest_monitors(
    name: str,
    profile: Profile,
    rows_a_day: float | None,
    config: MonitorConfig,
    labels_after: timedelta | None = None,
) -> str:
    """The lines of ``treadle.toml`` that declare monitors, for a person to prune.

    Args:
        name: The version whose profile it is.
        profile: The profile.
        rows_a_day: How many predictions are logged in a day; None if none are yet.
        config: What is declared by now: its false alarms and threshold are kept.
        labels_after: How long it takes until enough of the labels are there; None if none are yet.
    """
    return "\n".join(_lines(name, profile, rows_a_day, config, labels_after)) + "\n"


def _lines(
    name: str,
    profile: Profile,
    rows_a_day: float | None,
    config: MonitorConfig,
    labels_after: timedelta | None,
) -> Iterator[str]:
    yield f"# Suggested by the profile of {name} ({profile.rows:,} rows): keep what you can stand behind."
    length = _length(profile, rows_a_day, config)
    yield "[monitor]"
    yield f"false_alarms = {config.false_alarms:g}  # that many a year are accepted, of all monitors together"
    if rows_a_day is None:
        yield "# every = ...  # no prediction is logged yet: ask again when there is traffic"
    elif length is None:
        yield f"# about {rows_a_day:,.0f} predictions a day: even 28 days are too few for drift"
    else:
        every = format_duration(length.total_seconds())
        yield (
            f"every = {json.dumps(every)}  # about {rows_a_day:,.0f} predictions a day: "
            f"the shortest in which chance stays under {config.of_inputs().threshold:g}"
        )
    if labels_after is not None and labels_after >= timedelta(hours=1):
        unit = timedelta(hours=1) if labels_after <= timedelta(hours=23) else timedelta(days=1)
        due = format_duration((-(-labels_after // unit) * unit).total_seconds())
        share = f"{100 * config.mature:.0f} %"
        yield f"labels_after = {json.dumps(due)}  # by then {share} of the labels that come at all are there"
    idle = _IDLE / max(len(profile.inputs), 1)
    for column, shape in profile.inputs.items():
        yield from _column(column, shape, profile.importance.get(column), idle, config)
    # Without importance, in the order in which the model has them.
    kept = [one for one in profile.inputs if config.columns.get(one, ColumnConfig()).keep == "value"]
    parted = sorted(kept, key=lambda column: -profile.importance.get(column, 0.0))
    found = [(column, parts) for column in parted if (parts := _parts(profile.inputs[column]))]
    for column, parts in found[:_MOST_SEGMENTS]:
        yield from ("", f"[monitor.segments.{_key(column)}]  # {parts}")


def _length(profile: Profile, rows_a_day: float | None, config: MonitorConfig) -> timedelta | None:
    """The shortest window whose rows are enough, so that chance alone rarely passes the threshold."""
    bins = max((len(counts(shape)) for shape in profile.inputs.values()), default=2)
    for length in _LENGTHS:
        rows = int((rows_a_day or 0) * (length / timedelta(days=1)))
        alpha = rules.level(rules.shared(config).false_alarms, length) / max(len(profile.inputs), 1)
        enough = rows >= config.min_rows
        if enough and psi_quantile(profile.rows, rows, bins, alpha) <= config.of_inputs().threshold:
            return length
    return None


def _column(
    name: str, shape: Shape, importance: float | None, idle: float, config: MonitorConfig
) -> Iterator[str]:
    """What to say of one input, if anything."""
    rows, head = sum(counts(shape)), f"[monitor.columns.{_key(name)}]"
    if isinstance(shape, CategoryProfile) and (shape.distinct or 0) > _OWN * rows:
        yield from ("", head, "watch = false  # nearly every row has a text of its own")
    elif isinstance(shape, CategoryProfile) and sum(shape.counts.values()) < _NAMED * rows:
        share = 100 * sum(shape.counts.values()) / rows
        yield from ("", head, f"watch = false  # its most frequent texts are only {share:.0f} % of rows")
    elif importance is not None and importance < idle and config.of_column(name).threshold < _MAJOR:
        why = f"the model hardly leans on it ({100 * importance:.2g} % of all importance)"
        yield from ("", head, f"threshold = {_MAJOR}  # {why}")


def _parts(shape: Shape) -> str:
    """What segments an input would make, in words; empty if it makes no useful ones."""
    rows = sum(counts(shape))
    if isinstance(shape, CategoryProfile):
        sizes = {} if shape.other else dict(shape.counts)
    else:
        sizes = _sizes(shape)
    if not 2 <= len(sizes) <= _MOST_PARTS or min(sizes.values()) < _LEAST_SHARE * rows:
        return ""
    return ", ".join(f"{part} {100 * size / rows:.0f} %" for part, size in sizes.items()).replace("\n", " ")


def _sizes(shape: NumericProfile) -> dict[str, int]:
    few = shape.values if len(shape.values) == len(shape.counts) else []
    return {f"{value:g}": size for value, size in zip(few, shape.counts, strict=False)}


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)
