"""Points of curves as they are kept: columns of numbers, packed. Pure.

A chunk is a MessagePack array of the metrics' names and four columns, little-endian: which
metric (16 bits; empty when there is one), value (IEEE 754 double), microseconds since 1970
and step (64 bits each).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.experiment.types import Sample

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

MOST_NAMES = 1 << 16


class Curve(msgspec.Struct, frozen=True):
    """One metric's points, in the order in which they came.

    Attributes:
        values: Their values.
        at: In microseconds since 1970.
        steps: Their steps.
    """

    values: Floats
    at: Ints
    steps: Ints

    def __len__(self) -> int:
        return len(self.values)

    def take(self, places: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Curve:
        """Some of the points."""
        return Curve(self.values[places], self.at[places], self.steps[places])


class _Chunk(msgspec.Struct, array_like=True):
    names: list[str]
    which: bytes
    values: bytes
    at: bytes
    steps: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Chunk).decode
EMPTY = Curve(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))


def _packed(kind: str, numbers: Iterable[float] | Iterable[int]) -> bytes:
    found = array(kind, numbers)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


def pack(samples: Sequence[Sample]) -> bytes:
    """A chunk of points of any metrics, at most 65,536 of them."""
    if len(samples) == 1:
        one = samples[0]
        return _encode(
            ([one.name], b"", _packed("d", (one.value,)), _packed("q", (one.at,)), _packed("q", (one.step,)))
        )
    places: dict[str, int] = {}
    which = [places.setdefault(sample.name, len(places)) for sample in samples]
    return _encode(
        (
            list(places),
            _packed("H", which) if len(places) > 1 else b"",
            _packed("d", [sample.value for sample in samples]),
            _packed("q", [sample.at for sample in samples]),
            _packed("q", [sample.step for sample in samples]),
        )
    )


def samples(name: str, curve: Curve) -> list[Sample]:
    """A curve's points one by one."""
    columns = zip(curve.values.tolist(), curve.at.tolist(), curve.steps.tolist(), strict=True)
    return [Sample(name, value, at, step) for value, at, step in columns]


def pack_curve(name: str, curve: Curve) -> bytes:
    """A chunk of points of one metric."""
    return _encode(
        (
            [name],
            b"",
            curve.values.astype("<f8").tobytes(),
            curve.at.astype("<i8").tobytes(),
            curve.steps.astype("<i8").tobytes(),
        )
    )


def pack_curves(curves: Mapping[str, Curve]) -> bytes:
    """A chunk of points of several metrics, at most 65,536 of them."""
    if len(curves) == 1:
        return pack_curve(*next(iter(curves.items())))
    whole = join(list(curves.values()))
    which = np.repeat(np.arange(len(curves), dtype="<u2"), [len(curve) for curve in curves.values()])
    return _encode(
        (
            list(curves),
            which.tobytes(),
            whole.values.astype("<f8").tobytes(),
            whole.at.astype("<i8").tobytes(),
            whole.steps.astype("<i8").tobytes(),
        )
    )


def unpack(data: bytes) -> dict[str, Curve]:
    """A chunk's points, by metric."""
    chunk = _decode(data)
    whole = Curve(
        np.frombuffer(chunk.values, "<f8"), np.frombuffer(chunk.at, "<i8"), np.frombuffer(chunk.steps, "<i8")
    )
    if not chunk.which:
        return {chunk.names[0]: whole}
    which = np.frombuffer(chunk.which, "<u2")
    return {name: whole.take(which == place) for place, name in enumerate(chunk.names)}


def unpack_one(data: bytes, name: str) -> Curve:
    """A chunk's points of one metric; empty if it has none."""
    chunk = _decode(data)
    try:
        place = chunk.names.index(name)
    except ValueError:
        return EMPTY
    values, at = np.frombuffer(chunk.values, "<f8"), np.frombuffer(chunk.at, "<i8")
    whole = Curve(values, at, np.frombuffer(chunk.steps, "<i8"))
    return whole.take(np.frombuffer(chunk.which, "<u2") == place) if chunk.which else whole


def join(curves: Sequence[Curve]) -> Curve:
    """Curves one after the other."""
    if len(curves) == 1:
        return curves[0]
    if not curves:
        return EMPTY
    return Curve(
        np.concatenate([c.values for c in curves]),
        np.concatenate([c.at for c in curves]),
        np.concatenate([c.steps for c in curves]),
    )


def distinct(curve: Curve) -> Curve:
    """The curve by time, step and value, without exact repetitions.

    A client that had no answer sends a batch again; a point that came twice is one point.
    """
    order = np.lexsort((curve.values, curve.steps, curve.at))
    ordered = curve.take(order)
    if len(ordered) < 2:
        return ordered
    values = ordered.values.view(np.int64)  # bit by bit, so that NaN equals itself
    new = np.ones(len(ordered), np.bool_)
    new[1:] = (
        (ordered.at[1:] != ordered.at[:-1])
        | (ordered.steps[1:] != ordered.steps[:-1])
        | (values[1:] != values[:-1])
    )
    return ordered.take(new)


def by_step(curve: Curve) -> Curve:
    """The curve by step, points of one step in the order in which they came."""
    return curve.take(np.argsort(curve.steps, kind="stable"))


def latest(samples: Iterable[Sample]) -> dict[str, Sample]:
    """Each metric's latest sample: of the highest step, then time, then value."""
    found: dict[str, Sample] = {}
    for sample in samples:
        known = found.get(sample.name)
        if known is None or (sample.step, sample.at, _key(sample.value)) >= (
            known.step,
            known.at,
            _key(known.value),
        ):
            found[sample.name] = sample
    return found


def _key(value: float) -> float:
    return value if value == value else 0.0  # noqa: PLR0124 - NaN counts as zero here, as in MLflow
