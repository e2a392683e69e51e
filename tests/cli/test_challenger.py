"""``treadle retrain challenger``, against a wire that answers from a table."""

from __future__ import annotations

from unittest.mock import ANY

import msgspec
import pytest
from cli_parts import Call, Wire
from cli_samples import CHALLENGER, HEALTH

from treadle.kernel.errors import NotFound
from treadle.retrain import Challenger

NONE = Challenger(model="flights", production="flights/2", challenger=None, chosen=None, why="it was stopped")


@pytest.fixture(autouse=True)
def answers(wire: Wire) -> None:
    wire.answers.update(
        {
            "GET /v1/health": HEALTH,
            "GET /v1/retrain/flights/challenger": CHALLENGER,
            "POST /v1/retrain/flights/challenger": CHALLENGER,
            "POST /v1/retrain/flights/challenger/stop": NONE,
        }
    )


@pytest.mark.parametrize(
    ("command", "value"),
    [("", CHALLENGER), ("show", CHALLENGER), ("3 --reason ok", CHALLENGER), ("stop --reason ok", NONE)],
)
def test_json_is_the_answer_and_nothing_else(command: str, value: Challenger, call: Call) -> None:
    found = call("retrain", "challenger", *command.split(), "--json")
    assert (found.code, found.err) == (0, "")
    assert found.json(Challenger) == value


def test_a_challenger_is_shown_with_its_evidence_and_what_is_missing(call: Call, wire: Wire) -> None:
    lines = [line.split(None, 1) for line in call("retrain", "challenger").out.splitlines()]
    shown = dict(line for line in lines if len(line) == 2)
    assert shown["challenger"] == "flights/3 (the gate was strict; ada, 2013-06-28 12:00)"
    assert shown["compared"] == "since 2013-05-02 12:00 to 2013-07-01 12:00"
    assert shown["days"] == "58 of 182 with their labels; 52,000 rows"
    assert shown["blocks"] == "8 of 7 days each"
    assert shown["gain"] == "+0.0103 a day in roc_auc, -0.0042 to +0.0247"
    assert shown["evidence"] == "3.46; 20 decide; if it goes on like this, after about 112 days"
    assert shown["correlation"] == "+0.31 with the day before"
    assert shown["·"].startswith("flights/3 beside flights/2: can't be told apart yet; by roc_auc")
    assert shown["next:"] == "treadle history --timeline"

    wire.answers["GET /v1/retrain/flights/challenger"] = NONE
    lines = call("retrain", "challenger", "show", "flights").out.splitlines()
    assert lines[0] == "Nothing is held beside production of flights: it was stopped."
    assert lines[1] == "next: treadle retrain challenger start VERSION --reason TEXT"


def test_a_challenger_is_started_by_its_number_and_with_a_reason(call: Call, wire: Wire) -> None:
    for ref in ("3", "flights/3"):
        assert call("retrain", "challenger", "start", ref, "--reason", "why not").code == 0
    assert [msgspec.json.decode(one.body) for one in wire.made("POST /v1/retrain/flights/challenger")] == [
        {"version": 3, "reason": "why not", "actor": ANY}
    ] * 2
    wrong = call("retrain", "challenger", "start", "flights@production", "--reason", "x")
    assert (wrong.code, "names no version" in wrong.err) == (2, True)
    assert "--reason" in call("retrain", "challenger", "start", "3").err


def test_a_model_may_be_named_where_a_verb_would_stand(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/retrain/cellar/plan"] = NotFound("there is no model 'cellar'")
    assert "there is no model 'cellar'" in call("retrain", "cellar", "--plan").err
    near = call("retrain", "chalenger")
    assert (near.code, "did you mean 'challenger'?" in near.err) == (2, True)
