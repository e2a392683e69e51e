"""A challenger beside production: how often it is wrong, how soon it is right, and the whole of it once."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats

from projects import START, rows
from retrain.wheel import FIRST, SECOND, make, opened, turn, turned
from treadle.deploy import Deployments, ReplicaReport
from treadle.kernel.clock import ManualClock
from treadle.kernel.config import ColumnConfig, DeployConfig
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.monitor import Incidents, LabelBatch, PredictionBatch, PredictionLog
from treadle.registry import LoadedModel, Registration, Registry, register_model
from treadle.retrain.challenger import Challengers
from treadle.retrain.challenger_rules import (
    Day,
    blocks,
    correlation,
    e_value,
    interval,
    needed,
    verdict,
)
from treadle.retrain.challenger_types import StartChallenger, StopChallenger
from treadle.retrain.comparing import compare
from treadle.retrain.publish import approve

DAY = timedelta(days=1)


def ever(days: np.ndarray, block: int = 7, alpha: float = 0.05) -> tuple[str, int]:
    """The first verdict of looks after every block, and after how many days; or that there was none."""
    gains = days[: len(days) // block * block].reshape(-1, block).mean(axis=1).tolist()
    for count in range(4, len(gains) + 1):
        said = verdict(*interval(gains[:count], alpha))
        if said != "open":
            return said, count * block
    return "open", len(days)


def worlds_of(kind: str, count: int, days: int = 182) -> np.ndarray:
    """Days without a gain, of variance 1; ``0.3``: each correlates by so much with the one before."""
    rng = np.random.default_rng(3)
    if kind == "skewed":
        return rng.exponential(size=(count, days)) - 1
    if kind == "heavy":
        return rng.standard_t(4, (count, days)) / math.sqrt(2)
    along = float(kind)
    noise = rng.normal(size=(days, count))
    found = [noise[0]]
    for one in noise[1:]:
        found.append(along * found[-1] + math.sqrt(1 - along**2) * one)
    return np.stack(found, axis=1)


def test_the_e_value_is_the_ratio_of_the_two_integrals() -> None:
    """Over the effect, and over the logarithm of the spread, which nothing is known of."""
    gains = np.array([0.3, -0.1, 0.8, 0.4, 0.5])
    spreads, effects = np.exp(np.linspace(-6, 6, 1201))[:, None], np.linspace(-8, 8, 1601)[None, :]

    def likelihood(effect: np.ndarray) -> np.ndarray:
        return np.prod([stats.norm.pdf(gain, effect * spreads, spreads) for gain in gains], axis=0)

    above = (likelihood(effects) * stats.norm.pdf(effects)).sum() * (effects[0, 1] - effects[0, 0])
    below = likelihood(np.zeros((1, 1))).sum()
    assert e_value(gains.tolist()) == pytest.approx(above / below, rel=1e-6)
    assert e_value([]) == e_value([0.7]) == pytest.approx(1.0), "one block says nothing of its spread"
    assert e_value([0.0, 0.0]) < 1


def test_the_interval_ends_where_the_evidence_does() -> None:
    gains = [0.3, -0.1, 0.8, 0.4, 0.5, 0.2, 0.4, 0.1]
    for end in interval(gains, 0.05):
        assert e_value([gain - end for gain in gains]) == pytest.approx(20)
    assert interval(gains[:3], 0.05) == interval(gains, 0.05, 9) == (-math.inf, math.inf)
    assert interval([0.2] * 8, 0.05) == pytest.approx((0.2, 0.2))


def test_what_is_needed_is_when_the_same_again_would_decide() -> None:
    gains = [0.5, -0.3, 0.9, 0.1]
    enough = needed(gains, 0.05, 100)
    assert enough is not None
    assert e_value(gains * math.ceil(enough / 4)) >= 20 > e_value(gains * ((enough - 1) // 4))
    assert needed(gains, 0.05, enough - 1) is None
    assert needed([0.5, -0.5], 0.05, 1000) is None


@pytest.mark.parametrize("worlds", [2000, pytest.param(20_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["0", "0.3", "0.6", "skewed", "heavy"])
def test_looks_for_half_a_year_are_seldom_wrong(kind: str, worlds: int) -> None:
    wrong = sum(ever(one)[0] != "open" for one in worlds_of(kind, worlds))
    assert wrong <= 0.05 * worlds + 3 * math.sqrt(0.05 * 0.95 * worlds)


@pytest.mark.soak
def test_days_that_go_together_more_ask_for_longer_blocks() -> None:
    worlds = worlds_of("0.8", 5000)
    wrong = [sum(ever(one, block)[0] != "open" for one in worlds) for block in (7, 14)]
    assert wrong[1] <= 0.05 * 5000 + 3 * math.sqrt(0.05 * 0.95 * 5000) < wrong[0]


def test_half_a_day_s_spread_is_found_in_half_a_year() -> None:
    found = [ever(one + 0.5) for one in worlds_of("0", 200)]
    assert {said for said, _ in found} == {"better"}
    assert np.median([day for _, day in found]) <= 70


def test_a_block_waits_for_its_labels_unless_later_ones_are_there() -> None:
    def day(number: int, known: int = 100, gain: float | None = 1.0) -> Day:
        return Day(number, 100, known, gain)

    weeks = [day(n, gain=float(n // 7)) for n in range(21)]
    assert blocks(weeks, 0, 7, 21) == [0.0, 1.0, 2.0]
    assert blocks(weeks, 0, 7, 20) == [0.0, 1.0], "the third isn't over"
    assert blocks(weeks, 0, 7, 14) == [0.0, 1.0]
    waiting = [*weeks[:13], day(13, known=80, gain=9.0)]
    assert blocks(waiting, 0, 7, 14) == [0.0], "its labels come"
    assert blocks(waiting + weeks[14:], 0, 7, 21) == [0.0, 1.0, 2.0], "they didn't"
    few = [*weeks[:8], *(day(n, known=0, gain=None) for n in range(8, 14)), *weeks[14:]]
    assert blocks(few, 0, 7, 21) == [0.0, 2.0]
    workdays = [one for one in weeks if one.number % 7 < 5]
    assert blocks(workdays, 0, 7, 21) == [0.0, 1.0, 2.0]
    assert blocks([*weeks[:20], Day(20, 5, 0, None)], 0, 7, 21) == [0.0, 1.0, 2.0], "too few rows to wait for"
    assert blocks([*weeks[:20], day(20, gain=None)], 0, 7, 21) == [0.0, 1.0, 2.0], "of one class only"


def test_how_days_go_together() -> None:
    ours = worlds_of("0.6", 1)[0]
    assert correlation(ours.tolist()) == pytest.approx(np.corrcoef(ours[1:], ours[:-1])[0, 1], abs=0.02)
    assert correlation(ours[:13].tolist()) is None
    assert correlation([0.5] * 20) is None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Production learned from a stretch in which all was the other way round; who is held did not."""
    root = make(tmp_path_factory.mktemp("made") / "p", turned(0, 55, per_day=60), replicas="1")
    file = root / "treadle.toml"
    file.write_text(
        file.read_text() + '[registry]\napproval = "manual"\n[retrain.challenger]\nwatch = true\n'
    )
    clock = ManualClock(FIRST)
    with opened(root, clock) as workspace:
        assert turn(workspace).version == 1
        approve(workspace, "toy/1", "ada", "the first")
        clock.at = SECOND
        assert turn(workspace).version == 2
    return root


