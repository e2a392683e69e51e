"""What `treadle runs show` tells of where a run comes from, what it shows, and how it died."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_parts import Call

from treadle.cli.origin import facts
from treadle.experiment import Media, Provenance, RunInput
from treadle.experiment.types import Run
from treadle.kernel.clock import ManualClock
from treadle.kernel.origin.machine import Hardware
from treadle.kernel.origin.nvml import Gpu

SCRIPT = """
import sys, treadle
run = treadle.start_run("doomed")
run.log(loss=0.5)
run.log(sample=treadle.Html("<p>hello"), step=4)
run.log({"sample": treadle.Table([[1, 2]], columns=["a", "b"], caption="two")}, step=5)
print(run.id, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _tables() -> None:
    """The tables come from the migrations, as for a user."""


def test_a_killed_run_says_so_and_shows_what_it_logged(here: Path, call: Call) -> None:
    (here / "treadle.toml").write_text('[project]\nname = "toy"\n')
    (here / "train.py").write_text(SCRIPT)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(here)]
    for command in (["init", "-q", "-b", "trunk"], ["add", "-A"], ["commit", "-qm", "m"]):
        subprocess.run([*git, *command], check=True)
    (here / "notes.py").write_text("x = 1\n")
    with subprocess.Popen(
        [sys.executable, "train.py", "--token", "hunter2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
    shown = call("runs", "show", run_id[:20])
    assert shown.code == 0, shown.err
    assert re.search(r"why +killed: 3 records kept, last at \d\d:\d\d:\d\d UTC", shown.out)
    assert re.search(r"command +\S+ train.py --token '\*\*\*'", shown.out)
    assert re.search(r"code +[0-9a-f]{12} on trunk; with new files, see provenance/changes.patch", shown.out)
    assert re.search(r"environment +CPython 3\.\S+ on Linux .*; [\d,]+ packages in provenance/", shown.out)
    assert re.search(r"machine +\S+: \d+ x ", shown.out)
    assert "provenance/requirements.txt" in shown.out
    assert call("runs", "show", run_id, "--json").json(Run).provenance is not None

    listed = call("runs", "media", run_id, "--to", "out")
    assert "sample  " in listed.out
    assert "2 files in out" in listed.out
    assert (here / "out" / "sample" / "5.csv").read_text() == "a,b\n1,2\n"
    found = call("runs", "media", run_id, "--json").json(list[Media])
    assert [(one.info.kind, one.info.step, one.info.caption) for one in found] == [
        ("html", 4, ""),
        ("table", 5, "two"),
    ]


def test_what_is_known_is_said_and_what_is_not_is_left_out(clock: ManualClock) -> None:
    gpu = Gpu(name="NVIDIA H100", memory=80 << 30, driver="550.54")
    told = Provenance(
        notebook="explore.ipynb",
        commit="0123456789abcdef",
        repository="https://example.com/a",
        dirty=True,
        hardware=Hardware(cpu="Fast CPU", cores=8, memory=64 << 30, gpus=(gpu, gpu)),
        parent="run_0",
        trigger="Slurm job 4711",
        problems=("code: git took longer than 20 s",),
    )
    used = RunInput(
        name="rows", digest="d" * 64, source_type="treadle", source='{"number":3}', context="training"
    )
    run = Run(id="run_1", name="a", started_at=clock.now(), user="ada", provenance=told, inputs=(used,))
    assert [(name, value) for name, value in facts(run) if value is not None] == [
        ("user", "ada"),
        ("notebook", "explore.ipynb"),
        ("code", "0123456789ab of https://example.com/a; changed"),
        ("machine", "8 x Fast CPU, 64.0 GiB, 2 x NVIDIA H100 (80.0 GiB, driver 550.54)"),
        ("parent", "run_0"),
        ("trigger", "Slurm job 4711"),
        ("data", "rows@v3 (dddddddddddd) for training"),
        ("missing", "code: git took longer than 20 s"),
    ]
    assert [value for _, value in facts(Run(id="run_1", name="a", started_at=clock.now()))] == [None]
