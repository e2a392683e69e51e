"""Drift of inputs and predictions: by which statistic, from where on, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from scipy import stats

from treadle.kernel.config import ColumnConfig, DriftConfig, MonitorConfig
from treadle.kernel.workspace import Workspace
from treadle.monitor import CategoryProfile, NumericProfile, WindowResult, build_profile, rules
from treadle.monitor.drift import input_result, prediction_result
from treadle.monitor.findings import Window, to_alerts
from treadle.monitor.profile import count, histogram_sql

UNTIL = datetime(2026, 1, 8, tzinfo=UTC)
WINDOW = Window(model="toy", version=1, since=UNTIL - timedelta(days=7), until=UNTIL)


@pytest.fixture
def reference(workspace: Workspace) -> dict[str, NumericProfile | CategoryProfile]:
    rng = np.random.default_rng(1)
    path = workspace.root / "train.parquet"
    columns = {
        "x": rng.normal(size=20_000),
        "c": rng.choice(["a", "b"], 20_000).astype(object),
        "k": np.ones(20_000),
    }
    workspace.engine.write_parquet(path, "SELECT * FROM t", (), {"t": columns})
    return build_profile(workspace.engine, path, list(columns), np.ones(2) / 2, "brier", 0.1).inputs


def result(
    workspace: Workspace, shape: NumericProfile | CategoryProfile, values: np.ndarray, config: MonitorConfig
) -> WindowResult:
    found = workspace.engine.columns(histogram_sql([(shape, "v")]), (), {"log": {"v": values}})
    return input_result(WINDOW, "x", shape, count([shape], found)[0], 1, config)


@pytest.mark.parametrize("statistic", ["psi", "js", "ks", "wasserstein"])
def test_each_statistic_finds_a_move_and_names_itself(
    workspace: Workspace, reference: dict[str, NumericProfile], statistic: str
) -> None:
    config = MonitorConfig(drift=DriftConfig(statistic=statistic))  # type: ignore[arg-type]
    rng = np.random.default_rng(2)
    still = result(workspace, reference["x"], rng.normal(size=1000), config)
    assert (still.state, still.statistic, still.severity, still.threshold) == ("ok", statistic, None, 0.1)
    assert still.chance is not None
    assert still.p_value is not None
    assert 0.001 < still.p_value <= 1
    moved = rng.normal(0.6, 1, 1000)
    found = result(workspace, reference["x"], moved, config)
    assert found.state == "alert"
    assert found.severity == ("critical" if found.value >= 0.25 else "warning")
    assert found.value > found.limit == max(found.threshold, found.chance)
    assert "x drifted: " in found.sentence
    assert found.sentence.endswith(f"; mean {moved.mean():.4g}, was {reference['x'].mean:.4g}")
    train = np.random.default_rng(1).normal(size=20_000)
    if statistic == "wasserstein":
        expected = stats.wasserstein_distance(train, moved) / train.std()
        assert found.value == pytest.approx(expected, rel=0.03)
    if statistic == "ks":
        assert found.value == pytest.approx(stats.ks_2samp(train, moved).statistic, abs=0.03)


def test_what_a_statistic_can_not_measure_is_held_to_psi(
    workspace: Workspace, reference: dict[str, NumericProfile]
) -> None:
    config = MonitorConfig(drift=DriftConfig(statistic="wasserstein", threshold=0.7))
    texts = result(workspace, reference["c"], np.array(["a"] * 900 + ["z"] * 100, dtype=object), config)
    assert (texts.statistic, texts.threshold, texts.state) == ("psi", 0.1, "alert")
    constant = result(workspace, reference["k"], np.full(900, 2.0), config)
    assert (constant.statistic, constant.state) == ("psi", "alert")
    nothing = result(workspace, reference["x"], np.ma.masked_all(900), config)
    assert (nothing.statistic, nothing.state) == ("psi", "alert")
    assert "missing 100.0 % of rows" in nothing.sentence
    old = msgspec.structs.replace(reference["x"], low=None, high=None, centres=[], deviation=None)
    first = result(workspace, old, np.random.default_rng(3).normal(2, 1, 900), config)
    assert (first.statistic, first.state) == ("psi", "alert")


def test_values_that_were_never_there_are_seen_although_no_bin_inside_changes(
    workspace: Workspace, reference: dict[str, NumericProfile]
) -> None:
    x = np.random.default_rng(4).normal(size=1000)
    x[:60] = 50.0
    found = result(workspace, reference["x"], x, MonitorConfig())
    assert found.state == "alert"


@pytest.mark.parametrize("shape", ["normal", "heap", "counts", "one"])
def test_a_window_with_more_rows_than_training_has_no_more_false_alarms(
    workspace: Workspace, shape: str
) -> None:
    rng = np.random.default_rng(7)
    draws = {
        "normal": lambda n: rng.normal(size=n),
        "heap": lambda n: np.where(rng.random(n) < 0.7, 0.0, rng.exponential(1, n)),
        "counts": lambda n: rng.poisson(2, n).astype(float),
        "one": np.ones,
    }
    p_values = []
    for _ in range(3):
        path = workspace.root / "few.parquet"
        train = {"x": draws[shape](800)}
        workspace.engine.write_parquet(path, "SELECT * FROM t", (), {"t": train})
        made = build_profile(workspace.engine, path, ["x"], np.ones(2) / 2, "brier", 0.1).inputs["x"]
        p_values.append(result(workspace, made, draws[shape](20_000), MonitorConfig()).p_value)
    assert min(p_values) > 0.001
    assert shape == "one" or max(p_values) < 1


def test_a_column_has_its_own_threshold_and_statistic() -> None:
    config = MonitorConfig(
        drift=0.3,
        columns={"x": ColumnConfig(statistic="ks"), "y": ColumnConfig(threshold=0.5, watch=False)},
    )
    assert config.of_column("x") == DriftConfig(statistic="ks", threshold=0.3)
    assert config.of_column("y") == DriftConfig(statistic="psi", threshold=0.5)
    assert config.of_column("z") == config.of_predictions() == DriftConfig(threshold=0.3)
    assert [config.watches(name) for name in "xyz"] == [True, False, True]
    own = msgspec.structs.replace(config, prediction=DriftConfig(statistic="js", threshold=0.2))
    assert own.of_predictions() == DriftConfig(statistic="js", threshold=0.2)


def test_the_predictions_of_other_versions_do_not_count() -> None:
    shape = NumericProfile([0.5], [500, 500], 0, 0.5)
    now = msgspec.structs.replace(shape, counts=[250, 250], nulls=9000)
    found = prediction_result(WINDOW, shape, now, MonitorConfig())
    assert (found.state, found.n) == ("ok", 500)


def test_alerts_come_by_importance_times_excess() -> None:
    def one(subject: str, value: float, importance: float | None, **changes: object) -> WindowResult:
        made = WindowResult(
            model="toy", kind="input", subject=subject, since=WINDOW.since, until=UNTIL, version=1,
            state="alert", statistic="psi", value=value, limit=0.1, n=900, sentence=f"{subject} drifted",
            importance=importance,
        )  # fmt: skip
        return msgspec.structs.replace(made, **changes)  # type: ignore[arg-type]

    results = [
        one("idle", 0.9, 0.01), one("main", 0.2, 0.9), one("calm", 0.05, 0.09, state="ok"),
        one("known", 9.9, 0.9, explained_by="quality:known"),
    ]  # fmt: skip
    [alert] = to_alerts(results, delivered=True)
    assert alert.subjects == ("main", "idle")
    assert alert.sentence.startswith("2 of 4 inputs drifted: main (PSI 0.200), idle (PSI 0.900). main")
    # Parts of an input are that input: how many segments are watched is no number of inputs.
    parts = [one("main", 0.3, 0.9, segment="by=x"), one("idle", 0, 0.01, segment="by=y", state="ok")]
    calm = one("segments", 0, None, statistic="drifted", state="ok")
    [alert] = to_alerts([results[1], results[2], one("idle", 0, 0, state="ok"), *parts, calm], delivered=True)
    assert alert.sentence.startswith("1 of 3 inputs drifted: main where by=x (PSI 0.300), main (PSI 0.200). ")
    failed = [one("main", 0.3, 0.9, kind="quality", statistic="nulls"), one("idle", 0.3, 0, kind="quality")]
    [alert] = to_alerts(failed, delivered=True)
    assert alert.sentence.startswith("2 checks of inputs failed: main (nulls 0.300), "), "of more than two"
    assert [rules.weight(r) for r in results[:2]] == pytest.approx([0.08, 0.9])


def test_few_discoveries_are_false() -> None:
    assert rules.discoveries([0.5, 0.6], 0.1) == 0.05
    assert rules.discoveries([0.001, 0.04, 0.5, 0.9], 0.1) == 0.05
    rng = np.random.default_rng(6)
    null = [rng.random(40) for _ in range(2000)]
    any_found = np.mean([(p <= rules.discoveries(p.tolist(), 0.05)).any() for p in null])
    assert any_found < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    ours, theirs = [], []
    for p in null:
        p[:10] /= 200
        ours.append((p <= rules.discoveries(p.tolist(), 0.05)).tolist())
        theirs.append((stats.false_discovery_control(p) <= 0.05).tolist())
    assert ours == theirs


def test_few_rows_beyond_an_end_are_no_drift_of_their_own(
    workspace: Workspace, reference: dict[str, NumericProfile]
) -> None:
    """What quality allows beyond the ends is counted in the outer bins; when it is surely more, by itself."""
    config, rng = MonitorConfig(), np.random.default_rng(4)
    for statistic in ("psi", "js"):
        drift = msgspec.structs.replace(config, drift=DriftConfig(statistic=statistic))  # type: ignore[arg-type]
        values = rng.normal(size=4000)
        values[:40] = 50.0
        few = result(workspace, reference["x"], values, drift)
        values[:40] = 0.0
        none = result(workspace, reference["x"], values, drift)
        assert few.value == pytest.approx(none.value, abs=0.01)
        values[:400] = 50.0
        many = result(workspace, reference["x"], values, drift)
        assert many.value is not None
        assert few.value is not None
        assert many.value > few.value + 0.1
        assert many.state == "alert"
