from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest
from cli_parts import Asked, Call, Wire, plain
from cli_samples import DEPLOYMENT, NOON, RUNS, cycle, evaluation, plan, run
from rich.cells import cell_len

from treadle.cli import follow
from treadle.cli.run import scalar
from treadle.deploy import InEnvironment, Stretch
from treadle.kernel.errors import Busy, NotFound, Unavailable
from treadle.retrain.types import Cycle, NewCycle, Plan, Stage

RUNNING = cycle("running", 0, ended_at=None)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "POLL", 0.001)


def turning(wire: Wire, ended: Cycle, *outcomes: str) -> None:
    """The API runs a cycle, a stage a request, to this end."""
    steps = [cycle("running", done, goal=ended.goal) for done in range(len(ended.stages))]
    wire.answers.update(
        {
            "POST /v1/cycles/resume": [],
            "POST /v1/cycles": RUNNING,
            "GET /v1/cycles": [],
            "GET /v1/cycles/.*": itertools.chain(steps, itertools.repeat(ended)),
            "GET /v1/evaluations/ev_data": evaluation(outcomes[0]),
            "GET /v1/evaluations/ev_model": evaluation(outcomes[1]),
            "GET /v1/deployments/flights": DEPLOYMENT,
            "GET /v1/deployments/flights/environments": [],
            "GET /v1/runs/.*": lambda asked: run(RUNS.index(asked.path.split("/")[-1])),
        }
    )


@pytest.mark.parametrize(
    ("state", "outcomes", "code", "line"),
    [
        ("promoted", ("pass", "pass"), 0, "flights/3 is in production · 1m 12s · 42 CPU-seconds"),
        ("held", ("pass", "inconclusive"), 0, "flights/3 is held: it waits for an approval"),
        ("unchanged", ("pass", "pass"), 0, "unchanged: production is already made"),
        ("refused", ("pass", "fail"), 1, "flights/3 was refused"),
        ("refused", ("inconclusive", "fail"), 1, "flights/3 was refused"),
        ("refused", ("pass", "inconclusive"), 3, "flights/3 was refused"),
        ("refused", ("pass", "pass"), 1, "flights/3 was refused"),
        ("failed", ("pass", "pass"), 2, "flights/3 failed"),
    ],
)
def test_a_cycle_is_followed_to_its_end(
    state: str, outcomes: tuple[str, str], code: int, line: str, call: Call, wire: Wire
) -> None:
    turning(wire, cycle(state), *outcomes)
    found = call("run")
    assert found.code == code
    assert found.err == ""
    lines = found.out.splitlines()
    assert [text.split()[0] for text in lines[:7]] == [stage.name for stage in RUNNING.stages]
    assert "data went well" in lines[0]
    assert any(text.startswith(line) for text in lines)
    for outcome in set(outcomes) - {"pass"}:
        assert f"it is {outcome}" in found.out
    if "pass" in outcomes:
        assert "passed" in found.out


def test_a_stage_that_says_how_far_it_is_is_shown(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "pass")
    running = cycle("running", 6)
    *before, last = running.stages
    telling = []
    for sent in (10, 20):
        stage = msgspec.structs.replace(last, state="running", summary=f"load test: {sent} sent")
        telling.append(msgspec.structs.replace(running, stages=(*before, stage)))
    wire.answers["GET /v1/cycles/.*"] = itertools.chain(telling, itertools.repeat(cycle("promoted")))
    [line] = [text for text in call("run").out.splitlines() if "load test" in text]
    assert line.startswith("  deploy    running ")
    assert line.endswith("  load test: 10 sent")


def test_what_was_refused_before_is_not_said_to_be_in_production(call: Call, wire: Wire) -> None:
    ended = cycle("unchanged")
    last = msgspec.structs.replace(
        ended.stages[-1], summary="flights/2 was made of exactly this, and is refused"
    )
    turning(wire, msgspec.structs.replace(ended, stages=(*ended.stages[:-1], last)), "pass", "pass")
    out = call("run").out
    assert "\nunchanged: flights/2 was made of exactly this, and is refused" in out
    assert "production" not in out


