"""``treadle retrain --plan``, and refusing what waits for an approval."""

from __future__ import annotations

import msgspec
import pytest
from cli_parts import Call, Wire
from cli_samples import HEALTH, RETRAIN_PLAN, cycle, evaluation, run, version

from treadle.retrain.trigger_types import Streak


@pytest.fixture(autouse=True)
def _answers(wire: Wire) -> None:
    wire.answers.update(
        {
            "GET /v1/health": HEALTH,
            "GET /v1/retrain/flights/plan": RETRAIN_PLAN,
            "POST /v1/retrain/flights": cycle("refused"),
            "GET /v1/cycles/.*": cycle("refused"),
            "GET /v1/evaluations/ev_data": evaluation("pass"),
            "GET /v1/evaluations/ev_model": evaluation("fail"),
            "GET /v1/runs/.*": run(0),
            "GET /v1/deployments/flights/environments": [],
        }
    )


def test_a_version_that_waits_can_be_refused(call: Call, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_ACTOR", "ada")
    wire.answers["POST /v1/model/refusal"] = version(3, status="refused")
    assert "flights/3 is refused" in call("models", "refuse", "3", "--reason", "labels look shuffled").out
    sent = {"ref": "flights/3", "reason": "labels look shuffled", "actor": "ada"}
    assert wire.made("POST /v1/model/refusal")[0].query == sent
    assert call("models", "refuse", "3").code == 2


def test_a_plan_says_that_triggers_rest(call: Call, wire: Wire) -> None:
    rests = Streak(
        cause="bound",
        cycles=("a", "b", "c"),
        until=RETRAIN_PLAN.as_of,
        sentence="roc_auc 0.5 is not at least 0.9",
    )
    wire.answers["GET /v1/retrain/flights/plan"] = msgspec.structs.replace(RETRAIN_PLAN, rests=rests)
    out = call("retrain", "--plan").out
    assert (
        f"rest until {RETRAIN_PLAN.as_of:%Y-%m-%d %H:%M}: 3 cycles in a row ended for the same reason" in out
    )


def test_a_plan_of_retraining_tells_what_would_start_it_and_what_is_held_back(call: Call, wire: Wire) -> None:
    lines = call("retrain", "--plan").out.splitlines()
    assert lines[0] == "Triggers of flights, as of 2013-07-01 12:00 UTC:"
    assert [line.split()[0] for line in lines[2:5]] == ["performance", "weekly", "grown"]
    assert "? held back  an hour was spent  it is due since" in lines[3]
    assert lines[6] == "Trigger grown would start a cycle:"
    assert lines[7].split(None, 1)[1] == (
        "sliding: the last 132d; 80,000 rows from 2013-02-19 to 2013-05-20, 30,000 held out to 2013-07-01 "
        "(flights@v3, whose files have changed since)"
    )
    assert lines[8].split(None, 1)[1] == (
        "about 9.0 CPU-seconds, 8.0 to 12.5 in 5 cycles; 40 CPU-seconds of 3,600 CPU-seconds (1h) "
        "spent in 30 days"
    )
    assert lines[-1] == "next: treadle doctor"
    done = call("retrain", "--reason", "it is Monday")
    assert done.code == 1
    [asked] = wire.made("POST /v1/retrain/flights")
    assert msgspec.json.decode(asked.body)["reason"] == "it is Monday"
