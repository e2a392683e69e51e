from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_parts import Call, Wire, plain
from cli_samples import (
    ALERT,
    ARTIFACTS,
    DATASET,
    DEPLOYMENT,
    HEALTH,
    NOON,
    POINTS,
    REIGNS,
    RETRAIN_PLAN,
    RUNS,
    WINDOWS,
    comparison,
    cycle,
    evaluation,
    revision,
    run,
    tick,
    version,
)
from rich.cells import cell_len

from treadle.data.types import DatasetVersion
from treadle.deploy.types import DeploymentStatus, Revision
from treadle.experiment import Comparison
from treadle.experiment.types import Run
from treadle.kernel.types import Event
from treadle.monitor.types import Alert, WindowResult, WrittenMonitors
from treadle.registry.types import Approval, ModelVersion, Standing
from treadle.retrain import RetrainPlan
from treadle.retrain.types import Approved, Cycle, Evidence, InProduction, Reign, Tick

STANDING = Standing(
    ref="flights/3", status="candidate", next="production", given=1, needed=2, may=("ada", "ben")
)
APPROVED = Approved(standing=STANDING, revision=revision(3, 3))
THEN = InProduction(
    ref="flights/3",
    at=NOON,
    share=0.9,
    revision=2,
    reign=Reign(version=3, since=NOON, until=None, actor="ada", reason="it is better", override=True),
    approvals=(
        Approval(id="a", model="flights", number=3, stage="production", actor="ben", reason="fine", at=NOON),
    ),
    evidence=(Evidence(evaluation="ev_model", outcome="fail", sentence="worse by 0.1"),),
)
TIMELINE = [
    Event("a", NOON, NOON, "model:flights", "cycle_started", "ada", "a cycle was started: by hand"),
    Event("b", NOON, NOON, "model:flights", "held_back", "trigger:weekly", "no cycle was started: one runs"),
]
RUN = run(0, metrics={"roc_auc": 0.71})

SUGGESTED = WrittenMonitors(version=3, toml='[monitor]\nevery = "1d"\n')


@pytest.fixture(autouse=True)
def _answers(wire: Wire) -> None:
    wire.answers.update(
        {
            "GET /v1/health": HEALTH,
            "GET /v1/runs": [run(1), run(0)],
            "GET /v1/runs/[^/]*": RUN,
            "GET /v1/runs/.*/curve": POINTS,
            "GET /v1/runs/.*/artifacts": ARTIFACTS,
            "GET /v1/comparison": comparison({"roc_auc": 0.01}),
            "GET /v1/datasets": [DATASET],
            "GET /v1/datasets/flights/versions": [DATASET],
            "POST /v1/datasets/flights/versions": DATASET,
            "GET /v1/models": [version(3), version(2, status="deprecated")],
            "GET /v1/model": version(3),
            "POST /v1/model/approval": APPROVED,
            "DELETE /v1/model/approval": STANDING,
            "GET /v1/model/approval": msgspec.structs.replace(STANDING, next=None, needed=0),
            "POST /v1/models": version(3),
            "(POST|DELETE) /v1/model/(alias|tag)": version(3),
            "GET /v1/evaluations/ev_data": evaluation("pass"),
            "GET /v1/evaluations/ev_model": evaluation("fail"),
            "GET /v1/models/flights/reigns": REIGNS,
            "GET /v1/models/flights/report": b"<html>a year</html>",
            "GET /v1/models/flights/timeline": TIMELINE,
            "POST /v1/deployments": revision(4, 2),
            "GET /v1/deployments/flights": DEPLOYMENT,
            "GET /v1/deployments/flights/environments": [],
            "GET /v1/deployments/flights/revisions": [revision(1, 1), revision(2, 2), revision(3, 3)],
            "POST /v1/monitors/flights/look": tick(windows=WINDOWS, alerts=[ALERT], cycle="cycle_1"),
            "GET /v1/monitors/flights/windows": WINDOWS,
            "GET /v1/monitors/flights/alerts": [ALERT],
            "GET /v1/monitors/flights/suggestion": SUGGESTED,
            "GET /v1/cycles": [cycle("promoted"), cycle("running", 2, version=None)],
            "GET /v1/cycles/.*": cycle("refused"),
            "GET /v1/retrain/flights/plan": RETRAIN_PLAN,
            "POST /v1/retrain/flights": cycle("refused"),
        }
    )


