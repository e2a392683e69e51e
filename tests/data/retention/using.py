"""Runs that use versions of data."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from treadle.api.rooms import Rooms
from treadle.data import DataInput, DatasetVersion, SliceSpec
from treadle.experiment import NewRun, RunInput


def use(version: DatasetVersion, number: int | None = None) -> RunInput:
    spec = SliceSpec(dataset=version.dataset, version=version.digest)
    rows = DataInput(
        role="train", spec=spec, number=version.number if number is None else number, digest="d", rows=1
    )
    return RunInput(
        name=version.dataset,
        digest=version.digest,
        source_type="treadle",
        source=msgspec.json.encode(rows).decode(),
        context="training",
    )


def start(rooms: Rooms, name: str, *used: RunInput) -> str:
    return rooms.experiments.create(
        NewRun(id=name, name=name, started_at=datetime.now(UTC), inputs=tuple(used))
    ).id