def test_every_stage_is_told_once(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "pass")
    assert call("run").out.count("train went well") == 1


def test_why_it_failed_is_said(call: Call, wire: Wire) -> None:
    ended = cycle("failed", 2, error="the training script crashed", version=None)
    turning(wire, ended, "pass", "pass")
    found = call("run")
    assert found.code == 2
    assert "the training script crashed" in found.out
    assert found.out.splitlines()[-1] == f"next: treadle cycles show {ended.id}"


@pytest.mark.parametrize(
    ("state", "following"),
    [
        ("promoted", ["next: treadle history"]),
        (
            "held",
            [
                "next: treadle models approve flights/3 --reason 'why'",
                "      treadle models refuse flights/3 --reason 'why'",
                "      treadle models show flights/3",
            ],
        ),
        ("unchanged", ["next: treadle history"]),
        ("refused", ["next: treadle cycles show cycle_01jzq3k4m5n6p7q8r9s0t1v2w3"]),
    ],
)
def test_it_ends_with_the_next_command(state: str, following: list[str], call: Call, wire: Wire) -> None:
    turning(wire, cycle(state), "pass", "fail")
    assert call("run").out.splitlines()[-len(following) :] == following


def test_what_was_delivered_to_the_first_environment_is_promoted_next(call: Call, wire: Wire) -> None:
    turning(wire, cycle("held"), "pass", "pass")
    served = Stretch(version=3, revision=7, since=NOON)
    first = InEnvironment(environment="staging", served=served, next="production")
    wire.answers["GET /v1/deployments/flights/environments"] = [first]
    assert call("run").out.splitlines()[-2:] == [
        "next: treadle deploy promote flights --to production --reason 'why'",
        "      treadle deploy status --env staging",
    ]


def test_where_nothing_serves_the_next_command_is_to_serve(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "pass")
    wire.answers["GET /v1/deployments/flights"] = msgspec.structs.replace(DEPLOYMENT, replicas=[])
    assert "next: treadle serve" in call("run").out
    wire.name = "/here"  # an embedded workspace
    wire.answers["GET /v1/cycles/.*"] = cycle("promoted")
    assert "next: treadle up" in call("run").out


