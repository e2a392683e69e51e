"""A challenger beside production: how often it is wrong, how soon it is right, and the whole of it once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from projects import START, rows
from retrain.wheel import FIRST, SECOND, make, opened, turn, turned
from treadle.kernel.clock import ManualClock
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.monitor import Incidents, LabelBatch, PredictionBatch, PredictionLog
from treadle.registry import LoadedModel, Registry
from treadle.retrain.challenger import Challengers
from treadle.retrain.challenger_rules import interval, verdict
from treadle.retrain.publish import approve

DAY = timedelta(days=1)


def ever(days: np.ndarray, alpha: float = 0.05) -> str:
    """The first verdict of looks every week from day 28 on, or that there was none."""
    for day in range(28, len(days) + 1, 7):
        said = verdict(*interval(days[:day].tolist(), alpha, 28))
        if said != "open":
            return said
    return "open"


def test_its_width_is_that_of_the_paper() -> None:
    """Days that alternate don't go together: their own variance counts, as if they were independent."""
    days = [1.0, -1.0] * 30
    low, high = interval(days, 0.05, 28)
    rho = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05)) + 1) / 60
    variance = 60 / (60 - 1 - 7)
    half = math.sqrt(
        variance * 2 * (60 * rho + 1) / (60 * 60 * rho) * math.log(math.sqrt(60 * rho + 1) / 0.05)
    )
    assert (low, high) == pytest.approx((-half, half))
    assert half / math.sqrt(variance / 60) == pytest.approx(3.03, abs=0.01), "1.96 for a single look"
    assert interval(days[:27], 0.05, 28) == (-math.inf, math.inf)


@pytest.mark.parametrize("worlds", [120, pytest.param(1500, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_looks_every_week_for_half_a_year_are_seldom_wrong(kind: str, worlds: int) -> None:
    rng = np.random.default_rng(3)
    shape = (worlds, 180)
    days = rng.normal(size=shape) if kind == "normal" else rng.standard_t(4, shape)
    wrong = sum(ever(one) != "open" for one in days)
    assert wrong <= 0.05 * worlds + 3 * math.sqrt(0.05 * 0.95 * worlds)
    better = [ever(one / one.std() + 0.5) for one in days[:60]]
    assert better.count("better") >= 57
    assert "worse" not in better


@pytest.fixture
def held(tmp_path: Path, clock: ManualClock) -> Iterator[Workspace]:
    """Production learned from a stretch in which all was the other way round; who is held did not."""
    root = make(tmp_path / "p", turned(0, 55, per_day=60), replicas="1")
    file = root / "treadle.toml"
    file.write_text(
        file.read_text() + '[registry]\napproval = "manual"\n[retrain.challenger]\nwatch = true\n'
    )
    with opened(root, clock) as workspace:
        clock.at = FIRST
        assert turn(workspace).version == 1
        approve(workspace, "toy/1", "ada", "the first")
        clock.at = SECOND
        assert turn(workspace).version == 2
        yield workspace


def declaring(workspace: Workspace, **changed: object) -> Workspace:
    config = workspace.config
    challenger = msgspec.structs.replace(config.retrain.challenger, **changed)
    retrain = msgspec.structs.replace(config.retrain, challenger=challenger)
    workspace.config = msgspec.structs.replace(config, retrain=retrain)
    return workspace


def served(workspace: Workspace, first: int, last: int) -> None:
    """Production answers what came on some days, and its labels arrive, but for a few of the last."""
    table = rows(140, 40, seed=9)
    moments = np.array([at.timestamp() for at in table["at"].to_pylist()])
    day = (moments - START.timestamp()) // 86_400
    some = np.flatnonzero((day >= first) & (day < last))
    inputs = {name: [table[name][int(i)].as_py() for i in some] for name in ("hour", "carrier")}
    model: LoadedModel = Registry(workspace).load(Registry(workspace).get("toy/1"))
    ids = [f"{first}-{i}" for i in some]
    log = PredictionLog(workspace)
    log.append(
        "toy",
        PredictionBatch(
            batch=f"p{first}",
            ids=ids,
            at=moments[some].tolist(),
            version=[1] * len(some),
            revision=[1] * len(some),
            inputs=inputs,
            outputs=np.asarray(model.predict(inputs)).tolist(),
            latency_ms=[1.0] * len(some),
        ),
    )
    known = (moments[some] + 5 * 3600).tolist()
    values = [float(table["late"][int(i)].as_py()) for i in some]
    log.append_labels("toy", LabelBatch(batch=f"l{first}", ids=ids, values=values, known_at=known))


def test_one_that_labels_show_to_be_better_is_proposed_once(held: Workspace, clock: ManualClock) -> None:
    for changed in ({"watch": False}, {"version": 1}):
        assert Challengers(declaring(held, **changed)).look("toy") is None
    challengers = Challengers(declaring(held, watch=True, version=None))
    none = challengers.look("toy")
    assert none is not None
    assert (none.days, none.sentence) == (0, "toy/2 beside toy/1: no day has its labels yet")
    served(held, 91, 106)
    clock.at = START + 106 * DAY
    few = challengers.look("toy")
    assert few is not None
    assert (few.days, few.verdict) == (14, "open"), "the last day waits for the labels of its evening"
    assert few.sentence.endswith("too few to tell")
    assert Incidents(held).list("toy") == []

    served(held, 106, 130)
    clock.at = START + 130 * DAY
    found = challengers.look("toy")
    assert found is not None
    assert (found.challenger, found.production, found.days) == ("toy/2", "toy/1", 38)
    assert found.until == START + 129 * DAY
    assert found.verdict == "better"
    assert 0 < found.low < found.gain < found.high
    assert found.gain > 0.15
    challengers.look("toy")
    [incident] = Incidents(held).list("toy")
    assert incident.kinds == ("retraining",)
    assert incident.title.startswith("toy/2 beside toy/1: is better; by roc_auc it gains +")
    assert incident.title.endswith("let it in: treadle models approve toy/2 --reason TEXT")
    told = timeline(held.database, "model:toy", kinds=["challenger"])
    assert [event.facts["verdict"] for event in told] == ["open", "better"]

    approve(held, "toy/2", "ada", "the labels say so")
    assert challengers.look("toy") is None, "nobody is newer than production now"
