"""A Postgres server for a benchmark, with its durability as it comes."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import measure


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """The folder of the socket of a new server that has databases ``treadle`` and ``mlflow``.

    Raises:
        Failed: If there is none on this machine.
    """
    found = shutil.which("initdb")
    if found is None:
        raise measure.Failed("no Postgres: initdb is not on the PATH")
    programs = Path(found).resolve().parent
    user = next(n for n in ("postgres", "nobody") if n in {u.pw_name for u in pwd.getpwall()})
    who: Any = {"user": user} if os.geteuid() == 0 else {}  # Postgres refuses to be root
    home = Path(tempfile.mkdtemp(prefix="tpg-"))
    try:
        if who:
            os.chown(home, pwd.getpwnam(user).pw_uid, -1)
        make = [programs / "initdb", "-D", home / "data", "-U", "bench", "-A", "trust", "-E", "UTF8"]
        subprocess.run(make, check=True, capture_output=True, cwd=home, **who)
        command = [programs / "postgres", "-D", home / "data", "-k", home, "-c", "listen_addresses="]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, **who)
        try:
            for name in ("treadle", "mlflow"):
                _create(programs, home, name)
            yield str(home)
        finally:
            process.send_signal(signal.SIGINT)  # now, whoever is still connected
            process.wait(60)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _create(programs: Path, home: Path, name: str) -> None:
    deadline = time.monotonic() + 30
    command = [programs / "createdb", "-h", home, "-U", "bench", name]
    while subprocess.run(command, check=False, capture_output=True).returncode:
        if time.monotonic() > deadline:
            raise measure.Failed("Postgres did not start")
        time.sleep(0.1)
