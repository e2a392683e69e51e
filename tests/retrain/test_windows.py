"""Which of the past is learned from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from retrain.test_rules import DAY, NOON
from retrain.test_signals import window
from retrain.wheel import SCRIPT, SECOND, make, opened, turn
from treadle.data import WEIGHT, Datasets
from treadle.experiment import Experiments
from treadle.kernel.clock import ManualClock
from treadle.kernel.config import load_config, parse_config
from treadle.kernel.errors import ConfigError
from treadle.monitor import store
from treadle.registry import Registry
from treadle.retrain import changed_at, rules

WEIGHTED = '[retrain.window]\npolicy = "weighted"\nhalf_life = "5d"\n'
CHANGE = '[retrain.window]\npolicy = "since-change"\nleast = "6d"\n'


def project(folder: Path, more: str, *, sliding: bool = True) -> Path:
    root = make(folder, replicas="1")
    file = root / "treadle.toml"
    text = file.read_text() + more
    file.write_text(text if sliding else text.replace('window = "30d"\n', "", 1))
    return root


def test_an_expanding_window_begins_with_the_data(tmp_path: Path) -> None:
    config = load_config(project(tmp_path / "all", '[retrain.window]\npolicy = "expanding"\n', sliding=False))
    learn, _ = rules.windows(config, "d", NOON)
    assert learn.since is None
    assert rules.policy(config) == "expanding: everything, of which the newest 14d are held out"


def test_after_a_change_what_was_before_it_is_left_out_unless_too_little_remains(tmp_path: Path) -> None:
    config = load_config(project(tmp_path / "change", CHANGE))
    sinces = [
        rules.windows(config, "d", NOON, change)[0].since
        for change in (None, NOON - 25 * DAY, NOON - 3 * DAY, NOON - 300 * DAY)
    ]
    assert sinces == [NOON - 30 * DAY, NOON - 25 * DAY, NOON - 20 * DAY, NOON - 30 * DAY]
    assert rules.policy(config, NOON).startswith("since-change: since the change around 2026-03-01, of which")
    assert rules.policy(config).startswith("since-change: no change is known: the last 30d, of which")


def test_newer_rows_count_for_more_and_the_script_is_told(tmp_path: Path, clock: ManualClock) -> None:
    root = project(tmp_path / "weighted", "")
    with opened(root, clock) as workspace:
        assert turn(workspace).state == "promoted"
    (root / "treadle.toml").write_text((root / "treadle.toml").read_text() + WEIGHTED)
    told = "    age = table[run.weight].to_numpy()\n    run.log(oldest=age.min(), newest=age.max())\n"
    loop = "    for step in range(3):"
    (root / "train.py").write_text(SCRIPT.replace(loop, told + loop, 1))
    with opened(root, clock) as workspace:
        cycle = turn(workspace)
        assert cycle.version == 2, cycle.error  # other rows: no less than a new version
        learned = Registry(workspace).get("toy/2").data[0]
        assert learned.spec.half_life == timedelta(days=5).total_seconds()
        assert learned.digest != Registry(workspace).get("toy/1").data[0].digest
        table = pq.read_table(Datasets(workspace).slice(learned.spec, "train")[1])
        at = table["at"].cast("int64").to_numpy() / 86_400e6
        np.testing.assert_allclose(table[WEIGHT].to_numpy(), 0.5 ** ((at.max() - at) / 5), rtol=1e-9)
        metrics = Experiments(workspace).get(cycle.runs[0]).metrics
        assert metrics["newest"] == 1.0
        assert metrics["oldest"] == pytest.approx(table[WEIGHT].to_numpy().min())


def test_the_change_that_the_monitors_saw_is_found(tmp_path: Path, clock: ManualClock) -> None:
    root = project(tmp_path / "seen", CHANGE)
    with opened(root, clock) as workspace:
        turn(workspace)
        assert changed_at(workspace, SECOND) is None
        rng = np.random.default_rng(0)
        found = []
        for week in range(20):
            ends = SECOND + (week + 1) * 7 * DAY
            psi = float(rng.normal(0.05 if week < 14 else 0.4, 0.01))
            at = {"since": ends - 7 * DAY, "until": ends}
            found += [window("hour", psi, **at), window("prediction", psi / 2, kind="prediction", **at)]
            found.append(window("roc_auc", 0.7 + float(rng.normal(0, 0.01)), kind="performance", **at))
        with workspace.database.write() as connection:
            store.add_windows(connection, found)
        changed = SECOND + 14 * 7 * DAY
        assert changed_at(workspace, SECOND + 20 * 7 * DAY) == changed
        assert changed_at(workspace, SECOND + 14 * 7 * DAY) is None  # it was not known by then


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('policy = "weighted"', "need `half_life`"),
        ('half_life = "5d"', "policy 'sliding' has no `half_life`"),
        ('policy = "expanding"\nleast = "5d"', "policy 'expanding' has no `least`"),
    ],
)
def test_what_a_window_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(f'[project]\nname = "toy"\n[retrain.window]\n{text}\n')


def test_an_expanding_window_has_no_length(tmp_path: Path) -> None:
    root = project(tmp_path / "both", '[retrain.window]\npolicy = "expanding"\n')
    with pytest.raises(ConfigError, match="learns from everything") as caught:
        load_config(root)
    assert "leave `window` out" in (caught.value.fix or "")
