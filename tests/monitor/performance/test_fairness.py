"""Fairness over time: one group that changes, what is said of whom, and how seldom an alarm is false."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.conftest import START, World
from treadle.kernel.config.monitor import FairnessConfig, SegmentConfig
from treadle.kernel.errors import InvalidInput
from treadle.monitor import Incidents, Monitors, PredictionLog, WindowResult
from treadle.monitor.batches import content_of
from treadle.monitor.findings import Window
from treadle.monitor.performance.alarms import judged
from treadle.monitor.performance.fairness import counted, fairness_results, reference
from treadle.monitor.types import SegmentProfile

WEEK = timedelta(days=7)
GROUPS = SegmentProfile(column="x", values=["a", "b", "c"], edges=[])


def send(world: World, week: int, *, passed_over: float = 0.0, delay: timedelta = timedelta(hours=5)) -> None:
    """A week in which decisions for true may be withheld from one carrier's rows."""
    predictions, labels = world.traffic(7 * week, 500, days=7, delay=delay)
    there = np.asarray(predictions.inputs["carrier"]) == "DL"
    outputs = np.asarray(predictions.outputs)
    outputs[there & (world.rng.random(len(outputs)) < passed_over)] = 0.1
    log = PredictionLog(world.workspace)
    log.append("toy", msgspec.structs.replace(predictions, outputs=outputs.tolist()))
    log.append_labels("toy", labels)


def monitors(world: World, **changes: object) -> Monitors:
    fair = FairnessConfig(max_difference=0.1)
    monitor = msgspec.structs.replace(
        world.workspace.config.monitor,
        segments={"carrier": SegmentConfig()},
        fairness={"carrier": msgspec.structs.replace(fair, **changes)},
    )
    world.workspace.config = msgspec.structs.replace(world.workspace.config, monitor=monitor)
    return Monitors(world.workspace)


def course(found: list[WindowResult], segment: str, statistic: str) -> list[WindowResult]:
    return [
        one for one in found if (one.kind, one.segment, one.statistic) == ("fairness", segment, statistic)
    ]


def test_a_group_that_is_passed_over_is_told_alone_and_as_an_incident(world: World) -> None:
    watching = monitors(world)
    world.register()
    for week in range(6):
        send(world, week, passed_over=0.0 if week < 3 else 0.6)
    found = watching.evaluate("toy", START + 6 * WEEK)
    fallen = course(found, "carrier=DL", "demographic_parity")
    assert [one.state for one in fallen] == ["ok"] * 3 + ["alert"] * 3
    assert fallen[-1].value == pytest.approx(-0.3, abs=0.06)
    assert fallen[-1].high is not None
    assert fallen[-1].high < -0.1
    assert "where carrier=AA; a difference of -0." in fallen[-1].sentence
    outcome = course(found, "carrier=DL", "equal_opportunity")
    assert [one.state for one in outcome] == ["ok"] * 3 + ["alert"] * 3
    assert outcome[-1].value == pytest.approx(-0.6 * 0.64, abs=0.1)
    rest = [one for one in found if one.kind == "fairness" and one.segment != "carrier=DL"]
    assert {one.segment for one in rest} == {"carrier=UA", "carrier=WN"}, "the largest is the reference"
    assert {one.state for one in rest} == {"ok"}
    [alert] = [one for one in watching.alerts("toy") if one.kind == "fairness"]
    assert alert.subjects == ("carrier",)
    assert "fairness" in {kind for one in Incidents(world.workspace).list("toy") for kind in one.kinds}


def test_groups_that_are_no_input_come_with_labels(world: World) -> None:
    """One sex's decisions are withheld from week 2 on; the model doesn't know of sexes."""
    fair = FairnessConfig(groups=["M", "F"], measures=["demographic_parity", "equalised_odds"])
    monitor = msgspec.structs.replace(world.workspace.config.monitor, fairness={"sex": fair})
    world.workspace.config = msgspec.structs.replace(world.workspace.config, monitor=monitor)
    world.register()
    log, watching = PredictionLog(world.workspace), Monitors(world.workspace)
    for week in range(3):
        predictions, labels = world.traffic(7 * week, 500, days=7)
        sex = world.rng.choice(np.array(["M", "F", "X", None], dtype=object), 3500, p=[0.5, 0.4, 0.05, 0.05])
        outputs = np.asarray(predictions.outputs)
        outputs[(sex == "F") & (world.rng.random(3500) < 0.6 * (week >= 2))] = 0.1
        log.append("toy", msgspec.structs.replace(predictions, outputs=outputs.tolist()))
        first = msgspec.structs.replace(labels, groups={"sex": sex.tolist()})
        log.append_labels("toy", first)
        # A label that is corrected leaves the group as it was.
        again = msgspec.structs.replace(
            labels, batch=f"again{week}", known_at=[t + 1 for t in labels.known_at]
        )
        log.append_labels("toy", again)
    found = watching.evaluate("toy", START + 3 * WEEK)
    for measure in ("demographic_parity", "equalised_odds"):
        fallen = course(found, "sex=F", measure)
        assert [one.state for one in fallen] == ["ok", "ok", "alert"]
        assert fallen[-1].n == pytest.approx(
            0.9 * 3500 * (1 if measure == "demographic_parity" else 0.5), rel=0.1
        )
    assert course(found, "sex=F", "demographic_parity")[-1].value == pytest.approx(-0.3, abs=0.06)
    assert course(found, "sex=F", "equalised_odds")[-1].value == pytest.approx(-0.6 * 0.64, abs=0.1)
    assert {one.segment for one in found if one.kind == "fairness"} == {"sex=F"}


