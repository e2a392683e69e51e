"""The peers, each in a virtual environment of its own, from the pinned lists in ``peers/``.

They live under ``$TREADLE_BENCH`` or ``~/.cache/treadle-bench``, and are made again when
their list changes. A peer that can't be installed is reported in its row, not an error.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from bench.tables import progress

ROOT = Path(__file__).resolve().parent.parent
LISTS = ROOT / "bench" / "peers"
SCRIPTS = ROOT / "bench" / "scripts"
PLATFORM = Path(sys.executable)
_TOOLS = {"pip", "setuptools", "wheel"}


class Peer(NamedTuple):
    """An installed peer, or why it isn't.

    Attributes:
        python: Its interpreter; None if it could not be installed.
        problem: Why not.
    """

    python: Path | None
    problem: str = ""

    def program(self, name: str) -> Path:
        """A program that it installed."""
        assert self.python is not None
        return self.python.with_name(name)


def cache() -> Path:
    """Where environments and data are kept between runs."""
    folder = Path(os.environ.get("TREADLE_BENCH") or Path.home() / ".cache" / "treadle-bench")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def peer(name: str) -> Peer:
    """The peer of ``peers/NAME.txt``, installed now if it isn't yet."""
    listed = LISTS / f"{name}.txt"
    return _made(name, hashlib.sha256(listed.read_bytes()).hexdigest(), ["-r", str(listed)])


def thin_client() -> Peer:
    """Treadle without extras, as a training image would have it, from this checkout."""
    state = hashlib.sha256((ROOT / "pyproject.toml").read_bytes())
    for path in sorted((ROOT / "src").rglob("*.py")):
        state.update(path.read_bytes())
    return _made("treadle-thin", state.hexdigest(), ["--force-reinstall", str(ROOT)])


def _made(name: str, state: str, arguments: list[str]) -> Peer:
    home = cache() / "venvs" / name
    python, stamp = home / "bin" / "python", home / "ready"
    if stamp.exists() and stamp.read_text() == state:
        return Peer(python)
    progress(f"installing {name}")
    make = [sys.executable, "-m", "venv", "--clear", str(home)]
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    for command in (make, install):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
            return Peer(None, f"can't be installed: {errors[0][:100] if errors else 'pip failed'}")
    stamp.write_text(state)
    return Peer(python)


def size(python: Path) -> tuple[float, int]:
    """MB and number of the packages of an environment, without pip and setuptools."""
    site = next((python.parent.parent / "lib").glob("python3*")) / "site-packages"
    infos = {path.name.split("-")[0].lower() for path in site.glob("*.dist-info")} - _TOOLS
    aside = {"pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack"}
    total = sum(
        file.stat().st_size
        for entry in site.iterdir()
        if entry.name.split("-")[0] not in aside
        for file in ([entry] if entry.is_file() else entry.rglob("*"))
        if file.is_file() and not file.is_symlink()
    )
    return total / 1e6, len(infos)


def versions(python: Path, *packages: str) -> str:
    """``name 1.2.3`` of each package, as installed."""
    code = "import sys; from importlib.metadata import version as v; print(*(v(p) for p in sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *packages], check=True, capture_output=True, text=True)
    return ", ".join(f"{p} {v}" for p, v in zip(packages, done.stdout.split(), strict=True))
