"""Incidents through the database: opened by windows, looked after, told until they are told."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from monitor.incidents.test_channels import Receiver, receiver  # noqa: F401
from treadle.kernel.clock import ManualClock
from treadle.kernel.config.notify import NotifyConfig
from treadle.kernel.errors import Conflict, InvalidInput, NotFound, Unavailable
from treadle.kernel.events import record, timeline
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import (
    Alert,
    Incident,
    IncidentChange,
    Incidents,
    Monitors,
    NewMute,
    PredictionLog,
    incident_page,
)
from treadle.monitor.incidents import grouping, rules, store
from treadle.monitor.incidents.outbox import Outbox
from treadle.monitor.incidents.types import Delivery, Notice

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
WAYS = ("webhook", "email")


class Taken:
    """A channel that keeps what it is sent, unless it is told to fail."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.failing = False

    def send(self, notice: Notice) -> None:
        if self.failing:
            raise Unavailable("the receiver is away")
        self.notices.append(notice)


@pytest.fixture
def troubled(world: Any) -> Any:
    """A calm week, then two in which the hours have moved."""
    world.register()
    log = PredictionLog(world.workspace)
    for week in range(3):
        predictions, labels = world.traffic(7 * week, days=7, drift=0 if week < 1 else 4)
        log.append("toy", predictions)
        log.append_labels("toy", labels)
    world.workspace.clock.at = START + 3 * WEEK
    return world


def evaluate(world: Any, weeks: int = 3) -> Incidents:
    Monitors(world.workspace).evaluate("toy", START + weeks * WEEK)
    return Incidents(world.workspace)


def only(incidents: Incidents) -> Incident:
    [one] = incidents.list("toy")
    return one


def test_what_moved_together_is_one_incident_that_tells_why(troubled: Any) -> None:
    for day, message in ((-1, "Too long ago."), (5, "Another replica.")):
        at = START + timedelta(days=day)
        with troubled.workspace.database.write() as connection:
            record(connection, Event(message, at, at, "model:toy", "deployed", "ann", message))
    incidents = evaluate(troubled)
    one = only(incidents)
    assert (one.id, one.number, one.state) == ("toy-1", 1, "open")
    assert {"quality", "input", "prediction"} & set(one.kinds)
    assert (one.since, one.opened_at) == (START + WEEK, START + 2 * WEEK)
    report = incidents.show("toy-1")
    assert {alert.id for alert in report.alerts} == {
        alert.id for alert in Monitors(troubled.workspace).alerts("toy")
    }
    assert "hour" in {cause.subject for cause in report.causes}
    assert report.causes[-1].kind in {"prediction", "performance"}
    assert report.predictions == 2 * 7 * 200
    assert report.affected == "all rows of toy/1"
    assert [event.message for event in report.production] == ["Another replica."], (
        "what was there long before is not"
    )
    assert report.next[0] == "treadle incidents ack toy-1"
    page = incident_page(report)
    assert "<svg" in page
    assert f">{START + 3 * WEEK:%Y-%m-%d}</text>" in page, "the course says when"
    assert "toy-1" in page
    assert "Another replica" in page


def test_what_no_window_tells_of_is_shown_beside_the_causes(troubled: Any) -> None:
    declare(troubled)
    incidents = evaluate(troubled)
    about = only(incidents).version
    rest = Alert(
        id="rest", model="toy", kind="retraining", at=START + 3 * WEEK, subjects=("toy",),
        sentence="3 cycles in a row were refused, so triggers rest", version=about,
    )  # fmt: skip
    assert incidents.show("toy-1").beside == []
    for again in ("rest", "rest-2"):
        assert Monitors(troubled.workspace).report(msgspec.structs.replace(rest, id=again))
    report = incidents.show("toy-1")
    assert [one.sentence for one in report.beside] == [rest.sentence]
    assert (report.windowed, rest.sentence in incident_page(report)) == (True, True)
    notices = [one.notice for one in incidents.deliveries("toy-1")]
    assert [(one.occasion, one.growths, one.again) for one in notices] == [("opened", 0, 0), ("worse", 0, 1)]
    assert notices[0].incident.severity == notices[1].incident.severity, "so only `again` tells Alertmanager"


def test_calm_weeks_open_nothing(troubled: Any) -> None:
    assert evaluate(troubled, 1).list("toy") == []