def test_groups_that_come_with_predictions_count_before_any_label(world: World) -> None:
    """One sex's decisions are withheld from week 1 on; labels come in the fourth week, and correct groups."""
    fair = FairnessConfig(groups=["M", "F"], measures=["demographic_parity", "equalised_odds"])
    monitor = msgspec.structs.replace(world.workspace.config.monitor, fairness={"sex": fair})
    world.workspace.config = msgspec.structs.replace(world.workspace.config, monitor=monitor)
    world.register()
    log, watching = PredictionLog(world.workspace), Monitors(world.workspace)
    late = []
    for week in range(3):
        predictions, labels = world.traffic(7 * week, 500, days=7)
        sex = world.rng.choice(np.array(["M", "F", "X", None], dtype=object), 3500, p=[0.5, 0.4, 0.05, 0.05])
        outputs = np.asarray(predictions.outputs)
        outputs[(sex == "F") & (world.rng.random(3500) < 0.6 * (week >= 1))] = 0.1
        sent = msgspec.structs.replace(predictions, outputs=outputs.tolist(), groups={"sex": sex.tolist()})
        log.append("toy", sent)
        known = [(START + 3.5 * WEEK).timestamp()] * 3500
        late.append(msgspec.structs.replace(labels, known_at=known))
    found = watching.evaluate("toy", START + 3 * WEEK)
    parity = course(found, "sex=F", "demographic_parity")
    assert [one.state for one in parity] == ["ok", "alert", "alert"]
    assert parity[-1].value == pytest.approx(-0.3, abs=0.06)
    assert parity[-1].n == pytest.approx(0.9 * 3500, rel=0.1)
    assert {one.state for one in course(found, "sex=F", "equalised_odds")} == {"inconclusive"}
    assert {one.sentence for one in course(found, "sex=F", "equalised_odds")} == {
        "where sex=F, equalised odds: no label has come yet"
    }
    for labels in late:
        log.append_labels("toy", labels)
    log.append("toy", world.traffic(21, 500, days=7)[0])
    span: Any = {"since": START, "until": START + 3 * WEEK, "known_by": START + 4 * WEEK, "groups": ["sex"]}
    sql = "SELECT group_sex, count(*) AS n FROM log WHERE label IS NOT NULL GROUP BY 1 ORDER BY 1"
    assert log.scan("toy", sql, **span)["group_sex"].tolist() == ["F", "M", "X", None]
    corrected = msgspec.structs.replace(late[0], batch="c", groups={"sex": ["F"] * 3500})
    log.append_labels("toy", corrected)
    again = PredictionLog(world.workspace).scan("toy", sql, **span)
    assert again["n"][0] > 3500, "what comes with a label holds before what came with the prediction"


def test_a_batch_without_groups_is_the_same_as_before_there_were_any(world: World) -> None:
    predictions, labels = world.traffic(0, 5)
    old = msgspec.structs.asdict(predictions)
    del old["groups"]
    whole = hashlib.blake2b(msgspec.json.encode(old, order="sorted"), digest_size=8).digest()
    assert content_of(predictions) == int.from_bytes(whole, "big") >> 2
    whole = hashlib.blake2b(msgspec.json.encode(labels, order="sorted"), digest_size=8).digest()
    assert content_of(labels) == int.from_bytes(whole, "big") >> 2
    grouped = msgspec.structs.replace(predictions, groups={"sex": ["F"] * 5})
    assert content_of(grouped) != content_of(predictions)


def test_groups_that_nobody_declared_are_refused(world: World) -> None:
    world.register()
    log = PredictionLog(world.workspace)
    _, labels = world.traffic(0, 5)
    with pytest.raises(InvalidInput, match="no such groups are declared") as refused:
        log.append_labels("toy", msgspec.structs.replace(labels, groups={"sex": ["F"] * 5}))
    assert refused.value.fix == "add [monitor.fairness.sex] with its `groups`"
    monitors(world, groups=["F", "M"])
    with pytest.raises(InvalidInput, match="there are 5 ids and 4 of these"):
        log.append_labels("toy", msgspec.structs.replace(labels, groups={"carrier": ["F"] * 4}))
    predictions, _ = world.traffic(0, 5)
    with pytest.raises(InvalidInput, match="no such groups are declared"):
        log.append("toy", msgspec.structs.replace(predictions, groups={"sex": ["F"] * 5}))


