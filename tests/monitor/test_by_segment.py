"""Segments: which rows belong where, what is drift in one of them, and how seldom it is chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from treadle.kernel.clock import ManualClock
from treadle.kernel.config import MonitorConfig, SegmentConfig
from treadle.kernel.engine import DuckDBEngine
from treadle.kernel.errors import InvalidInput
from treadle.kernel.workspace import Workspace
from treadle.monitor import Monitors, PredictionLog, Profile, build_profile, profile_segments
from treadle.monitor.by_segment import part_sql, segment_results
from treadle.monitor.drift import input_result
from treadle.monitor.findings import Window
from treadle.monitor.profile import count, count_parts, histogram_sql

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
WINDOW = Window(model="toy", version=1, since=START, until=START + WEEK)


def rows(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {
        "x": rng.normal(size=n),
        "y": rng.normal(size=n),
        "n": rng.integers(0, 3, n),
        "c": rng.choice(["o'a", "b", "d"], n, p=[0.5, 0.3, 0.2]).astype(object),
    }


@pytest.fixture
def engine(tmp_path: Path) -> DuckDBEngine:
    return DuckDBEngine(tmp_path)


def profiled(engine: DuckDBEngine, folder: Path, **segments: SegmentConfig) -> tuple[Profile, dict[str, Any]]:
    train, data = folder / "train.parquet", rows(np.random.default_rng(1), 9000)
    engine.write_parquet(train, "SELECT * FROM t", (), {"t": data})
    profile = build_profile(engine, train, ["x", "y", "n", "c"], np.ones(2) / 2, "brier", 0.1)
    return profile_segments(engine, train, profile, segments), data


def test_rows_belong_to_segments_by_value_by_edge_and_by_what_is_frequent(
    engine: DuckDBEngine, tmp_path: Path
) -> None:
    profile, data = profiled(
        engine,
        tmp_path,
        c=SegmentConfig(most=2),
        few=SegmentConfig(column="n"),
        cut=SegmentConfig(column="x", edges=[-1, 0.5]),
        ends=SegmentConfig(column="y"),
        named=SegmentConfig(column="n", values=["2"]),
    )
    sizes = {
        name: {part: sum(columns["x"]) for part, columns in one.tallies.items()}
        for name, one in profile.segments.items()
    }
    x, n, c = data["x"], data["n"], data["c"]
    assert sizes["c"] == {"c=o'a": (c == "o'a").sum(), "c=b": (c == "b").sum()}
    assert sizes["few"] == {f"n={i}": (n == i).sum() for i in range(3)}
    assert sizes["named"] == {"n=2": (n == 2).sum()}
    assert sizes["cut"] == {
        "x<=-1": (x <= -1).sum(), "-1<x<=0.5": ((x > -1) & (x <= 0.5)).sum(), "x>0.5": (x > 0.5).sum(),
    }  # fmt: skip
    low, middle, high = (sizes["ends"][part] for part in sorted(sizes["ends"], key=lambda p: (">" in p, p)))
    assert {low, middle, high} == {1800, 5400}
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile
    inside = data["y"][c == "b"]
    edges = profile.inputs["y"].edges
    assert (
        profile.segments["c"].tallies["c=b"]["y"][1:-2]
        == np.bincount(np.searchsorted(edges, inside), minlength=10).tolist()
    )


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (SegmentConfig(column="z"), "'z' is no input of the model"),
        (SegmentConfig(column="c", edges=[1.0]), "only numbers can be cut"),
        (SegmentConfig(column="x", values=["a"]), "'a' is no number"),
    ],
)
def test_what_makes_no_segment(
    engine: DuckDBEngine, tmp_path: Path, segment: SegmentConfig, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        profiled(engine, tmp_path, s=segment)


def judged(engine: DuckDBEngine, profile: Profile, data: dict[str, Any], config: MonitorConfig):
    columns = [(shape, f'"{name}"') for name, shape in profile.inputs.items()]
    shapes = list(profile.inputs.values())
    every = count(shapes, engine.columns(histogram_sql(columns), (), {"log": data}))
    drifted = [
        input_result(WINDOW, name, then, now, 8, config)
        for (name, then), now in zip(profile.inputs.items(), every, strict=True)
    ]
    sql = histogram_sql(columns, part_sql(profile.segments["c"], '"c"'))
    parts = count_parts(shapes, engine.columns(sql, (), {"log": data}))
    return segment_results(WINDOW, profile, parts, drifted, config)


def test_what_drifts_in_one_segment_only_is_found_there(engine: DuckDBEngine, tmp_path: Path) -> None:
    profile, _ = profiled(engine, tmp_path, c=SegmentConfig())
    now = rows(np.random.default_rng(2), 4000)
    calm = judged(engine, profile, now, MonitorConfig())
    assert [(r.subject, r.state, r.n) for r in calm] == [("segments", "ok", 12)]
    assert calm[0].sentence == "segments: no input has drifted in any of 3, by 12 comparisons"
    now["x"] = np.where(now["c"] == "d", now["x"] + 0.8, now["x"])
    [found] = judged(engine, profile, now, MonitorConfig())
    assert (found.subject, found.segment, found.state, found.explained_by) == ("x", "c=d", "alert", "")
    assert found.sentence.startswith("where c=d, x drifted: PSI ")
    now["y"] += 2
    everywhere = [r for r in judged(engine, profile, now, MonitorConfig()) if r.subject == "y"]
    assert {r.segment for r in everywhere} == {"c=o'a", "c=b", "c=d"}
    assert {r.explained_by for r in everywhere} == {"input:y"}
    few = judged(engine, profile, rows(np.random.default_rng(3), 90), MonitorConfig())
    assert [(r.subject, r.state) for r in few] == [("segments", "inconclusive")]


@pytest.mark.soak
def test_false_alarms_of_all_segments_together_are_no_more_than_declared(
    engine: DuckDBEngine, tmp_path: Path
) -> None:
    profile, _ = profiled(engine, tmp_path, c=SegmentConfig())
    rng = np.random.default_rng(4)
    config = MonitorConfig(drift=1e-9, false_alarms=10, min_rows=50)  # 0.19 a window, of which segments half
    runs = [judged(engine, profile, rows(rng, 600), config) for _ in range(60)]
    alarms = sum(any(r.subject != "segments" for r in run) for run in runs)
    expected = 60 * 10 * 7 / 365.25 / 2
    # The threshold is next to nothing, so whatever is over chance is an alert.
    assert alarms <= expected + 3 * np.sqrt(expected)


def test_segments_are_declared_and_watched(world: Any, project: Path) -> None:
    config = project / "treadle.toml"
    config.write_text(config.read_text() + "\n[monitor.segments.carrier]\n")
    workspace = Workspace.open(project, clock=ManualClock(START - timedelta(days=1)))
    here = type(world)(workspace)
    here.register()
    log = PredictionLog(workspace)
    for week in range(2):
        predictions, _ = here.traffic(7 * week, 400, days=7)
        if week == 1:
            hours, carriers = predictions.inputs["hour"], predictions.inputs["carrier"]
            hours = [h + 5 if c == "WN" else h for h, c in zip(hours, carriers, strict=True)]
            predictions = msgspec.structs.replace(predictions, inputs={"hour": hours, "carrier": carriers})
        log.append("toy", predictions)
    found = Monitors(workspace).evaluate("toy", START + 2 * WEEK)
    kept = [r for r in found if r.segment or r.subject == "segments"]
    assert [(r.subject, r.segment, r.state) for r in kept] == [
        ("segments", "", "ok"), ("hour", "carrier=WN", "alert"),
    ]  # fmt: skip
    [alert] = [a for a in Monitors(workspace).alerts("toy") if a.kind == "input"]
    assert alert.sentence.startswith("where carrier=WN, hour drifted: PSI ")
    workspace.close()
