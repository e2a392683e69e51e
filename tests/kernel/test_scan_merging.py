"""The answers about two parts of a table, merged, are those about the whole."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.kernel.scan.answers import Distinct, Extent, Moments, Repeats, Sample, Top
from treadle.kernel.scan.asks import (
    Answers,
    Ask,
    Binned,
    CountBins,
    CountCells,
    CountDays,
    CountMissing,
    CountRows,
    CountValues,
    CountWhere,
    EstimateDistinct,
    FindExtent,
    FindMoments,
    FindRepeats,
    FindTop,
    SampleRows,
)  # fmt: skip
from treadle.kernel.scan.polars_scan import PolarsScan
from treadle.kernel.scan.reading import read

ASKS: list[Ask] = [
    CountRows(), CountMissing("x"), CountMissing("s"), FindMoments("x"), FindExtent("x"), FindExtent("s"),
    FindExtent("at"), CountBins("x", (-1.0, 0.0, 2.5)), CountValues("s", ("a", "zz")), FindTop("s", 30),
    CountCells(("s", Binned("x", (0.0,)))), CountWhere(read("x > 0 AND s <> 'a'", "")), CountDays("at"),
]  # fmt: skip

floats = st.one_of(
    st.none(), st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0]), st.floats(-1e6, 1e6)
)
moments = st.one_of(st.none(), st.datetimes(datetime(2020, 1, 1), datetime(2020, 1, 20)))  # noqa: DTZ001
records = st.lists(st.tuples(floats, st.one_of(st.none(), st.text("abcé", max_size=2)), moments), max_size=40)


def scan(rows: list[tuple[object, ...]]) -> Answers:
    schema = {"x": pl.Float64(), "s": pl.String(), "at": pl.Datetime("us")}
    return PolarsScan().scan(pl.DataFrame(rows, schema=schema, orient="row"), ASKS)


@settings(deadline=None)  # the first scan loads Polars
@given(records, st.integers(0, 40))
def test_of_two_parts(rows, cut):
    merged, whole = scan(rows[:cut]).merge(scan(rows[cut:])), scan(rows)
    for ask in ASKS:
        if isinstance(ask, FindMoments):
            mine, theirs = merged[ask], whole[ask]
            assert (mine.count, mine.infinite) == (theirs.count, theirs.infinite)
            assert mine.mean == pytest.approx(theirs.mean, rel=1e-9, abs=1e-6)
            assert mine.m2 == pytest.approx(theirs.m2, rel=1e-6, abs=1e-3)
        else:
            assert merged[ask] == whole[ask], ask


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=30), min_size=1, max_size=5), st.integers(1, 4)
)
def test_top_values_that_are_not_all_known_are_bounds(parts, most):
    """A count is at most the true one, and at most ``other`` short of it."""

    def top(values):
        counted = sorted(((v, values.count(v)) for v in set(values)), key=lambda one: (-one[1], one[0]))
        return Top(dict(counted[:most]), sum(n for _, n in counted[most:]), 0, most)

    merged = top(parts[0])
    for part in parts[1:]:
        merged = merged.merge(top(part))
    everything = [value for part in parts for value in part]
    assert sum(merged.counts.values()) + merged.other == len(everything)
    for value, count in merged.counts.items():
        assert count <= everything.count(value) <= count + merged.other


@given(st.lists(st.integers(0, 300), min_size=1, max_size=200), st.lists(st.integers(0, 300), max_size=200))
def test_how_many_values_there_are_lies_between_the_bounds(one, two):
    def about(values):
        return Distinct(len(set(values)), len(set(values)))

    merged = about(one).merge(about(two))
    assert merged.low <= len({*one, *two}) <= merged.high


def test_repeats_of_two_parts_can_not_be_told():
    ask = FindRepeats(("x",))
    part = Answers({ask: Repeats(0, 0)})
    with pytest.raises(TypeError, match="can't be told"):
        part.merge(part)


def test_estimates_and_samples_are_merged():
    frames = [pl.DataFrame({"x": np.arange(start, start + 1000.0)}) for start in (0, 1000)]
    asked = [EstimateDistinct("x"), SampleRows(("x",), 100)]
    one, two = (PolarsScan().scan(frame, asked) for frame in frames)
    merged = one.merge(two)
    assert merged[asked[0]].low <= 2000 * 1.1
    assert merged[asked[0]].high >= 2000 * 0.9
    sample = merged[asked[1]]
    assert sample.rows == 2000
    assert sample.drawn == one[asked[1]].drawn + two[asked[1]].drawn


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8))
def test_samples_of_unlike_parts_are_thinned_to_the_same_share(sizes):
    """Every row is as likely as any other, however the rows were parted; and there are not too many."""
    size, merged, start = 200, None, 0
    for rows in sizes:
        step = max(1, rows // size)
        part = Sample(rows, size, {"x": np.arange(start, start + rows, step, dtype=float)})
        merged, start = merged.merge(part) if merged else part, start + rows
    assert merged.rows == sum(sizes)
    assert merged.drawn <= 2 * size + len(sizes)
    assert merged.drawn >= min(sum(sizes), size // 2) - len(sizes)


def test_nothing_and_something():
    assert Extent(None, None).merge(Extent(1, 2)) == Extent(1, 2)
    assert Moments(0, 1, 0.0, 0.0).merge(Moments(0, 2, 0.0, 0.0)) == Moments(0, 3, 0.0, 0.0)
    late = datetime(2026, 1, 2, tzinfo=UTC)
    assert Extent(late, late).merge(Extent(None, None)) == Extent(late, late)
