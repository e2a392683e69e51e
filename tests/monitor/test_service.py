"""The monitors over simulated months: what they find, once, and what they make of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.incidents.test_channels import Receiver, receiver  # noqa: F401
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, NotFound
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.monitor import (
    Incidents,
    LabelBatch,
    Monitors,
    PredictionBatch,
    PredictionLog,
    WindowResult,
)
from treadle.monitor.incidents.channels import channels
from treadle.monitor.incidents.outbox import Outbox
from treadle.monitor.sampling import draw

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def send(world: Any, day: int, n: int = 200, **options: Any) -> tuple[PredictionBatch, LabelBatch]:
    log = PredictionLog(world.workspace)
    predictions, labels = world.traffic(day, n, **options)
    log.append("toy", predictions)
    log.append_labels("toy", labels)
    return predictions, labels


def by(results: list[WindowResult], kind: str, subject: str | None = None) -> list[WindowResult]:
    return [r for r in results if r.kind == kind and subject in {None, r.subject}]


def test_a_calm_quarter_raises_nothing_and_one_with_change_tells_what_changed(world: Any) -> None:
    world.register()
    monitors = Monitors(world.workspace)
    for week in range(6):
        send(world, 7 * week, days=7)
    calm = monitors.evaluate("toy", START + 6 * WEEK)
    assert len(calm) == 6 * 5
    assert {r.state for r in calm} == {"ok"}
    assert monitors.alerts("toy") == []
    first = by(calm, "performance")[0]
    assert (first.since, first.until, first.n) == (
        START + WEEK - 4 * WEEK,
        START + WEEK,
        pytest.approx(1360, abs=30),
    )
    assert first.low is not None
    assert first.value is not None
    assert first.low < first.value < first.high
    assert 0.4 < first.base_rate < 0.6
    assert "roc_auc" in first.sentence
    assert "have labels (97 %)" in first.sentence

    for week in range(6, 10):
        send(world, 7 * week, days=7, drift=4, decay=0.9)
    found = monitors.evaluate("toy", START + 10 * WEEK)
    assert [r.state for r in by(found, "input", "hour")] == ["alert"] * 4
    assert [r.state for r in by(found, "input", "carrier")] == ["ok"] * 4
    assert {r.state for r in by(found, "prediction")} == {"alert"}
    assert by(found, "performance")[-1].state == "alert"
    drift = by(found, "input", "hour")[0]
    assert drift.value > drift.limit == 0.1
    assert "hour drifted: PSI" in drift.sentence
    assert drift.sentence.endswith("mean 15.96, was 11.97")
    raised = monitors.alerts("toy")
    assert [a.kind for a in raised].count("input") == 1  # the cooldown of 28 days
    assert {a.kind for a in raised} == {"input", "prediction", "performance"}
    performance = next(a for a in raised if a.kind == "performance")
    assert performance.subjects == ("roc_auc",)
    assert "at registration by more than the 0.02 allowed" in performance.sentence
    assert all(a.delivered and a.cycle is None for a in raised)
    events = timeline(world.workspace.database, "model:toy")
    assert {e.id for e in events if e.kind == "alert"} == {f"alert:{a.id}" for a in raised}


def test_each_window_is_computed_once_and_only_when_it_has_ended(world: Any) -> None:
    world.register()
    send(world, 0, days=30)
    monitors = Monitors(world.workspace)
    assert monitors.evaluate("toy", START + WEEK - timedelta(microseconds=1)) == []
    first = monitors.evaluate("toy", START + WEEK)
    assert {(r.until - WEEK, r.until) for r in by(first, "input")} == {(START, START + WEEK)}
    assert monitors.evaluate("toy", START + WEEK) == []
    rest = monitors.evaluate("toy", START + 4 * WEEK + timedelta(days=3))
    assert [r.until for r in by(rest, "prediction")] == [START + n * WEEK for n in (2, 3, 4)]
    assert monitors.windows("toy") == sorted(first + rest, key=lambda r: (r.until, r.kind, r.subject))
    assert {r.until for r in monitors.windows("toy", since=START + 3 * WEEK)} == {START + 4 * WEEK}


def test_catching_up_after_an_outage_gives_the_same_as_having_been_there(
    world: Any, tmp_path: Path, project: Path
) -> None:
    world.register()
    monitors = Monitors(world.workspace)
    seen = []
    sent = []
    for week in range(5):
        sent.append(send(world, 7 * week, days=7, delay=timedelta(days=4), drift=0.7 * week))
        seen += monitors.evaluate("toy", START + (week + 1) * WEEK)
    # Elsewhere everything arrives first, in another order, corrections and all; monitors start late.
    other = tmp_path / "other"
    other.mkdir()
    (other / "treadle.toml").write_text((project / "treadle.toml").read_text())
    late = Workspace.open(other, clock=ManualClock(world.workspace.clock.now()))
    again = type(world)(late)
    again.register()
    log = PredictionLog(late)
    for predictions, labels in reversed(sent):
        log.append_labels("toy", labels)
        log.append("toy", predictions)
        correction = msgspec.structs.replace(
            labels, batch=f"{labels.batch}c", values=[1 - v for v in labels.values],
            known_at=[(START + 9 * WEEK).timestamp()] * len(labels.ids),
        )  # fmt: skip
        log.append_labels("toy", correction)
    found = Monitors(late).evaluate("toy", START + 5 * WEEK)
    means = [r.mean_prediction for r in found if r.kind == "prediction"]
    assert means == pytest.approx([r.mean_prediction for r in seen if r.kind == "prediction"], rel=1e-12)
    # Only a mean's last bit may depend on the order in which the engine adds up.
    assert [msgspec.structs.replace(r, mean_prediction=None) for r in found] == [
        msgspec.structs.replace(r, mean_prediction=None) for r in seen
    ]
    assert Monitors(late).alerts("toy") == monitors.alerts("toy")
    # Whom nobody told of an incident isn't too late with it: that is counted from when it is found.
    opened, there = (
        [msgspec.structs.replace(one, escalated_at=None) for one in Incidents(workspace).list("toy")]
        for workspace in (late, world.workspace)
    )
    assert opened == there != []
    late.close()


def test_labels_that_are_not_known_yet_are_not_used_and_reported(world: Any) -> None:
    world.register()
    send(world, 0, days=21, delay=timedelta(days=10))
    found = by(Monitors(world.workspace).evaluate("toy", START + 3 * WEEK), "performance")
    assert (found[0].state, found[0].n, found[0].value) == ("inconclusive", 0, None)
    assert "too few to tell (200 needed): 0 of version 1's 1," in found[0].sentence
    assert 2000 < found[2].n < 2400
    assert (600 < found[1].n < 900, found[1].value) == (True, None)  # 4 of 14 days: more than half would go
    assert "only 27 % of the labels to come are there" in found[1].sentence
    left = round(found[2].n / 0.8)  # so many that four fifths have theirs
    assert f"{found[2].n:,} of version 1's {left:,} predictions since" in found[2].sentence
    assert "and up to 2026-01-14 have labels (80 %)" in found[2].sentence
    assert found[2].value is not None


@pytest.mark.parametrize("sample", [1.0, 0.5])
def test_labels_that_name_no_prediction_are_told(world: Any, sample: float) -> None:
    """Who sends them under other keys hears no error, and wonders why there is no figure."""
    world.register()
    config = world.workspace.config
    world.workspace.config = msgspec.structs.replace(
        config, monitor=msgspec.structs.replace(config.monitor, sample=sample)
    )
    predictions, labels = world.traffic(0, days=7, delay=timedelta(0))
    log, astray = PredictionLog(world.workspace), [f"order-{one}" for one in labels.ids]
    log.append("toy", predictions)
    log.append_labels("toy", msgspec.structs.replace(labels, ids=astray))
    [found] = by(Monitors(world.workspace).evaluate("toy", START + WEEK), "performance")
    kept = sum(draw(one) < sample for one in astray)
    told = f"{kept:,} of the {kept:,} labels that became known since 2025-12-11 name no prediction since then"
    assert told in found.sentence
    assert log.strays("toy", START, START + WEEK) == (kept, kept)
    log.append_labels("toy", msgspec.structs.replace(labels, batch="again"))
    named = sum(draw(one) < sample for one in labels.ids)
    assert log.strays("toy", START, START + WEEK) == (kept + named, kept)


def test_duplicates_and_wrong_labels_corrected_in_time_change_nothing(world: Any) -> None:
    world.register()
    log = PredictionLog(world.workspace)
    predictions, labels = world.traffic(0, 200, days=7)
    wrong = msgspec.structs.replace(labels, batch="wrong", values=[1 - v for v in labels.values],
        known_at=[k - 60 for k in labels.known_at])  # fmt: skip
    for batch in (wrong, labels, msgspec.structs.replace(labels, batch="again")):
        log.append_labels("toy", batch)
    log.append("toy", predictions)
    log.append("toy", msgspec.structs.replace(predictions, batch="again"))
    found = by(Monitors(world.workspace).evaluate("toy", START + WEEK), "performance")[0]
    known = np.array(labels.known_at) <= (START + WEEK).timestamp()
    from treadle.evaluate import estimate

    expected = estimate("roc_auc", np.array(labels.values)[known], np.array(predictions.outputs)[known])
    # A label whose wrong first value was known by the end and its correction wasn't: that is what was known.
    assert found.value == pytest.approx(expected.value, abs=0.01)
    assert abs(found.n - known.sum()) <= 2


def test_one_class_and_too_few_days_are_inconclusive(world: Any) -> None:
    world.register()
    log = PredictionLog(world.workspace)
    predictions, labels = world.traffic(0, 300, days=2)
    log.append("toy", predictions)
    log.append_labels("toy", labels)
    few = by(Monitors(world.workspace).evaluate("toy", START + WEEK), "performance")[0]
    assert (few.state, few.value) == ("inconclusive", None)
    assert "they lie in 3 stretches" in few.sentence or "they lie in 2 stretches" in few.sentence
    predictions, labels = world.traffic(35, 300, days=7)
    log.append("toy", predictions)
    log.append_labels("toy", msgspec.structs.replace(labels, values=[0.0] * len(labels.values)))
    one = by(Monitors(world.workspace).evaluate("toy", START + 6 * WEEK), "performance")[-1]
    assert (one.state, one.value, one.base_rate) == ("inconclusive", None, 0.0)
    assert "an AUC needs both classes" in one.sentence


def test_a_loss_is_worse_when_it_is_higher(world: Any) -> None:
    world.register(metric="brier")
    for week in range(8):
        send(world, 7 * week, days=7, decay=0.9 if week >= 4 else 0.0)
    found = by(Monitors(world.workspace).evaluate("toy", START + 8 * WEEK), "performance", "brier")
    assert [r.state for r in found[:4]] == ["ok"] * 4
    assert found[-1].state == "alert"
    assert found[-1].low > found[-1].limit > found[0].value


def test_a_new_version_is_judged_by_its_own_rows_against_its_own_profile(world: Any) -> None:
    world.register()
    for week in range(4):
        send(world, 7 * week, days=7, decay=0.9)
    monitors = Monitors(world.workspace)
    monitors.evaluate("toy", START + 4 * WEEK)
    world.workspace.clock.at = START + 4 * WEEK  # promoted at the very end of a window
    world.register(run="run_2", value=0.55)
    send(world, 28, days=6, version=1)
    send(world, 34, 150, version=2)
    young = monitors.evaluate("toy", START + 5 * WEEK)
    assert {r.version for r in young} == {2}
    assert {r.state for r in by(young, "input")} == {"ok"}  # inputs are those of all requests
    assert by(young, "input")[0].n == 1350
    assert (by(young, "prediction")[0].state, by(young, "prediction")[0].n) == ("inconclusive", 150)
    assert "150 rows of version 2 are too few" in by(young, "prediction")[0].sentence
    assert by(young, "performance")[0].state == "inconclusive"
    assert "118 of version 2's 147 predictions" in by(young, "performance")[0].sentence
    send(world, 35, days=7, version=2)
    grown = by(monitors.evaluate("toy", START + 6 * WEEK), "performance")[0]
    assert (grown.state, grown.version, grown.limit) == ("ok", 2, pytest.approx(0.53))


def test_the_reference_is_what_was_in_production_then_not_what_is_now(world: Any) -> None:
    world.register()
    send(world, 0, days=14)
    world.workspace.clock.at = START + WEEK + timedelta(days=3)
    world.register(run="run_2")
    found = Monitors(world.workspace).evaluate("toy", START + 2 * WEEK)
    assert [(r.until, r.version) for r in by(found, "prediction")] == [
        (START + WEEK, 1),
        (START + 2 * WEEK, 2),
    ]


def test_without_a_version_in_production_there_is_nothing_to_hold_it_against(world: Any) -> None:
    world.workspace.clock.at = START + WEEK
    world.register()
    send(world, 0, days=14)
    found = Monitors(world.workspace).evaluate("toy", START + 2 * WEEK)
    assert {r.until for r in found} == {START + 2 * WEEK}


def test_nothing_logged_is_nothing_to_compute_and_a_silent_week_is_inconclusive(world: Any) -> None:
    world.register()
    monitors = Monitors(world.workspace)
    assert monitors.evaluate("toy", START + 50 * WEEK) == []
    assert monitors.summary("toy").results == ()
    send(world, 0, days=7)
    send(world, 14, days=7)
    found = monitors.evaluate("toy", START + 3 * WEEK)
    silent = [r for r in found if r.until == START + 2 * WEEK and r.kind != "performance"]
    assert {(r.state, r.n, r.value) for r in silent} == {("inconclusive", 0, None)}
    assert {r.state for r in found if r.until == START + 3 * WEEK} == {"ok"}


def test_an_alert_is_raised_again_after_the_cooldown(world: Any) -> None:
    world.register()
    for week in range(9):
        send(world, 7 * week, days=7, drift=4)
    monitors = Monitors(world.workspace)
    found = monitors.evaluate("toy", START + 9 * WEEK)
    assert [r.state for r in by(found, "input", "hour")] == ["alert"] * 9
    raised = [a for a in monitors.alerts("toy") if a.kind == "input"]
    assert [a.at for a in raised] == [START + n * WEEK for n in (1, 5, 9)]
    assert len({a.id for a in raised}) == 3


def test_a_drift_that_is_bad_data_is_told_once(world: Any) -> None:
    world.register()
    log = PredictionLog(world.workspace)
    predictions, _ = world.traffic(0, 200, days=7, drift=2)
    log.append(
        "toy", msgspec.structs.replace(predictions, inputs={**predictions.inputs, "carrier": ["ZZ"] * 1400})
    )
    monitors = Monitors(world.workspace)
    monitors.evaluate("toy", START + WEEK)
    alert = next(a for a in monitors.alerts("toy") if a.kind == "input")
    # The carrier is another one in every row: that is told once, as what it is.
    assert alert.subjects == ("hour",)
    found = next(r for r in monitors.windows("toy") if (r.kind, r.subject) == ("input", "carrier"))
    assert (found.state, found.explained_by) == ("alert", "quality:carrier:unseen")
    assert "other values 100.0 % of rows, was 0.0 %; the quality of the data explains it" in found.sentence
    trouble = next(a for a in monitors.alerts("toy") if a.kind == "quality")
    assert trouble.subjects == ("carrier",)
    assert "a text that training didn't have in 100 % of 1,400 rows; up to 1 % is" in trouble.sentence


def test_one_alert_names_several_columns(world: Any) -> None:
    world.register()
    log = PredictionLog(world.workspace)
    predictions, _ = world.traffic(0, 200, days=7, drift=2)
    log.append(
        "toy", msgspec.structs.replace(predictions, inputs={**predictions.inputs, "carrier": ["WN"] * 1400})
    )
    monitors = Monitors(world.workspace)
    monitors.evaluate("toy", START + WEEK)
    alert = next(a for a in monitors.alerts("toy") if a.kind == "input")
    assert alert.subjects == ("carrier", "hour")
    assert alert.sentence.startswith("2 of 2 inputs drifted: carrier (PSI ")
    assert "'WN' 100.0 % of rows, was 9.8 %" in alert.sentence


def test_two_that_evaluate_at_once_compute_each_window_once(world: Any) -> None:
    world.register()
    send(world, 0, days=28, drift=4)
    found: list[WindowResult] = []

    def look() -> None:
        found.extend(Monitors(world.workspace).evaluate("toy", START + 4 * WEEK))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 * 5
    assert sorted((r.until, r.kind, r.subject) for r in found) == [
        (r.until, r.kind, r.subject) for r in Monitors(world.workspace).windows("toy")
    ]
    assert len([a for a in Monitors(world.workspace).alerts("toy") if a.kind == "input"]) == 1


def test_a_window_whose_writing_was_cut_off_is_computed_again(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register()
    send(world, 0, days=7, drift=4)
    monitors = Monitors(world.workspace)

    def cut(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("treadle.monitor.service.record", cut)
        with pytest.raises(KeyboardInterrupt):
            monitors.evaluate("toy", START + WEEK)
    assert monitors.windows("toy") == []
    assert monitors.alerts("toy") == []
    assert len(monitors.evaluate("toy", START + WEEK)) == 5
    assert len(monitors.alerts("toy")) == 2


def test_the_webhook_gets_every_alert_once_and_is_not_asked_at_every_look(
    world: Any,
    receiver: Receiver,  # noqa: F811
) -> None:
    """It is away at first, and is tried again after 10 seconds, 20, 40 ...: as notices are."""
    world.register()
    send(world, 0, days=14, drift=4)
    config = world.workspace.config
    monitor = msgspec.structs.replace(config.monitor, webhook=f"{receiver.url}/alerts")
    world.workspace.config = msgspec.structs.replace(config, monitor=monitor)
    receiver.status = 503
    monitors = Monitors(world.workspace)
    for _ in range(5):
        monitors.evaluate("toy", START + WEEK)
    assert len(receiver.got) == 1, "five looks within a second"
    waiting = monitors.alerts("toy")
    assert [alert.delivered for alert in waiting] == [False] * 2
    sent = Incidents(world.workspace).deliveries("toy-1")
    assert [(one.channel, one.attempts) for one in sent] == [("alerts", 1), ("alerts", 0)]
    assert "answered 503" in sent[0].error
    world.workspace.close()

    receiver.status, receiver.got = 200, []
    again = Workspace.open(world.workspace.root)  # the platform has started again
    clock = ManualClock(datetime.now(UTC) + timedelta(seconds=30))
    outbox = Outbox(again, channels(monitor), clock)
    assert (outbox.deliver(), outbox.deliver()) == (2, 0)
    assert [(body["id"], key) for _, body, key in receiver.got] == [(one.id, one.id) for one in waiting]
    assert {body["sentence"] for _, body, _ in receiver.got} == {one.sentence for one in waiting}
    assert [alert.delivered for alert in Monitors(again).alerts("toy")] == [True] * 2
    outbox.add_alerts("toy")
    assert outbox.deliver() == 0
    again.close()


def test_the_webhook_of_the_project_is_used(world: Any, project: Path) -> None:
    config = project / "treadle.toml"
    config.write_text(config.read_text() + '\n[monitor]\nwebhook = "http://127.0.0.1:1/"\n')
    world.register()
    send(world, 0, days=7, drift=4)
    workspace = Workspace.open(project, clock=world.workspace.clock)
    monitors = Monitors(workspace)
    assert monitors.evaluate("toy", START + WEEK)
    assert [a.delivered for a in monitors.alerts("toy")] == [False] * 2
    workspace.close()


def test_an_alert_starts_one_cycle(world: Any) -> None:
    world.register()
    send(world, 0, days=7, drift=4)
    monitors = Monitors(world.workspace)
    monitors.evaluate("toy", START + WEEK)
    first = monitors.alerts("toy")[0]
    monitors.mark_cycle(first.id, "cycle_1")
    monitors.mark_cycle(first.id, "cycle_1")
    assert monitors.alerts("toy")[0].cycle == "cycle_1"
    with pytest.raises(Conflict, match="started cycle_1"):
        monitors.mark_cycle(first.id, "cycle_2")
    with pytest.raises(NotFound, match="no alert 'nope'"):
        monitors.mark_cycle("nope", "cycle_1")


def test_the_summary_shows_the_latest_of_each_monitor(world: Any) -> None:
    world.register()
    send(world, 0, days=14, drift=4)
    monitors = Monitors(world.workspace)
    monitors.evaluate("toy", START + 2 * WEEK)
    summary = monitors.summary("toy")
    assert (summary.version, summary.predictions, summary.until) == (1, 2800, START + 2 * WEEK)
    assert [(r.kind, r.subject) for r in summary.results] == [
        ("performance", "roc_auc"), ("prediction", "prediction"), ("quality", "inputs"),
        ("input", "hour"), ("input", "carrier"),
    ]  # fmt: skip
    assert {r.until for r in summary.results} == {START + 2 * WEEK}
    assert len(summary.alerts) == 2
    assert msgspec.json.decode(msgspec.json.encode(summary), type=type(summary)) == summary


def test_half_a_year_without_change_keeps_to_its_false_alarms(world: Any) -> None:
    world.register()
    log = PredictionLog(world.workspace)
    predictions, labels = world.traffic(0, 60, days=182)
    log.append("toy", predictions)
    log.append_labels("toy", labels)
    monitors = Monitors(world.workspace)
    found = monitors.evaluate("toy", START + 26 * WEEK)
    assert len(by(found, "prediction")) == 26
    # One a year and monitor is declared: more than two in half a year of three monitors would be odd.
    assert len(monitors.alerts("toy")) <= 2


@pytest.fixture
def on(metadata_url: str, project: Path, clock: ManualClock) -> Iterator[Workspace]:
    """The project's workspace on each kind of metadata store."""
    config = project / "treadle.toml"
    config.write_text(config.read_text() + f'\n[store]\nmetadata = "{metadata_url}"\n')
    clock.at = START - timedelta(days=1)
    opened = Workspace.open(project, clock=clock)
    yield opened
    opened.close()


def test_the_same_on_every_metadata_store(on: Workspace, world: Any) -> None:
    here = type(world)(on)
    here.register()
    send(here, 0, days=14, drift=4)
    looks = [threading.Thread(target=Monitors(on).evaluate, args=("toy", START + 2 * WEEK)) for _ in range(3)]
    for look in looks:
        look.start()
    for look in looks:
        look.join()
    monitors = Monitors(on)
    assert len(monitors.windows("toy")) == 10
    assert len(monitors.alerts("toy")) == 2
    monitors.mark_cycle(monitors.alerts("toy")[0].id, "cycle_1")
    assert monitors.summary("toy").alerts[0].cycle == "cycle_1"


def test_an_unknown_model_is_told(world: Any) -> None:
    monitors = Monitors(world.workspace)
    for ask in (monitors.windows, monitors.alerts, monitors.summary, lambda m: monitors.evaluate(m, START)):
        with pytest.raises(NotFound, match="did you mean 'toy'"):
            ask("toyy")
