from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cli_parts import Call, Wire, plain
from cli_samples import ALERT, NOON, cycle, evaluation, step, tick

from treadle.cli import follow
from treadle.cli.replay import Replayed, brief
from treadle.kernel.errors import Conflict
from treadle.retrain.types import ReplayState, ReplayStep

WEEK = timedelta(days=7)
END = NOON + timedelta(days=100)


class Past:
    """A replay behind the wire: it steps, and in given weeks something happens."""

    def __init__(self, wire: Wire, happens: dict[int, dict[str, Any]] | None = None) -> None:
        self.at = NOON
        self.happens = happens or {}
        self.steps: list[ReplayStep] = []
        wire.answers.update(
            {
                "GET /v1/replay": lambda _: self.state(),
                "POST /v1/replay/step": self.step,
                "GET /v1/evaluations/.*": evaluation("pass"),
            }
        )

    def state(self) -> ReplayState:
        return ReplayState(since=NOON, at=self.at, end=END)

    def step(self, asked: Any) -> ReplayStep:
        until = datetime.fromisoformat(asked.query["until"])
        made = step(self.at, until, **self.happens.get(len(self.steps) + 1, {}))
        self.at = until
        self.steps.append(made)
        return made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL", 0.001)


def test_a_replay_is_started_shown_and_stopped(call: Call, wire: Wire) -> None:
    Past(wire)
    wire.answers["POST /v1/replay"] = lambda asked: ReplayState(
        since=datetime.fromisoformat(asked.query["at"]), at=datetime.fromisoformat(asked.query["at"]), end=END
    )
    wire.answers["DELETE /v1/replay"] = None
    started = call("replay", "start", "2013-04-01")
    assert started.code == 0
    assert "stands at 2013-04-01 00:00 UTC; the data ends at 2013-10-09 12:00" in started.out
    assert wire.asked[-1].query == {"at": "2013-04-01T00:00:00+00:00"}
    assert "stands at 2013-07-01 12:00 UTC" in call("replay").out
    assert call("replay", "--json").json(ReplayState).at == NOON
    assert "machine's clock again" in call("replay", "stop").out


def test_no_replay(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/replay"] = None
    assert "no replay is under way" in call("replay").out
    found = call("replay", "until", "2013-08-01")
    assert found.code == 2
    assert "fix: start one: treadle replay start DATE" in found.err


def test_it_steps_to_the_date_and_not_beyond(call: Call, wire: Wire) -> None:
    past = Past(wire)
    found = call("replay", "until", "2013-07-25")
    assert found.code == 0
    assert [made.until - made.since for made in past.steps] == [WEEK, WEEK, WEEK, timedelta(days=2, hours=12)]
    assert past.at == datetime(2013, 7, 25, tzinfo=UTC)
    assert found.out.splitlines() == [
        "replayed 2013-07-01 12:00 to 2013-07-25 00:00",
        "  requests  40, none failed; 4,000 rows predicted, 3,600 labels",
        "  alerts    0",
        "  cycles    0 cycles",
        "next: treadle history",
        "      treadle report",
    ]


def test_without_a_date_it_goes_to_the_end_of_the_data(call: Call, wire: Wire) -> None:
    past = Past(wire)
    assert call("replay", "until", "--step", "30d").code == 0
    assert past.at == END
    assert len(past.steps) == 4
    assert call("replay", "until", "2020-01-01").code == 0
    assert len(past.steps) == 4  # there was nothing left


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        (
            "2 of 3 inputs drifted: a (PSI 0.3), b (PSI 0.3). a drifted: more",
            "2 of 3 inputs drifted: a (PSI 0.3), b (PSI 0.3)",
        ),
        ("roc_auc 0.63 (0.6 to 0.66) is worse; 3 of 4 have labels", "roc_auc 0.63 (0.6 to 0.66) is worse"),
        ("all of it", "all of it"),
    ],
)
def test_an_alert_is_told_briefly(sentence: str, told: str) -> None:
    assert brief(sentence) == told


