"""Curves in the database: appended chunk by chunk, merged by metric when there are many."""

from __future__ import annotations

import time
from collections.abc import Sequence

import sqlalchemy as sa

from treadle.experiment import series
from treadle.experiment.series import Curve
from treadle.experiment.tables import chunks
from treadle.experiment.types import Sample

LOOSE = 256
"""So many appends of a run are merged into one chunk a metric."""

_LARGEST = 1 << 16
_MERGED_AT_ONCE = 4096
_IDS = 1000
_last_id = 0


def next_id() -> int:
    """A chunk's number: higher than every one given before in this process; a clock otherwise."""
    global _last_id  # noqa: PLW0603 - one clock a process
    _last_id = max(time.time_ns(), _last_id + 1)
    return _last_id


def read(connection: sa.Connection, run: str, name: str) -> Curve:
    """A metric's points, in the order in which they came."""
    query = (
        sa.select(chunks.c.data)
        .where(chunks.c.run == run, chunks.c.name.in_(("", name)))
        .order_by(chunks.c.id)
    )
    found = [series.unpack_one(data, name) for data in connection.execute(query).scalars()]
    return series.join([curve for curve in found if len(curve)])


def append(connection: sa.Connection, run: str, samples: Sequence[Sample]) -> None:
    """Adds points to a run's curves."""
    for start in range(0, len(samples), _LARGEST):
        piece = samples[start : start + _LARGEST]
        connection.execute(
            chunks.insert().values(run=run, name="", id=next_id(), points=len(piece), data=series.pack(piece))
        )


def merge(connection: sa.Connection, run: str) -> int:
    """Merges a run's appends by metric; returns how many it merged.

    A metric's new points join its latest chunks as long as those are no more than twice as
    large, so that a point is rewritten a logarithmic number of times.
    """
    query = (
        sa.select(chunks.c.id, chunks.c.data)
        .where(chunks.c.run == run, chunks.c.name == "")
        .order_by(chunks.c.id)
        .limit(_MERGED_AT_ONCE)
        .with_for_update()
    )
    loose = connection.execute(query).all()
    if len(loose) < 2:
        return 0
    found: dict[str, list[Curve]] = {}
    for _, data in loose:
        for name, curve in series.unpack(data).items():
            found.setdefault(name, []).append(curve)
    for name, curves in found.items():
        _add(connection, run, name, series.join(curves), loose[-1].id)
    # Only those: another server, or one whose clock is behind, may have added some before the last.
    for start in range(0, len(loose), _IDS):
        merged = chunks.c.id.in_([row.id for row in loose[start : start + _IDS]])
        connection.execute(chunks.delete().where(chunks.c.run == run, chunks.c.name == "", merged))
    return len(loose)


def _add(connection: sa.Connection, run: str, name: str, new: Curve, number: int) -> None:
    mine = sa.and_(chunks.c.run == run, chunks.c.name == name)
    sizes = sa.select(chunks.c.id, chunks.c.points).where(mine).order_by(chunks.c.id.desc()).limit(64)
    joined, size = [], len(new)
    for row in connection.execute(sizes).all():
        if row.points > 2 * size or row.points + size > _LARGEST:
            break
        joined.append(row.id)
        size += row.points
    if joined:
        old = sa.select(chunks.c.data).where(mine, chunks.c.id.in_(joined)).order_by(chunks.c.id)
        before = [series.unpack_one(data, name) for data in connection.execute(old).scalars()]
        new = series.join([*before, new])
        connection.execute(chunks.delete().where(mine, chunks.c.id.in_(joined)))
    starts = range(0, len(new), _LARGEST)
    for place, start in enumerate(starts):
        piece = new.take(slice(start, start + _LARGEST))
        # Numbered so that the first piece, which came first, sorts first.
        values = {"run": run, "name": name, "id": number - len(starts) + 1 + place, "points": len(piece)}
        connection.execute(chunks.insert().values(values | {"data": series.pack_curve(name, piece)}))
