"""Where a job comes from: the project's repository, what is installed, the machine."""

from __future__ import annotations

import platform
import shlex
from pathlib import Path

import msgspec

from treadle.experiment import Provenance
from treadle.kernel.origin import git, machine, packages
from treadle.kernel.origin.masking import masked, text_masked

PATCH, LOCK = "provenance/changes.patch", "provenance/requirements.txt"


class Found(msgspec.Struct, frozen=True):
    """Where a job comes from, and the files that say it in full.

    Attributes:
        provenance: What is known.
        files: Files of the run, by path.
    """

    provenance: Provenance
    files: dict[str, bytes]


def look(root: Path, command: str) -> Found:
    """Looks at a project and at this machine, on which its jobs run; what can't be told is a reason.

    Args:
        root: The project's folder.
        command: What the job runs.
    """
    code = git.look(root)
    lock = packages.lock()
    files = {LOCK: lock.encode()}
    if code.patch:
        files[PATCH] = code.patch
    return Found(
        Provenance(
            command=tuple(shlex.split(masked_command(command))),
            folder=str(root) if code.folder is None else code.folder,
            commit=code.commit,
            branch=code.branch,
            repository=code.repository,
            dirty=code.dirty,
            patch=PATCH if code.patch else None,
            lock=LOCK,
            environment=packages.digest(lock),
            packages=len(lock.splitlines()),
            python=machine.python(),
            platform=machine.system(),
            host=platform.node(),
            hardware=machine.hardware(),
            problems=code.problems,
        ),
        files,
    )


def masked_command(command: str) -> str:
    """A command without the secrets that can be told."""
    try:
        return shlex.join(masked(shlex.split(command)))
    except ValueError:  # an open quotation: the job will say so itself
        return shlex.quote(text_masked(command))
