"""Where a run of the MLflow client comes from: found by MLflow itself once Treadle is installed.

MLflow asks every *run context provider* that an installed package offers for tags when a run
begins, whatever server it logs to. This one adds ``treadle.*`` tags. The changes and the list
of packages are too large for tags: :func:`record_provenance` adds them as the run's files.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from treadle.experiment import Provenance, tags_of
from treadle.kernel.errors import Conflict
from treadle.kernel.origin import git, machine, packages
from treadle.sdk.gather import LOCK, PATCH

_SECONDS = 5.0


class Found(msgspec.Struct, frozen=True):
    """Where this process comes from, and the files that say it in full, by path."""

    provenance: Provenance
    files: dict[str, bytes]


class RunContext:
    """MLflow's run context provider; its interface is MLflow's."""

    def in_context(self) -> bool:
        """Whether there is something to tell: there always is."""
        return True

    def tags(self) -> dict[str, str]:
        """What this process can tell as tags; nothing rather than an error."""
        try:
            told = _look(patch=False).provenance
            return tags_of(msgspec.structs.replace(told, patch=None, lock=None))
        except Exception:  # noqa: BLE001 - a training must not fail for it
            return {}


@functools.lru_cache(maxsize=2)
def _look(*, patch: bool) -> Found:
    """Looks once; what is asked for again in this process is the same."""
    from treadle.sdk.origin import told_at_once

    code = git.look(Path.cwd(), _SECONDS, patch=patch)
    lock = packages.lock()
    files = {LOCK: lock.encode()}
    if code.patch:
        files[PATCH] = code.patch
    told = msgspec.structs.replace(
        told_at_once(None),
        folder=str(Path.cwd()) if code.folder is None else code.folder,
        commit=code.commit,
        branch=code.branch,
        repository=code.repository,
        dirty=code.dirty,
        patch=PATCH if code.patch else None,
        lock=LOCK,
        environment=packages.digest(lock),
        packages=len(lock.splitlines()),
        hardware=machine.hardware(),
        problems=code.problems,
    )
    return Found(told, files)


def record_provenance() -> None:
    """Adds to MLflow's active run what differs from the commit, and the list of packages.

    A run of :func:`treadle.start_run` has them already, and nothing is done. What MLflow can't
    keep is told on standard error; the training goes on.

    Raises:
        Conflict: If no run is active.
    """
    from treadle.sdk.handle import running

    mlflow: Any = sys.modules.get("mlflow")
    active = mlflow.active_run() if mlflow is not None else None
    if active is None:
        if running() or os.environ.get("TREADLE_JOB"):
            return
        raise Conflict("no run is active", fix="call it within treadle.start_run() or mlflow.start_run()")
    found = _look(patch=True)
    client, run_id = mlflow.MlflowClient(), active.info.run_id
    try:
        for path, data in found.files.items():
            _log_file(client, run_id, path, data)
        for name, value in tags_of(found.provenance).items():
            client.set_tag(run_id, name, value)
    except Exception as error:  # noqa: BLE001 - the server's trouble is not the training's
        print(f"treadle: the provenance was not kept whole: {error}", file=sys.stderr)  # noqa: T201 - told


def _log_file(client: Any, run_id: str, path: str, data: bytes) -> None:
    import tempfile

    folder, _, name = path.rpartition("/")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, name)
        file.write_bytes(data)
        client.log_artifact(run_id, str(file), folder)
