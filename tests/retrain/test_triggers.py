"""What starts a cycle by itself, what holds it back, and what the timeline tells of it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from retrain.account import account
from retrain.wheel import BY_HAND, SECOND, make, opened, turn, wait_for
from treadle.govern import Usage, Usages
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Busy, Conflict, InvalidInput, NotFound, Refused, TreadleError
from treadle.kernel.events import timeline
from treadle.kernel.lock import Holder, exclusive
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import Incidents, Monitors
from treadle.retrain import AskRetraining, Cycle, Cycles, Loop, NewCycle, Retrainings, Worker
from treadle.retrain.asking import _check_signature
from treadle.retrain.worker import LOCK

DAY = timedelta(days=1)
WEEKLY = '[retrain.triggers.weekly]\non = "schedule"\ncron = "0 3 * * 1"\n'
HOOK = '[retrain.triggers.ci]\non = "webhook"\n'
SECRET = "a secret of the test"


class Up:
    """A workspace whose loop is looked at by hand."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.worker = Worker(workspace, "a test")
        self.loop = Loop(workspace, self.worker)
        self.cycles = Cycles(workspace)
        self.retrainings = Retrainings(workspace, self.loop)

    def end(self, cycle_id: str | None) -> Cycle:
        assert cycle_id is not None
        wait_for(lambda: self.cycles.get(cycle_id).state != "running")
        return self.cycles.get(cycle_id)

    def told(self, *kinds: str) -> list[Event]:
        return timeline(self.workspace.database, "model:toy", kinds=kinds)


@contextmanager
def running(folder: Path, clock: ManualClock, declared: str, **changes: str) -> Iterator[Up]:
    root = make(folder, replicas="1", on="[]", **changes)
    file = root / "treadle.toml"
    file.write_text(file.read_text() + declared)
    with opened(root, clock) as workspace:
        made = Up(workspace)
        try:
            yield made
        finally:
            made.worker.close()


def test_a_schedule_starts_a_cycle_and_the_timeline_tells_of_it(tmp_path: Path, clock: ManualClock) -> None:
    with running(tmp_path / "weekly", clock, WEEKLY) as up:
        assert up.loop.look("toy").cycle is None  # there is nothing to train anew
        first = turn(up.workspace, params={"depth": 9})
        clock.at = datetime(2026, 3, 2, 2, 59, tzinfo=UTC)
        assert up.loop.look("toy").cycle is None
        clock.at = datetime(2026, 3, 2, 3, 0, 5, tzinfo=UTC)
        cycle = up.end(up.loop.look("toy").cycle)
        assert (cycle.trigger.kind, cycle.trigger.name) == ("schedule", "weekly")
        assert up.loop.look("toy").cycle is None
        [_, started] = up.told("cycle_started")
        assert started.actor == "trigger:weekly"
        assert started.message.startswith("a cycle was started: it is due since 2026-03-02 03:00")
        ended = up.told("cycle_promoted", "cycle_unchanged", "cycle_refused", "cycle_held")
        assert [event.facts["cycle"] for event in ended] == [first.id, cycle.id]
        assert ended[1].facts["state"] == cycle.state


def test_new_data_is_counted_since_production_was_trained(tmp_path: Path, clock: ManualClock) -> None:
    more = '[retrain.triggers.more]\non = "data"\nrows = 600\ncooldown = "1d"\n'
    with running(tmp_path / "more", clock, more) as up:
        [before] = up.loop.triggers.signals("toy")
        assert (before.fires, before.reason) == (False, "nothing is in production yet")
        turn(up.workspace)
        clock.at = SECOND + 9 * DAY
        table = pq.read_table(up.workspace.root / "data" / "rows.parquet")  # 60 rows a day
        [before] = up.loop.triggers.signals("toy")
        assert not before.fires
        known = pc.and_(pc.greater(table["known_at"], SECOND), pc.less_equal(table["known_at"], clock.at))
        rows = pc.sum(pc.and_(known, pc.is_valid(table["late"]))).as_py()
        assert 500 < rows < 600
        assert before.reason == f"{rows} rows arrived since toy/1 was trained; 600 rows are asked for"
        clock.at = SECOND + 12 * DAY
        [signal] = up.loop.triggers.signals("toy")
        assert (signal.fires, signal.hold, signal.key) == (True, None, "toy/1:rows@v1")