@pytest.fixture
def held(made: Path, tmp_path: Path, clock: ManualClock) -> Iterator[Workspace]:
    clock.at = SECOND
    with opened(Path(shutil.copytree(made, tmp_path / "p", symlinks=True)), clock) as workspace:
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
    assert (few.days, few.blocks, few.verdict) == (14, 2, "open"), "the last day waits for its evening's"
    assert few.sentence.endswith("too few to tell")
    assert few.since == START + 90 * DAY
    assert Incidents(held).list("toy") == []

    served(held, 106, 140)
    clock.at = START + 140 * DAY
    found = challengers.look("toy")
    assert found is not None
    assert (found.challenger, found.production, found.days, found.blocks) == ("toy/2", "toy/1", 48, 7)
    assert found.until == START + 139 * DAY
    assert found.verdict == "better"
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.gain < found.high
    assert found.gain > 0.15
    assert found.e_value >= found.asked == 20
    assert found.needed is not None
    assert found.needed <= 49
    challengers.look("toy")
    [incident] = Incidents(held).list("toy")
    assert incident.kinds == ("retraining",)
    assert incident.title.startswith("toy/2 beside toy/1: is better; by roc_auc it gains +")
    assert incident.title.endswith("let it in: treadle models approve toy/2 --reason TEXT")
    assert said(held) == ["open", "better"]

    clock.at = START + 290 * DAY
    over = compare(
        declaring(held, false_alarm=1e-30), Registry(held).get("toy/1"), Registry(held).get("toy/2")
    )
    assert (over.days, over.verdict, over.needed) == (49, "undecided", None)
    declaring(held, false_alarm=0.05)

    approve(held, "toy/2", "ada", "the labels say so")
    assert challengers.look("toy") is None, "nobody is newer than production now"
    back = challengers.start("toy", StartChallenger(version=1, reason="is the old one better?", actor="ben"))
    assert (back.challenger, back.production, back.chosen) == ("toy/1", "toy/2", "hand")
    assert back.found is not None
    assert (back.found.since, back.found.days) == (START + 290 * DAY, 0), "since production is there"


