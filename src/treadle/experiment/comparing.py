"""What differs between runs. Pure."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from treadle.experiment.comparison import (
    Axis,
    Comparison,
    FileDiff,
    InputDiff,
    RunCurve,
    SharedCurves,
)
from treadle.experiment.history import evenly
from treadle.experiment.series import Curve, by_step, distinct
from treadle.experiment.types import TOLD, Artifact, Provenance, Run, RunInput, Value, portable

REPEATABILITY = 2.77
"""Two results of the same thing differ by less than this many standard deviations in 95 of 100
cases: the repeatability limit of ISO 5725-6, 1.96 times the root of 2."""

_REQUIREMENTS = "provenance/requirements.txt"
_PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?:===?|@)\s*([^\s;#]+)")
_CLIENTS_OWN = ("mlflow.", "treadle.")
_ORIGIN = ("commit", "branch", "command", "notebook", "python", "platform", "host", "hardware", "trigger")
_US = 1_000_000


def compare(
    runs: Sequence[Run],
    files: Mapping[str, Sequence[Artifact]] | None = None,
    inputs: Mapping[str, Sequence[RunInput]] | None = None,
    requirements: Mapping[str, str] | None = None,
) -> Comparison:
    """Sets runs side by side.

    The noise of a metric is the sample standard deviation (n - 1) between replicas of one
    recipe; over several recipes, the pooled one: the root of the variances' mean, weighted by
    their degrees of freedom.

    Args:
        runs: The runs.
        files: The files of each, by its identifier.
        inputs: The datasets that each used.
        requirements: The packages that were installed for each, a line each as pip freezes them.
    """
    params = {name: [run.params.get(name) for run in runs] for name in _union(run.params for run in runs)}
    tags = {name: [run.tags.get(name) for run in runs] for name in _union(run.tags for run in runs)}
    metrics = {name: [run.metrics.get(name) for run in runs] for name in _union(run.metrics for run in runs)}
    noise = {name: _noise(runs, values) for name, values in metrics.items()}
    return Comparison(
        runs=list(runs),
        params={name: values for name, values in params.items() if len({(v, type(v)) for v in values}) > 1},
        metrics=metrics,
        noise={name: value for name, value in noise.items() if value is not None},
        tags={
            name: values
            for name, values in tags.items()
            if len(set(values)) > 1 and not name.startswith(_CLIENTS_OWN) and name not in TOLD
        },
        origin=_origin(runs),
        inputs=_inputs(runs, inputs or {}),
        files=_files(runs, files or {}),
        packages=_packages(runs, requirements or {}),
    )


def within_noise(value: Value | None, first: Value | None, noise: float | None) -> bool:
    """Whether two results of a metric differ by no more than replicas of one recipe do."""
    if value is None or first is None or noise is None:
        return False
    return abs(value - first) <= REPEATABILITY * noise


def share_axis(
    metric: str, by: Axis, runs: Sequence[Run], curves: Mapping[str, Curve], most: int
) -> SharedCurves:
    """Curves over one axis, each of at most about ``most`` points.

    By step, all have the points of the same steps, so that they can be read off against each
    other; by time, each has its own, in seconds since its run began. First and last points stay.
    """
    found = []
    if by == "step":
        thinned = evenly({run: by_step(distinct(curve)) for run, curve in curves.items()}, None, None, most)
    else:
        thinned = {run: _thinned(distinct(curve), most) for run, curve in curves.items() if len(curve)}
    for run in {run.id: run for run in runs}.values():
        curve = thinned.get(run.id)
        if curve is not None and len(curve):
            start = round(run.started_at.timestamp() * _US)
            x = curve.steps.astype(np.float64) if by == "step" else (curve.at - start) / _US
            found.append(RunCurve(run.id, x.tolist(), [portable(value) for value in curve.values.tolist()]))
    return SharedCurves(metric, by, found)


def _thinned(curve: Curve, most: int) -> Curve:
    if len(curve) <= most:
        return curve
    return curve.take(np.unique(np.linspace(0, len(curve) - 1, most).round().astype(np.intp)))


def lock_of(run: Run) -> str:
    """The path of the file in which a run keeps what packages were installed, if it keeps it."""
    return (run.provenance and run.provenance.lock) or _REQUIREMENTS


def packages(text: str) -> dict[str, str]:
    """The versions of packages, from lines as ``pip freeze`` writes them; other lines are passed over."""
    found = {}
    for line in text.splitlines():
        if match := _PINNED.match(line.strip()):
            found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return found


def _union(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    return sorted({name for mapping in mappings for name in mapping})


def _noise(runs: Sequence[Run], values: Sequence[Value | None]) -> float | None:
    replicas: dict[str, dict[str, float]] = {}
    for run, value in zip(runs, values, strict=True):
        if run.recipe is not None and value is not None and math.isfinite(value):
            replicas.setdefault(run.recipe, {})[run.id] = value
    squares, freedom = 0.0, 0
    for group in replicas.values():
        mean = math.fsum(group.values()) / len(group)
        squares += math.fsum((value - mean) ** 2 for value in group.values())
        freedom += len(group) - 1
    return math.sqrt(squares / freedom) if freedom else None


def _origin(runs: Sequence[Run]) -> dict[str, list[str | None]]:
    rows = {name: [_told(run.provenance, name) for run in runs] for name in _ORIGIN}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def _told(provenance: Provenance | None, name: str) -> str | None:
    value = getattr(provenance, name, None)
    if isinstance(value, tuple):
        return shlex.join(value) or None
    if isinstance(value, msgspec.Struct):
        known = msgspec.structs.asdict(value).items()
        return ", ".join(f"{field} {one}" for field, one in known if one) or None
    return value


def _files(runs: Sequence[Run], files: Mapping[str, Sequence[Artifact]]) -> list[FileDiff]:
    by_path = [{file.path: file for file in files.get(run.id, ())} for run in runs]
    made = [
        FileDiff(
            path,
            [one[path].digest if path in one else None for one in by_path],
            [one[path].size if path in one else None for one in by_path],
        )
        for path in _union(by_path)
    ]
    return [one for one in made if len(set(one.digests)) > 1]


def _inputs(runs: Sequence[Run], inputs: Mapping[str, Sequence[RunInput]]) -> list[InputDiff]:
    used: list[dict[tuple[str, str], str]] = []
    for run in runs:
        mine: dict[tuple[str, str], list[str]] = {}
        for one in inputs.get(run.id, ()):
            mine.setdefault((one.name, one.context), []).append(one.digest)
        used.append({key: ", ".join(sorted(set(digests))) for key, digests in mine.items()})
    keys = sorted({key for one in used for key in one})
    made = [InputDiff(name, context, [one.get((name, context)) for one in used]) for name, context in keys]
    return [one for one in made if len(set(one.digests)) > 1]


def _packages(runs: Sequence[Run], requirements: Mapping[str, str]) -> dict[str, list[str | None]]:
    kept = {run: packages(text) for run, text in requirements.items()}
    if len({run.id for run in runs} & kept.keys()) < 2:
        return {}
    found = {}
    for name in _union(kept.values()):
        versions = [kept[run.id].get(name) if run.id in kept else None for run in runs]
        if len({version for run, version in zip(runs, versions, strict=True) if run.id in kept}) > 1:
            found[name] = versions
    return found
