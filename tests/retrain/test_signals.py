"""When a trigger fires, and what holds it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from retrain.test_rules import DAY, NOON, cycle
from treadle.kernel.config import RetrainConfig, TriggerConfig, parse_config
from treadle.kernel.errors import ConfigError
from treadle.monitor import Alert, WindowResult
from treadle.retrain import signals

WEEKLY = TriggerConfig(on="schedule", cron="0 3 * * 1", timezone="Europe/Berlin")


def window(subject: str, value: float | None, limit: float = 0.1, **changes: Any) -> WindowResult:
    known: dict[str, Any] = {
        "model": "toy",
        "kind": "input",
        "subject": subject,
        "since": NOON - 7 * DAY,
        "until": NOON,
        "version": 1,
        "state": "ok",
        "statistic": "psi",
        "n": 1000,
        "sentence": subject,
    }
    return WindowResult(**{**known, "value": value, "limit": limit, **changes})


def alert(kind: Any, at: datetime, **changes: Any) -> Alert:
    known = {
        "id": f"{kind}:{at:%m%d}",
        "model": "toy",
        "subjects": ("x",),
        "sentence": f"{kind} fell",
        "version": 1,
    }
    return Alert(kind=kind, at=at, **{**known, **changes})


# ── alerts ───────────────────────────────────────────────────────────────────


def test_the_latest_alert_that_holds_comes_first() -> None:
    declared = RetrainConfig(on=["performance", "input"]).declared()
    raised = [alert("performance", NOON - DAY), alert("input", NOON)]
    both = {("performance", 1), ("input", 1)}
    found = signals.alert_signals(declared, raised, both)
    assert [(one.trigger, one.fires, one.alert) for one in found] == [
        ("input", True, raised[1].id),
        ("performance", True, raised[0].id),
    ]
    [_, quiet] = signals.alert_signals(declared, raised, {("input", 1)})
    assert (quiet.trigger, quiet.fires, quiet.reason) == ("performance", False, "no performance alert holds")


def test_an_alert_starts_one_cycle_and_is_about_one_version() -> None:
    declared = RetrainConfig(on=["performance"]).declared()
    acted = [alert("performance", NOON, cycle="cycle_1")]
    [quiet] = signals.alert_signals(declared, acted, {("performance", 1)})
    assert (quiet.fires, quiet.reason) == (False, "a cycle was started for it")
    [other] = signals.alert_signals(declared, [alert("performance", NOON)], {("performance", 2)})
    assert not other.fires


# ── drift ────────────────────────────────────────────────────────────────────


def test_drift_counts_by_how_far_it_is_over_its_limit() -> None:
    trigger = TriggerConfig(on="drift", excess=0.5)
    results = [window("a", 0.3), window("b", 0.05), window("c", None), window("auc", 9, kind="performance")]
    signal = signals.drift_signal("drift", trigger, results)
    assert signal.fires
    assert signal.reason == "inputs are 1.00 over their limits, over 0.5 (a 1.00)"  # (0.3/0.1 - 1) / 2
    assert not signals.drift_signal("drift", TriggerConfig(on="drift", excess=1.01), results).fires
    weighted = [
        window("a", 0.3, importance=0.1), window("b", 0.16, importance=0.3), window("c", 0.2, segment="x=1")
    ]  # fmt: skip
    reason = signals.drift_signal("drift", trigger, weighted).reason
    assert reason == "inputs are 0.95 over their limits, over 0.5 (a 0.50, b 0.45)"  # 2 * 1/4 + 0.6 * 3/4
    broken = [window("a", 3, explained_by="quality:a:nulls"), window("b", 0.12)]
    bad = signals.drift_signal("drift", trigger, broken)  # 0.2 / 2, and nothing for what no retraining mends
    assert not bad.fires
    why = "inputs are 0.10 over their limits, under 0.5 (b 0.10); without a, whose drift is bad data"
    assert bad.reason == why
    none = signals.drift_signal("drift", trigger, [])
    assert (none.fires, none.reason) == (False, "no window tells of the inputs yet")


# ── schedule ─────────────────────────────────────────────────────────────────


def test_a_schedule_fires_once_for_each_time_and_once_for_all_that_were_missed() -> None:
    monday = datetime(2026, 3, 2, 2, tzinfo=UTC)  # 3 o'clock in Berlin, in winter
    before = signals.schedule_signal("weekly", WEEKLY, NOON - 30 * DAY, monday - timedelta(seconds=1))
    assert before.key == (monday - 7 * DAY).isoformat()
    due = signals.schedule_signal("weekly", WEEKLY, monday - DAY, monday)
    assert (due.fires, due.key) == (True, monday.isoformat())
    assert due.reason == "it is due since 2026-03-02 03:00 (0 3 * * 1, Europe/Berlin)"
    done = signals.schedule_signal("weekly", WEEKLY, monday, monday + DAY)
    assert (done.fires, done.reason) == (False, "it is due at 2026-03-09 03:00 Europe/Berlin")
    missed = signals.schedule_signal("weekly", WEEKLY, monday, monday + 40 * DAY)
    assert missed.fires
    assert not signals.schedule_signal("weekly", WEEKLY, monday + 40 * DAY, monday + 40 * DAY).fires
    assert not signals.schedule_signal("weekly", WEEKLY, None, monday).fires


def test_a_schedule_keeps_the_clock_of_its_zone() -> None:
    """Clocks went forward on 29 March 2026: the same 3 o'clock is an hour earlier in UTC."""
    winter = signals.scheduled(WEEKLY, datetime(2026, 3, 22, tzinfo=UTC))
    summer = signals.scheduled(WEEKLY, datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert (winter, summer) == (datetime(2026, 3, 23, 2, tzinfo=UTC), datetime(2026, 3, 30, 1, tzinfo=UTC))


# ── data ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("trigger", "fires"),
    [
        (TriggerConfig(on="data", rows=500), True),
        (TriggerConfig(on="data", rows=501), False),
        (TriggerConfig(on="data", bytes="1MiB"), False),
        (TriggerConfig(on="data", rows=501, bytes="1KiB"), True),
    ],
)
def test_new_data_is_counted_since_production_was_trained(trigger: TriggerConfig, fires: bool) -> None:
    signal = signals.data_signal("new", trigger, rows=500, bytes_=2048, version="toy/3", key="rows@v7")
    assert signal.fires == fires
    assert "since toy/3 was trained" in signal.reason


