"""Histograms of all rows and of parts in one query: what counting row by row in memory finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from treadle.kernel.engine import DuckDBEngine
from treadle.monitor import CategoryProfile, NumericProfile, SegmentProfile
from treadle.monitor.counting import counted, counting_sql
from treadle.monitor.parts import codes, names
from treadle.monitor.performance.preparing import places
from treadle.monitor.profile import counts

X = NumericProfile([-1.0, 0.0, 0.5], [0] * 4, 0, low=-2.0, high=2.0)
OPEN = NumericProfile([0.0], [0, 0], 0)
C = CategoryProfile({"a": 0, "o'b": 0}, 0, 0)
SEGMENTS = {
    "c": SegmentProfile(column="c", values=["o'b", "a", "never"], edges=[]),
    "x": SegmentProfile(column="x", values=[], edges=[-0.5, 1.0]),
    "n": SegmentProfile(column="n", values=[2.0, 7.0], edges=[]),
}


def rows(n: int = 5000) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=n)
    x[:40], x[40:50], x[50:60] = np.nan, np.inf, -np.inf
    x[60:200] = rng.choice([*X.edges, -2.0, 2.0], 140)
    return {
        "x": np.ma.masked_array(x, rng.random(n) < 0.02),
        "c": np.ma.masked_array(rng.choice(["a", "o'b", "z"], n).astype(object), rng.random(n) < 0.05),
        "n": rng.integers(1, 4, n).astype(np.float64),
    }


@pytest.mark.parametrize("chosen", [[], ["c"], ["x", "c"], ["n", "x", "c"]])
def test_counts_are_those_of_rows_one_by_one(chosen: list[str], tmp_path: Path) -> None:
    data, segments = rows(), {name: SEGMENTS[name] for name in chosen}
    columns = [(X, '"in_x"'), (C, '"in_c"'), (OPEN, '"in_n"')]
    whole = [(OPEN, "CASE WHEN in_n > 1 THEN in_x END")]
    log = {f"in_{name}": values for name, values in data.items()}
    sql = counting_sql(columns, segments, whole, "in_")
    found = DuckDBEngine(tmp_path).columns(sql, (), {"log": log})
    everywhere, parts = counted(columns, segments, whole, found)

    values = [data["x"], data["c"], data["n"]]
    alone = np.ma.masked_array(data["x"], np.ma.getmaskarray(data["x"]) | (data["n"] <= 1))
    shapes = [X, C, OPEN]
    assert [counts(one) for one in everywhere] == [
        np.bincount(places(shape, each), minlength=len(counts(shape))).tolist()
        for shape, each in zip([*shapes, OPEN], [*values, alone], strict=True)
    ]
    there = {}
    for segment in segments.values():
        code = codes(segment, data[segment.column])
        for number, name in enumerate(names(segment)):
            if (code == number).any():
                there[name] = [
                    np.bincount(places(shape, each[code == number]), minlength=len(counts(shape))).tolist()
                    for shape, each in zip(shapes, values, strict=True)
                ]
    assert {name: [counts(one) for one in part] for name, part in parts.items()} == there
    finite = data["x"].compressed()[np.isfinite(data["x"].compressed())]
    assert (everywhere[0].least, everywhere[0].greatest) == (finite.min(), finite.max())
    inside = finite[(finite > -1) & (finite <= 0)]
    assert everywhere[0].centres[2] == pytest.approx(inside.mean())


def test_each_column_is_read_once_for_one_segment() -> None:
    sql = counting_sql([(X, '"x"'), (C, '"c"')], {"c": SEGMENTS["c"]})
    assert sql.count('"x"') == 1
    assert sql.count("FROM log") == 2