READS: list[tuple[str, Any, Any]] = [
    ("runs", list[Run], [run(1), run(0)]),
    ("runs ls --limit 5", list[Run], [run(1), run(0)]),
    ("runs show run_01", Run, RUN),
    ("runs compare a b", Comparison, comparison({"roc_auc": 0.01})),
    ("data", list[DatasetVersion], [DATASET]),
    ("data log flights", list[DatasetVersion], [DATASET]),
    ("data add flights", DatasetVersion, DATASET),
    ("models", list[ModelVersion], [version(3), version(2, status="deprecated")]),
    ("models show flights/3", ModelVersion, version(3)),
    ("models 3", ModelVersion, version(3)),
    ("models approve flights/3 --reason ok", Approved, APPROVED),
    ("models withdraw 3 --reason no", Standing, STANDING),
    ("models register run_0 --licence MIT", ModelVersion, version(3)),
    ("models alias flights/3 champion", ModelVersion, version(3)),
    ("models alias flights champion --remove", ModelVersion, version(3)),
    ("models tag 3 team cellar", ModelVersion, version(3)),
    ("models tag 3 team", ModelVersion, version(3)),
    ("deploy", DeploymentStatus, DEPLOYMENT),
    ("deploy status flights", DeploymentStatus, DEPLOYMENT),
    ("deploy flights/2 --reason ok", Revision, revision(4, 2)),
    ("deploy rollback", Revision, revision(4, 2)),
    ("monitor", list[WindowResult], WINDOWS),
    ("monitor look", Tick, tick(windows=WINDOWS, alerts=[ALERT], cycle="cycle_1")),
    ("monitor alerts", list[Alert], [ALERT]),
    ("monitor suggest", WrittenMonitors, SUGGESTED),
    ("history", list[Reign], REIGNS),
    ("history --timeline", list[Event], TIMELINE),
    ("cycles", list[Cycle], [cycle("promoted"), cycle("running", 2, version=None)]),
    ("cycles show c", Cycle, cycle("refused")),
    ("retrain --plan", RetrainPlan, RETRAIN_PLAN),
]


@pytest.mark.parametrize(("command", "kind", "value"), READS)
def test_json_is_the_answer_and_nothing_else(command: str, kind: Any, value: Any, call: Call) -> None:
    found = call(*command.split(), "--json")
    assert found.code == 0
    assert found.err == ""
    assert found.json(kind) == value


@pytest.mark.parametrize("command", [command for command, _, _ in READS])
def test_without_a_terminal_there_is_no_style_and_no_padding(command: str, call: Call) -> None:
    found = call(*command.split())
    assert found.code == 0
    assert found.err == ""
    assert "\x1b" not in found.out
    assert not any(line.endswith(" ") for line in found.out.splitlines())


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("command", [command for command, _, _ in READS])
def test_on_a_terminal_answers_fit_80_columns(command: str, call: Call) -> None:
    shown = plain(call(*command.split()).out)
    assert shown
    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80


def table(found: str) -> list[list[str]]:
    return [line.split() for line in found.splitlines()]


def test_runs_are_listed_whole_with_their_metrics(call: Call, wire: Wire) -> None:
    lines = table(call("runs").out)
    assert lines[0] == ["run", "name", "status", "started", "roc_auc", "log_loss"]
    assert lines[1] == ["✓", RUNS[1], "trees-1", "finished", "2013-07-01", "12:01", "0.711", "0.5"]
    assert wire.asked[-1].query == {"sort": "-started_at", "limit": "20"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("roc_auc", "metrics.roc_auc"),
        ("-roc_auc", "-metrics.roc_auc"),
        ("metrics.x", "metrics.x"),
        ("started_at", "started_at"),
    ],
)
def test_runs_are_sorted_by_a_metric(given: str, sent: str, call: Call, wire: Wire) -> None:
    lines = table(call("runs", "--sort", given, "--experiment", "e", "--limit", "3").out)
    assert wire.asked[-1].query == {"sort": sent, "limit": "3", "experiment": "e"}
    if given.endswith("roc_auc"):
        assert lines[0][4:] == ["roc_auc", "log_loss"]


def test_runs_are_filtered(call: Call, wire: Wire) -> None:
    where = "metrics.auc > 0.8 and params.depth = '6'"
    call("runs", "ls", "--where", where)
    assert wire.asked[-1].query == {"sort": "-started_at", "limit": "20", "where": where}


def test_the_metric_that_is_sorted_by_comes_first(call: Call) -> None:
    assert table(call("runs", "--sort", "-log_loss").out)[0][4:] == ["log_loss", "roc_auc"]


