"""What a window is held against where traffic has its hours and weekdays: the same ones of the weeks before.

A slot is a window's own stretch of the week, so many weeks earlier. Slots are counted in the bins of the
profile, so every statistic is what it is against training; what chance gives follows from the rows of both
sides, as always, and a reference of few rows allows for more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from treadle.kernel.config.monitor import MonitorConfig
from treadle.monitor import rules
from treadle.monitor.counting import together
from treadle.monitor.findings import Window
from treadle.monitor.log import PredictionLog
from treadle.monitor.parts import names
from treadle.monitor.profile import Shape, counts
from treadle.monitor.types import Profile, SegmentProfile, WindowResult

if TYPE_CHECKING:
    from treadle.kernel.engine import Column

WEEK = timedelta(days=7)

Found = Mapping[str, "Column"]
Parts = Mapping[str, Sequence[Shape]]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a window is held against.

    Attributes:
        inputs: Each watched input.
        prediction: The predictions of the version in production.
        segments: The inputs segment by segment.
        slots: The stretches that it was counted in; none where it is training.
        scanned: What was counted in each of them.
        note: What findings say of it; empty where nothing else was declared.
        own_note: What the finding about predictions says.
    """

    inputs: dict[str, Shape]
    prediction: Shape
    segments: dict[str, SegmentProfile]
    slots: tuple[Window, ...] = ()
    scanned: tuple[Found, ...] = ()
    note: str = ""
    own_note: str = ""

    def told(self, found: Sequence[WindowResult]) -> list[WindowResult]:
        """Findings with what they were held against."""
        return [
            msgspec.structs.replace(one, sentence=f"{one.sentence}; {note}") if note else one
            for one in found
            for note in [self.own_note if one.kind == "prediction" else self.note]
        ]


def slots(window: Window, weeks: int) -> tuple[Window, ...]:
    """The same stretch of the week in each of the weeks before, the latest first."""
    return tuple(
        msgspec.structs.replace(window, since=window.since - k * WEEK, until=window.until - k * WEEK)
        for k in range(1, weeks + 1)
    )


def weeks(config: MonitorConfig) -> str:
    """The weeks of the season, in words."""
    return "the week before" if config.season_weeks == 1 else f"the {config.season_weeks} weeks before"


def held(
    window: Window,
    profile: Profile,
    watched: Mapping[str, Shape],
    config: MonitorConfig,
    log: PredictionLog,
    scan: Callable[[Window], Found],
    read: Callable[[Found], tuple[list[Shape], Parts]],
) -> Held:
    """What a window is held against, as declared; training while too little of the season is logged.

    Args:
        window: The window.
        profile: The profile of the version in production.
        watched: The watched inputs' profiles.
        config: The ``[monitor]`` table.
        log: The prediction log.
        scan: Counts a stretch of time as the window was.
        read: Reads what was counted: inputs and prediction, and the inputs part by part.
    """
    training = Held(inputs=dict(watched), prediction=profile.prediction, segments=profile.segments)
    if config.reference == "training":
        return training
    past, first = slots(window, config.season_weeks), log.first_day(window.model)
    there = [slot for slot in past if first is not None and slot.since >= rules.midnight(first)]
    before = weeks(config)
    why = f"held against training: of {before} {len(there)} are logged"
    if len(there) < len(past):
        return msgspec.structs.replace(training, note=why, own_note=why)
    scanned = tuple(scan(slot) for slot in past)
    (*inputs, prediction), parts = read(together(list(scanned)))
    rows = sum(counts(inputs[0])) if inputs else 0
    if rows < config.min_rows:
        why = f"held against training: the same time of {before} has {rows:,} rows"
        return msgspec.structs.replace(training, note=why, own_note=why)
    note = f"held against the same time of {before} ({rows:,} rows)"
    own, own_note = _own(profile, prediction, note, config)
    return Held(
        inputs=dict(zip(watched, inputs, strict=True)),
        prediction=own,
        segments=_segments(profile, watched, parts),
        slots=past,
        scanned=scanned,
        note=note,
        own_note=own_note,
    )


def settled(
    held_: Held,
    current: Mapping[tuple[str, str], Shape],
    found: Sequence[WindowResult],
    read: Callable[[Found], tuple[list[Shape], Parts]],
    judge: Callable[[WindowResult, Shape, Shape], WindowResult],
) -> list[WindowResult]:
    """Findings, of which those that only repeat what the latest weeks changed for good are no alert.

    A window that stands out from the season is no news if it doesn't from the latest of its weeks, and those
    stand out from the earlier ones themselves: that was told when it began. A single odd week makes nothing
    an alert that isn't one anyway, for whatever is one stands out from the whole season as well.

    Args:
        held_: What the window is held against.
        current: How each column was in the window, by kind and subject, in the order in which they are read.
        found: The findings of all rows.
        read: Reads what was counted.
        judge: Judges the column of a finding: as it was, and as it is.
    """
    news = [
        one
        for one in found
        if one.state == "alert"
        and not one.explained_by
        and (one.kind != "prediction" or held_.own_note == held_.note)  # else held against registration
    ]
    if not news or len(held_.slots) < 2:
        return list(found)
    repeated: dict[tuple[str, str], int] = {}
    for latest in range(1, len(held_.slots)):
        sides = (held_.scanned[:latest], held_.scanned[latest:])
        recent, earlier = (dict(zip(current, read(together(list(side)))[0], strict=True)) for side in sides)
        for one in news:
            key = one.kind, one.subject
            changed = judge(one, earlier[key], recent[key]).state == "alert"
            if changed and judge(one, recent[key], current[key]).state != "alert":
                repeated.setdefault(key, latest)
    return [
        msgspec.structs.replace(one, state="ok", severity=None, sentence=f"{one.sentence}; {_since(weeks_)}")
        if (weeks_ := repeated.get((one.kind, one.subject))) and one.state == "alert"
        else one
        for one in found
    ]


def _since(latest: int) -> str:
    return "so it was a week ago" if latest == 1 else f"so it has been for {latest} weeks"


def rows_of(held_: Held, size: int, scan: Callable[[Window, int], Found]) -> dict[str, Column]:
    """A sample of the rows of the slots, evenly from each.

    Args:
        held_: What the window is held against.
        size: How many rows.
        scan: Hands out so many rows of a stretch of time.
    """
    each = -(-size // len(held_.slots))
    return together([scan(slot, each) for slot in held_.slots])


def _own(profile: Profile, prediction: Shape, note: str, config: MonitorConfig) -> tuple[Shape, str]:
    """The version's own predictions in the slots; those at registration where it is too young."""
    rows = sum(counts(prediction)) - prediction.nulls  # those of other versions were counted as missing
    if rows < config.min_rows:
        return profile.prediction, (
            f"held against registration: the version answered {rows:,} requests at the same time of "
            f"{weeks(config)}"
        )
    return prediction, note


def _segments(profile: Profile, watched: Mapping[str, Shape], parts: Parts) -> dict[str, SegmentProfile]:
    made = {}
    for name, segment in profile.segments.items():
        tallies = {
            part: {column: counts(shape) for column, shape in zip(watched, parts[part], strict=True)}
            for part in names(segment)
            if part in parts
        }
        made[name] = msgspec.structs.replace(segment, tallies=tallies)
    return made
