"""Checks as jobs: followed, stopped, left alone, and gone on with."""

from __future__ import annotations

import json
import threading
import time

import pytest

from chat_server import serving
from live import until
from treadle.evaluate import CheckJobs, CheckRequest, Evaluations
from treadle.evaluate.checking import Checks
from treadle.kernel import following
from treadle.kernel.config import load_config
from treadle.kernel.errors import Busy, NotFound

ASKED = CheckRequest(behaviour=("sums",))
CASES = 20


@pytest.fixture
def gate():
    """What the server waits for before it answers, after the first five calls."""
    return threading.Event()


@pytest.fixture
def asked(workspace, gate):
    """A server that is asked twenty sums, two at a time."""

    def answer(text, *_):
        if len(server.requests) > 5:
            gate.wait(20)
        return str(sum(map(int, text.split(" + "))))

    with serving(answer) as server:
        cases = [{"id": str(n), "input": f"{n} + 1", "expected": n + 1} for n in range(CASES)]
        (workspace.root / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
        toml = workspace.root / "treadle.toml"
        toml.write_text(
            f"""{toml.read_text()}
[checks.behaviour.sums]
cases = "cases.jsonl"
bound = 0.5
repeats = 1
[checks.behaviour.sums.target]
url = "{server.url}"
model = "m"
concurrency = 2
call_price = 0.25
[checks.behaviour.sums.scorers.right]
kind = "number"
"""
        )
        workspace.config = load_config(workspace.root)
        yield server
        gate.set()


@pytest.fixture
def jobs(workspace, monkeypatch):
    monkeypatch.setattr(following, "TICK", 0.2)
    made = CheckJobs(workspace)
    yield made
    made.close()


def answered(jobs, job, count):
    return until(lambda: (found := jobs.get(job.id)).asking.answered >= count and found)


def ended(jobs, job):
    return until(lambda: (found := jobs.get(job.id)).state != "running" and found)


def test_a_job_says_how_far_it_is_and_what_it_came_to(workspace, asked, gate, jobs):
    job = jobs.start(ASKED, "ana")
    assert (job.state, job.actor, job.asked, job.at) == ("running", "ana", ASKED, workspace.clock.now())
    half = answered(jobs, job, 5)
    assert (half.asking.check, half.asking.calls, half.asking.cost) == ("sums", CASES, 1.25)
    gate.set()
    found = ended(jobs, job)
    assert (found.state, found.asking.answered, found.asking.cost) == ("done", CASES, 5.0)
    assert found.result.outcome == "pass"
    assert list(found.result.evaluations) == Evaluations(workspace).list("sums")
    assert jobs.list() == [found]
    assert jobs.cancel(job.id, "bob") == found


def test_what_a_stopped_job_was_answered_is_not_asked_again(workspace, asked, gate, jobs):
    job = jobs.start(ASKED, "ana")
    answered(jobs, job, 5)
    begun = time.monotonic()
    found = jobs.cancel(job.id, "bob")
    assert time.monotonic() - begun < 4  # it doesn't wait for the calls that are under way
    assert (found.state, found.error.code) == ("cancelled", "conflict")
    assert "bob stopped it" in found.error.message
    assert "goes on from there" in found.error.fix
    assert Evaluations(workspace).list() == []
    gate.set()
    again = ended(jobs, jobs.start(ASKED, "ana"))
    [evaluation] = again.result.evaluations
    [resumed] = [one for one in evaluation.verdicts if one.check == "resumed"]
    assert resumed.n == 5
    assert len(asked.requests) <= CASES + 2  # the two that were under way
    assert again.asking.answered == CASES


def test_a_job_that_nobody_waits_for_is_stopped(workspace, asked, monkeypatch):
    monkeypatch.setattr(following, "TICK", 0.5)
    jobs = CheckJobs(workspace, patience=2)
    job = jobs.start(ASKED, "ana")
    answered(jobs, job, 5)
    found = until(lambda: jobs.list()[0].state == "cancelled" and jobs.list()[0])
    assert "nobody has waited for it for 2 seconds" in found.error.message
    jobs.close()


def test_whoever_comes_back_goes_on_in_place_of_the_job_that_was_left(asked, gate, jobs):
    left = jobs.start(ASKED, "ana")
    answered(jobs, left, 5)
    job = jobs.start(ASKED, "ana")
    until(lambda: jobs.get(job.id).asking.answered >= 5)
    assert [one.state for one in jobs.list()] == ["running", "cancelled"]
    gate.set()
    assert ended(jobs, job).state == "done"
    assert len(asked.requests) <= CASES + 2


def test_a_job_that_somebody_waits_for_is_not_taken_over(asked, gate, jobs):
    first = jobs.start(ASKED, "ana")
    answered(jobs, first, 5)
    second = jobs.start(ASKED, "bob")
    found = until(lambda: jobs.get(first.id) and (job := jobs.get(second.id)).state != "running" and job)
    assert (found.state, found.error.code) == ("failed", "busy")
    assert f"treadle check cancel {first.id}" in found.error.fix
    gate.set()
    assert ended(jobs, first).state == "done"


def test_closing_stops_what_is_under_way_and_begins_no_more(asked, jobs):
    job = jobs.start(ASKED, "ana")
    answered(jobs, job, 5)
    jobs.close()
    found = jobs.get(job.id)
    assert (found.state, "shutting down" in found.error.message) == ("cancelled", True)
    with pytest.raises(Busy):
        jobs.start(ASKED, "ana")


def test_whatever_keeps_a_check_from_being_made_is_told(workspace, jobs, monkeypatch):
    found = ended(jobs, jobs.start(CheckRequest(data="gone"), "ana"))
    assert (found.state, found.error.code, found.result) == ("failed", "not_found", None)
    monkeypatch.setattr(Checks, "run", lambda *_: 1 / 0)
    found = ended(jobs, jobs.start(CheckRequest(), "ana"))
    assert "stumbled: ZeroDivisionError" in found.error.message
    with pytest.raises(NotFound, match="'check_9'"):
        jobs.get("check_9")


def test_only_so_many_are_under_way_and_only_so_many_are_remembered(workspace, jobs, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(Checks, "run", lambda *_: go.wait(20) and 1 / 0)
    begun = [jobs.start(CheckRequest(), "ana") for _ in range(16)]
    with pytest.raises(Busy, match="16 checks are under way"):
        jobs.start(CheckRequest(), "ana")
    go.set()
    for job in begun:
        ended(jobs, job)
    for _ in range(100):
        last = ended(jobs, jobs.start(CheckRequest(), "ana"))
    assert len(jobs.list()) == 101
    assert jobs.list()[0] == last
    with pytest.raises(NotFound):
        jobs.get(begun[0].id)
