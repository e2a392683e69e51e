from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from treadle.kernel import drawing

FLOATS = st.floats(-1e308, 1e308)


@given(FLOATS, FLOATS)
def test_ticks_lie_within_and_are_few(low, high):
    low, high = sorted((low, high))
    found = drawing.ticks(low, high)
    assert len(found) <= 12
    slack = (high / 2 - low / 2) * 1e-6
    assert all(low - slack <= tick <= high + slack for tick in found)
    assert found == sorted(set(found))


def test_ticks_are_round():
    assert drawing.ticks(0, 1) == [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
    assert drawing.ticks(3, 3) == []
    assert drawing.ticks(-25, 25) == [-20, -10, 0, 10, 20]


@given(st.lists(FLOATS, min_size=1, max_size=5))
def test_whatever_is_drawn_lands_in_the_picture(values):
    place, ticks = drawing.vertical(values, 10, 200)
    assert all(9 <= place(value) <= 201 for value in values)
    assert all(math.isfinite(place(tick)) for tick in ticks)


def test_a_scale_of_one_value_draws_it_in_the_middle():
    assert drawing.between(5, 5, 0, 10)(5) == 5


def test_what_is_said_instead_of_a_picture_is_escaped():
    assert drawing.nothing("<b>") == '<p class="none">&lt;b&gt;</p>'
