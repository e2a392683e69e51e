"""A thousand answers asked and scored, beside Inspect and promptfoo; and whose intervals hold."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import measure, peers
from bench.tables import progress, reason, show, text, times

PROMPTFOO = "promptfoo@0.121.20"
REPEATS, AT_ONCE, LATENCY = 5, 16, 0.05
TOML = """
[project]
name = "sums"

[checks.behaviour.sums]
cases = "cases.jsonl"
repeats = {repeats}
bound = 0.8

[checks.behaviour.sums.target]
url = "{url}"
model = "stub"
concurrency = {at_once}

[checks.behaviour.sums.scorers.right]
kind = "exact"

[checks.behaviour.sums.scorers.digits]
kind = "regex"
pattern = "^(\\\\d+)$"
"""
_QUIET = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
}


def run(quick: bool) -> None:
    """Prints both tables."""
    _asked(quick)
    _intervals(quick)


def _asked(quick: bool) -> None:
    count, rounds = (40, 1) if quick else (200, 3)
    inspect, promptfoo = peers.peer("inspect"), _promptfoo()
    with tempfile.TemporaryDirectory() as name, _stub(Path(name)) as url:
        folder = Path(name)
        _write(folder, url, count)

        def treadle() -> measure.Cost:
            shutil.rmtree(folder / ".treadle", ignore_errors=True)
            return measure.run([peers.PLATFORM, "-m", "treadle.cli.main", "check", "--json"], folder)

        def other(problem: str, command: list[str | Path]) -> Callable[[], measure.Cost]:
            def once() -> measure.Cost:
                if problem:
                    raise measure.Failed(problem)
                return measure.run(command, folder, {**_QUIET, "PROMPTFOO_CONFIG_DIR": str(folder / "pf")})

            return once

        script = peers.SCRIPTS / "behaviour_inspect.py"
        ask = [inspect.python or "", script, url, str(REPEATS), str(AT_ONCE)]
        evaluate = [promptfoo.python or "", "eval", "-c", "promptfoo.json", "--repeat", str(REPEATS)]
        evaluate += ["-j", str(AT_ONCE), "--no-cache", "--no-table", "--no-progress-bar", "-o", "out.json"]
        progress(f"behaviour: {count} cases, load {measure.load_average()}")
        found = measure.interleaved(
            {
                "Treadle": treadle,
                "Inspect": other(inspect.problem, ask),
                "promptfoo": other(promptfoo.problem, evaluate),
            },
            rounds,
        )
    ours = found["Treadle"]
    rows: list[list[object]] = []
    for title, costs in found.items():
        if isinstance(costs, str):
            rows.append([title, reason(costs), *[None] * 3])
            continue
        wall, cpu, peak = (measure.median(costs, key) for key in ("wall", "cpu", "peak"))
        ratio = None if isinstance(ours, str) else times(cpu, measure.median(ours, "cpu"))
        rows.append([title, cpu, ratio, wall, peak])
    least = count * REPEATS * LATENCY / AT_ONCE
    notes = (
        f"{count} cases, {REPEATS} times each, {AT_ONCE} calls at once, of an endpoint on this machine that "
        f"answers after {LATENCY:g} s (so that {least:.1f} s is the least), scored by equality and by a "
        f"pattern; the whole process, medians of {rounds} after one that doesn't count."
    )
    show("Behaviour: asking and scoring", ["by", "CPU-s", "ratio", "wall, s", "peak MB"], rows, notes)


def _write(folder: Path, url: str, count: int) -> None:
    cases = [{"id": f"c{n}", "input": f"{n} + 17", "expected": str(n + 17)} for n in range(count)]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)))
    (folder / "cases.json").write_text(json.dumps(cases))
    (folder / "treadle.toml").write_text(TOML.format(url=url, repeats=REPEATS, at_once=AT_ONCE))
    provider = {"id": "openai:chat:stub", "config": {"apiBaseUrl": url, "apiKey": "none"}}
    tests = [
        {
            "vars": {"input": case["input"]},
            "assert": [
                {"type": "equals", "value": case["expected"]},
                {"type": "regex", "value": r"^(\d+)$"},
            ],
        }
        for case in cases
    ]
    config = {"prompts": ["{{input}}"], "providers": [provider], "tests": tests}
    (folder / "promptfoo.json").write_text(json.dumps(config))


def _promptfoo() -> peers.Peer:
    """Its program, installed by npm now if it isn't yet."""
    npm, home = shutil.which("npm"), peers.cache() / "npm" / PROMPTFOO
    program = home / "node_modules" / ".bin" / "promptfoo"
    if npm is None:
        return peers.Peer(None, "there is no node here to run it")
    if not program.exists():
        progress(f"installing {PROMPTFOO}")
        home.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", PROMPTFOO]
        done = subprocess.run(command, cwd=home, check=False, capture_output=True, text=True)
        if done.returncode or not program.exists():
            return peers.Peer(None, f"can't be installed: {reason(done.stderr or 'npm failed')}")
    return peers.Peer(program)


@contextmanager
def _stub(folder: Path) -> Iterator[str]:
    port = measure.free_port()
    command = [peers.PLATFORM, peers.SCRIPTS / "chat_stub.py", str(port), str(LATENCY)]
    with measure.running(command, folder, folder / "stub.log"):
        url = f"http://127.0.0.1:{port}/v1"
        asked = json.dumps({"model": "stub", "messages": [{"role": "user", "content": "1 + 1"}]}).encode()
        for _ in range(100):
            try:
                urllib.request.urlopen(f"{url}/chat/completions", asked).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url


def _intervals(quick: bool) -> None:
    trials = {"naive": 5000, "inspect": 2000, "treadle": 1000}
    inspect = peers.peer("inspect")
    titles = {
        "naive": "counts of passed calls (promptfoo's; the interval is ours)",
        "inspect": "Inspect: mean and standard error, times 1.96",
        "treadle": "Treadle",
    }
    rows: list[list[object]] = []
    for how, title in titles.items():
        python = inspect.python if how == "inspect" else peers.PLATFORM
        if python is None:
            rows.append([title, inspect.problem])
            continue
        progress(f"intervals: {how}")
        count = str(trials[how] // (20 if quick else 1))
        try:
            cost = measure.run([python, peers.SCRIPTS / "intervals.py", how, count], peers.ROOT)
        except measure.Failed as error:
            rows.append([title, reason(str(error))])
            continue
        told = json.loads(cost.out.strip().splitlines()[-1])
        rows.append(
            [title, *(f"{hold:.1%}; {above:.1%}; {text(width)}" for hold, above, width in told.values())]
        )
    columns = [
        "95 % intervals",
        *(f"{kind}, {n}" for kind in ("differ", "1 in 20 lost") for n in (30, 100, 200)),
    ]
    notes = (
        "Simulated: the share of samples whose interval holds the true pass rate; the share whose lower end "
        "lies above it (2.5 % are allowed), which is a system passed wrongly; and how wide intervals are on "
        "average. Cases with five answers each; they differ (beta, mean 0.9, answers to a case correlate by "
        "1/3), or one in twenty always fails and the others never do."
    )
    show("Behaviour: whose intervals hold", columns, rows, notes)
