"""Pushing and pulling data: S3 on loopback, beside obstore alone and DVC; one large file and many small."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import measure, peers
from bench.s3 import s3
from bench.tables import progress, reason, show

_TREADLE = """
import json, sys, time
from pathlib import Path
from treadle.data import AddPath, Checkout, Fetch, Pull, Push, Remotes, WorkingTree
from treadle.kernel.workspace import Workspace

workspace = Workspace.open(Path.cwd())
steps = {
    "add": lambda: WorkingTree(workspace).add(AddPath(path="data", link=True)),
    "push": lambda: Remotes(workspace).push(Push()),
    "fetch": lambda: Remotes(workspace).fetch(Fetch()),
    "checkout": lambda: WorkingTree(workspace).checkout(Checkout()),
    "pull": lambda: Remotes(workspace).pull(Pull()),
}
took = {}
for name in sys.argv[1:]:
    began = time.monotonic()
    steps[name]()
    took[name] = time.monotonic() - began
print(json.dumps(took))
"""
_RAW = "obstore alone, S3"
_FOLDER = '[remotes.origin]\nurl = "../remote"\n'


class _Side(NamedTuple):
    """What a command cost, its steps in seconds, and the CPU seconds of the server meanwhile."""

    cost: measure.Cost
    took: Mapping[str, float]
    server: float = 0


class Took(NamedTuple):
    """What pushing and pulling the same data cost.

    Attributes:
        push: Seconds of the whole command.
        sent: Of it, seconds of the transfer alone.
        pull: Seconds of the whole command, with what it writes into the working tree.
        fetched: Of it, seconds of the transfer alone.
        push_cpu: CPU seconds of pushing, with the server's.
        pull_cpu: CPU seconds of pulling, with the server's.
        peak: The largest memory of either, in MB.
    """

    push: float | None
    sent: float | None
    pull: float
    fetched: float | None
    push_cpu: float | None
    pull_cpu: float
    peak: float


Case = Callable[[Path, Path, int], dict[str, Took]]


def run(quick: bool) -> None:
    """Measures everything and prints the tables."""
    rounds, files, size = (1, 20_000, 256 << 20) if quick else (3, 100_000, 1 << 30)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        one = folder / "one"
        with one.open("wb") as file:
            for _ in range(0, size, 16 << 20):
                file.write(os.urandom(16 << 20))
        _report(f"Push and pull: one file of {size >> 20:,} MiB", one, rounds)
        one.unlink()
        many = folder / "many"
        for number in range(files):
            path = many / f"d{number // 1000:03d}" / f"f{number % 1000:05d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(10240))
        _report(f"Push and pull: {files:,} files of 10 KiB", many, rounds)


def _report(title: str, source: Path, rounds: int) -> None:
    found: dict[str, list[Took]] = {}
    failed: dict[str, str] = {}
    folders = {
        "bare system calls, a folder": _bare_folder,
        "Treadle, a folder": _treadle_folder,
        "DVC, a folder": _dvc_folder,
    }
    servers = {
        "Treadle and obstore, S3 by http": _treadle_s3,
        "Treadle and obstore, S3 by https": _treadle_https,
        "DVC, S3": _dvc_s3,
    }

    def round_(cases: Mapping[str, Case], number: int, kept: contextlib.ExitStack) -> None:
        for label, case in cases.items():
            if label in failed:
                continue
            made = kept.enter_context(tempfile.TemporaryDirectory(dir=source.parent))
            try:
                for name, took in case(source, Path(made), number).items():
                    found.setdefault(name, []).append(took)
            except measure.Failed as error:
                failed[label] = reason(str(error))
        progress(f"{title}: round {number + 1} of {rounds}, load {measure.load_average()}")

    # Nothing is deleted between rounds of folders: ext4 passes by each inode deleted in the last five
    # minutes (recently_deleted in fs/ext4/ialloc.c), so whoever comes after a deletion makes files slowly.
    with contextlib.ExitStack() as kept:
        for number in range(rounds):
            round_(folders, number, kept)
    for number in range(rounds):
        with contextlib.ExitStack() as kept:
            round_(servers, number, kept)
    rows = [[label, *_medians(each)] for label, each in found.items()]
    rows += [[label, why] for label, why in failed.items()]
    columns = [
        "seconds",
        "push",
        "of it sending",
        "pull",
        "of it fetching",
        "CPU of push",
        "CPU of pull",
        "peak MB",
    ]
    width = len(columns)
    show(title, columns, [[*row, *[None] * (width - len(row))] for row in rows], _ratios(found, rounds))


def _medians(each: Sequence[Took]) -> list[float | None]:
    columns = [[value for value in column if value is not None] for column in zip(*each, strict=True)]
    return [median(column) if column else None for column in columns]


def _ratios(found: Mapping[str, Sequence[Took]], rounds: int) -> str:
    """Ratios within each round, for what slowed both down is in both; then their median."""
    told = [f"Medians of {rounds}."]
    for line in ("http", "https"):
        raw, ours = found.get(f"{_RAW} by {line}", ()), found.get(f"Treadle, S3 by {line}", ())
        pairs = list(zip(raw, ours, strict=True))
        if pairs:
            push = median((raw.sent or 0) / (ours.sent or 1) for raw, ours in pairs)
            pull = median((raw.fetched or 0) / (ours.fetched or 1) for raw, ours in pairs)
            told.append(f"Of obstore's own rate by {line}: push {push:.2f}, fetch {pull:.2f}.")
            push = median((raw.push_cpu or 0) / (ours.push_cpu or 1) for raw, ours in pairs)
            told.append(f"By CPU seconds, the server's too: push {push:.2f}.")
    for there, same in (("a folder", "a folder"), ("S3", "S3 by http")):
        both = list(zip(found.get(f"DVC, {there}", ()), found.get(f"Treadle, {same}", ()), strict=False))
        if both:
            push = median((dvc.push or 0) / (ours.push or 1) for dvc, ours in both)
            pull = median(dvc.pull / ours.pull for dvc, ours in both)
            told.append(f"Beside DVC, {there}: push {push:.1f} x, pull {pull:.1f} x as fast.")
    bare = zip(found.get("bare system calls, a folder", ()), found.get("Treadle, a folder", ()), strict=False)
    times = [ours.pull / floor.pull for floor, ours in bare]
    if times:
        told.append(f"Pulling took {median(times):.2f} x what making the files alone does.")
    return " ".join(told)


# ── Treadle ──────────────────────────────────────────────────────────────


def _treadle_s3(source: Path, folder: Path, number: int, encrypted: bool = False) -> dict[str, Took]:
    """Treadle and obstore alone on one new server; who goes first changes from round to round."""
    with s3(encrypted) as (options, pid):
        listed = "".join(f'{key} = "{value}"\n' for key, value in options.items())
        remote = f'[remotes.origin]\nurl = "s3://bench/treadle"\n[remotes.origin.options]\n{listed}'
        _project(folder / "ada", remote, source)
        blobs = folder / "ada" / ".treadle" / "blobs" / "b3"
        _clone(folder, remote)

        def raw(what: str, where: Path) -> Callable[[], tuple[measure.Cost, dict[str, float]]]:
            return lambda: _raw(options, what, where)

        def ours(clone: str, *names: str) -> Callable[[], tuple[measure.Cost, dict[str, float]]]:
            return lambda: _steps(folder / clone, *names)

        put, push = _in_turn(raw("put", blobs), ours("ada", "push"), number, pid)
        got, pull = _in_turn(raw("get", folder / "raw"), ours("ben", "fetch", "checkout"), number, pid)
    line = "https" if encrypted else "http"
    return {f"{_RAW} by {line}": _took(put, got), f"Treadle, S3 by {line}": _took(push, pull)}


def _treadle_https(source: Path, folder: Path, number: int) -> dict[str, Took]:
    return _treadle_s3(source, folder, number, encrypted=True)


def _in_turn(
    raw: Callable[[], tuple[measure.Cost, dict[str, float]]],
    ours: Callable[[], tuple[measure.Cost, dict[str, float]]],
    number: int,
    pid: int,
) -> tuple[_Side, _Side]:
    """Runs both, the second first in every other round; what they and the server meanwhile took."""
    sides = []
    for one in (ours, raw) if number % 2 else (raw, ours):
        before = measure.cpu_of(pid)
        cost, took = one()
        sides.append(_Side(cost, took, measure.cpu_of(pid) - before))
    return (sides[1], sides[0]) if number % 2 else (sides[0], sides[1])


def _bare_folder(source: Path, folder: Path, _: int) -> dict[str, Took]:
    """What pulling can't be quicker than: the files made anew, their bytes at hand."""
    os.sync()
    cost = measure.run([sys.executable, peers.SCRIPTS / "bare_files.py", source, folder / "files"], folder)
    return {
        "bare system calls, a folder": Took(None, None, json.loads(cost.out), None, None, cost.cpu, cost.peak)
    }