def test_what_was_asked_goes_over_the_wire(call: Call, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_ACTOR", "ada")
    turning(wire, cycle("promoted"), "pass", "pass")
    call(
        "run",
        "--set",
        "depth=7",
        "--set",
        "rate = 0.1",
        "--set",
        "fast=true",
        "--like",
        "run_1",
        "--reason",
        "a try",
    )
    sent = msgspec.json.decode(wire.made("POST /v1/cycles")[0].body, type=NewCycle)
    assert sent.goal == "deploy"
    assert sent.params == {"depth": 7, "rate": 0.1, "fast": True}
    assert sent.like == "run_1"
    assert (sent.trigger.kind, sent.trigger.actor, sent.trigger.reason) == ("manual", "ada", "a try")


def test_values_are_read_as_the_file_would(call: Call) -> None:
    assert [scalar(text) for text in ("1", "1.5", "1e-3", "true", "false", "deep", "")] == [
        1, 1.5, 0.001, True, False, "deep", "",
    ]  # fmt: skip
    assert isinstance(scalar("1"), int)
    found = call("run", "--set", "depth")
    assert found.code == 2
    assert found.err == "error: --set 'depth' sets nothing\n  fix: write --set key=value\n"


def test_train_trains_only(call: Call, wire: Wire) -> None:
    ended = cycle("trained", 4, goal="train", version=None, evaluations=("ev_data", "ev_model"))
    turning(wire, ended, "pass", "pass")
    found = call("train", "--name", "deep", "--experiment", "depth", "--set", "depth=9")
    assert found.code == 0
    sent = msgspec.json.decode(wire.made("POST /v1/cycles")[0].body, type=NewCycle)
    assert (sent.goal, sent.name, sent.experiment, sent.params) == ("train", "deep", "depth", {"depth": 9})
    assert "2 runs of flights trained" in found.out
    assert "trees-1" in found.out
    assert "roc_auc 0.711" in found.out
    assert RUNS[1] in found.out


def test_train_with_data_that_fails_is_a_failed_check(call: Call, wire: Wire) -> None:
    ended = cycle("refused", 2, goal="train", version=None, evaluations=("ev_data",), runs=())
    turning(wire, ended, "fail", "pass")
    assert call("train").code == 1


def test_train_never_goes_on_with_a_cycle_that_deploys(call: Call, wire: Wire) -> None:
    wire.answers["GET /v1/cycles"] = [cycle("promoted"), RUNNING]
    found = call("train")
    assert found.code == 2
    assert found.err.splitlines()[1:] == [
        f"  where: {RUNNING.id}",
        "  fix: end it with `treadle run`, then train again",
    ]
    assert wire.made("POST .*") == []


def test_an_interrupted_cycle_is_gone_on_with(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "pass")
    wire.name = "/srv/flights"
    wire.answers["POST /v1/cycles/resume"] = [cycle("running", 2)]
    found = call("run")
    assert found.code == 0
    assert found.out.splitlines()[0] == f"cycle {RUNNING.id} was interrupted at train; going on with it"
    assert not wire.made("POST /v1/cycles")


@pytest.mark.parametrize("server", ["http://treadle.test", "/srv/flights"])
@pytest.mark.parametrize("command", ["run", "retrain flights"])
def test_whoever_stops_watching_hears_how_it_goes_on(
    command: str, server: str, call: Call, wire: Wire
) -> None:
    def interrupted(_: Asked) -> None:
        raise KeyboardInterrupt

    turning(wire, cycle("promoted"), "pass", "pass")
    wire.name = server
    wire.answers |= {"POST /v1/retrain/flights": RUNNING, "GET /v1/cycles/.*": interrupted}
    found = call(*command.split())
    assert found.code == 130
    here = "The cycle goes on from its last finished step with `treadle run`"
    there = "The cycle goes on at http://treadle.test; `treadle cycles` shows it"
    assert (there if "://" in server else here) in found.err
    wire.answers |= {"POST /v1/cycles": interrupted, "POST /v1/retrain/flights": interrupted}
    assert "`treadle cycles` shows whether a cycle was started" in call(*command.split()).err


def test_the_end_of_a_script_s_log_is_told_in_a_line(call: Call, wire: Wire) -> None:
    log = "the training ended with exit code 1; its last words:\nTraceback:\n  1 / 0\nZeroDivisionError: by 0"
    stages = (Stage(name="train", state="failed", summary=log, started_at=NOON, ended_at=NOON),)
    failed = cycle("failed", version=None, stages=stages)
    turning(wire, failed, "pass", "pass")
    wire.answers |= {"GET /v1/models/flights/reigns": [], "GET /v1/cycles": [failed]}
    told = "the training ended with exit code 1: ZeroDivisionError: by 0"
    assert call("run").out.splitlines()[0].endswith(told)
    history = call("history", "flights").out
    assert told in history
    assert "Traceback" not in history


def test_a_cycle_that_a_server_runs_is_followed(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "pass")
    wire.answers["POST /v1/cycles/resume"] = [cycle("running", 0)]
    assert call("run").out.startswith(f"cycle {RUNNING.id} is under way at data; going on with it\n")


def test_of_several_cycles_the_worst_is_the_exit_code(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "fail")
    wire.answers["POST /v1/cycles/resume"] = [
        cycle("running", 2, id="cycle_a"),
        cycle("running", 2, id="cycle_b"),
    ]
    wire.answers = {"GET /v1/cycles/cycle_b": cycle("refused", id="cycle_b"), **wire.answers}
    assert call("run").code == 1


def test_json_is_the_cycle_and_nothing_else(call: Call, wire: Wire) -> None:
    turning(wire, cycle("refused"), "pass", "inconclusive")
    found = call("run", "--json")
    assert found.code == 3
    assert found.err == ""
    assert found.json(Cycle) == cycle("refused")


def test_a_plan_changes_nothing(call: Call, wire: Wire) -> None:
    wire.answers["POST /v1/plan"] = plan()
    found = call("run", "--plan", "--set", "depth=8")
    assert found.code == 0
    assert [asked.path for asked in wire.asked] == ["/v1/plan"]
    assert msgspec.json.decode(wire.asked[0].body, type=NewCycle).params == {"depth": 8}
    assert found.out.startswith("A cycle of flights, looking back from 2013-07-01 12:00 UTC, would:\n")
    assert "about 42 CPU-seconds" in found.out
    assert found.out.splitlines()[-2:] == ["Nothing was changed.", "next: treadle run"]
    assert call("run", "--plan", "--json").json(Plan) == plan()


def test_a_plan_names_its_problems(call: Call, wire: Wire) -> None:
    wire.answers["POST /v1/plan"] = plan("data/x.parquet does not exist")
    found = call("run", "--plan")
    assert "✗ data/x.parquet does not exist" in found.out
    assert found.out.splitlines()[-1] == "next: treadle doctor"


def test_a_busy_workspace_is_an_error(call: Call, wire: Wire) -> None:
    wire.answers["POST /v1/cycles/resume"] = Busy(
        "treadle run (process 7) is driving this workspace", fix="wait"
    )
    found = call("run")
    assert found.code == 2
    assert found.err.splitlines()[0] == "error: treadle run (process 7) is driving this workspace"


def test_a_wrong_run_to_be_like_is_an_error(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "pass")
    wire.answers["POST /v1/cycles"] = NotFound("there is no run 'x'")
    assert call("run", "--like", "x").code == 2


def test_a_server_that_is_started_again_is_waited_for(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "pass")
    away = Unavailable("no answer")
    wire.answers["GET /v1/cycles/.*"] = iter([cycle("running", 1), away, away, cycle("promoted")])
    assert call("run").code == 0


def test_a_server_that_stays_away_is_an_error(
    call: Call, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PATIENCE", 0.01)
    turning(wire, cycle("promoted"), "pass", "pass")
    wire.answers["GET /v1/cycles/.*"] = itertools.chain(
        [cycle("running", 1)], itertools.repeat(Unavailable("no answer", fix="is it running?"))
    )
    found = call("run")
    assert found.code == 2
    assert "error: no answer" in found.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/srv/flights", "goes on from its last finished step with `treadle run` or `treadle up`"),
        ("http://there", "goes on at http://there; `treadle cycles` shows it"),
    ],
)
def test_an_interrupt_says_how_to_go_on(name: str, said: str, call: Call, wire: Wire) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    turning(wire, cycle("promoted"), "pass", "pass")
    wire.name = name
    wire.answers["GET /v1/cycles/.*"] = iter([cycle("running", 1), interrupt])
    found = call("run")
    assert found.code == 130
    assert said in found.err
    assert not wire.closed  # nothing is waited for


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_the_stages_are_drawn_live(call: Call, wire: Wire) -> None:
    turning(wire, cycle("promoted"), "pass", "pass")
    found = call("run")
    assert found.code == 0
    shown = plain(found.out)
    assert "✓ data" in shown
    assert "· deploy" in shown
    assert max(cell_len(line.split("\r")[-1].rstrip()) for line in shown.splitlines()) <= 80


@pytest.mark.usefixtures("terminal")
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    call: Call, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    turning(wire, cycle("promoted"), "pass", "pass")
    found = call("run")
    assert found.out.count("train went well") == 1
    assert "\x1b" not in found.out


@pytest.mark.usefixtures("terminal")
def test_a_plan_fits_a_terminal(call: Call, wire: Wire) -> None:
    wire.answers["POST /v1/plan"] = plan("a long problem " * 12)
    shown = plain(call("run", "--plan").out)
    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_elapsed_time_counts_from_the_stage_on(call: Call, wire: Wire) -> None:
    def ended() -> Iterator[Cycle]:
        yield cycle("promoted", started_at=NOON - timedelta(minutes=3))

    turning(wire, cycle("promoted"), "pass", "pass")
    wire.answers["GET /v1/cycles/.*"] = ended()
    found = call("run")
    assert "flights/3 is in production · 4m 12s" in found.out
    assert "1.0s" in found.out.splitlines()[0]