def said(workspace: Workspace) -> list[str]:
    told = timeline(workspace.database, "model:toy", kinds=["challenger"])
    return [event.facts["verdict"] for event in told]


def test_one_is_started_and_stopped_by_hand(held: Workspace) -> None:
    challengers = Challengers(held)
    assert (challengers.show("toy").challenger, challengers.show("toy").chosen) == ("toy/2", "newest")
    stopped = challengers.stop("toy", StopChallenger(reason="it is too slow", actor="ada"))
    assert stopped.challenger is None
    assert stopped.why == "toy/2 is no longer held beside toy/1: it is too slow (ada)"
    assert challengers.look("toy") is None
    with pytest.raises(Conflict, match=r"no version is held beside production: toy/2 is no longer") as none:
        challengers.stop("toy", StopChallenger(reason="again"))
    assert "treadle retrain challenger start" in str(none.value)

    challengers = Challengers(declaring(held, watch=False))
    started = challengers.start("toy", StartChallenger(version=2, reason="it was made faster", actor="ben"))
    assert (started.challenger, started.chosen, started.why) == ("toy/2", "hand", "it was made faster")
    assert (started.actor, started.held_since) == ("ben", held.clock.now())
    found = challengers.look("toy")
    assert found is not None
    assert found.challenger == "toy/2"
    for version, why in ((1, "is in production itself"), (2, "is held beside toy/1 already")):
        with pytest.raises(Conflict, match=why):
            challengers.start("toy", StartChallenger(version=version, reason="why not"))
    for model, version in (("toi", 1), ("toy", 9)):
        with pytest.raises(NotFound):
            challengers.start(model, StartChallenger(version=version, reason="why not"))
    challengers.stop("toy", StopChallenger(reason="enough"))
    assert challengers.show("toy").challenger is None
    assert said(held) == ["stopped", "started", "open", "stopped"]
    told = timeline(held.database, "model:toy", kinds=["challenger"])
    assert told[1].message == "toy/2 is held beside toy/1: it was made faster"


def test_one_that_is_held_stays_until_it_is_decided_however_many_come(held: Workspace) -> None:
    """Where every week brings a version, the newest would never be there for long enough."""
    challengers = Challengers(held)
    challengers.look("toy")
    again = Registration(run=Registry(held).get("toy/2").run)
    assert register_model(held, again).number == 3
    assert challengers.show("toy").challenger == "toy/2"
    challengers.stop("toy", StopChallenger(reason="enough"))
    assert challengers.show("toy").challenger == "toy/3"


def test_what_the_log_conceals_can_not_be_held(held: Workspace) -> None:
    monitor = msgspec.structs.replace(held.config.monitor, columns={"carrier": ColumnConfig(keep="hash")})
    held.config = msgspec.structs.replace(held.config, monitor=monitor)
    challengers = Challengers(held)
    assert "doesn't keep the input 'carrier' as it is" in challengers.show("toy").problem
    assert challengers.look("toy") is None
    assert said(held) == ["unable"]
    with pytest.raises(InvalidInput, match="doesn't keep the input 'carrier'"):
        challengers.start("toy", StartChallenger(version=2, reason="why not"))


def test_a_shadow_is_held_by_what_the_labels_say_of_it(held: Workspace, clock: ManualClock) -> None:
    """A trial that only people end is the challenger while it lasts, without anything declared."""
    challengers = Challengers(declaring(held, watch=False))
    plan = DeployConfig(strategy="shadow")
    Deployments(held).report(ReplicaReport(replica="a", model="toy", url="http://x", revision=1))
    Deployments(held).deploy("toy", 2, "ada", "see how it does", "shadow", plan=plan, outcome="inconclusive")
    served(held, 91, 140)
    clock.at = START + 140 * DAY
    shown = challengers.show("toy")
    assert (shown.challenger, shown.chosen, shown.why) == ("toy/2", "trial", "it is in trial as a shadow")
    assert shown.found is not None
    assert shown.found.verdict == "better"
    with pytest.raises(Conflict, match="held because it is in trial"):
        challengers.stop("toy", StopChallenger(reason="enough"))
    challengers.look("toy")
    [incident] = Incidents(held).list("toy")
    assert incident.title.endswith("let it take over: treadle deploy promote --reason TEXT")
    Deployments(held).stop("toy", "ada", "seen enough")
    assert challengers.show("toy").challenger is None
