from __future__ import annotations

import pytest
from cli_parts import Call, Wire
from cli_samples import RUNS, run


@pytest.fixture(autouse=True)
def _answers(wire: Wire) -> None:
    wire.answers["GET /v1/runs"] = [run(0), run(1, ended_at=None, params={"rate": 0.1, "f": "=1,2"})]


def test_csv_has_every_column_and_exact_values(call: Call) -> None:
    head, first, second = call("runs", "ls", "--csv").out.split("\r\n")[:3]
    assert head.startswith("id,name,experiment,status")
    assert head.endswith("params.depth,params.f,params.rate,metrics.log_loss,metrics.roc_auc")
    assert first.endswith("6,,,0.5,0.71")
    assert second.endswith(',,"=1,2",0.1,0.5,0.711')


def test_chosen_columns(call: Call) -> None:
    out = call("runs", "ls", "--columns", "id, duration,params.rate").out.splitlines()
    assert out[0].split() == ["id", "duration", "params.rate"]
    assert out[1].split() == [RUNS[0], "12", "-"]
    assert "did you mean 'params.rate'" in call("runs", "ls", "--columns", "params.rat").err


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("-auc", "-metrics.auc"),
        ("params.x", "params.x"),
        ("duration", "duration"),
        ("-started_at", "-started_at"),
    ],
)
def test_what_stands_alone_is_a_metric(call: Call, wire: Wire, given: str, asked: str) -> None:
    call("runs", "ls", "--sort", given)
    assert wire.asked[-1].query["sort"] == asked