def test_equalised_odds_find_a_gap_in_either_rate() -> None:
    """Decisions for false are withheld from nobody with a true label, but given to half of the others."""
    rng, config = np.random.default_rng(5), FairnessConfig(max_difference=0.1)
    codes, labels = np.repeat([0, 1, 2], 3000), np.tile([True, False], 4500)
    odds = np.where(labels, 0.8, np.where(codes == 1, 0.5, 0.2))
    decisions = rng.random(9000) < odds
    rows = counted(codes, np.zeros(9000, dtype=np.int64), labels, decisions, 3)
    groups = dict(zip(("x=a", "x=b", "x=c"), rows, strict=True))
    found = {
        (one.segment, one.statistic): one
        for one in fairness_results(
            WINDOW, "x", groups, "x=a", ["equal_opportunity", "equalised_odds"], config
        )
    }
    told = found["x=b", "equalised_odds"]
    assert told.value == pytest.approx(0.3, abs=0.04)
    assert "false positive rate 5" in told.sentence
    assert told.e_value is not None
    assert told.e_value > 1000
    assert [one.statistic for one in judged([told], [], 20) if one.state == "alert"] == ["equalised_odds"]
    assert found["x=b", "equal_opportunity"].state == "ok"
    assert found["x=c", "equalised_odds"].state == "ok"


def test_what_takes_labels_waits_for_them(world: World) -> None:
    watching = monitors(world)
    world.register()
    for week in range(2):
        send(world, week, delay=timedelta(days=6))
    found = watching.evaluate("toy", START + 2 * WEEK)
    assert {one.state for one in course(found, "carrier=DL", "demographic_parity")} == {"ok"}
    waiting = course(found, "carrier=DL", "equal_opportunity")[-1]
    assert (waiting.state, waiting.value) == ("inconclusive", None)
    assert "of the labels to come are there" in waiting.sentence


def test_the_reference_is_declared_by_value_or_name_or_the_largest() -> None:
    sizes = {"x=a": {"x": [1, 0]}, "x=b": {"x": [5, 3]}}
    segment = msgspec.structs.replace(GROUPS, tallies=sizes)
    named = ["x=a", "x=b", "x=c"]
    assert reference(segment, named, None) == "x=b"
    assert reference(segment, named, "c") == "x=c"
    assert reference(segment, named, "x=a") == "x=a"
    assert reference(segment, named, "d") is None


WINDOW = Window(model="toy", version=1, since=START, until=START + WEEK)


def test_a_reference_that_isn_t_there_is_said() -> None:
    config = FairnessConfig(reference="d")
    [one] = fairness_results(WINDOW, "x", {"x=a": None}, None, ["demographic_parity"], config)  # type: ignore[dict-item]
    assert one.state == "inconclusive"
    assert "no reference group 'd'; there are x=a" in one.sentence


def test_small_groups_are_inconclusive() -> None:
    codes = np.repeat([0, 1], [5000, 99])
    yes = np.ones(len(codes), dtype=bool)
    groups = dict(zip("ab", counted(codes, np.zeros(len(codes), dtype=np.int64), yes, yes, 2), strict=True))
    config = FairnessConfig()
    [one] = fairness_results(WINDOW, "x", groups, "a", ["demographic_parity"], config)
    assert (one.state, one.value, one.n, one.e_value) == ("inconclusive", None, 99, 1.0)
    assert "(100 needed)" in one.sentence


def first(rng: np.random.Generator, gap: float, windows: int, wanted: float, days: float = 0.0) -> int:
    """The window of the first alarm of any of eight groups that are so far from the reference group."""
    config, before = FairnessConfig(max_difference=0.1), []
    codes = np.tile(np.repeat(np.arange(9), 150), 7)
    clusters = np.repeat(np.arange(7), 9 * 150)
    for number in range(windows):
        day = days * rng.standard_normal((7, 9))[clusters, codes]
        decisions = rng.random(len(codes)) < 0.4 + gap * (codes > 0) + day
        rows = counted(codes, clusters, decisions, decisions, 9)
        groups = {f"x={i}": one for i, one in enumerate(rows)}
        found = list(fairness_results(WINDOW, "x", groups, "x=0", ["demographic_parity"], config))
        found = judged(found, before, wanted)
        if any(one.state == "alert" for one in found):
            return number + 1
        before += found
    return windows


@pytest.mark.soak
@pytest.mark.parametrize("days", [0.0, 0.03])
def test_groups_that_are_exactly_as_far_as_allowed_keep_the_run_length(days: float) -> None:
    """One false alarm in 20 windows declared; eight groups, one reference, days that differ or don't."""
    rng = np.random.default_rng(1)
    found = np.array([first(rng, 0.1, 200, 20, days) for _ in range(60)])
    assert found.mean() - 2 * found.std() / 60**0.5 >= 20


def test_groups_are_seldom_falsely_in_alarm_and_soon_rightly() -> None:
    rng = np.random.default_rng(2)
    assert np.mean([first(rng, 0.1, 20, 20) for _ in range(6)]) > 10
    assert first(rng, 0.0, 20, 20) == 20
    assert first(rng, 0.2, 20, 20) < 5
