"""``treadle check`` of behaviour, as people call it: killed, interrupted, gone on with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chat_server import serving
from live import environment, until, up
from treadle.client import Client

TOML = """
[project]
name = "toy"

[checks.behaviour.sums]
cases = "cases.jsonl"
bound = 0.8
repeats = 3

[checks.behaviour.sums.target]
url = "{url}"
model = "m"
concurrency = 2

[checks.behaviour.sums.scorers.right]
kind = "number"
find = "last"
"""
COMMAND = [sys.executable, "-m", "treadle.cli.main"]


def answer(text, count, rng):
    """Slow, right nineteen times in twenty, and every fifth time too busy at first."""
    if count == 0 and rng.random() < 0.2:
        return {"status": 429, "headers": {"retry-after-ms": "10"}}
    a, b = map(int, text.split(" + "))
    return {"text": f"It is {a + b if rng.random() < 0.95 else '?'}.", "hang": 0.03}


def write(folder, url):
    cases = [{"id": str(n), "input": f"{n} + 1", "expected": n + 1} for n in range(30)]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    (folder / "treadle.toml").write_text(TOML.format(url=url))


@pytest.fixture
def project(tmp_path):
    with serving(answer, seed=3) as server:
        write(tmp_path, server.url)
        yield tmp_path, server


def start(folder, *arguments):
    return subprocess.Popen(
        [*COMMAND, "check", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lines(folder):
    return sum(
        len(one.read_text().splitlines()) - 1 for one in (folder / ".treadle" / "behaviour").glob("*.jsonl")
    )


@pytest.mark.parametrize("stop", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.soak)])
def test_what_was_answered_is_never_asked_again(project, stop):
    folder, server = project
    running = start(folder)
    deadline = time.monotonic() + 30
    while (
        not (folder / ".treadle" / "behaviour").exists() or lines(folder) < 30
    ) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(running.pid, stop)
    said, _ = running.communicate(timeout=30)
    assert running.returncode == (-signal.SIGKILL if stop == signal.SIGKILL else 130), said
    assert ("the same command goes on" in said) == (stop == signal.SIGINT)
    kept = lines(folder)
    assert 30 <= kept < 90
    asked = len(server.requests)
    found = start(folder, "--json")
    out, _ = found.communicate(timeout=120)
    assert found.returncode == 0, out
    [evaluation] = json.loads(out)["evaluations"]
    [resumed] = [one for one in evaluation["verdicts"] if one["check"] == "resumed"]
    assert resumed["n"] == kept
    assert evaluation["metrics"]["calls"] == 90
    answered = sum(one["check"] == "answered" for one in evaluation["verdicts"])
    assert answered == 1
    busy = sum(server.asked(f"{n} + 1") > 3 for n in range(30))
    # The rest once each, those under way at the kill again, and the ones that were too busy at first.
    assert len(server.requests) - asked <= 90 - kept + busy
    assert not list((folder / ".treadle" / "behaviour").glob("*.jsonl"))


# ── by a server ──────────────────────────────────────────────────────────


@pytest.fixture
def served(tmp_path):
    """A project under ``treadle up``, and a target that answers twelve calls, others once it is let."""
    let = threading.Event()

    def answer(text, count, rng):
        if len(server.requests) > 12:
            let.wait(60)
        return str(sum(map(int, text.split(" + "))))

    with serving(answer) as server:
        write(tmp_path, server.url)
        with up(tmp_path) as running:
            yield tmp_path, server, running, let
        let.set()


def asking(folder, *arguments, kept=12):
    """A check of which that many answers are kept."""
    running = start(folder, *arguments)
    until(
        lambda: (
            running.poll() is not None or ((folder / ".treadle/behaviour").exists() and lines(folder) >= kept)
        )
    )
    assert running.poll() is None, running.communicate()
    return running


def said_by(running, code):
    said, _ = running.communicate(timeout=60)
    assert running.returncode == code, said
    return " ".join(said.split())


def resumed(said):
    [evaluation] = json.loads(said)["evaluations"]
    assert evaluation["outcome"] == "pass"
    [found] = [one for one in evaluation["verdicts"] if one["check"] == "resumed"]
    return found["n"]


def test_a_check_of_a_server_can_be_stopped_by_who_waits_and_from_elsewhere(served):
    folder, server, up_, let = served
    running = asking(folder)
    running.send_signal(signal.SIGINT)
    assert "12 of 90 calls. What was answered is kept: the same command goes on" in said_by(running, 130)
    with Client.http(up_.url) as client:
        [job] = client.check_jobs()
        assert (job.state, job.asking.answered) == ("cancelled", 12)
        assert len(server.requests) == 14  # two were under way; no more are begun
        running = start(folder)
        job = until(lambda: (found := client.check_jobs()[0]).state == "running" and found)
        until(lambda: client.check_jobs()[0].asking.answered == 12)
    assert f"treadle check cancel {job.id}" in said_by(start(folder, "jobs"), 0)
    assert "is cancelled, after 12 of 90 calls" in said_by(start(folder, "cancel", job.id), 0)
    said = said_by(running, 2)
    assert "stopped it" in said
    assert "the same check goes on from there" in said
    let.set()
    assert resumed(said_by(start(folder, "--json"), 0)) == 12


@pytest.mark.soak
def test_a_check_whose_client_was_killed_is_gone_on_with_and_one_whose_server_ends_is_kept(served):
    folder, _, up_, let = served
    running = asking(folder)
    running.kill()
    running.communicate()
    running = start(folder)
    with Client.http(up_.url) as client:  # the second takes the place of the one that was left
        until(lambda: [one.state for one in client.check_jobs()] == ["running", "cancelled"])
        until(lambda: client.check_jobs()[0].asking.answered == 12)
    code, _, seconds = up_.end(signal.SIGTERM)
    assert (code, seconds < 20) == (0, True)
    assert lines(folder) == 12
    running.kill()  # it would wait for a restart
    running.communicate()
    let.set()
    assert resumed(said_by(start(folder, "--json"), 0)) == 12


# ── in the command itself ────────────────────────────────────────────────


def test_the_example_of_the_documents_goes_as_it_is_told(here, call):
    page = (Path(__file__).parents[2] / "docs/how-to/behaviour.md").read_text()
    for file, text in re.findall(r"^```\w+ file=(\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        (here / file).write_text(text)
    found = call("check", "--explain")
    assert "14 cases are the fewest that can" in " ".join(found.out.split())
    assert call("check").code == 3
    lines = (here / "cases.jsonl").read_text().splitlines()
    copies = [{**json.loads(line), "id": f"{n}-{turn}"} for turn in range(10) for n, line in enumerate(lines)]
    (here / "cases.jsonl").write_text("\n".join(map(json.dumps, copies)))
    assert call("check").code == 0


def test_a_plan_asks_nothing_and_scoring_again_neither(here, call):
    with serving(lambda text, *_: str(sum(map(int, text.split(" + "))))) as server:
        write(here, server.url)
        found = call("check", "--explain")
        assert "90 calls of m (30 cases, 3 times each)" in " ".join(found.out.split())
        assert server.requests == []
        found = call("check", "--json", "--behaviour", "sums")
        [first] = json.loads(found.out)["evaluations"]
        asked = len(server.requests)
        found = call("check", "--json", "--rescore", first["id"])
        [second] = json.loads(found.out)["evaluations"]
        assert (found.code, second["basis"]["replays"]) == (0, first["id"])
        assert second["metrics"]["pass_rate"] == 1
        assert len(server.requests) == asked == 90
        found = call("check", "--behaviour", "smus")
        assert "did you mean 'sums'" in found.err
