"""The chart of Treadle's models, rendered by Helm itself; without Helm's library the tests are skipped."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "treadle-model"
KUBERNETES = "1.37"
Manifest = dict[str, Any]


def part(module: str, package: str) -> Any:
    """A library that only these tests need."""
    if importlib.util.find_spec(module) is None:
        _missing(f"{package} isn't installed: `pip install {package}`")
    return importlib.import_module(module)


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def helm() -> Any:
    """Helm's own engine, as a library."""
    return part("helm_python", "helm-python-sdk")


def values_of(name: str) -> Manifest:
    """Values that ship beside the chart: ``minimal`` or ``everything``."""
    found: Manifest = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return found


def changed(values: Manifest, path: str, value: object) -> Manifest:
    """Values with another one at a path such as ``image.tag``."""
    first, _, rest = path.partition(".")
    return values | {first: changed(values.get(first, {}), rest, value) if rest else value}


def rendered(values: Manifest) -> dict[str, Manifest]:
    """The chart's manifests, by kind; another Service ends as its name does: ``Service-grpc``."""
    with helm().Chart.load(CHART) as chart:
        texts = chart.render(values, name="returns", namespace="ml")
    found: dict[str, Manifest] = {}
    for path, text in sorted(texts.items()):
        for manifest in () if path.endswith(".txt") else yaml.safe_load_all(text):
            if manifest:
                name = manifest["metadata"]["name"]
                suffix = f"-{name.rpartition('-')[2]}" if manifest["kind"] in found else ""
                found[manifest["kind"] + suffix] = manifest
    return found


def pod_of(manifests: dict[str, Manifest]) -> Manifest:
    """The pod's spec."""
    workload = manifests.get("Deployment") or manifests["StatefulSet"]
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec
