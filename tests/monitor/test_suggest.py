"""Suggested monitors: lines that treadle.toml takes, each for a reason."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.conftest import START
from treadle.kernel.config import MonitorConfig
from treadle.kernel.config.monitor import ColumnConfig
from treadle.kernel.errors import NotFound
from treadle.kernel.units import parse_duration
from treadle.monitor import CategoryProfile, Monitors, NumericProfile, PredictionLog, Profile, rules
from treadle.monitor.suggest import suggest_monitors

NUMBER = NumericProfile([float(i) for i in range(1, 10)], [1000] * 10, 0, low=0.0, high=10.0)
PROFILE = Profile(
    rows=10_000,
    inputs={
        "price": NUMBER,
        "order id": CategoryProfile({f"o{i}": 1 for i in range(50)}, 9950, 0, 9990),
        "street": CategoryProfile({f"s{i}": 20 for i in range(50)}, 9000, 0, 3000),
        "country": CategoryProfile({"NL": 6000, "BE": 3000, "DE": 1000}, 0, 0, 3),
        "rare": CategoryProfile({"a": 9900, "b": 100}, 0, 0, 2),
        "weekend": NumericProfile([0.5], [7000, 3000], 0, low=0.0, high=1.0, values=[0.0, 1.0]),
    },
    prediction=NUMBER,
    metric="brier",
    value=0.1,
    importance={
        "price": 0.6, "order id": 0.0, "street": 0.0, "country": 0.1, "rare": 0.001, "weekend": 0.299
    },
)  # fmt: skip


def parsed(text: str) -> MonitorConfig:
    return msgspec.convert(tomllib.loads(text)["monitor"], MonitorConfig)


def test_what_is_suggested_is_a_monitor_table() -> None:
    text = suggest_monitors("toy/3", PROFILE, 5000.0, MonitorConfig(false_alarms=2))
    found = parsed(text)
    assert (found.every, found.false_alarms) == ("6h", 2)
    assert {name for name in PROFILE.inputs if not found.watches(name)} == {"order id", "street"}
    assert [found.of_column(name).threshold for name in ("price", "rare")] == [0.1, 0.25]
    assert list(found.segments) == ["weekend", "country"]  # by importance
    hidden = MonitorConfig(columns={"country": ColumnConfig(keep="hash")})
    text_too = suggest_monitors("toy/3", PROFILE, 5000.0, hidden)
    assert list(parsed(text_too).segments) == ["weekend"], "segments are made of values, which aren't kept"
    assert "toy/3 (10,000 rows)" in text
    assert "# NL 60 %, BE 30 %, DE 10 %" in text
    assert "every row has a text of its own" in text


@pytest.mark.parametrize(("rows_a_day", "every"), [(1e6, "1h"), (400.0, "7d"), (40.0, "28d")])
def test_the_window_is_the_shortest_in_which_chance_stays_under_the_threshold(
    rows_a_day: float, every: str
) -> None:
    config = MonitorConfig()
    found = parsed(suggest_monitors("toy/1", PROFILE, rows_a_day, config))
    assert found.every == every
    length = parse_duration(every)
    rows = round(rows_a_day * length.total_seconds() / 86_400)
    rng, shares = np.random.default_rng(1), np.full(10, 0.1)
    alpha = rules.level(1, length) / len(PROFILE.inputs)
    unchanged = [
        rules.shift([1000] * 10, rng.multinomial(rows, shares).tolist(), 0.1, alpha, 200) for _ in range(300)
    ]
    assert {one.limit for one in unchanged} == {0.1}  # chance is under it
    assert {one.state for one in unchanged} == {"ok"}


def test_without_traffic_or_with_too_little_no_length_is_suggested() -> None:
    for rows, told in ((None, "ask again when there is traffic"), (1.0, "even 28 days are too few")):
        text = suggest_monitors("toy/1", PROFILE, rows, MonitorConfig())
        assert told in text
        assert parsed(text).every == MonitorConfig().every


def test_a_model_is_asked_by_its_profile(world: Any) -> None:
    with pytest.raises(NotFound, match="no version of toy has a profile"):
        Monitors(world.workspace).suggest("toy")
    world.register(promote=False)
    found = Monitors(world.workspace).suggest("toy")
    assert found.version == 1
    assert "[monitor.segments.carrier]  # AA 4" in found.toml
    predictions, _ = world.traffic(0, 300, days=4)
    PredictionLog(world.workspace).append("toy", predictions)
    again = Monitors(world.workspace).suggest("toy").toml
    assert "about 300 predictions a day" in again
    assert parsed(again).every == "7d"


def test_when_labels_are_due_is_read_off_the_log(world: Any) -> None:
    world.register()
    log, monitors = PredictionLog(world.workspace), Monitors(world.workspace)
    predictions, labels = world.traffic(0, 100, days=20, delay=timedelta(days=6, hours=5))
    log.append("toy", predictions)
    assert "labels_after" not in monitors.suggest("toy").toml, "none have come"
    world.workspace.clock.at = START + timedelta(days=20)
    log.append_labels("toy", labels)
    found = parsed(monitors.suggest("toy").toml)
    assert found.labels_after == "7d"
    for hours, due in ((0.5, None), (5.2, "6h"), (30.0, "2d")):
        text = suggest_monitors("toy/1", PROFILE, 400.0, MonitorConfig(), timedelta(hours=hours))
        assert parsed(text).labels_after == due
