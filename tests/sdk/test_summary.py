from __future__ import annotations

import math

import pytest

from treadle.sdk.summary import Curve, html, lines, sparkline


def curve(values) -> Curve:
    made = Curve()
    for value in values:
        made.add(value)
    return made


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([7, 0], "█▁"),
        ([1, 1, 1], "▁▁▁"),
        ([1, math.nan, 2, math.inf], "▁·█·"),
        ([1], ""),
        ([], ""),
        ([math.nan, math.nan], ""),
        ([-1e308, 1e308], "▁█"),
    ],
)
def test_a_curve_in_one_line(values, line):
    assert sparkline(values) == line


def test_a_long_curve_is_shortened_and_ends_with_its_last_value():
    line = sparkline(list(range(1000)), width=10)
    assert len(line) == 10
    assert line[-1] == "█"
    assert list(line) == sorted(line)


def test_a_million_values_stay_few_and_evenly_spaced():
    made = curve(range(100_000))
    assert len(made.values) < 256
    assert made.last == 99_999
    gaps = {b - a for a, b in zip(made.values, made.values[1:], strict=False)}
    assert len(gaps) == 1


def test_lines_align_and_the_rest_is_counted():
    out = lines({f"m{n}": curve([n, n + 1]) for n in range(14)})
    assert out[0].split() == ["m0", "1", "▁█"]
    assert len(out) == 13
    assert out[-1] == "  and 2 more"
    assert lines({}) == []


def test_html_escapes():
    page = html("run_1", "running", {"p": "<script>"}, {"auc": curve([0.5, 0.7])})
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "0.7 ▁█" in page
