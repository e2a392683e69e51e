"""Models that are judged by their predictions alone: a file, from wherever it comes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from treadle.evaluate.models.predictions import Predictions, load_predictions, pairing
from treadle.evaluate.parts import Part
from treadle.evaluate.planning import plan_model
from treadle.evaluate.rules import VERSION
from treadle.evaluate.service import Evaluations
from treadle.evaluate.types import Basis, CheckRequest, Evaluation, Planned
from treadle.kernel.config import Config
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.ids import digest_file
from treadle.kernel.workspace import Workspace


def predicted(workspace: Workspace, config: Config, asked: CheckRequest) -> Part:
    """The checks of ``[checks.performance]``, ``[checks.groups]`` and ``[checks.bias]`` on predictions.

    Args:
        workspace: The workspace.
        config: Says what is checked, and what the file's columns are.
        asked: Names other files, perhaps.

    Raises:
        NotFound: If a file isn't there.
    """
    declared = config.checks.predictions
    assert declared is not None  # noqa: S101 - whoever asks has looked
    name, beside = asked.predictions or declared.path, asked.baseline or declared.baseline
    path = _there(workspace, name)
    other = _there(workspace, beside) if beside else None
    digest = digest_file(path)
    baseline = beside or ("production" if declared.production else None)

    def load() -> Predictions:
        with _in(path):
            return load_predictions(workspace.engine, config.checks, path, declared, other)

    def judge(identity: str) -> Evaluation:
        found = load()
        paired = pairing(found)
        with _in(path):
            return Evaluations(workspace, config).judge(
                identity,
                subject=name,
                holdout=found.holdout,
                candidate=found.candidate[0],
                production=found.production[0] if found.production else None,
                replicas=found.candidate[1:],
                other_replicas=found.production[1:],
                data=digest,
                baseline=baseline,
                seed=asked.seed,
                basis=Basis(candidate=declared.candidate[0], seed=asked.seed, treadle=VERSION),
                beside=[paired] if paired else [],
            )

    def plan() -> list[Planned]:
        found = load()
        production = found.production[0] if found.production else None
        with _in(path):
            return plan_model(config, found.holdout, baseline, production)

    same = (digest, digest_file(other) if other else "", asked.seed)
    return Part("model", same, judge, plan)


@contextlib.contextmanager
def _in(path: Path) -> Iterator[None]:
    """Says in which file the values lie that can't be judged, where nothing else does."""
    try:
        yield
    except InvalidInput as error:
        if not (error.where or "").startswith(str(path.anchor)):
            error.where = f"{path}, {error.where}" if error.where else str(path)
        raise


def _there(workspace: Workspace, name: str) -> Path:
    path = workspace.root / name
    if not path.is_file():
        raise NotFound(f"there are no predictions {name!r}", where=str(path), fix="check the path")
    return path