@pytest.mark.usefixtures("terminal")
def test_replicas_keep_whole_identifiers_and_lose_columns_instead(call: Call, wire: Wire) -> None:
    metrics = {"accuracy": 0.5, "holdout.roc_auc": 0.71, "holdout.log_loss": 0.5}
    wire.answers["GET /v1/runs"] = [
        run(0, id=f"{RUNS[0]}_{n}", name=f"toy seed {n}", metrics=metrics) for n in range(2)
    ]
    lines = table(plain(call("runs").out))
    assert lines[0] == ["run", "name", "holdout.roc_auc"]
    assert lines[1] == ["✓", f"{RUNS[0]}_0", "toy", "seed", "0", "0.71"]


def test_no_runs(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/runs"] = []
    found = call("runs")
    assert found.out.splitlines()[0] == "no runs yet"
    assert "treadle train" in found.out


def test_a_run_shows_its_curves_and_files(call: Call) -> None:
    out = call("runs", "show", "run_01").out
    assert f"trees-0 ({RUNS[0]})" in out
    assert "took 12s" in out
    assert ["roc_auc", "0.71", "5", "▁▄▇██"] in table(out)
    assert "117.2 KiB" in out


def test_a_failed_run_says_why(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/runs/[^/]*"] = run(0, status="failed", message="KeyError: 'x'", metrics={})
    out = call("runs", "show", "x").out
    assert "✗ failed" in out
    assert "KeyError: 'x'" in out
    assert "no metrics" in out


def test_differences_within_the_noise_are_marked(call: Call, wire: Wire) -> None:
    out = call("runs", "compare", *RUNS).out
    assert wire.asked[-1].path == "/v1/comparison"
    rows = {line[0]: line[1:] for line in table(out) if line}
    assert rows["depth"] == ["6", "7"]
    assert rows["roc_auc"] == ["0.71", "0.711", "≈"]  # 0.001 apart, noise 2.77 * 0.01
    assert rows["log_loss"] == ["0.5", "0.6"]  # its noise is unknown
    assert "roc_auc: within 0.0277 of the first is noise between seeds" in out


def test_differences_beyond_the_noise_are_not(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/comparison"] = comparison({"roc_auc": 0.001 / 2.78, "log_loss": 0.1 / 2.76})
    rows = {line[0]: line[1:] for line in table(call("runs", "compare", *RUNS).out) if line}
    assert rows["roc_auc"] == ["0.71", "0.711"]
    assert rows["log_loss"] == ["0.5", "0.6", "≈"]


def test_without_replicas_nothing_is_called_noise(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/comparison"] = comparison({})
    out = call("runs", "compare", *RUNS).out
    assert "≈" not in out
    assert "what is noise can't be told" in out


def test_data_that_has_not_changed_is_the_same_version(call: Call, wire: Wire) -> None:
    assert call("data", "add", "flights").out.splitlines() == [
        "flights@v2: 336,776 rows in 1 file, 5.0 MiB (nothing has changed)",
        "next: treadle run --plan",
    ]
    wire.answers["GET /v1/datasets"] = []
    assert "nothing has changed" not in call("data", "add", "flights").out


def test_a_model_shows_what_it_is_made_of_and_how_it_was_judged(call: Call) -> None:
    out = call("models", "show", "flights/3").out
    assert "flights@v2, 2013-04-02 to 2013-07-01, 80,000 rows" in out
    assert "hour float, carrier string" in out
    assert "depth=6" in out
    assert "✗ it is fail" in out
    assert "✓ 1 check passed" in out
    assert "approve" not in out.splitlines()[-1]


def test_a_candidate_can_be_approved_next(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/model"] = version(3, status="candidate")
    wire.answers["GET /v1/model/approval"] = STANDING
    assert call("models", "show", "3").out.splitlines()[-2:] == [
        "flights/3 has 1 of 2 approvals for production (ada, ben may)",
        "next: treadle models approve flights/3 --reason 'why'",
    ]


@pytest.mark.parametrize(
    ("given", "sent"),
    [("3", "flights/3"), ("@production", "flights@production"), ("taxi/2", "taxi/2"), ("taxi", "taxi")],
)
def test_a_version_may_be_written_short(given: str, sent: str, call: Call, wire: Wire) -> None:
    call("models", "show", given)
    assert wire.made("GET /v1/model")[0].query == {"ref": sent}


def test_an_approval_needs_a_reason(call: Call, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_ACTOR", "ada")
    found = call("models", "approve", "3")
    assert found.code == 2
    assert "missing option '--reason'" in found.err
    assert not wire.made("POST .*")
    assert call("models", "approve", "3", "--reason", "looks good").code == 0
    assert wire.asked[-1].query == {"ref": "flights/3", "reason": "looks good", "actor": "ada"}


def test_a_deployment_shows_its_replicas(call: Call) -> None:
    out = call("deploy", "status").out
    assert "flights/3 (revision 2, serving, 2013-07-01 12:00)" in out
    assert table(out)[-1][:6] == ["http://127.0.0.1:8100", "2", "12,345", "0", "1.25", "8.5"]


def test_nothing_deployed(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/deployments/flights"] = DeploymentStatus(
        model="flights", desired=None, serving=None, replicas=[]
    )
    assert call("deploy").out.splitlines() == ["nothing of flights has been deployed", "next: treadle run"]


def test_a_version_is_deployed_by_its_name(call: Call, wire: Wire) -> None:
    assert call("deploy", "flights/2", "--reason", "calmer").code == 0
    assert wire.asked[-1].query["ref"] == "flights/2"
    assert call("deploy", "2", "--reason", "calmer").code == 0
    assert wire.asked[-1].query["ref"] == "flights/2"
    assert call("deploy", "to", "flights/2").code == 2


@pytest.mark.parametrize(
    ("history", "arguments", "ref"),
    [
        ([(1, "serving"), (2, "serving"), (3, "serving")], [], "flights/2"),
        ([(1, "serving"), (2, "failed"), (3, "serving")], [], "flights/1"),
        ([(1, "serving"), (3, "serving"), (3, "serving")], [], "flights/1"),
        ([(1, "serving"), (2, "serving")], ["--to", "1"], "flights/1"),
    ],
)
def test_a_rollback_goes_to_what_served_before(
    history: list[tuple[int, str]], arguments: list[str], ref: str, call: Call, wire: Wire
) -> None:
    wire.answers["GET /v1/deployments/flights/revisions"] = [
        revision(number, which, state=state) for number, (which, state) in enumerate(history, 1)
    ]
    assert call("deploy", "rollback", *arguments).code == 0
    sent = wire.made("POST /v1/deployments")[0].query
    assert (sent["ref"], sent["reason"]) == (ref, "rolled back by hand")


def test_a_rollback_to_nothing_is_refused(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/deployments/flights/revisions"] = [revision(1, 1), revision(2, 2, served_at=None)]
    found = call("deploy", "rollback")
    assert found.code == 2
    assert "no other version of flights has served before" in found.err


def test_suggested_monitors_are_printed_as_they_are_written(call: Call) -> None:
    assert call("monitor", "suggest").out == '[monitor]\nevery = "1d"\n'


def test_the_latest_window_of_each_monitor_is_shown_worst_first(call: Call, wire: Wire) -> None:
    lines = table(call("monitor").out)
    assert lines[1][:6] == ["!", "roc_auc", "roc_auc", "0.65", "0.7", "5,000"]
    assert lines[1][-1] == "█▁"
    assert lines[2][:3] == ["✓", "origin", "psi"]
    assert lines[3] == ["!", "roc_auc", "is", "at", "0.65"]
    early = msgspec.structs.replace(WINDOWS[-1], kind="estimated", subject="roc_auc", statistic="roc_auc")
    wire.answers["GET /v1/monitors/flights/windows"] = [*WINDOWS, early]
    lines = table(call("monitor").out)
    assert ["roc_auc", "roc_auc,", "estimated"] in [line[1:4] for line in lines], "two figures, told apart"


def test_a_look_says_what_it_started_or_why_not(call: Call, wire: Wire) -> None:
    out = call("monitor", "look").out
    assert "4 windows computed, 1 alert" in out
    assert "roc_auc fell to 0.65" in out
    assert out.splitlines()[-1] == "next: treadle cycles show cycle_1"
    wire.answers["POST /v1/monitors/flights/look"] = tick(
        alerts=[ALERT], held_back="the last cycle ended 3d ago"
    )
    assert "no cycle was started: the last cycle ended 3d ago" in call("monitor", "look").out


def test_alerts_are_listed(call: Call, wire: Wire) -> None:
    assert "roc_auc fell to 0.65, below 0.70" in call("monitor", "alerts").out
    wire.answers["GET /v1/monitors/flights/alerts"] = []
    assert call("monitor", "alerts").out == "no alerts\n"


def test_history_tells_what_was_in_production_when_and_what_every_cycle_cost(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/cycles"] = [
        cycle("promoted"),
        cycle("refused", 4, version=4),
        cycle("trained", goal="train"),
    ]
    lines = call("history").out.splitlines()
    assert lines[1].split() == [
        "flights/1",
        "2013-07-01",
        "12:00",
        "2013-08-10",
        "12:00",
        "40.0",
        "the",
        "first",
    ]
    assert lines[2].split()[:5] == ["flights/3", "2013-08-10", "12:00", "✓", "serving"]
    assert lines[4].split() == ["version", "as", "of", "changed", "nothing", "CPU-s", "why"]
    assert lines[5].split()[0] == "flights/4"
    assert lines[5].split()[3:] == ["✗", "refused", "41.6", "evaluate", "went", "well"]
    assert lines[6] == "2 cycles, 83 CPU-seconds"


@pytest.mark.parametrize(
    ("at", "sent"),
    [
        ("2013-07-01 11:59", "2013-07-01T11:59:00+00:00"),
        ("2013-08-10 13:59+02:00", "2013-08-10T11:59:00+00:00"),
        ("2013-08-10T12:00Z", "2013-08-10T12:00:00+00:00"),
    ],
)
def test_history_at_a_moment(at: str, sent: str, call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/models/flights/production"] = [THEN]
    assert call("history", "--at", at, "--json").json(list[InProduction]) == [THEN]
    assert wire.asked[-1].query == {"at": sent}
    out = call("history", "--at", at).out
    for word in ("flights/3", "90% of the requests, revision 2", "ada, against its gate", "it is better",
                 "ben, 2013-07-01 12:00: fine", "evaluation fail", "worse by 0.1"):  # fmt: skip
        assert word in out
    gone = msgspec.structs.replace(THEN, share=None, revision=None, deleted=True)
    wire.answers["GET /v1/models/flights/production"] = [gone]
    out = call("history", "--at", at).out
    assert "flights/3 (deleted since)" in out
    assert "not served by Treadle then" in out
    wire.answers["GET /v1/models/flights/production"] = []
    assert (
        "nothing of flights was in production at 2013-07-01 11:59"
        in call("history", "--at", "2013-07-01 11:59").out
    )


def test_history_of_another_model(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/models/taxi/reigns"] = []
    assert "nothing of taxi was in production" in call("history", "taxi").out


def test_a_cycle_shows_stages_verdicts_and_why_it_was_started(call: Call) -> None:
    out = call("cycles", "show", "x").out
    assert out.startswith("flights/3 was refused · 1m 12s · 42 CPU-seconds\n")
    assert "started by hand (ada)" in out
    assert "evaluate  done" in out
    assert "✗ it is fail" in out


def test_a_report_is_written(call: Call, here: Path) -> None:
    found = call("report")
    assert found.code == 0
    assert (here / "report.html").read_bytes() == b"<html>a year</html>"
    assert found.out.splitlines()[1] == f"open it: {(here / 'report.html').as_uri()}"
    assert call("report", "--out", "deep/down.html").code == 0
    assert (here / "deep/down.html").exists()


def test_sync_says_what_was_sent(call: Call, wire: Wire, project: Path) -> None:
    from treadle.experiment.types import NewRun

    found = call("--project", str(project), "sync")
    assert found.out == "there was nothing to send\n"
    folder = project / ".treadle" / "runs" / "run_1"
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(msgspec.json.encode(NewRun(id="run_1", name="one", started_at=NOON)))
    (folder / "journal.jsonl").write_text('{"type":"finish","at":1.0,"status":"finished"}\n')
    wire.answers["POST /v1/runs"] = run(0, id="run_1", applied=0)
    wire.answers["POST /v1/runs/run_1/journal"] = run(0, id="run_1", applied=1)
    found = call("--project", str(project), "sync")
    assert found.code == 0, found.err
    assert found.out == "1 run sent\nnext: treadle runs show run_1\n"


def test_a_timeline_tells_also_of_what_was_not_done(call: Call) -> None:
    lines = call("history", "--timeline").out.splitlines()
    assert lines[0].split() == ["when", "what", "who", "why"]
    assert lines[2].split(None, 3)[2:] == ["held_back", "trigger:weekly  no cycle was started: one runs"]
    both = call("history", "--timeline", "--at", "2013-01-01")
    assert (both.code, "ask for two things" in both.err) == (2, True)
