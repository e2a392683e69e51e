"""``treadle deploy loadtest``: what is asked, what is shown, and the exit codes that CI goes by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_parts import Asked, Call, Wire, plain
from cli_samples import DEPLOYMENT, HEALTH, NOON

from treadle.deploy import (
    BurnRate,
    LoadProgress,
    LoadTest,
    LoadTestJob,
    NewLoadTest,
    ServiceLevel,
    ServiceLevels,
)
from treadle.evaluate.types import Verdict
from treadle.kernel.config import ObjectiveConfig
from treadle.registry.types import Standing
from treadle.retrain.types import Approved

ASKED = "POST /v1/deployments/flights/load-tests"


def found(outcome: Any = "pass", **changes: Any) -> LoadTest:
    verdict = Verdict(
        check="p99", subject="overall", outcome=outcome, sentence="99 of 100 within 8 ms; 50 ms are allowed",
        n=300, n_needed=1234 if outcome == "inconclusive" else None, unit="requests",
    )  # fmt: skip
    known = {
        "id": "loadtest_1", "model": "flights", "version": 4, "revision": None, "at": NOON, "actor": "ada",
        "rate": 100.0, "seconds": 30.0, "arrivals": "poisson", "requests": 3012, "failed": 0, "p50_ms": 1.25,
        "p99_ms": 8.0, "lag_ms": 0.5, "objective": ObjectiveConfig(p99_ms=50), "verdicts": (verdict,),
        "outcome": outcome,
    }  # fmt: skip
    return LoadTest(**(known | changes))


def job(result: LoadTest | None = None, **changes: Any) -> LoadTestJob:
    asked = NewLoadTest(version=4)
    known = {"id": "loadtest_1", "model": "flights", "asked": asked, "actor": "ada", "at": NOON}
    state = "running" if result is None else "cancelled" if result.cancelled else "done"
    return LoadTestJob(**(known | {"state": state, "result": result} | changes))


@pytest.fixture
def wire(wire: Wire) -> Wire:
    wire.answers = {"GET /v1/health": HEALTH, ASKED: job(found())}
    wire.answers["GET /v1/deployments/flights/environments"] = []
    return wire


def asked(wire: Wire) -> dict[str, Any]:
    return msgspec.json.decode(wire.asked[-1].body)


def test_a_version_is_tested_as_it_is_asked(call: Call, wire: Wire, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"hour": 1}\n\n{"hour": 2}\n')
    done = call(
        "deploy", "loadtest", "--version", "4", "--rate", "250", "--for", "1m", "--arrivals", "constant",
        "--seed", "7", "--rows", str(rows),
    )  # fmt: skip
    assert done.code == 0
    assert asked(wire) == {
        "version": 4, "rate": 250.0, "seconds": 60.0, "arrivals": "constant", "seed": 7,
        "rows": [{"hour": 1}, {"hour": 2}], "environment": "",
    }  # fmt: skip
    assert "flights/4, a replica of its own" in done.out
    assert "3,012 requests, 100 a second for 30 s (poisson)" in done.out
    assert "✓ p99: 99 of 100 within 8 ms; 50 ms are allowed" in done.out


@pytest.mark.parametrize(("outcome", "code"), [("pass", 0), ("fail", 1), ("inconclusive", 3)])
def test_the_exit_code_is_the_outcome(outcome: str, code: int, call: Call, wire: Wire) -> None:
    wire.answers[ASKED] = job(found(outcome, revision=3))
    done = call("deploy", "loadtest", "flights")
    assert done.code == code
    assert "flights/4, revision 3" in done.out
    assert ("some 1,234 requests would probably tell" in done.out) is (code == 3)
    done = call("deploy", "loadtest", "--json")
    assert (done.code, done.json(LoadTest)) == (code, found(outcome, revision=3))


@pytest.mark.parametrize(("revision", "again"), [(None, "flights --version 4 --for"), (3, "flights --for")])
def test_what_could_not_tell_is_tested_longer(
    revision: int | None, again: str, call: Call, wire: Wire
) -> None:
    wire.answers[ASKED] = job(found("inconclusive", revision=revision))
    assert f"next: treadle deploy loadtest {again} 120s" in call("deploy", "loadtest", "flights").out


def test_a_line_that_is_no_row_is_named(call: Call, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"hour": 1}\n[2]\n')
    done = call("deploy", "loadtest", "--rows", str(rows))
    assert done.code == 2
    assert f"{rows}:2" in done.err


def test_the_status_shows_service_levels(call: Call, wire: Wire) -> None:
    burn = BurnRate(severity="page", limit=14.4, long="1h", short="5m", long_rate=20.0, short_rate=31.5,
                    burning=True)  # fmt: skip
    level = ServiceLevel(
        name="availability", target=0.999, requests=9, bad=1, budget_left=-0.2, burns=(burn,), fallen=False,
        sentence="99.9 % of the requests are to be answered; the budget is overdrawn by 20%",
    )  # fmt: skip
    levels = ServiceLevels(model="flights", at=NOON, levels=(level,), silent=False)
    wire.answers["GET /v1/deployments/flights"] = msgspec.structs.replace(DEPLOYMENT, levels=levels)
    out = call("deploy").out
    assert "✗ availability: 99.9 % of the requests are to be answered; the budget is overdrawn by 20%" in out
    assert out.split("availability")[2].split()[:7] == ["1h", "and", "5m", "20", "31.5", "14.4", "page"]


NOW = LoadProgress(step="sending", due=3200, sent=1204, answered=1200, failed=2, p99_ms=6.91, left=18.2)


def test_a_terminal_is_told_how_far_it_is(call: Call, wire: Wire, terminal: None) -> None:
    wire.answers[ASKED] = job()
    wire.answers["GET /v1/load-tests/loadtest_1"] = iter(
        [*(job(progress=NOW) for _ in range(30)), job(found())]
    )
    done = call("deploy", "loadtest", "flights", "--version", "4")
    assert done.code == 0
    assert "sent 1,204 of 3,200 requests, 2 failed, p99 6.91 ms, 18 s left" in plain(done.err)


def test_whoever_interrupts_it_stops_it(call: Call, wire: Wire) -> None:
    def interrupted(_: Asked) -> None:
        raise KeyboardInterrupt

    wire.answers[ASKED] = job(progress=NOW)
    wire.answers["GET /v1/load-tests/loadtest_1"] = interrupted
    stopped = found("inconclusive", verdicts=(), cancelled="ada stopped it")
    wire.answers["DELETE /v1/load-tests/loadtest_1"] = job(stopped, progress=NOW)
    done = call("deploy", "loadtest", "flights", "--version", "4")
    assert (done.code, wire.asked[-1].method) == (130, "DELETE")
    assert "stopped: 1,204 requests had been sent; nothing was judged" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("models", "approve", "flights/4"), "flights/4 is not approved"),
        (("deploy", "flights/4"), "flights/4 is not deployed"),
    ],
)
def test_whoever_interrupts_the_load_test_of_an_approval_has_approved_nothing(
    command: tuple[str, ...], said: str, call: Call, wire: Wire
) -> None:
    def interrupted(_: Asked) -> None:
        raise KeyboardInterrupt

    wire.answers["GET /v1/deployments/flights/revisions"] = []
    wire.answers["POST /v1/required-load-test"] = job(progress=NOW)
    wire.answers["GET /v1/load-tests/loadtest_1"] = interrupted
    stopped = found("inconclusive", verdicts=(), cancelled="ada stopped it")
    wire.answers["DELETE /v1/load-tests/loadtest_1"] = job(stopped, progress=NOW)
    done = call(*command, "--reason", "looks good")
    assert (done.code, wire.asked[-1].method) == (130, "DELETE")
    assert f"stopped: 1,204 requests had been sent; {said}, and nothing of it runs any more" in done.err
    assert not wire.made("POST /v1/(model/approval|deployments)")


def test_an_approval_shows_its_load_test_and_goes_on_once_that_is_passed(
    call: Call, wire: Wire, terminal: None
) -> None:
    standing = Standing(ref="flights/4", status="production", next=None)
    wire.answers["POST /v1/model/approval"] = Approved(standing=standing)
    wire.answers["POST /v1/required-load-test"] = job()
    running = (job(progress=NOW) for _ in range(30))
    wire.answers["GET /v1/load-tests/loadtest_1"] = iter([*running, job(found())])
    done = call("models", "approve", "flights/4", "--reason", "looks good")
    assert done.code == 0
    assert "sent 1,204 of 3,200 requests, 2 failed, p99 6.91 ms, 18 s left" in plain(done.err)
    assert wire.made("POST /v1/required-load-test")[0].query["purpose"] == "approval"
    wire.answers["POST /v1/required-load-test"] = job(found("fail"))
    refused = call("models", "approve", "flights/4", "--reason", "looks good")
    assert refused.code == 2
    assert "a load test at 100 requests a second came out fail: 99 of 100 within 8 ms" in refused.err
    assert len(wire.made("POST /v1/model/approval")) == 1


def test_one_that_somebody_else_stopped_is_no_evidence(call: Call, wire: Wire) -> None:
    wire.answers[ASKED] = job(found("inconclusive", verdicts=(), cancelled="ben stopped it"))
    done = call("deploy", "loadtest", "flights", "--version", "4")
    assert done.code == 3
    assert "stopped, nothing was judged: ben stopped it" in done.out
