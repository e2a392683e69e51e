"""Chunks of points: packed and unpacked, joined, ordered, without repetitions."""

from __future__ import annotations

import math
import struct

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from treadle.experiment import series
from treadle.experiment.series import Curve, Sample

samples = st.builds(
    Sample,
    st.sampled_from(["loss", "val/auc", "λ"]),
    st.floats(width=64),
    st.integers(-(2**62), 2**62),
    st.integers(-(2**63), 2**63 - 1),
)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def rows(curve: Curve) -> list[tuple[bytes, int, int]]:
    columns = zip(curve.values.tolist(), curve.at.tolist(), curve.steps.tolist(), strict=True)
    return [(bits(value), at, step) for value, at, step in columns]


@given(st.lists(samples, min_size=1, max_size=50))
def test_what_is_packed_comes_back_bit_by_bit_in_its_order(given_samples):
    data = series.pack(given_samples)
    names = list(dict.fromkeys(sample.name for sample in given_samples))
    assert list(series.unpack(data)) == names
    for name in [*names, "no such metric"]:
        expected = [(bits(s.value), s.at, s.step) for s in given_samples if s.name == name]
        assert rows(series.unpack_one(data, name)) == expected
        if expected:
            assert rows(series.unpack(data)[name]) == expected
            assert (
                rows(series.unpack_one(series.pack_curve(name, series.unpack(data)[name]), name)) == expected
            )


def test_the_format_is_as_documented():
    data = series.pack([Sample("a", 1.5, 7, -1), Sample("b", math.inf, 8, 2)])
    names, which, values, at, steps = msgspec.msgpack.decode(data)
    assert names == ["a", "b"]
    assert struct.unpack("<2H", which) == (0, 1)
    assert struct.unpack("<2d", values) == (1.5, math.inf)
    assert struct.unpack("<2q", at) == (7, 8)
    assert struct.unpack("<2q", steps) == (-1, 2)
    assert msgspec.msgpack.decode(series.pack([Sample("a", 1.5, 7, -1)]))[1] == b""


@given(
    st.lists(samples.map(lambda s: msgspec.structs.replace(s, name="m")), min_size=1, max_size=20), st.data()
)
def test_repetitions_go_whatever_order_they_come_in(given_samples, data):
    again = data.draw(st.permutations(given_samples + given_samples[: len(given_samples) // 2]))
    once = series.distinct(series.unpack_one(series.pack(given_samples), "m"))
    twice = series.distinct(series.unpack_one(series.pack(again), "m"))
    assert sorted(rows(once)) == sorted(rows(twice))
    assert len(set(rows(once))) == len(once)
    assert (np.diff(once.at) >= 0).all()


def test_points_of_one_step_stay_in_the_order_in_which_they_came():
    curve = Curve(np.array([1.0, 2, 3, 4]), np.array([0, 0, 0, 0]), np.array([5, 1, 5, 1]))
    assert series.by_step(curve).values.tolist() == [2, 4, 1, 3]


@given(st.lists(samples, max_size=30))
def test_the_latest_is_of_the_highest_step_then_time_then_value(given_samples):
    found = series.latest(given_samples)
    for name in {sample.name for sample in given_samples}:
        mine = [s for s in given_samples if s.name == name]
        best = max((s.step, s.at, 0.0 if math.isnan(s.value) else s.value) for s in mine)
        chosen = found[name]
        assert (chosen.step, chosen.at, 0.0 if math.isnan(chosen.value) else chosen.value) == best


def test_no_curves_join_to_none():
    assert len(series.join([])) == 0