# ── what holds back ──────────────────────────────────────────────────────────


def reason(*cycles: Any, cooldown: str | None = "14d", **more: Any) -> str | None:
    found = signals.hold(cycles, cooldown, NOON, **more)
    return found.reason if found else None


def test_a_running_cycle_holds_back() -> None:
    running = cycle(state="running", as_of=NOON - 300 * DAY)
    assert reason(running) == "a cycle is running"


def test_a_cycle_not_long_ago_holds_back() -> None:
    past = [cycle(as_of=NOON - 40 * DAY), cycle(as_of=NOON - 10 * DAY)]
    assert reason(*past) == "the last cycle was less than 14d ago; 4d to go"
    assert reason(*past, cooldown="10d") is None  # just over
    assert reason(*past, cooldown=None) is None
    assert reason() is None


def test_other_models_and_the_budget_hold_back() -> None:
    assert reason(others=2, limit=3) is None
    assert reason(others=3, limit=3) == "3 cycles of other models run, and 3 may run at once"
    assert reason(over_budget="an hour was spent") == "an hour was spent"


def test_a_schedule_and_a_webhook_wait_for_nobody_unless_they_say_so() -> None:
    config = RetrainConfig(cooldown="9d")
    plain = {on: signals.cooldown_of(TriggerConfig(on=on), config) for on in ("data", "schedule", "webhook")}  # type: ignore[arg-type]
    assert plain == {"data": "9d", "schedule": None, "webhook": None}
    assert signals.cooldown_of(TriggerConfig(on="webhook", cooldown="1h"), config) == "1h"


# ── refusals ─────────────────────────────────────────────────────────────────


