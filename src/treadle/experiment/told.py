"""Where a run of an MLflow client comes from, as its tags tell: MLflow's own, and Treadle's. Pure."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping

import msgspec

from treadle.experiment.types import Provenance
from treadle.kernel.origin.machine import Hardware
from treadle.kernel.origin.masking import address, masked

_PREFIX = "treadle."
_PLAIN = {
    "branch": "git.branch",
    "commit": "git.commit",
    "environment": "environment",
    "folder": "git.folder",
    "host": "host",
    "lock": "lock",
    "notebook": "notebook",
    "parent": "parent",
    "patch": "patch",
    "platform": "platform",
    "python": "python",
    "repository": "git.repository",
    "trigger": "trigger",
}
_MLFLOW = {
    "branch": ("mlflow.source.git.branch", "mlflow.gitBranchName"),
    "commit": ("mlflow.source.git.commit",),
    "parent": ("mlflow.parentRunId",),
    "repository": ("mlflow.source.git.repoURL", "mlflow.gitRepoURL"),
}


def tags_of(found: Provenance) -> dict[str, str]:
    """What is known of where a run comes from, as tags for a run of an MLflow client."""
    tags = {f"{_PREFIX}{tag}": getattr(found, field) for field, tag in _PLAIN.items()}
    if found.command:
        tags[f"{_PREFIX}command"] = shlex.join(found.command)
    if found.dirty is not None:
        tags[f"{_PREFIX}git.dirty"] = str(found.dirty).lower()
    if found.packages is not None:
        tags[f"{_PREFIX}packages"] = str(found.packages)
    if found.hardware is not None:
        tags[f"{_PREFIX}hardware"] = msgspec.json.encode(found.hardware).decode()
    if found.problems:
        tags[f"{_PREFIX}problems"] = "; ".join(found.problems)
    return {name: value[:5000] for name, value in tags.items() if value}


def told_by(tags: Mapping[str, str]) -> Provenance | None:
    """Where a run comes from, as its tags tell; None if they don't."""
    given = _by_mlflow(tags)
    for field, tag in _PLAIN.items():
        if value := tags.get(f"{_PREFIX}{tag}"):
            given[field] = value
    if command := tags.get(f"{_PREFIX}command"):
        given["command"] = _words(command)
    if dirty := tags.get(f"{_PREFIX}git.dirty"):
        given["dirty"] = dirty == "true"
    if (packages := tags.get(f"{_PREFIX}packages", "")).isdecimal():
        given["packages"] = int(packages[:9])
    with contextlib.suppress(msgspec.DecodeError):
        given["hardware"] = msgspec.json.decode(tags.get(f"{_PREFIX}hardware", ""), type=Hardware)
    if problems := tags.get(f"{_PREFIX}problems"):
        given["problems"] = (problems,)
    return msgspec.convert(given, Provenance) if given else None


def _by_mlflow(tags: Mapping[str, str]) -> dict[str, object]:
    """What MLflow's own tags tell."""
    given: dict[str, object] = {}
    for field, names in _MLFLOW.items():
        found = next(filter(None, map(tags.get, names)), None)
        if found:
            given[field] = address(found) if field == "repository" else found
    if source := tags.get("mlflow.source.name"):
        if tags.get("mlflow.source.type") == "NOTEBOOK":
            given["notebook"] = source
        else:
            given["command"] = masked((source,))
    return given


def _words(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError:  # cut off within a quotation
        return (command,)