def test_one_window_is_not_enough_where_two_of_three_are_declared(troubled: Any) -> None:
    config = troubled.workspace.config
    patient = msgspec.structs.replace(config.monitor, persist=2, among=3)
    troubled.workspace.config = msgspec.structs.replace(config, monitor=patient)
    assert evaluate(troubled, 2).list("toy") == []
    assert only(evaluate(troubled, 3)).opened_at == START + 3 * WEEK


def test_it_is_taken_and_resolved_once(troubled: Any) -> None:
    incidents = evaluate(troubled)
    taken = incidents.change("toy-1", IncidentChange(state="acknowledged", note="looking"), "ann")
    assert (taken.state, taken.acknowledged_by, taken.note) == ("acknowledged", "ann", "looking")
    over = incidents.change("toy-1", IncidentChange(state="resolved", note="it was the till"), "bob")
    assert (over.state, over.resolved_by) == ("resolved", "bob")
    assert over.note == "looking; it was the till", "what ann wrote isn't lost"
    assert incidents.list("toy", "open") == []
    assert incidents.list("toy", "resolved") == [over]
    assert incidents.show("toy-1").next == ("treadle incidents",)
    with pytest.raises(Conflict, match="resolved by bob"):
        incidents.change("toy-1", IncidentChange(state="acknowledged"), "ann")
    messages = [event.message for event in timeline(troubled.workspace.database, "model:toy")]
    assert any("toy-1 was resolved by bob" in message for message in messages)
    assert "toy-1 was taken by ann: looking" in messages


def test_it_resolves_by_itself_when_all_is_well_again(troubled: Any) -> None:
    log = PredictionLog(troubled.workspace)
    predictions, labels = troubled.traffic(21, days=7)
    log.append("toy", predictions)
    log.append_labels("toy", labels)
    one = only(evaluate(troubled, 4))
    assert (one.state, one.resolved_by, one.resolved_at) == ("resolved", "monitor", START + 4 * WEEK)


def test_it_goes_on_with_a_version_that_is_in_the_same_trouble(troubled: Any) -> None:
    """One cause over months and versions is one incident, told of once."""
    evaluate(troubled, 3)
    troubled.register(run="run_2")
    log = PredictionLog(troubled.workspace)
    for week in range(3, 8):
        log.append("toy", troubled.traffic(7 * week, days=7, drift=4, version=2)[0])
    incidents = evaluate(troubled, 8)
    one = only(incidents)
    assert (one.state, one.version, one.opened_at) == ("open", 2, START + 2 * WEEK)
    raised = Monitors(troubled.workspace).alerts("toy")
    assert {(alert.kind, alert.version) for alert in raised} >= {("input", 1), ("input", 2)}
    assert {alert.id for alert in incidents.show("toy-1").alerts} == {alert.id for alert in raised}
    messages = [
        event.facts["occasion"]
        for event in timeline(troubled.workspace.database, "model:toy", kinds=["incident"])
    ]
    assert messages.count("opened") == 1
    assert "resolved" not in messages

    predictions, _ = troubled.traffic(56, days=7, version=2)
    log.append("toy", predictions)
    assert only(evaluate(troubled, 9)).state == "resolved"


def test_what_nobody_could_answer_yet_is_not_told_again(troubled: Any) -> None:
    """The platform was down for a week: who is told today has a day to answer."""
    before = only(evaluate(troubled, 2))
    now = troubled.workspace.clock.at
    assert now - before.opened_at == WEEK
    with troubled.workspace.database.write() as connection:
        grouping.escalate(connection, "toy", now, NotifyConfig(), WAYS)
        grouping.escalate(connection, "toy", now + timedelta(hours=23), NotifyConfig(), WAYS)
        assert store.read_incidents(connection, "toy") == [before]
        grouping.escalate(connection, "toy", now + timedelta(hours=24), NotifyConfig(), WAYS)
    assert only(Incidents(troubled.workspace)).escalated_at == now + timedelta(hours=24)


