"""The Python that a model runs in: the server's own, or one made from the model's requirements."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

from treadle.kernel.errors import ModelInvalid, Unavailable
from treadle.kernel.ids import digest_bytes

log = logging.getLogger("treadle.worker")

Kind: TypeAlias = Literal["own", "local"]

REQUIREMENTS, PYTHON = "requirements.txt", "python_env.yaml"
_READY = "ready"
_LIMIT = 1800.0
_VERSION = re.compile(r"(\d+)\.(\d+)")


class Preparing(Unavailable):
    """An environment is being made; ask again."""


class Environments:
    """Finds the Python for a model. Used by one thread.

    Environments are kept by the digest of what they were made from, so that versions with the same
    requirements share one.

    Args:
        folder: Where environments are kept.
        kind: ``own`` makes one from the model's requirements; ``local`` takes this process's.
        install: More arguments for ``pip install``, such as an index.
    """

    def __init__(self, folder: Path, kind: Kind, install: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._kind = kind
        self._install = install
        self._making: dict[str, threading.Thread] = {}
        self._failed: dict[str, str] = {}

    def python(self, model: Path) -> Path:
        """The interpreter for a model.

        Args:
            model: The model's folder.

        Raises:
            Preparing: If its environment is being made; it is, from the first call on.
            ModelInvalid: If it needs another version of Python that isn't here, its requirements
                can't be used, or installing them failed.
        """
        wanted = _wanted_python(model)
        base = _interpreter(wanted, search=self._kind == "own")
        if self._kind == "local":
            return base
        requirements = _requirements(model)
        key = digest_bytes(f"{wanted or sys.version_info[:2]}\n{requirements}".encode())[:16]
        home = self._folder / key
        if (home / _READY).exists():
            return home / "bin" / "python"
        thread = self._making.get(key)
        if thread is None:
            thread = threading.Thread(target=self._make, args=(base, home, key, requirements), daemon=True)
            self._making[key] = thread
            thread.start()
        elif not thread.is_alive() and not (home / _READY).exists():
            del self._making[key]
            raise ModelInvalid(
                f"its environment can't be made: {self._failed.pop(key, 'the installer died')}",
                where=str(home / "log"),
                fix="log the model with requirements that can be installed here, or install them beside "
                'Treadle and set environments = "local" under [serve]',
            )
        raise Preparing("the model's environment is being made", where=str(home / "log"))

    def _make(self, base: Path, home: Path, key: str, requirements: str) -> None:
        try:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            (home / REQUIREMENTS).write_text(requirements)
            with (home / "log").open("wb") as output:
                log.info("making the environment %s", home)
                venv, pip = _installer(home)
                self._run([str(base), *venv, str(home)], output)
                more = ["--disable-pip-version-check", "--no-input", *self._install]
                self._run([*pip, "install", *more, "-r", str(home / REQUIREMENTS)], output)
            (home / _READY).touch()
        except (OSError, subprocess.SubprocessError) as error:
            self._failed[key] = _last_error(home / "log") or str(error)
            log.warning("the environment %s can't be made: %s", home, self._failed[key])

    @staticmethod
    def _run(command: list[str], output: Any) -> None:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=_LIMIT, check=True
        )


def _installer(home: Path) -> tuple[list[str], list[str]]:
    """How an environment is made, and what installs into it: its own pip, where the server has none.

    An image has none; Python brings one along for new environments.
    """
    python = str(home / "bin" / "python")
    if find_spec("pip") is None:
        return ["-m", "venv"], [python, "-m", "pip"]
    return ["-m", "venv", "--without-pip"], [sys.executable, "-m", "pip", "--python", python]


def _wanted_python(model: Path) -> tuple[int, int] | None:
    """The version of Python that a model was logged with; None if it doesn't say."""
    import yaml  # type: ignore[import-untyped]

    try:
        said = yaml.safe_load((model / PYTHON).read_bytes())
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return None
    found = _VERSION.match(str(said.get("python", ""))) if isinstance(said, dict) else None
    return (int(found[1]), int(found[2])) if found else None


def _interpreter(wanted: tuple[int, int] | None, *, search: bool) -> Path:
    """An interpreter of a version: models in pickles can't be loaded by another minor version."""
    if wanted in (None, sys.version_info[:2]):
        return Path(sys.executable)
    name = f"python{wanted[0]}.{wanted[1]}" if wanted else "python"
    found = shutil.which(name) if search else None
    if found is None:
        ours = ".".join(map(str, sys.version_info[:2]))
        raise ModelInvalid(
            f"it was logged with {name}, and the server has Python {ours}",
            where=PYTHON,
            fix=f"put {name} on the server's PATH" if search else 'set environments = "own" under [serve]',
        )
    return Path(found)


def _requirements(model: Path) -> str:
    """What a model asks to be installed, without options that would change where from."""
    path = model / REQUIREMENTS
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelInvalid(
            f"what it needs can't be read: {error}",
            where=REQUIREMENTS,
            fix='log it with pip_requirements, or set environments = "local" under [serve]',
        ) from error
    lines = [line for line in lines if line and not line.startswith("#")]
    for line in lines:
        if line.startswith("-"):
            raise ModelInvalid(
                f"{line.split()[0]} can't stand there: a model doesn't choose where packages come from",
                where=REQUIREMENTS,
                fix="set the index by pip's own configuration (PIP_INDEX_URL) where the server runs",
            )
    return "\n".join(sorted(lines)) + "\n"


def _last_error(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line for line in lines if line.startswith("ERROR:")] or [line for line in lines if line.strip()]
    return errors[-1].removeprefix("ERROR:").strip()[:400] if errors else ""


def environment(*, local: bool) -> dict[str, str]:
    """The variables that a model's process is given: none that may hold a secret."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
    starts = ("LC_", "OMP_", "MKL_", "OPENBLAS_")
    found = {name: value for name, value in os.environ.items() if name in kept or name.startswith(starts)}
    if local and "PYTHONPATH" in os.environ:
        found["PYTHONPATH"] = os.environ["PYTHONPATH"]
    # One model is one core's work unless the operator says otherwise; and MLflow sends nothing home.
    return {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", **found}
