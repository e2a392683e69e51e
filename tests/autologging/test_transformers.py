"""Transformers: the Trainer's own callback, and a pipeline as a model."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_a_trainer_and_its_pipeline(train):
    found = train("transformers")
    checks.quiet(found)
    checks.whole(found["run"], models=4)
    names = [model["name"] for model in found["run"]["models"]]
    assert names == ["checkpoint-12", "checkpoint-4", "checkpoint-8", "judge"]
    assert len(checks.steps(found["run"], "eval_loss")) == 3
    assert len(checks.steps(found["run"], "loss")) == 6
    assert len(found["run"]["params"]) > 100
    assert found["run"]["params"]["hidden_size"] == "16"
    assert "components" in found["run"]["models"][-1]["files"]
    assert found["same"]