def test_what_nobody_answers_is_told_again(troubled: Any) -> None:
    troubled.workspace.clock.at = START + 2 * WEEK
    before = only(evaluate(troubled, 2))
    with troubled.workspace.database.write() as connection:
        grouping.escalate(connection, "toy", START + 2 * WEEK + timedelta(days=1), NotifyConfig(), WAYS)
        grouping.escalate(connection, "toy", START + 2 * WEEK + timedelta(days=2), NotifyConfig(), WAYS)
    after = only(Incidents(troubled.workspace))
    assert after.escalated_at == START + 2 * WEEK + timedelta(days=1)
    assert after.severity == before.severity == "warning", "it is drift, told again but not made worse"
    sent = Incidents(troubled.workspace).deliveries("toy-1")
    assert [one.notice.occasion for one in sent] == ["escalated"] * 2


def told(world: Any) -> list[Delivery]:
    """What would be sent of all incidents by the ways that are declared."""
    return [*Incidents(world.workspace).deliveries("toy-1")]


def declare(world: Any, webhook: str = "http://127.0.0.1:9/hook") -> None:
    config = world.workspace.config
    notify = NotifyConfig(webhook=webhook)
    world.workspace.config = msgspec.structs.replace(
        config, monitor=msgspec.structs.replace(config.monitor, notify=notify)
    )


def test_a_muted_model_keeps_its_alerts_to_itself(troubled: Any) -> None:
    declare(troubled)
    incidents = Incidents(troubled.workspace)
    troubled.workspace.clock.at = START + WEEK
    mute = incidents.mute("toy", NewMute(hours=24 * 30, reason="moving house"), "ann")
    assert incidents.mutes("toy") == (mute,)
    assert evaluate(troubled).list("toy"), "it is kept"
    assert told(troubled) == []
    incidents.unmute(mute.id, "bob")
    assert incidents.mutes("toy") == ()
    did = [one for one in timeline(troubled.workspace.database, "model:toy") if "muted" in one.kind]
    until = f"{mute.until:%Y-%m-%d %H:%M}"
    assert [(one.actor, one.message) for one in did] == [
        ("ann", f"nobody is told of toy until {until}: moving house"),
        ("bob", f"people are told of toy again, before {until}"),
    ]
    with pytest.raises(NotFound):
        incidents.unmute(mute.id)


def test_what_is_not_muted_is_on_its_way(troubled: Any) -> None:
    declare(troubled)
    evaluate(troubled)
    found = told(troubled)
    assert [one.notice.occasion for one in found] == ["opened"], "of three alerts one notice"
    assert len(found[0].notice.incident.kinds) > 1
    assert {one.channel for one in found} == {"webhook"}
    assert found[0].attempts == 1, "nobody listens there"
    assert "wasn't taken" in found[0].error


def test_what_says_nothing_or_is_not_there_is_refused(world: Any) -> None:
    world.register()
    incidents = Incidents(world.workspace)
    for new in (
        NewMute(hours=0, reason="x"),
        NewMute(hours=1e9, reason="x"),
        NewMute(hours=float("nan"), reason="x"),
        NewMute(hours=1, reason=" "),
        NewMute(hours=1, reason="x", kind="drift"),
        NewMute(hours=1, reason="x", subject="houre"),
        NewMute(hours=1, reason="x", kind="input", subject="metric"),
    ):
        with pytest.raises(InvalidInput):
            incidents.mute("toy", new, "ann")
    with pytest.raises(InvalidInput) as refused:
        incidents.mute("toy", NewMute(hours=1, reason="x", subject="houre"), "ann")
    assert refused.value.fix == "did you mean 'hour'?"
    for subject, kind in [
        ("hour", ""),
        ("prediction", ""),
        ("roc_auc", "performance"),
        ("any", "retraining"),
    ]:
        incidents.mute("toy", NewMute(hours=1, reason="x", kind=kind, subject=subject), "ann")
    for ask in (incidents.show, incidents.deliveries):
        with pytest.raises(NotFound, match="toy-9"):
            ask("toy-9")
    with pytest.raises(NotFound):
        incidents.change("toy-9", IncidentChange(state="resolved"), "ann")


