from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from cli_parts import Call, Wire
from cli_samples import RUNS, comparison, run

from treadle.experiment import CodeDiff, FileDiff, Importance, ParamImportance, RunCurve, SharedCurves

CURVES = SharedCurves(
    "loss", "step", [RunCurve(RUNS[0], [0, 1, 2], [1.0, 0.5, 0.25]), RunCurve(RUNS[1], [0, 2], [2.0, 1.5])]
)
CODE = CodeDiff(
    runs=RUNS,
    commits=("a" * 40, "b" * 40),
    same=False,
    diff="-old\n+new \x1b[31mred\n",
    patches=(None, "+more\n"),
    note="a note",
)
DEPTH = ParamImportance(name="depth", share=0.8, low=0.7, high=0.9, alone=0.6, correlation=0.5, clear=True)
FOUND = Importance(
    metric="auc", runs=40, sentence="depth matters most", explained=0.9, params=[DEPTH], chance=0.1
)


@pytest.fixture(autouse=True)
def _answers(wire: Wire) -> None:
    found = comparison({"roc_auc": 0.01})
    wire.answers.update(
        {
            "GET /v1/comparison": type(found)(
                found.runs, found.params, found.metrics, found.noise, {"host": ["=1+1", None]},
                files=[FileDiff("model.onnx", ["a" * 64, None], [10, None])],
                packages={"numpy": ["2.1", "2.2"]},
            ),
            "GET /v1/comparison/curves": CURVES,
            "GET /v1/comparison/code": CODE,
            "GET /v1/comparison/page": b"<!doctype html>",
            "GET /v1/importance": FOUND,
            "GET /v1/runs": [run(0), run(1)],
        }
    )  # fmt: skip


def test_everything_that_differs_is_shown(call: Call) -> None:
    out = call("runs", "compare", "a", "b").out
    for part in ("package numpy", "2.2", "file model.onnx", "10 B aaaaaaaa", "tag host", "≈"):
        assert part in out


def test_csv_is_exact_and_rfc_4180(call: Call) -> None:
    out = call("runs", "compare", "a", "b", "--csv").out
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert rows[0] == ["kind", "name", *RUNS]
    assert ["param", "depth", "6", "7"] in rows
    assert ["metric", "roc_auc", "0.71", "0.711"] in rows
    assert ["tag", "host", "=1+1", ""] in rows
    assert {len(row) for row in rows} == {4}


def test_curves_share_a_scale(call: Call) -> None:
    found = call("runs", "compare", "a", "b", "--curves", "loss")
    assert "trees-0" in found.out
    assert "1.5" in found.out
    assert call("runs", "compare", "a", "b", "--curves", "loss", "--json").json(SharedCurves) == CURVES
    rows = call("runs", "compare", "a", "b", "--curves", "loss", "--csv").out.splitlines()
    assert rows[:2] == ["run,step,loss", f"{RUNS[0]},0,1.0"]
    assert len(rows) == 6


def test_code_is_shown_without_what_a_terminal_would_obey(call: Call) -> None:
    out = call("runs", "compare", "a", "b", "--code").out
    assert "code of trees-0 and trees-1: differs (a note)" in out
    assert "+new [31mred" in out
    assert "what trees-1 had not committed:\n+more" in out


def test_a_search_shows_what_matters_and_its_best_runs(call: Call, wire: Wire) -> None:
    out = call("runs", "compare", "--where", "params.depth < 9", "--metric", "auc").out
    assert "depth matters most" in out
    assert "80%" in out
    (asked,) = wire.made("GET /v1/runs")
    assert asked.query["sort"] == "-metrics.auc"
    assert asked.query["where"] == "params.depth < 9"


@pytest.mark.parametrize("arguments", [(), ("--where", "x"), ("--metric", "auc"), ("a", "--where", "x")])
def test_what_can_not_be_compared(call: Call, arguments: tuple[str, ...]) -> None:
    found = call("runs", "compare", *arguments)
    assert found.code == 2
    assert "fix: " in found.err


def test_a_page_is_written(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    found = call("runs", "compare", "a", "b", "--html", str(out))
    assert out.read_bytes() == b"<!doctype html>"
    assert out.resolve().as_uri() in found.out
    assert call("runs", "compare", "a", "--html", str(out), "--json").json() == {
        "file": str(out),
        "bytes": 15,
    }


def test_importance(call: Call, wire: Wire) -> None:
    found = call("runs", "importance", "--metric", "auc", "--param", "depth", "--experiment", "e")
    assert "70% to 90%" in found.out
    assert wire.made("GET /v1/importance")[0].query == {"metric": "auc", "param": "depth", "experiment": "e"}
    assert call("runs", "importance", "--metric", "auc", "--json").json(Importance) == FOUND


def test_too_few_runs_is_said_with_what_to_do(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/importance"] = Importance(
        metric="auc", runs=3, sentence="3 runs are too few", reason="too_few_runs"
    )
    out = call("runs", "importance", "--metric", "auc").out
    assert "? 3 runs are too few" in out
    assert "to know more: run more" in out
