"""Data beside cp, DVC, git-lfs, Oxen and hf-xet: many small files, and one large one."""

from __future__ import annotations

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.data_peers import PATIENCE, Took, attempt, cp, dvc, git_lfs, hf_xet, inside, oxen
from bench.tables import progress, show

_TREADLE = """
import json, os, sys, time
from pathlib import Path
from treadle.data import AddPath, Branches, Checkout, WorkingTree
from treadle.data.tree.types import Change, Entry
from treadle.kernel.workspace import Workspace

name, chunking, link = sys.argv[1], sys.argv[2], sys.argv[3] == "link"
workspace = Workspace.open(Path.cwd())
tree = WorkingTree(workspace)
took = {}

def step(label, do):
    began = time.monotonic()
    found = do()
    took[label] = time.monotonic() - began
    return found

def stored():
    return sum(f.stat().st_size for f in Path(".treadle/blobs").rglob("*") if f.is_file())

add = AddPath(path=name, chunking=chunking, link=link)
step("add", lambda: tree.add(add))
assert step("status", lambda: tree.status())[0].clean
before = stored()
os.system("python3 change.py " + name)
if not link:
    step("add what changed", lambda: tree.add(add))
    took["stored MB"] = (stored() - before) / 1e6
    os.system("rm -rf " + name)
    step("checkout", lambda: tree.checkout(Checkout()))
took["peak MB"] = int([l for l in open("/proc/self/status") if l.startswith("VmHWM")][0].split()[1]) / 1024
print(json.dumps(took))
"""
_CHANGE_MANY = """
import os, sys
from pathlib import Path
for path in sorted(p for p in Path(sys.argv[1]).rglob("*") if p.is_file())[::100]:
    path.write_bytes(os.urandom(10240))
"""
_CHANGE_ONE = """
import os, sys
with open(sys.argv[1], "r+b") as file:
    file.seek(os.path.getsize(sys.argv[1]) // 2 + 123)
    file.write(os.urandom(1 << 20))
"""


def run(quick: bool) -> None:
    """Measures everything and prints the tables."""
    rounds, files, size = (1, 5_000, 256 << 20) if quick else (3, 100_000, 4 << 30)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        many = folder / "many"
        for number in range(files):
            path = many / f"d{number // 1000:03d}" / f"f{number % 1000:05d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(10240))
        _report(f"{files:,} files of 10 KiB", many, _CHANGE_MANY, rounds, [("off", "")])
        shutil.rmtree(many)
        one = folder / "one"
        with one.open("wb") as file:
            for _ in range(0, size, 64 << 20):
                file.write(os.urandom(64 << 20))
        ways = [("off", ""), ("off", "link"), ("on", ""), ("auto", "")]
        _report(f"one file of {size >> 20:,} MiB", one, _CHANGE_ONE, rounds, ways)


def _report(title: str, source: Path, change: str, rounds: int, ways: list[tuple[str, str]]) -> None:
    found: dict[str, list[Took]] = {}
    peers = {"cp": cp, "DVC": dvc, "git-lfs": git_lfs, "Oxen": oxen, "hf-xet": hf_xet}
    for number in range(rounds):
        for chunking, link in ways:
            label = (
                "Treadle"
                + (f", {link}" if link else "")
                + (f", chunking {chunking}" if len(ways) > 1 else "")
            )
            found.setdefault(label, []).append(_treadle(source, change, chunking, link))
        for label, do in peers.items():
            if number and label != "cp":  # the others take minutes a round
                continue
            if (took := attempt(label, do, source, change)) is not None:
                found.setdefault(label, []).append(took)
        progress(f"{title}: round {number + 1} of {rounds}")
    steps = ["add", "and sync", "status", "add what changed", "stored MB", "checkout", "peak MB"]
    rows = []
    for label, each in found.items():
        medians = [statistics.median(one[s] for one in each) if s in each[0] else None for s in steps]
        rows.append([label, *map(_shown, medians)])
    show(title, ["seconds", *steps], rows)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if math.isfinite(value) else f"over {PATIENCE:g}"


def _treadle(source: Path, change: str, chunking: str, link: str) -> Took:
    def work(folder: Path) -> Took:
        (folder / "treadle.toml").write_text('[project]\nname = "bench"\n')
        (folder / "change.py").write_text(change)
        command = [sys.executable, "-c", _TREADLE, "data", chunking, link]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        took: Took = json.loads(done.stdout.splitlines()[-1])
        return took

    return inside(source, work)
