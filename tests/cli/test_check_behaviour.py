"""``treadle check`` of behaviour, as people call it: killed, interrupted, gone on with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chat_server import serving
from live import environment

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


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
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
