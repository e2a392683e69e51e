"""Kills a process at each of its steps in turn: where files are made, renamed or removed, and at commits.

A driver process imports everything once and forks for each step, so that hundreds of kills take seconds.
Run as a script, with the name of a module of actions, of an action, a folder, and which steps.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_STEPS = {
    "os.rename",
    "os.remove",
    "os.link",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "shutil.rmtree",
}
_WRITES = os.O_WRONLY | os.O_RDWR


def sweep(module: str, action: str, folder: Path, every: int = 1) -> int:
    """Kills an action at every n-th step; returns how many kills there were.

    The module has ``prepare(root)`` or ``prepare_ACTION(root)``, ``ACTION(root)``, ``check_ACTION(root)``,
    which is called after each kill, and ``done_ACTION(root)``, called after the action was done once more.
    """
    done = subprocess.run(
        [sys.executable, __file__, module, action, str(folder), str(every)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return int(json.loads(done.stdout.splitlines()[-1]))


def _forked(work: Callable[[], object]) -> int:
    """Does something in a process of its own; returns its exit status, negative if it was killed."""
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _armed(work: Callable[[], object], step: int) -> Callable[[], object]:
    """The work, during which the process is killed at a step."""

    def run() -> None:
        import sqlalchemy as sa

        count = 0

        def count_down() -> None:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

        def audit(event: str, arguments: tuple[object, ...]) -> None:
            if event in _STEPS or (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES
            ):
                count_down()

        sys.addaudithook(audit)
        sa.event.listen(sa.Engine, "commit", lambda _: count_down())
        work()

    return run


def main(module: str, action: str, folder: str, every: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    actions = importlib.import_module(module)
    work, check = getattr(actions, action), getattr(actions, f"check_{action}")
    done = getattr(actions, f"done_{action}")
    base, root = Path(folder) / "base", Path(folder) / "work"
    prepare = getattr(actions, f"prepare_{action}", actions.prepare)
    assert _forked(lambda: prepare(base)) == 0
    step = kills = 0
    while True:
        step += int(every)
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-a", str(base), str(root)], check=True)
        ended = _forked(_armed(lambda: work(root), step))
        assert ended in (0, -signal.SIGKILL), f"it ended by itself, with {ended}, at step {step}"
        assert _forked(lambda: check(root)) == 0, f"after a kill at step {step}"
        if not ended:
            break
        kills += 1
        assert _forked(lambda: work(root)) == 0, f"again after a kill at step {step}"
        assert _forked(lambda: done(root)) == 0, f"done again after a kill at step {step}"
    print(kills)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(*sys.argv[1:])
