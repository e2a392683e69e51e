"""`treadle serve --replicas`: several processes at one port, kept alive, and gone when it is told to end."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
from pathlib import Path

import psutil

from e2e.user import User, ask, wait_until


def replicas(of: psutil.Process) -> list[psutil.Process]:
    found = []
    for one in of.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # one that has just been killed
            found += [one] if "treadle.deploy.replica" in " ".join(one.cmdline()) else []
    return found


def test_several_replicas_share_a_port_and_one_that_dies_comes_back(made: Path, tmp_path: Path) -> None:
    user = User(tmp_path / "toy")
    shutil.copytree(made, user.folder)
    alone = user.run("serve", "--replicas", "2")
    assert alone.code == 2
    assert "start `treadle up` first" in alone.err
    with user.up(), user.start("serve", "--name", "more", "--replicas", "2", "--port", "0") as process:
        assert process.stdout
        said = process.stdout.readline()
        match = re.search(r"2 replicas of toy answer at (\S+);", said)
        assert match, said or process.communicate(timeout=10)
        ready = f"{match[1]}/v2/models/toy/ready"
        wait_until(lambda: ask("GET", ready)[0] == 200)
        top = psutil.Process(process.pid)
        wait_until(lambda: len(replicas(top)) == 2)
        killed = replicas(top)[0]
        killed.kill()
        wait_until(lambda: len(replicas(top)) == 2 and killed.pid not in {one.pid for one in replicas(top)})
        wait_until(lambda: ask("GET", ready)[0] == 200)
        places = user.folder / ".treadle" / "replicas"
        wait_until(lambda: sorted(path.name for path in places.iterdir()) == ["more", "more-2"])
        left = replicas(top)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert not psutil.wait_procs(left, timeout=10)[1]
        assert (user.folder / ".treadle" / "logs" / "more-2.log").exists()
