"""Segments: rows that are watched apart, by what they have in one input. No I/O but the engine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from treadle.kernel.config.monitor import MonitorConfig, SegmentConfig
from treadle.kernel.engine import Engine, text
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.monitor import rules
from treadle.monitor.drift import distance, drift_result, open_ended
from treadle.monitor.findings import SEGMENTS, Window
from treadle.monitor.profile import (
    Shape,
    Tally,
    column_sql,
    count_parts,
    counts,
    filled,
    histogram_sql,
)
from treadle.monitor.types import NumericProfile, Profile, SegmentProfile, WindowResult

Parts = Mapping[str, Sequence[Shape]]


def profile_segments(
    engine: Engine, train: Path, profile: Profile, segments: Mapping[str, SegmentConfig]
) -> Profile:
    """A profile that also has the segments' own.

    Args:
        engine: Runs the query.
        train: The rows that were profiled, as Parquet.
        profile: The profile of all rows.
        segments: Which rows to profile apart.

    Raises:
        InvalidInput: If a segment's column was not profiled.
        CorruptData: If the file can't be read.
    """
    found = {name: _resolved(name, segment, profile) for name, segment in segments.items()}
    columns = [
        (shape, column_sql(name, numeric=isinstance(shape, NumericProfile)))
        for name, shape in profile.inputs.items()
    ]
    by_name = dict(zip(profile.inputs, (sql for _, sql in columns), strict=True))
    shapes = list(profile.inputs.values())
    made = {}
    for name, segment in found.items():
        sql = histogram_sql(columns, part_sql(segment, by_name[segment.column]))
        parts = count_parts(shapes, engine.columns(sql, (), {"log": [train]}))
        tallies = {
            part: {column: counts(shape) for column, shape in zip(profile.inputs, tally, strict=True)}
            for part, tally in parts.items()
        }
        made[name] = msgspec.structs.replace(segment, tallies=tallies)
    return msgspec.structs.replace(profile, segments=made)


def part_sql(segment: SegmentProfile, column: str) -> str:
    """SQL that names the segment of a row; NULL if it belongs to none.

    Args:
        segment: What makes the segments.
        column: The column's SQL.
    """
    name, x = segment.column, f"({column})"
    if segment.edges:
        first, last = segment.edges[0], segment.edges[-1]
        between = " ".join(
            f"WHEN {x} <= {high!r}::DOUBLE THEN {text(f'{low:g}<{name}<={high:g}')}"
            for low, high in pairwise(segment.edges)
        )
        return (
            f"CASE WHEN {x} IS NULL OR isnan({x}) THEN NULL WHEN {x} <= {first!r}::DOUBLE "
            f"THEN {text(f'{name}<={first:g}')} {between} ELSE {text(f'{name}>{last:g}')} END"
        )
    cases = " ".join(
        f"WHEN {x} = {text(value)} THEN {text(f'{name}={value}')}"
        if isinstance(value, str)
        else f"WHEN {x} = {value!r}::DOUBLE THEN {text(f'{name}={value:g}')}"
        for value in segment.values
    )
    return f"CASE {cases} END" if cases else "NULL"


def segment_results(
    window: Window, profile: Profile, current: Parts, drifted: Sequence[WindowResult], config: MonitorConfig
) -> list[WindowResult]:
    """Which inputs have drifted in which segments, or that none has.

    Args:
        window: The window.
        profile: The version's profile, with its segments.
        current: In each segment how each watched input was in the window, in the order of ``drifted``.
        drifted: What was found of each watched input among all rows.
        config: The ``[monitor]`` table.
    """
    level = rules.level(config.false_alarms, window.length) / 2
    tests: list[tuple[str, WindowResult, Shape, Shape, float]] = []
    for part, shapes in current.items():
        then = _reference(profile, part)
        for all_rows, now in zip(drifted, shapes, strict=True):
            reference = then.get(all_rows.subject)
            if reference is None or not sum(counts(reference)):
                continue
            if sum(counts(now)) >= config.min_rows:
                how = config.of_column(all_rows.subject)
                outside = config.quality_of(all_rows.subject).outside
                reference, now = open_ended(how.statistic, reference, now, outside, level)  # noqa: PLW2901
                p_value = distance(how.statistic, reference, now, level)[1].p_value
                tests.append((part, all_rows, reference, now, p_value))
    if not tests:
        return [_calm(window, 0, f"segments: none has the {config.min_rows:,} rows that are needed")]
    alpha = rules.discoveries([p_value for *_, p_value in tests], level)
    found = [
        _finding(window, part, all_rows, (reference, now), alpha, config)
        for part, all_rows, reference, now, _ in tests
    ]
    alerts = [one for one in found if one.state == "alert"]
    many = len({part for part, *_ in tests})
    calm = f"segments: no input has drifted in any of {many}, by {len(tests):,} comparisons"
    return alerts or [_calm(window, len(tests), calm)]


def _finding(
    window: Window,
    part: str,
    all_rows: WindowResult,
    sides: tuple[Shape, Shape],
    alpha: float,
    config: MonitorConfig,
) -> WindowResult:
    name = all_rows.subject
    found = drift_result(window, "input", name, *sides, alpha, config.of_column(name), config.min_rows)
    known = all_rows.state == "alert"
    return msgspec.structs.replace(
        found,
        segment=part,
        importance=all_rows.importance,
        sentence=f"where {part}, {found.sentence}" + ("; so it did among all rows" if known else ""),
        explained_by=f"input:{name}" if known else "",
    )


def _calm(window: Window, tests: int, sentence: str) -> WindowResult:
    return WindowResult(
        model=window.model,
        kind="input",
        subject="segments",
        since=window.since,
        until=window.until,
        version=window.version,
        state="ok" if tests else "inconclusive",
        statistic=SEGMENTS,
        value=0.0 if tests else None,
        n=tests,
        sentence=sentence,
    )


def _reference(profile: Profile, part: str) -> dict[str, Shape]:
    """How inputs were distributed in a segment at training; nothing if it wasn't there."""
    tallies = next((one.tallies[part] for one in profile.segments.values() if part in one.tallies), {})
    found = {name: filled(profile.inputs[name], Tally(tally)) for name, tally in tallies.items()}
    return {name: _with_mean(profile.inputs[name], shape) for name, shape in found.items()}