def test_alerts_and_cycles_are_told_as_they_come(call: Call, wire: Wire) -> None:
    past = Past(
        wire,
        {
            2: {"tick": tick(alerts=[ALERT], cycle="cycle_a"), "failed": 0},
            4: {"tick": tick(alerts=[ALERT], held_back="the last cycle ended 14d ago")},
            6: {"tick": tick(alerts=[ALERT], cycle="cycle_b"), "failed": 3},
        },
    )
    asked: list[int] = []

    def cycle_a(_: Any) -> Any:
        asked.append(len(past.steps))
        return cycle("running", 2) if len(past.steps) < 4 else cycle("promoted")

    refused = cycle("refused", 4, version=4, as_of=NOON + 6 * WEEK, id="cycle_b")
    wire.answers["GET /v1/cycles/cycle_a"] = cycle_a
    wire.answers["GET /v1/cycles/cycle_b"] = itertools.chain(
        [cycle("running", 2, id="cycle_b")] * 3, itertools.repeat(refused)
    )
    found = call("replay", "until", "2013-08-12 12:00")
    assert found.err == ""
    lines = [" ".join(line.split()) for line in found.out.splitlines()]
    assert lines[:6] == [
        "! 2013-07-01 12:00 roc_auc fell to 0.65, below 0.70",
        "✓ 2013-07-01 12:00 flights/3 is in production · 1m 12s · 42 CPU-seconds",
        "! 2013-07-01 12:00 roc_auc fell to 0.65, below 0.70",
        "· 2013-07-29 12:00 no cycle was started: the last cycle ended 14d ago",
        "! 2013-07-01 12:00 roc_auc fell to 0.65, below 0.70",
        "✗ 2013-08-12 12:00 flights/4 was refused · 1m 12s · 42 CPU-seconds: evaluate went well",
    ]
    assert "requests 60, 3 failed; 6,000 rows predicted, 5,400 labels" in lines
    assert "alerts 3" in lines
    assert "cycles 2 cycles (1 promoted, 1 refused)" in lines
    assert asked == [2, 3, 4]  # stepping went on while the cycle ran


def test_json_is_the_summary_and_nothing_else(call: Call, wire: Wire) -> None:
    Past(wire, {1: {"tick": tick(alerts=[ALERT], cycle="cycle_a")}})
    wire.answers["GET /v1/cycles/cycle_a"] = cycle("promoted")
    found = call("replay", "until", "2013-07-15", "--json")
    assert found.err == ""
    total = found.json(Replayed)
    assert (total.requests, total.rows, total.alerts) == (20, 2_000, 1)
    assert [ended.state for ended in total.cycles] == ["promoted"]


def test_a_replay_that_stands_still_ends(call: Call, wire: Wire) -> None:
    past = Past(wire)
    wire.answers["POST /v1/replay/step"] = lambda _: step(NOON, NOON)
    assert call("replay", "until", "2013-08-01").code == 0
    assert len(wire.made("POST /v1/replay/step")) == 1
    assert past.at == NOON


def test_an_error_on_the_way_is_an_error(call: Call, wire: Wire) -> None:
    Past(wire)
    wire.answers["POST /v1/replay/step"] = Conflict("nothing serves flights", fix="start `treadle up`")
    found = call("replay", "until", "2013-08-01")
    assert found.code == 2
    assert found.err == "error: nothing serves flights\n  fix: start `treadle up`\n"


def test_an_interrupt_says_where_it_stands(call: Call, wire: Wire) -> None:
    past = Past(wire)

    def stopped(asked: Any) -> ReplayStep:
        if len(past.steps) == 2:
            raise KeyboardInterrupt
        return past.step(asked)

    wire.answers["POST /v1/replay/step"] = stopped
    found = call("replay", "until")
    assert found.code == 130
    assert "the replay stands at 2013-07-15 12:00; `treadle replay until` goes on" in found.err


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_there_is_progress_with_rate_and_time_left(call: Call, wire: Wire) -> None:
    Past(wire)
    shown = plain(call("replay", "until", "--step", "10d").out)
    assert "rows/s" in shown
    assert "100%" in shown
    assert "left" in shown


def test_a_length_that_is_none_is_refused(call: Call, wire: Wire) -> None:
    past = Past(wire)
    assert call("replay", "until", "--step", "soon").code == 2
    assert call("replay", "until", "--step", "0d").code == 2
    assert past.steps == []


def test_what_a_replay_came_to_can_be_encoded() -> None:
    total = Replayed(since=NOON, until=END, cycles=[cycle("promoted")])
    assert msgspec.json.decode(msgspec.json.encode(total), type=Replayed) == total
