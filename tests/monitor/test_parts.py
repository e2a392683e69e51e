"""Parts of rows by number: the same in SQL and in memory, and as histograms name them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from treadle.kernel.engine import DuckDBEngine
from treadle.monitor import SegmentProfile
from treadle.monitor.by_segment import part_sql
from treadle.monitor.parts import code_sql, codes, names, rows

TEXTS = np.ma.masked_array(
    np.array(["a", "o'b", "z", "", "a", "o'b"], dtype=object), [False] * 3 + [True] + [False] * 2
)
NUMBERS = np.ma.masked_array([0.5, 1.0, 1.5, np.nan, 7.0, 9.0], [False] * 5 + [True])


@pytest.mark.parametrize(
    ("segment", "values", "expected"),
    [
        (SegmentProfile(column="x", values=["o'b", "a"], edges=[]), TEXTS, [1, 0, -1, -1, 1, 0]),
        (SegmentProfile(column="x", values=[1.5, 7.0], edges=[]), NUMBERS, [-1, -1, 0, -1, 1, -1]),
        (SegmentProfile(column="x", values=[], edges=[1.0, 7.0]), NUMBERS, [0, 0, 1, -1, 1, -1]),
        (SegmentProfile(column="x", values=[], edges=[1.0]), NUMBERS, [0, 0, 1, -1, 1, -1]),
        (SegmentProfile(column="x", values=[], edges=[]), TEXTS, [-1] * 6),
    ],
)
def test_rows_have_the_number_of_their_part(
    segment: SegmentProfile, values: np.ma.MaskedArray, expected: list[int], tmp_path: Path
) -> None:
    assert codes(segment, values).tolist() == expected
    sql = f"SELECT {code_sql(segment, 'x')} AS code, {part_sql(segment, 'x')} AS part FROM t ORDER BY i"
    found = DuckDBEngine(tmp_path).columns(sql, (), {"t": {"x": values, "i": np.arange(6)}})
    assert np.ma.filled(found["code"], -1).tolist() == expected
    named = [None if place < 0 else names(segment)[place] for place in expected]
    assert [None if part is np.ma.masked else part for part in np.ma.array(found["part"])] == named


def test_rows_come_part_by_part_in_their_order() -> None:
    found = [one.tolist() for one in rows(np.array([2, -1, 0, 2, 0]), 4)]
    assert found == [[2, 4], [], [0, 3], []]