@pytest.fixture
def outbox(world: Any) -> tuple[Outbox, dict[str, Taken], ManualClock]:
    """Two channels, and one incident that is to be told by both."""
    channels, clock = {way: Taken() for way in WAYS}, ManualClock(datetime.now(UTC) + timedelta(seconds=1))
    incident = Incident(
        id="toy-1", model="toy", number=1, version=1, state="open", severity="warning", title="It moved.",
        since=START, opened_at=START, last_at=START, kinds=("input",), subjects=("hour",),
    )  # fmt: skip
    with world.workspace.database.write() as connection:
        store.put_incident(connection, incident)
        for way in WAYS:
            store.add_delivery(connection, rules.notice(incident, "opened", START, "It moved."), way, START)
    return Outbox(world.workspace, channels, clock), channels, clock


def test_a_notice_goes_out_once_by_every_way(outbox: Any, world: Any) -> None:
    box, channels, clock = outbox
    assert (box.deliver(), box.deliver()) == (2, 0)
    assert {way: len(channel.notices) for way, channel in channels.items()} == {"webhook": 1, "email": 1}
    assert all(one.delivered_at == clock.at for one in Incidents(world.workspace).deliveries("toy-1"))


def test_a_way_that_fails_is_tried_again_later(outbox: Any, world: Any) -> None:
    box, channels, clock = outbox
    channels["email"].failing = True
    assert box.deliver() == 1
    assert box.deliver() == 0, "it waits"
    for attempt in range(2, 5):
        clock.at += timedelta(seconds=10 * 2 ** (attempt - 2))
        assert box.deliver() == 0
        [waiting] = [one for one in Incidents(world.workspace).deliveries("toy-1") if not one.delivered_at]
        assert (waiting.attempts, waiting.error) == (attempt, "the receiver is away")
    channels["email"].failing = False
    clock.at += timedelta(hours=1)
    assert box.deliver() == 1
    assert len(channels["email"].notices) == 1


def test_two_processes_do_not_send_the_same(outbox: Any, world: Any) -> None:
    _, _, clock = outbox
    with world.workspace.database.read() as connection:
        [first, _] = store.due(connection, clock.at)
    with world.workspace.database.write() as connection:
        assert store.claim(connection, first, clock.at + timedelta(minutes=1))
        assert not store.claim(connection, first, clock.at + timedelta(minutes=1))


