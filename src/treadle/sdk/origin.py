"""Where a run comes from, as far as it can be told at once; the rest is :mod:`treadle.sdk.gather`'s."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from treadle.experiment.types import Provenance
from treadle.kernel.origin import machine
from treadle.kernel.origin.masking import masked
from treadle.sdk.values import text

_MOST_WORDS, _LONGEST_WORD = 200, 2000
_BATCH = {
    "SLURM_JOB_ID": "Slurm job",
    "LSB_JOBID": "LSF job",
    "PBS_JOBID": "PBS job",
    "GITHUB_RUN_ID": "GitHub Actions run",
    "CI_JOB_ID": "GitLab job",
}


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel; a library that only imported its code makes none."""
    kernels = sys.modules.get("ipykernel.kernelapp")
    return kernels is not None and bool(kernels.IPKernelApp.initialized())


def default_name() -> str:
    """A name for a run that was given none: the script's or the notebook's."""
    if in_notebook():
        return text(Path(notebook() or "notebook").stem)
    stem = Path(sys.argv[0]).stem if sys.argv and sys.argv[0] else ""
    return text(stem) if stem.isprintable() and stem not in ("", "-c", "-m") else "run"


def notebook() -> str | None:
    """The notebook that this kernel belongs to, where Jupyter or the editor says."""
    if not in_notebook():
        return None
    named = os.environ.get("JPY_SESSION_NAME")
    if not named:
        main = sys.modules.get("__main__")
        named = getattr(main, "__vsc_ipynb_file__", None)
    return text(Path(named).name) if isinstance(named, str) and named else None


def command() -> tuple[str, ...]:
    """What was run, without secrets; empty in a notebook, whose kernel's command says nothing."""
    if in_notebook():
        return ()
    words = [text(word)[:_LONGEST_WORD] for word in sys.orig_argv[:_MOST_WORDS]]
    return masked(words)


def user() -> str:
    """Who runs this, as the system knows them."""
    from treadle.client.client import actor

    return text(actor())[:250]


def host() -> str:
    """This machine's name, as a part of a metric's."""
    return text(socket.gethostname().partition(".")[0])[:60].replace("/", "-") or "node"


def launcher() -> str | None:
    """What identifies the process that started this one among all that this machine ever has."""
    parent = os.getppid()
    try:
        stat = Path(f"/proc/{parent}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return f"{boot} {parent} {stat.rpartition(')')[2].split()[19]}"


def trigger(environ: Mapping[str, str]) -> str | None:
    """The job of a batch system that this process belongs to."""
    for variable, what in _BATCH.items():
        if number := environ.get(variable):
            return text(f"{what} {number}")[:200]
    return None


def told_at_once(parent: str | None) -> Provenance:
    """What needs no other program and no search of the disk."""
    return Provenance(
        command=command(),
        notebook=notebook(),
        python=machine.python(),
        platform=machine.system(),
        host=socket.gethostname(),
        parent=parent,
        trigger=trigger(os.environ),
    )


def origin_tags(told: Provenance) -> dict[str, str]:
    """What of it is also found by tags."""
    tags = {"host": told.host or "", "python": (told.python or "").rpartition(" ")[2]}
    if told.command:
        tags["command"] = shlex.join(told.command)[:2000]
    return tags