def _treadle_folder(source: Path, folder: Path, _: int) -> dict[str, Took]:
    _project(folder / "ada", _FOLDER, source)
    push = _Side(*_steps(folder / "ada", "push"))
    _clone(folder, _FOLDER)
    return {"Treadle, a folder": _took(push, _Side(*_steps(folder / "ben", "pull")))}


def _took(push: _Side, pull: _Side) -> Took:
    cpu = push.cost.cpu + push.server, pull.cost.cpu + pull.server
    peak = max(push.cost.peak, pull.cost.peak)
    return Took(push.cost.wall, push.took["push"], pull.cost.wall, pull.took.get("fetch"), *cpu, peak)


def _project(folder: Path, remote: str, source: Path | None = None) -> None:
    folder.mkdir()
    (folder / "treadle.toml").write_text(f'[project]\nname = "bench"\n{remote}')
    if source is not None:
        subprocess.run(["cp", "-r", source, folder / "data"], check=True)
        _steps(folder, "add")


def _clone(folder: Path, remote: str) -> None:
    _project(folder / "ben", remote)
    shutil.copy(folder / "ada" / "data.treadle", folder / "ben")


def _steps(folder: Path, *names: str) -> tuple[measure.Cost, dict[str, float]]:
    os.sync()
    cost = measure.run([sys.executable, "-c", _TREADLE, *names], folder)
    return cost, json.loads(cost.out.splitlines()[-1])


