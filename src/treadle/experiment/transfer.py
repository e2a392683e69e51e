"""Copies of runs, counted and compared. Pure: both sides of an import reckon alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from treadle.experiment import series
from treadle.experiment.logged_types import LoggedModel
from treadle.experiment.series import Curve
from treadle.experiment.transfer_types import CurveCopy, RunCopy, Tally
from treadle.experiment.types import Artifact, Sample
from treadle.kernel.errors import InvalidInput

_encode = msgspec.msgpack.Encoder().encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def pack_curve(name: str, curve: Curve) -> CurveCopy:
    """A curve's points as they travel."""
    return CurveCopy(
        name,
        curve.values.astype("<f8").tobytes(),
        curve.at.astype("<i8").tobytes(),
        curve.steps.astype("<i8").tobytes(),
    )


def unpack(copies: Iterable[CurveCopy]) -> dict[str, Curve]:
    """The curves that travelled, pieces of one joined in their order.

    Raises:
        InvalidInput: If the columns of one aren't of one length, or one has no point.
    """
    found: dict[str, list[Curve]] = {}
    for copy in copies:
        size = len(copy.values)
        if not size or size % 8 or len(copy.at) != size or len(copy.steps) != size:
            raise InvalidInput("a curve's columns are 8 bytes a point, and at least one", where=copy.name)
        columns = (np.frombuffer(data, kind) for data, kind in ((copy.at, "<i8"), (copy.steps, "<i8")))
        found.setdefault(copy.name, []).append(Curve(np.frombuffer(copy.values, "<f8"), *columns))
    return {name: series.join(pieces) for name, pieces in found.items()}


def latest(name: str, curve: Curve) -> Sample:
    """A curve's latest point: of the highest step, then time, then value; NaN counts as zero there."""
    steps = curve.steps
    last = len(curve) - 1
    if last and steps[last] <= steps[:last].max():
        last = int(np.lexsort((np.nan_to_num(curve.values, nan=0.0), curve.at, steps))[-1])
    return Sample(name, float(curve.values[last]), int(curve.at[last]), int(curve.steps[last]))


class Hasher:
    """Counts a run's curves one by one, so that they need not be in memory together."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}
        self.points = 0

    def add(self, name: str, curve: Curve) -> None:
        """Counts a whole curve."""
        from blake3 import blake3

        in_order = bool((curve.at[1:] > curve.at[:-1]).all())
        plain = curve if in_order else series.distinct(curve)
        values = plain.values + 0.0  # one zero
        values[np.isnan(values)] = np.nan  # one NaN
        hasher = blake3()
        for column, kind in ((values, "<f8"), (plain.at, "<i8"), (plain.steps, "<i8")):
            hasher.update(column.astype(kind, copy=False).tobytes())
        self._digests[name] = hasher.hexdigest()
        self.points += len(plain)

    def tally(self, run: RunCopy) -> Tally:
        """All that belongs to the run, whose curves were added."""
        return _tally(
            run.files,
            {
                "what": (
                    run.name,
                    run.user,
                    run.status,
                    run.lifecycle,
                    _us(run.started_at),
                    _us(run.ended_at),
                ),
                "params": sorted(run.params.items()),
                "tags": sorted(run.tags.items()),
                "inputs": sorted((msgspec.structs.astuple(_plain(one)) for one in run.inputs), key=_encode),
                "models": sorted({msgspec.structs.astuple(one) for one in run.models}),
                "curves": sorted(self._digests.items()),
            },
            params=len(run.params),
            tags=len(run.tags),
            metrics=len(self._digests),
            points=self.points,
            datasets=len(run.inputs),
            models=len({msgspec.structs.astuple(one) for one in run.models}),
        )


def run_tally(run: RunCopy, curves: Mapping[str, Curve]) -> Tally:
    """All that belongs to a run."""
    hasher = Hasher()
    for name, curve in curves.items():
        hasher.add(name, curve)
    return hasher.tally(run)


def model_tally(model: LoggedModel, files: Sequence[Artifact]) -> Tally:
    """All that belongs to a logged model."""
    measured = sorted(
        {
            (one.name, _number(one.value), one.at, one.step, one.run, one.dataset_name, one.dataset_digest)
            for one in model.metrics
        },
        key=repr,
    )
    what = (model.name, model.status, model.message, model.model_type, model.run, model.lifecycle)
    return _tally(
        files,
        {
            "what": (*what, _us(model.created_at)),
            "params": sorted(model.params.items()),
            "tags": sorted(model.tags.items()),
            "metrics": measured,
        },
        params=len(model.params),
        tags=len(model.tags),
        metrics=len({one[0] for one in measured}),
        points=len(measured),
    )


def _tally(files: Sequence[Artifact], content: dict[str, Any], **counts: int) -> Tally:
    from blake3 import blake3

    content["files"] = sorted((file.path, file.digest, file.size) for file in files)
    return Tally(
        **counts,
        files=len(files),
        bytes=sum(file.size for file in files),
        digest=blake3(_encode(content)).hexdigest(),
    )


def _plain(used: Any) -> Any:
    return msgspec.structs.replace(used, tags=dict(sorted(used.tags.items())))


def _number(value: float) -> str:
    return repr(float(value) + 0.0)


def _us(at: datetime | None) -> int | None:
    """Microseconds since 1970; None stays None."""
    return None if at is None else (at - _EPOCH) // (datetime.resolution)
