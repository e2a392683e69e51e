"""What every training must have left behind."""

from __future__ import annotations

from typing import Any

# What MLflow says wherever it logs to: of its own interface, its formats, and the wheels installed here.
_EXPECTED = (
    "`artifact_path` is deprecated",
    "requires exercising caution",
    "local version label",
    "model card could not be retrieved",
    "Unable to find license information",
    "the model type looks like None",
    "SHAP or matplotlib package is not installed",
)


def whole(run: dict[str, Any], *, models: int = 0) -> None:
    """A run that has ended well, whose models are ready and have their files."""
    assert run["status"] == "FINISHED"
    assert run["ended"]
    assert {"mlflow.runName", "mlflow.user"} <= set(run["tags"])
    assert all(len(run["curves"][name]) >= 1 for name in run["metrics"])
    assert len(run["models"]) == models
    for model in run["models"]:
        assert model["status"] == "READY"
        assert "MLmodel" in model["files"]


def steps(run: dict[str, Any], metric: str) -> list[int]:
    """The steps of a curve."""
    return [step for step, _ in run["curves"][metric]]


def quiet(found: dict[str, Any]) -> None:
    """Nothing was dropped: an autologger that fails only warns."""
    strange = [text for text in found["warnings"] if not any(known in text for known in _EXPECTED)]
    assert strange == []