def test_cycles_that_end_alike_again_and_again_have_triggers_rest_and_tell_so_once(
    tmp_path: Path, clock: ManualClock
) -> None:
    with running(tmp_path / "stuck", clock, WEEKLY) as up:
        for _ in range(3):
            up.cycles.fail(up.cycles.create(NewCycle(trigger=BY_HAND)).id, TreadleError("the disk is full"))
        clock.at = SECOND + 8 * DAY
        for _ in range(3):
            assert up.loop.look("toy").cycle is None
        [stuck] = Monitors(up.workspace).alerts("toy")
        assert (stuck.kind, stuck.subjects) == ("retraining", ("internal",))
        assert stuck.sentence.startswith("3 cycles in a row ended for the same reason")
        [incident] = Incidents(up.workspace).list("toy")
        assert (incident.state, incident.severity, incident.title) == ("open", "warning", stuck.sentence)
        assert "treadle retrain toy --plan" in Incidents(up.workspace).show(incident.id).next
        rests = up.retrainings.plan("toy").rests
        assert rests is not None
        assert (len(rests.cycles), rests.sentence in stuck.sentence) == (3, True)
        [held] = up.told("held_back")
        assert (held.actor, held.facts["cause"]) == ("trigger:weekly", "refusals")
        assert Loop(up.workspace, up.worker).look("toy").cycle is None  # as after a restart
        assert [event.kind for event in up.told("held_back", "alert", "incident")] == [
            "alert", "incident", "held_back",
        ]  # fmt: skip
        by_hand = up.end(up.retrainings.start("toy", AskRetraining(reason="mended", actor="ada")).id)
        assert by_hand.state == "promoted"
        assert up.loop.triggers.resting("toy") is None
        assert up.retrainings.plan("toy").rests is None


def test_the_month_s_budget_holds_back(tmp_path: Path, clock: ManualClock) -> None:
    with running(tmp_path / "poor", clock, WEEKLY + '[budget]\nmonth = "1s"\n') as up:
        up.cycles.fail(up.cycles.create(NewCycle(trigger=BY_HAND)).id, TreadleError("enough"))
        clock.at = SECOND + 8 * DAY
        used = Usage(id="job", at=SECOND, model="toy", run="run_1", cpu_seconds=2.0, wall_seconds=2.0)
        Usages(up.workspace).meter(used)
        assert up.loop.look("toy").cycle is None
        [held] = up.told("held_back")
        assert held.facts["cause"] == "budget"
        assert "the budget is 1.0s" in held.message


def test_so_many_cycles_of_all_models_run_at_once(tmp_path: Path, clock: ManualClock) -> None:
    root = make(tmp_path / "shared", replicas="1")
    text = (root / "treadle.toml").read_text()
    (root / "treadle.toml").write_text(text.replace("[retrain]", "[retrain]\nmax_running = 1", 1))
    with opened(root, clock) as workspace:
        running = Cycles(workspace).create(NewCycle(trigger=BY_HAND))
    (root / "treadle.toml").write_text(
        (root / "treadle.toml").read_text().replace('name = "toy"', 'name = "other"')
    )
    with opened(root, clock) as workspace:
        for call in (Cycles(workspace).check, Cycles(workspace).create):
            with pytest.raises(Conflict, match="1 cycles run, and 1 may run at once") as caught:
                call(NewCycle(trigger=BY_HAND))
            assert running.id in (caught.value.fix or "")
        Cycles(workspace).fail(running.id, TreadleError("enough"))
        assert Cycles(workspace).create(NewCycle(trigger=BY_HAND)).model == "other"


# ── what would be done ───────────────────────────────────────────────────────


def test_a_plan_tells_triggers_rows_cost_and_gates_and_changes_nothing(
    tmp_path: Path, clock: ManualClock
) -> None:
    with running(tmp_path / "plan", clock, WEEKLY + HOOK) as up:
        window = up.retrainings.plan("toy").window
        assert window is not None
        assert (window.version, window.changed) == ("", True)
        cycle = turn(up.workspace)
        made = f"{window.rows:,} rows to train on, {window.held_out:,} held out"
        assert cycle.stages[0].summary == f"rows@v1: {made}"  # as planned
        clock.at = SECOND + 8 * DAY
        before = account(up.workspace)
        plan = up.retrainings.plan("toy")
        assert account(up.workspace) == before  # nothing was written
        assert [(one.trigger, one.fires, one.hold) for one in plan.triggers] == [
            ("weekly", True, None),
            ("ci", False, None),
        ]
        assert plan.starts == "weekly"
        assert plan.window is not None
        assert (plan.window.version, plan.window.changed) == ("rows@v1", False)
        assert plan.cost.cpu_seconds == cycle.cpu_seconds
        assert (plan.cost.cycles, plan.cost.limit) == (1, None)
        assert [gate.name for gate in plan.gates] == ["check", "evaluate", "approve", "deploy"]
        assert plan.cycle.problems == ()
        with pytest.raises(NotFound, match="'tou'"):
            up.retrainings.plan("tou")


