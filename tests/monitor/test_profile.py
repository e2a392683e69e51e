"""Profiles, against brute force."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from treadle.kernel.errors import InvalidInput
from treadle.kernel.workspace import Workspace
from treadle.monitor import CategoryProfile, NumericProfile, Profile, build_profile
from treadle.monitor.profile import count, counts, decode_profile, histogram_sql


def write(workspace: Workspace, sql: str, **tables: Any) -> Path:
    path = workspace.root / "train.parquet"
    workspace.engine.write_parquet(path, sql, (), tables)
    return path


def profile(workspace: Workspace, path: Path, features: list[str]) -> Profile:
    made = build_profile(
        workspace.engine, path, features, np.random.default_rng(0).random(1000), "roc_auc", 0.7
    )
    assert msgspec.json.decode(msgspec.json.encode(made), type=Profile) == made
    return made


def brute(values: np.ndarray, edges: list[float]) -> list[int]:
    bounds = [-np.inf, *edges, np.inf]
    return [int(((values > a) & (values <= b)).sum()) for a, b in pairwise(bounds)]


def test_a_number_has_ten_bins_between_its_quantiles(workspace: Workspace) -> None:
    values = np.random.default_rng(1).gamma(2, 3, 4000)
    masked = np.ma.array(values, mask=np.arange(4000) % 40 == 0)
    found = profile(workspace, write(workspace, "SELECT x FROM t", t={"x": masked}), ["x"])
    column = found.inputs["x"]
    assert isinstance(column, NumericProfile)
    assert column.edges == pytest.approx(
        np.quantile(masked.compressed(), np.arange(1, 10) / 10, method="inverted_cdf"), rel=2e-6
    )
    assert column.counts == brute(masked.compressed(), column.edges)
    assert column.counts == [390] * 10
    assert column.nulls == 100
    assert column.mean == pytest.approx(masked.mean())
    assert column.deviation == pytest.approx(masked.std())
    assert (column.low, column.high) == (masked.min(), masked.max()) == (column.least, column.greatest)
    assert (column.below, column.above, column.values) == (0, 0, [])
    places = np.searchsorted(column.edges, masked.compressed())
    assert column.centres == [
        None, *(pytest.approx(masked.compressed()[places == i].mean()) for i in range(10)), None,
    ]  # fmt: skip
    assert found.rows == 4000


@pytest.mark.parametrize("kind", ["INTEGER", "UTINYINT", "DOUBLE", "DECIMAL(6,2)", "HUGEINT", "FLOAT"])
def test_a_number_with_few_values_has_a_bin_a_value(workspace: Workspace, kind: str) -> None:
    path = write(workspace, f"SELECT ((i * i) % 7)::{kind} AS x FROM range(700) r(i)")
    column = profile(workspace, path, ["x"]).inputs["x"]
    assert (column.edges, column.counts, column.nulls) == ([0.5, 1.5, 3.0], [100, 200, 200, 200], 0)
    assert column.mean == pytest.approx(2.0)
    assert column.values == [0, 1, 2, 4] == column.centres[1:-1]
    assert (column.low, column.high, column.deviation) == (0, 4, pytest.approx(np.sqrt(2)))


def test_fifty_values_are_few_and_fifty_one_are_many(workspace: Workspace) -> None:
    sql = "SELECT i % 50 AS few, i % 51 AS many FROM range(5100) r(i)"
    inputs = profile(workspace, write(workspace, sql), ["few", "many"]).inputs
    assert len(inputs["few"].counts) == 50
    assert len(inputs["many"].counts) == 10


def test_truth_values_constants_and_columns_without_any_value(workspace: Workspace) -> None:
    path = write(
        workspace,
        "SELECT i % 4 = 0 AS b, 3.5 AS c, NULL::DOUBLE AS n, NULL::VARCHAR AS s, "
        "CASE WHEN i < 10 THEN 'nan'::DOUBLE WHEN i < 20 THEN 'inf'::DOUBLE ELSE i END AS odd "
        "FROM range(100) r(i)",
    )
    inputs = profile(workspace, path, ["b", "c", "n", "s", "odd"]).inputs
    b = inputs["b"]
    assert (b.edges, b.counts, b.nulls, b.mean, b.values) == ([0.5], [75, 25], 0, 0.25, [0, 1])
    assert counts(inputs["c"]) == [0, 100, 0, 0]
    assert inputs["n"] == NumericProfile([], [0], 100, None)
    assert inputs["s"] == CategoryProfile({}, 0, 100, 0)
    odd = inputs["odd"]
    assert isinstance(odd, NumericProfile)
    assert (odd.nulls, sum(odd.counts), odd.mean) == (10, 80, None)
    assert (odd.above, odd.greatest, odd.high) == (10, 99, 99)


def test_a_heavy_value_makes_fewer_bins_and_none_is_empty(workspace: Workspace) -> None:
    path = write(workspace, "SELECT greatest(0, i - 900) * 0.1 AS x, least(i, 99) AS y FROM range(1000) r(i)")
    inputs = profile(workspace, path, ["x", "y"]).inputs
    x, y = inputs["x"], inputs["y"]
    assert (x.edges, x.counts, x.mean) == (pytest.approx([1e-9]), [901, 99], pytest.approx(0.495))
    assert (y.edges, y.counts, y.mean) == (pytest.approx([99.0], rel=2e-6), [99, 901], pytest.approx(94.05))


def test_categories_are_the_fifty_most_frequent_and_the_rest(workspace: Workspace) -> None:
    rng = np.random.default_rng(2)
    values = np.array([f"c'{i}\"" for i in rng.zipf(1.3, 3000) % 200], dtype=object)
    values[:30] = None
    values[30:40] = ""
    column = profile(workspace, write(workspace, "SELECT x FROM t", t={"x": values}), ["x"]).inputs["x"]
    assert isinstance(column, CategoryProfile)
    names, tally = np.unique(values[30:].astype(str), return_counts=True)
    expected = sorted(zip(-tally, names, strict=True))[:50]
    assert column.counts == {name: -number for number, name in expected}
    assert column.nulls == 30
    assert column.other == 2970 - sum(column.counts.values())
    assert column.counts[""] == 10


def test_a_boundary_value_stays_in_its_bin_however_it_was_rounded(workspace: Workspace) -> None:
    values = np.round(np.random.default_rng(3).normal(0, 3, 5000), 1)
    path = write(workspace, "SELECT x FROM t", t={"x": values})
    column = profile(workspace, path, ["x"]).inputs["x"]
    again = {"x": values.astype(np.float32)}
    found = workspace.engine.columns(histogram_sql([(column, "x")]), (), {"log": again})
    assert counts(count([column], found)[0]) == counts(column)


def test_other_traffic_is_counted_in_the_same_bins(workspace: Workspace) -> None:
    path = write(workspace, "SELECT i::DOUBLE AS x, 'c' || (i % 3) AS c FROM range(1000) r(i)")
    inputs = profile(workspace, path, ["x", "c"]).inputs
    rng = np.random.default_rng(4)
    live = {"x": rng.normal(700, 300, 500), "c": rng.choice(["c0", "c9"], 500).astype(object)}
    sql = histogram_sql([(inputs["x"], '"x"'), (inputs["c"], '"c"')])
    x, c = count(list(inputs.values()), workspace.engine.columns(sql, (), {"log": live}))
    assert isinstance(x, NumericProfile)
    assert isinstance(c, CategoryProfile)
    inside = (live["x"] >= 0) & (live["x"] <= 999)
    assert x.counts == brute(live["x"][inside], x.edges)
    assert (x.below, x.above) == ((live["x"] < 0).sum(), (live["x"] > 999).sum())
    assert min(x.below, x.above) > 0
    assert (x.least, x.greatest) == (live["x"].min(), live["x"].max())
    assert x.centres[-1] == pytest.approx(live["x"][live["x"] > 999].mean())
    assert x.mean == pytest.approx(live["x"].mean())
    zero = int((live["c"] == "c0").sum())
    assert c == CategoryProfile({"c0": zero, "c1": 0, "c2": 0}, 500 - zero, 0, 3)


def test_predictions_are_profiled_like_any_number(workspace: Workspace) -> None:
    path = write(workspace, "SELECT 1 AS x")
    scores = np.random.default_rng(5).beta(2, 5, 777)
    made = build_profile(workspace.engine, path, ["x"], scores, "brier", 0.1)
    assert made.prediction.counts == brute(scores, made.prediction.edges)
    assert len(made.prediction.counts) == 10
    assert made.prediction.mean == pytest.approx(scores.mean())
    assert (made.metric, made.value) == ("brier", 0.1)
    same = build_profile(workspace.engine, path, ["x"], np.full(9, 0.3), "brier", 0.1).prediction
    assert counts(same) == [0, 9, 0, 0]


OLD = b"""{"rows": 100, "inputs": {"x": {"type": "numeric", "edges": [1.0], "counts": [60, 40], "nulls": 0,
"mean": 1.0}, "c": {"type": "category", "counts": {"a": 90}, "other": 10, "nulls": 0}},
"prediction": {"type": "numeric", "edges": [], "counts": [5], "nulls": 0}, "metric": "brier", "value": 0.1}"""


def test_a_profile_of_the_first_format_is_read_and_counted_in_its_open_bins(workspace: Workspace) -> None:
    old = decode_profile(OLD)
    assert old.importance == {}
    live = {"x": np.array([-9.0, 0.5, 77.0]), "c": np.array(["a", "b", "b"], dtype=object)}
    sql = histogram_sql([(old.inputs["x"], '"x"'), (old.inputs["c"], '"c"')])
    x, c = count(list(old.inputs.values()), workspace.engine.columns(sql, (), {"log": live}))
    assert (counts(x), counts(c)) == ([2, 1, 0], [1, 2, 0])
    assert (counts(old.inputs["x"]), counts(old.inputs["c"])) == ([60, 40, 0], [90, 10, 0])


def test_what_can_not_be_profiled(workspace: Workspace) -> None:
    path = write(workspace, "SELECT 1 AS hour, 'a' AS carrier")
    with pytest.raises(InvalidInput, match=r"(?s)'hours'.*did you mean 'hour'"):
        profile(workspace, path, ["hours"])
    for scores in (np.array([]), np.array([0.1, np.nan])):
        with pytest.raises(InvalidInput, match="predictions to profile"):
            build_profile(workspace.engine, path, ["hour"], scores, "roc_auc", 0.7)
    with pytest.raises(InvalidInput, match="no rows"):
        profile(workspace, write(workspace, "SELECT 1 AS hour WHERE false"), ["hour"])
