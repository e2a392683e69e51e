"""How the code of two runs differs: by their commits, and by what wasn't committed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from treadle.experiment.comparison import CodeDiff
from treadle.experiment.types import Run

_PATCH = "provenance/changes.patch"

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_MOST = 400_000
_SECONDS = 20.0


def commit_of(run: Run) -> str | None:
    """A run's commit, if it has one that could be."""
    noted = run.provenance.commit if run.provenance else None
    for text in (noted, run.tags.get("commit"), run.tags.get("mlflow.source.git.commit")):
        if _COMMIT.fullmatch(text or ""):
            return text
    return None


def patch_of(run: Run) -> str:
    """The path of the file in which a run keeps what wasn't committed when it began, if it keeps any."""
    return (run.provenance and run.provenance.patch) or _PATCH


def is_dirty(run: Run) -> bool:
    """Whether its code differed from the commit, as far as that was noted."""
    if run.provenance and run.provenance.dirty is not None:
        return run.provenance.dirty
    return run.tags.get("dirty", run.tags.get("mlflow.source.git.dirty", "")).lower() == "true"


def between(root: Path, first: Run, second: Run, patches: Mapping[str, str]) -> CodeDiff:
    """The difference from one run's code to another's.

    Args:
        root: Where the repository may be: the project's folder.
        first: A run.
        second: Another.
        patches: What each had changed without committing it, by the run's identifier, as far as kept.
    """
    one, other = commit_of(first), commit_of(second)
    kept = (patches.get(first.id), patches.get(second.id))
    lost = [run.name for run in (first, second) if is_dirty(run) and run.id not in patches]
    note = f"what {' and '.join(lost)} changed without committing it was not kept" if lost else None
    made = CodeDiff(runs=(first.id, second.id), commits=(one, other), same=None, patches=kept, note=note)
    if one is None or other is None:
        names = " and ".join(run.name for run, known in ((first, one), (second, other)) if known is None)
        return _with(made, None, "", f"the commit of {names} is not known")
    if one == other:
        return _with(made, None if lost else kept[0] == kept[1], "", note)
    diff = _diff(root, one, other)
    if diff is None:
        return _with(made, False, "", f"the commits are not both in the repository of {root.name or root}")
    if len(diff) > _MOST:
        diff = diff[:_MOST] + f"\n[cut after {_MOST:,} characters: git diff {one[:12]} {other[:12]}]\n"
    return _with(made, False, diff, note)


def _with(made: CodeDiff, same: bool | None, diff: str, note: str | None) -> CodeDiff:
    return CodeDiff(
        runs=made.runs, commits=made.commits, same=same, diff=diff, patches=made.patches, note=note
    )


def _diff(root: Path, one: str, other: str) -> str | None:
    """The difference of two commits; None if git, the repository or a commit isn't there.

    The commits are hexadecimal, so that neither can be taken for an option; what a repository may
    configure to be run for a diff is not.
    """
    command = ["git", "-C", str(root), "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--stat", "-p"]
    try:
        done = subprocess.run(
            [*command, f"{one}^{{commit}}", f"{other}^{{commit}}", "--"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