def refused(days: int, cause: str = "no_worse overall", **changes: Any) -> Any:
    return cycle(id=f"cycle_{days}", as_of=NOON + days * DAY, state="refused", cause=cause, **changes)


def test_refusals_for_one_reason_have_triggers_rest_and_each_further_one_twice_as_long() -> None:
    config = RetrainConfig(cooldown="10d", refusals=3)
    past = [cycle(), refused(0), refused(10)]
    assert signals.streak(past, config) is None
    past.append(refused(20))
    found = signals.streak(past, config)
    assert found is not None
    assert (found.cycles, found.until) == (("cycle_0", "cycle_10", "cycle_20"), NOON + 30 * DAY)
    again = signals.streak([*past, refused(30), refused(50)], config)
    assert again is not None
    assert again.until == NOON + (50 + 40) * DAY
    held = signals.hold(past, "1h", NOON + 29 * DAY, resting=found)
    assert held is not None
    assert held.cause == "refusals"
    assert held.reason.startswith("the last 3 cycles ended for the same reason (no_worse overall); triggers")
    assert signals.hold(past, "1h", NOON + 30 * DAY, resting=found) is None


@pytest.mark.parametrize(
    "last",
    [
        refused(20, cause="bound overall"),
        cycle(state="promoted"),
        cycle(state="held"),
    ],
)
def test_another_end_ends_the_streak(last: Any) -> None:
    assert signals.streak([refused(0), refused(10), last], RetrainConfig(refusals=2)) is None


def test_a_cycle_that_decided_nothing_neither_ends_nor_lengthens_a_streak() -> None:
    same = cycle(state="unchanged", as_of=NOON + 5 * DAY)
    past = [refused(0), same, refused(10), same, refused(20)]
    config = RetrainConfig(cooldown="10d", refusals=3)
    found = signals.streak([*past, same], config)
    assert found is not None
    assert (found.cycles, found.until) == (("cycle_0", "cycle_10", "cycle_20"), NOON + 30 * DAY)
    assert signals.streak([*past, same, cycle(state="promoted"), same], config) is None
    assert signals.streak([same] * 5, config) is None


def test_a_cycle_that_runs_neither_ends_nor_lengthens_a_streak() -> None:
    found = signals.streak([refused(0), refused(10), cycle(state="running")], RetrainConfig(refusals=2))
    assert found is not None
    assert len(found.cycles) == 2


# ── treadle.toml ─────────────────────────────────────────────────────────────

HEAD = '[project]\nname = "toy"\n[retrain.triggers.mine]\n'


def test_triggers_are_declared_by_name_beside_those_of_on() -> None:
    config = parse_config(HEAD + 'on = "schedule"\ncron = "0 3 * * 1"\n').retrain
    assert {name: one.on for name, one in config.declared().items()} == {
        "performance": "performance",
        "mine": "schedule",
    }


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ('on = "schedule"', "a schedule needs `cron`", 3),
        ('on = "schedule"\ncron = "0 3 * *"', "no time that cron knows", 5),
        ('on = "schedule"\ncron = "0 25 * * 1"', "no time that cron knows", 5),
        ('on = "schedule"\ncron = "0 3 * * 1"\ntimezone = "Europe/Berlim"', "no time zone", 6),
        ('on = "schedule"\ncron = "0 3 * * 1"\ntimezone = "../../etc/passwd"', "no time zone", 6),
        ('on = "data"', "needs `rows` or `bytes`", 3),
        ('on = "drift"\nrows = 7', "has no `rows`", 5),
        ('on = "webhook"\ncron = "0 3 * * 1"', "has no `cron`", 5),
        ('on = "webhook"\nsecret = "not a name"', "`retrain.triggers.mine.secret`", 5),
        ('on = "moon"', "it can't be 'moon'", 4),
        ('on = "drift"\nexces = 1', "has no key `exces`", 5),
    ],
)
def test_what_a_trigger_cannot_be(text: str, message: str, line: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(HEAD + text)
    assert message in caught.value.message
    assert caught.value.where == f"treadle.toml:{line}"
    assert caught.value.fix
