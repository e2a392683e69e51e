"""Commands that are asked before a merge moves a branch."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from treadle.kernel.errors import Conflict

_TOLD = 2000


def run_hooks(commands: Sequence[str], root: Path, told: Mapping[str, str]) -> None:
    """Runs commands one after another in the project's folder.

    Args:
        commands: Which.
        root: The project's folder.
        told: Environment variables that they get.

    Raises:
        Conflict: If one fails or can't be run; tells the end of what it wrote.
    """
    for command in commands:
        try:
            done = subprocess.run(
                shlex.split(command),
                cwd=root,
                env={**os.environ, **told},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except (OSError, ValueError) as error:
            raise Conflict(
                f"the check {command!r} can't be run: {error}",
                where=f"[data.{told['TREADLE_DATASET']}] pre_merge",
                fix="correct the command; nothing was merged",
            ) from error
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip()[-_TOLD:]
            raise Conflict(
                f"the check {command!r} refused the merge (exit code {done.returncode})"
                + (f": {said}" if said else ""),
                where=f"[data.{told['TREADLE_DATASET']}] pre_merge",
                fix="change the data on the source, then merge again; nothing was merged",
            )