def _with_mean(whole: Shape, part: Shape) -> Shape:
    """A segment's profile with its mean, as well as the bins' means among all rows tell."""
    if not isinstance(whole, NumericProfile) or not isinstance(part, NumericProfile):
        return part
    bins = zip([part.below, *part.counts, part.above], whole.centres, strict=False)
    known = [(rows, centre) for rows, centre in bins if rows and centre is not None]
    rows = sum(many for many, _ in known)
    mean = sum(many * centre for many, centre in known) / rows if rows else None
    return msgspec.structs.replace(part, mean=mean)


def _resolved(name: str, segment: SegmentConfig, profile: Profile) -> SegmentProfile:
    """What makes the segments, by what was there at training."""
    column = segment.column or name
    shape, where = profile.inputs.get(column), f"treadle.toml [monitor.segments.{name}]"
    if shape is None:
        raise InvalidInput(
            f"{column!r} is no input of the model", where=where, fix=did_you_mean(column, profile.inputs)
        )
    made = SegmentProfile(column=column, values=[], edges=segment.edges or [])
    if segment.edges and not isinstance(shape, NumericProfile):
        raise InvalidInput(
            f"{column!r} has texts, and only numbers can be cut", where=where, fix="name `values`"
        )
    if segment.edges:
        return made
    if not isinstance(shape, NumericProfile):
        values: list[str | float] = [*(segment.values or list(shape.counts)[: segment.most])]
    elif segment.values:
        values = [_number(value, where) for value in segment.values]
    elif shape.values and len(shape.values) <= segment.most:
        values = [*shape.values]
    else:  # the fifths at the ends, and what lies between
        return msgspec.structs.replace(made, edges=sorted({*shape.edges[1:2], *shape.edges[-2:-1]}))
    return msgspec.structs.replace(made, values=values)


def _number(value: str, where: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InvalidInput(f"{value!r} is no number, and its column has numbers", where=where) from None
