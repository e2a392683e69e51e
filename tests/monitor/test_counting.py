"""Histograms of all rows and of parts in one query: what counting row by row in memory finds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from treadle.kernel.engine import DuckDBEngine
from treadle.monitor import CategoryProfile, NumericProfile, SegmentProfile
from treadle.monitor import counting as module
from treadle.monitor.counting import counted, counting
from treadle.monitor.parts import codes, names
from treadle.monitor.performance.preparing import places
from treadle.monitor.profile import Shape, counts

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


@pytest.mark.parametrize("together", [2, 20])
@pytest.mark.parametrize("chosen", [[], ["c"], ["x", "c"], ["n", "x", "c"]])
def test_counts_are_those_of_rows_one_by_one(
    chosen: list[str], together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, segments = rows(), {name: SEGMENTS[name] for name in chosen}
    columns: list[tuple[Shape, str]] = [(X, '"in_x"'), (C, '"in_c"'), (OPEN, '"in_n"')]
    whole: list[tuple[Shape, str]] = [(OPEN, "CASE WHEN in_n > 1 THEN in_x END")]
    log = {f"in_{name}": values for name, values in data.items()}
    engine, asked = DuckDBEngine(tmp_path), []

    def scan(sql: str, only: Sequence[str]) -> Any:
        asked.append((sql, only))
        return engine.columns(sql, (), {"log": log})

    monkeypatch.setattr(module, "TOGETHER", together)
    found = counting(scan, columns, segments, whole, "in_")
    everywhere, parts = counted(columns, segments, whole, found)

    values = [data["x"], data["c"], data["n"]]
    alone = np.ma.masked_array(data["x"], np.ma.getmaskarray(data["x"]) | (data["n"] <= 1))
    shapes: list[Shape] = [X, C, OPEN]
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
    assert isinstance(everywhere[0], NumericProfile)
    assert (everywhere[0].least, everywhere[0].greatest) == (finite.min(), finite.max())
    inside = finite[(finite > -1) & (finite <= 0)]
    assert everywhere[0].centres[2] == pytest.approx(inside.mean())
    assert len(asked) == (2 if together == 2 else 1) + 1
    for sql, only in asked[:-1]:
        assert {name for name in log if f'"{name}"' in sql} == set(only)
    if len(chosen) == 1:
        assert sum(sql.count('"in_x"') for sql, _ in asked[:-1]) == 1, "read once"