# ── webhooks ─────────────────────────────────────────────────────────────────


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def test_a_signature_is_that_of_github() -> None:
    """The example of GitHub's documentation, "Validating webhook deliveries"."""
    body, known = b"Hello, World!", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    secret = "It's a Secret to Everybody"
    _check_signature(secret, "X", body, f"sha256={known}")
    for wrong in (f"sha256={known[:-1]}8", known, f"sha1={known}", "", None, "sha256=", "é"):
        with pytest.raises(Refused):
            _check_signature(secret, "X", body, wrong)
    with pytest.raises(Refused, match="knows no secret"):
        _check_signature("", "X", body, "sha256=" + hmac.new(b"", body, hashlib.sha256).hexdigest())


def test_a_signed_webhook_starts_one_cycle(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREADLE_WEBHOOK_SECRET", SECRET)
    with running(tmp_path / "hook", clock, HOOK) as up:
        assert ["waits for a signed POST" in one.reason for one in up.loop.triggers.signals("toy")] == [True]
        monkeypatch.delenv("TREADLE_WEBHOOK_SECRET")
        assert ["isn't set where" in one.reason for one in up.loop.triggers.signals("toy")] == [True]
        monkeypatch.setenv("TREADLE_WEBHOOK_SECRET", SECRET)
        body = b'{"reason": "the nightly export is there", "ref": "refs/heads/main"}'
        for signature in (None, signed(body, "another"), signed(body + b" ")):
            with pytest.raises(Refused):
                up.retrainings.webhook("toy", body, signature, "one")
        with pytest.raises(InvalidInput):
            up.retrainings.webhook("toy", b"[1]", signed(b"[1]"), "one")
        assert up.cycles.list() == []
        with exclusive(up.workspace.root / LOCK, Holder(1, "somebody")), pytest.raises(Busy):
            up.retrainings.webhook("toy", body, signed(body), "one")
        assert up.cycles.list() == []
        ping = up.retrainings.webhook("toy", body, signed(body), "zero", "ping")
        assert (ping.cycle, "ping starts nothing" in str(ping.held_back)) == (None, True)
        with pytest.raises(Refused):
            up.retrainings.webhook("toy", body, signed(body, "another"), "zero", "ping")
        found = up.retrainings.webhook("toy", body, signed(body), "one", "push")
        assert found.cycle is not None
        cycle = up.end(found.cycle.id)
        assert (cycle.trigger.kind, cycle.trigger.actor) == ("webhook", "trigger:ci")
        assert cycle.trigger.reason == "the nightly export is there"
        again = up.retrainings.webhook("toy", body, signed(body), "one")
        assert again.cycle is not None
        assert again.cycle.id == cycle.id
        up.cycles.create(NewCycle(trigger=BY_HAND))
        held = up.retrainings.webhook("toy", b"", signed(b""), "two")
        assert (held.cycle, held.held_back) == (None, "a cycle is running")
        [told] = up.told("held_back")
        assert told.facts["trigger"] == "ci"
        # Two at once: the second finds nothing in its way, and then that the first has started one.
        hold, asked = up.loop.triggers.hold, [None]
        monkeypatch.setattr(up.loop.triggers, "hold", lambda *of: asked.pop() if asked else hold(*of))
        late = up.retrainings.webhook("toy", b"", signed(b""), "three")
        assert (late.cycle, late.held_back, asked) == (None, "a cycle is running", [])


def test_where_no_webhook_is_declared_none_is_heard(tmp_path: Path, clock: ManualClock) -> None:
    with running(tmp_path / "deaf", clock, WEEKLY) as up, pytest.raises(NotFound, match="webhook"):
        up.retrainings.webhook("toy", b"", signed(b""), None)
