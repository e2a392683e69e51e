"""A user at a terminal: every command in a process of its own, and what it left behind."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TREADLE = str(Path(sys.executable).with_name("treadle"))
TRACE = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class State:
    """All that a workspace holds: the rows of every table, and every blob's bytes."""

    tables: dict[str, set[str]]
    blobs: dict[str, bytes]

    def keeps(self, before: State, *grown: str) -> bool:
        """Whether all is as before, but for rows added to some tables; blobs are only ever added."""
        for name, rows in before.tables.items():
            if name == "data_refs" and "dataset_versions" in grown:  # branches move to new versions
                made = _refs(self.tables[name]) - _refs(rows)
                assert _refs(rows) <= _refs(self.tables[name])
                assert not made or ("cycles" in grown and all(ref[2].startswith("cycle/") for ref in made))
                continue
            assert self.tables[name] >= rows, f"{name} lost {rows - self.tables[name]}"
            if name not in grown:
                assert self.tables[name] == rows, f"{name} gained {self.tables[name] - rows}"
        assert self.blobs.items() >= before.blobs.items()
        return True


def _refs(rows: set[str]) -> set[tuple[str, ...]]:
    """The branches and tags, without the versions that they point to."""
    return {ast.literal_eval(row)[:3] for row in rows}


@dataclass
class User:
    """Someone in a project's folder."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, timeout: float = 60) -> Done:
        """Runs ``treadle`` with some arguments."""
        done = subprocess.run(
            [TREADLE, *arguments],
            cwd=self.folder,
            env=self._env(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def start(self, *arguments: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """A command that is under way; killed, if it still runs, when the block ends."""
        with subprocess.Popen(
            [TREADLE, *arguments],
            cwd=self.folder,
            env=self._env() | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextlib.contextmanager
    def up(self) -> Iterator[str]:
        """A server with its inference server, both answering; gives the address of the model."""
        with self.start("up", "--port", "0") as process:
            assert process.stdout
            said = process.stdout.readline() + process.stdout.readline()
            match = re.search(r"inference at (\S+)/infer", said)
            assert match, said or process.communicate(timeout=10)
            url = match[1]
            wait_until(lambda: ask("GET", f"{url}/ready")[0] == 200)
            yield url
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)

    def json(self, *arguments: str) -> Any:
        """What a command that went well answers."""
        done = self.run(*arguments, "--json")
        assert done.code == 0, done
        return json.loads(done.out)

    def state(self) -> State:
        """What the workspace holds now."""
        # Of replicas and service levels: when the last was heard of, and what is counted meanwhile.
        counted = ("replicas", "service_minutes", "service_moments")
        query = f"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN {counted}"
        database = sqlite3.connect(f"file:{self.folder}/.treadle/treadle.db?mode=ro", uri=True)
        with contextlib.closing(database):
            names = database.execute(query).fetchall()
            tables = {
                name: {repr(row) for row in database.execute(f"SELECT * FROM {name}")} for (name,) in names
            }
        blobs = self.folder / ".treadle" / "blobs"
        found = {
            str(path.relative_to(blobs)): path.read_bytes() for path in blobs.rglob("*") if path.is_file()
        }
        return State(tables, found)

    def script(self, text: str) -> None:
        """Gives the project another training script."""
        (self.folder / "train.py").write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Changes a text that a file of the project has."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def litter(self) -> list[Path]:
        """What a command should not have left: reports of crashes, and files half-written."""
        state = self.folder / ".treadle"
        staged = [path for path in (state / "tmp").glob("*") if path.is_file()]
        return [*state.glob("crash-*"), *state.rglob("*.tmp"), *staged]

    def _env(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("TREADLE", "AWS_"))
        }
        return inherited | {"TREADLE_ACTOR": "ada"} | self.env


def refused(done: Done, what: str, where: str, fix: str) -> None:
    """The command ended with what happened, where, and what to do, each in a line, and nothing else."""
    assert done.code == 2, done
    lines = done.err.splitlines()
    assert len(lines) == 3, done.err
    for line, name, text in zip(lines, ("error: ", "  where: ", "  fix: "), (what, where, fix), strict=True):
        assert line.startswith(name), done.err
        assert text in line, done.err
    assert TRACE not in done.out


def failed(done: Done, what: str, where: str, fix: str) -> None:
    """The cycle ended with what happened, where, and what to do."""
    assert done.code == 2, done
    assert done.err == ""
    error = done.out[done.out.index("  ✗ ") :]
    first, _, rest = error.partition("\n")
    assert where in first, error
    assert what in first, error
    assert any(fix in line for line in rest.splitlines() if line.strip().startswith("→ ")), error


def ask(method: str, url: str, body: Any = None, timeout: float = 20) -> tuple[int, Any]:
    """A request: its status (0 for no answer) and its answer."""
    import urllib3

    raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        answer = urllib3.request(method, url, body=raw, timeout=timeout, retries=False)
    except urllib3.exceptions.HTTPError:
        return 0, None
    return answer.status, json.loads(answer.data) if answer.data else None


def wait_until(condition: Callable[[], bool], timeout: float = 60) -> None:
    """Polls until something is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
