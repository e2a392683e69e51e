"""Curves read back: by pages that stay valid, and thinned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.experiment.history import evenly, page_of
from treadle.experiment.series import Curve, distinct, join
from treadle.kernel.errors import InvalidInput


def curve(rows: list[tuple[float, int, int]]) -> Curve:
    values, at, steps = zip(*rows, strict=True) if rows else ((), (), ())
    return Curve(np.array(values, float), np.array(at, np.int64), np.array(steps, np.int64))


points = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.5, -2.0, float("inf"), float("nan")]), st.integers(0, 4), st.integers(0, 3)
    ),
    max_size=40,
)


@given(points, points, st.integers(1, 7))
def test_pages_show_every_point_once_while_others_are_added(first, later, size):
    whole = distinct(curve(first))
    seen, token, added = [], None, False
    while True:
        page, token = page_of(whole, token, size)
        seen += list(zip(page.at.tolist(), page.steps.tolist(), [repr(v) for v in page.values], strict=True))
        if not added and token:
            whole = distinct(join([whole, curve([(v, at + 10, s) for v, at, s in later])]))
            added = True
        if token is None:
            break
    assert len(set(seen)) == len(seen)
    expected = list(
        zip(whole.at.tolist(), whole.steps.tolist(), [repr(v) for v in whole.values], strict=True)
    )
    assert seen == expected


@pytest.mark.parametrize("token", ["", "x", "1:2", "1:2:zz", "1:2:0x1.8p+0:3", "a:b:c"])
def test_a_token_that_is_none_is_refused(token):
    if token:
        with pytest.raises(InvalidInput, match="page token"):
            page_of(curve([(1.0, 1, 1)]), token, 5)


def test_thinned_curves_keep_so_many_points_and_both_ends():
    long = curve([(float(i), i, i) for i in range(10_000)])
    short = curve([(float(i), i, i * 3 + 1) for i in range(50)])
    found = evenly({"a": long, "b": short}, None, None, 100)
    assert len(found["a"]) == 100
    assert found["a"].steps[[0, 1, -1]].tolist() == [0, 100, 9999]
    assert found["b"].steps.tolist() == short.steps.tolist()
    assert evenly({"a": long}, None, None, 1)["a"].steps.tolist() == [9999]


def test_thinning_is_by_points_so_that_one_step_with_many_does_not_fill_the_answer():
    heap = curve([(float(i), i, 0) for i in range(10)])
    assert evenly({"a": heap}, None, None, 4)["a"].values.tolist() == [0.0, 3.0, 6.0, 9.0]


def test_a_range_of_steps_is_exact_when_it_fits():
    found = evenly({"a": curve([(float(i), i, i) for i in range(100)])}, 10, 19, 2500)
    assert found["a"].steps.tolist() == list(range(10, 20))
    assert evenly({"a": curve([])}, 0, 5, 10) == {}