def test_a_killed_process_loses_no_notice(outbox: Any, world: Any) -> None:
    """kill -9 with a notice in hand: it goes out again once the lease is over, with the same identity."""
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from treadle.kernel.workspace import Workspace
        from treadle.monitor.incidents.outbox import Outbox

        class Dies:
            def send(self, notice):
                print(notice.id, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        Outbox(Workspace.open(Path(sys.argv[1])), {"webhook": Dies()}).deliver()
        """
    )
    box, channels, clock = outbox
    asked = [sys.executable, "-c", script, str(world.workspace.root)]
    died = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=60)
    assert died.returncode == -9, died.stderr
    assert box.deliver() == 1, "the other way is open; this one is taken"
    clock.at += timedelta(minutes=2)
    assert box.deliver() == 1
    assert [notice.id for notice in channels["webhook"].notices] == died.stdout.split()


def test_what_no_channel_takes_waits_for_one(outbox: Any, world: Any) -> None:
    _, _, clock = outbox
    assert Outbox(world.workspace, {}, clock).deliver() == 0
    channel = Taken()
    assert Outbox(world.workspace, {"email": channel}, clock).deliver() == 1


def test_a_channel_that_stumbles_does_not_stop_the_others(outbox: Any, world: Any) -> None:
    class Stumbles:
        def send(self, notice: Notice) -> None:
            raise ZeroDivisionError(notice.id)

    _, channels, clock = outbox
    assert (
        Outbox(world.workspace, {"email": Stumbles(), "webhook": channels["webhook"]}, clock).deliver() == 1
    )
    assert any("ZeroDivisionError" in one.error for one in Incidents(world.workspace).deliveries("toy-1"))


def test_a_receiver_hears_of_an_incident_in_order(outbox: Any, world: Any) -> None:
    """The mail server was away when it opened, and is back when it is over."""
    box, channels, clock = outbox
    channels["email"].failing = True
    for _ in range(9):
        box.deliver()
        clock.at += timedelta(hours=2)
    box.deliver()  # tried again in about an hour
    channels["email"].failing = False
    with world.workspace.database.write() as connection:
        incident = store.find_incident(connection, "toy-1")
        assert incident is not None
        grouping.resolve(connection, incident, clock.at, "ann", "", WAYS)
        for one in store.read_deliveries(connection, "toy-1"):  # told at the machine's time
            if one.delivered_at is None:
                store.settle(connection, one, next_at=clock.at)
    box.deliver()
    for channel in channels.values():
        assert [one.occasion for one in channel.notices] == ["opened", "resolved"]


def test_what_waits_is_tried_when_there_is_more_to_tell(outbox: Any, world: Any) -> None:
    box, channels, clock = outbox
    channels["email"].failing = True
    for _ in range(9):
        box.deliver()
        clock.at += timedelta(hours=2)
    box.deliver()
    channels["email"].failing = False
    assert box.deliver() == 0, "it waits for up to an hour"
    incident = Incidents(world.workspace).show("toy-1").incident
    worse = rules.notice(incident, "worse", START + WEEK, "It moved further.")
    with world.workspace.database.write() as connection:
        store.add_delivery(connection, worse, "email", clock.at)
    assert box.deliver() == 2
    assert [one.occasion for one in channels["email"].notices] == ["opened", "worse"]


def test_who_was_not_told_of_it_is_not_told_that_it_is_over(outbox: Any, world: Any) -> None:
    _, _, clock = outbox
    muted = msgspec.structs.replace(
        Incidents(world.workspace).show("toy-1").incident, id="toy-2", number=2, subjects=("price",)
    )
    with world.workspace.database.write() as connection:
        store.put_incident(connection, muted)
        grouping.resolve(connection, muted, clock.at, "ann", "", WAYS)
        assert store.read_deliveries(connection, "toy-2") == []
        told = store.find_incident(connection, "toy-1")
        assert told is not None
        grouping.resolve(connection, told, clock.at, "ann", "", [*WAYS, "slack"])
        found = store.read_deliveries(connection, "toy-1")
    assert {one.channel for one in found if one.notice.occasion == "resolved"} == set(WAYS)


def test_another_model_s_incident_of_a_like_name_is_not_this_one_s(outbox: Any, world: Any) -> None:
    _, _, clock = outbox
    other = msgspec.structs.replace(
        Incidents(world.workspace).show("toy-1").incident, id="toy-1-1", model="toy-1"
    )
    with world.workspace.database.write() as connection:
        store.add_delivery(connection, rules.notice(other, "opened", START, "It moved."), "email", clock.at)
    assert len(Incidents(world.workspace).deliveries("toy-1")) == len(WAYS)


def test_a_test_says_who_took_it_and_who_did_not(world: Any, receiver: Receiver) -> None:  # noqa: F811
    world.register()
    with (world.workspace.root / "treadle.toml").open("a") as file:
        file.write(f'[monitor]\nwebhook = "{receiver.url}/alerts"\n')
        file.write(f'[monitor.notify]\nwebhook = "http://127.0.0.1:1/"\nalertmanager = "{receiver.url}"\n')
    world.workspace = Workspace.open(world.workspace.root)
    found = {one.channel: one.error for one in Incidents(world.workspace).test("toy", "ann")}
    assert (found["alertmanager"], found["alerts"]) == ("", "")
    assert "http://127.0.0.1:1/: the notice wasn't taken" in found["webhook"]
    (path, body, _), (_, [alert], _) = receiver.got
    assert alert["labels"]["incident"] == "toy-test"
    began, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
    assert ends - began == timedelta(minutes=5), "it ends by itself"
    assert (path, body["sentence"].startswith("this is a test by ann")) == ("/alerts", True)
    assert Incidents(world.workspace).list("toy") == []


def test_what_waits_is_sent_once_a_test_got_through(outbox: Any, world: Any, receiver: Receiver) -> None:  # noqa: F811
    world.register()
    box, channels, clock = outbox
    for channel in channels.values():
        channel.failing = True
    for _ in range(9):
        box.deliver()
        clock.at += timedelta(hours=2)
    box.deliver()  # tried again in about an hour
    declare(world, f"{receiver.url}/hook")
    now = datetime.now(UTC)
    Incidents(world.workspace).test("toy", "ann")
    waiting = {one.channel: one.next_at for one in Incidents(world.workspace).deliveries("toy-1")}
    assert now <= waiting["webhook"] <= datetime.now(UTC)
    assert waiting["email"] > clock.at, "that wasn't tested"