def _raw(options: Mapping[str, str], what: str, folder: Path) -> tuple[measure.Cost, dict[str, float]]:
    folder.mkdir(exist_ok=True)
    os.sync()
    command = [sys.executable, peers.SCRIPTS / "raw_s3.py", json.dumps(options), what, "raw", folder]
    cost = measure.run(command, folder)
    return cost, {"push" if what == "put" else "fetch": json.loads(cost.out)["seconds"]}


# ── DVC ──────────────────────────────────────────────────────────────────


def _dvc_folder(source: Path, folder: Path, _: int) -> dict[str, Took]:
    return {"DVC, a folder": _dvc(source, folder, str(folder / "remote"), {}, {})}


def _dvc_s3(source: Path, folder: Path, _: int) -> dict[str, Took]:
    with s3() as (options, pid):
        keys = {
            "AWS_ACCESS_KEY_ID": options["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": options["secret_access_key"],
            "AWS_DEFAULT_REGION": options["region"],
        }
        settings = {"endpointurl": options["endpoint"]}
        return {"DVC, S3": _dvc(source, folder, "s3://bench/dvc", settings, keys, pid)}


def _dvc(
    source: Path,
    folder: Path,
    remote: str,
    settings: Mapping[str, str],
    keys: Mapping[str, str],
    server: int = 0,
) -> Took:
    """Add, push, and pull into another clone."""
    peer = peers.peer("dvc")
    if peer.python is None:
        raise measure.Failed(peer.problem)
    dvc = [peer.python, "-m", "dvc"]
    ada, ben = folder / "ada", folder / "ben"
    for one in (ada, ben):
        one.mkdir()
        measure.run([*dvc, "init", "--no-scm", "-q"], one, keys)
        measure.run([*dvc, "remote", "add", "-q", "-d", "origin", remote], one, keys)
        for name, value in settings.items():
            measure.run([*dvc, "remote", "modify", "-q", "origin", name, value], one, keys)
    subprocess.run(["cp", "-r", source, ada / "data"], check=True)
    measure.run([*dvc, "add", "-q", "data"], ada, keys)
    os.sync()
    cpu = [measure.cpu_of(server) if server else 0.0]
    push = measure.run([*dvc, "push", "-q"], ada, keys)
    cpu.append(measure.cpu_of(server) if server else 0.0)
    shutil.copy(ada / "data.dvc", ben)
    os.sync()
    pull = measure.run([*dvc, "pull", "-q"], ben, keys)
    cpu.append(measure.cpu_of(server) if server else 0.0)
    costs = push.cpu + cpu[1] - cpu[0], pull.cpu + cpu[2] - cpu[1]
    return Took(push.wall, None, pull.wall, None, *costs, max(push.peak, pull.peak))
