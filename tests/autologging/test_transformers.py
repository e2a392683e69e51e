"""Transformers: the Trainer's own callback, and a pipeline as a model."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_a_trainer_and_its_pipeline(train):
    found = train("transformers")
    checks.quiet(found)
    checks.whole(found["run"], models=1)
    assert len(checks.steps(found["run"], "eval_loss")) == 3
    assert len(checks.steps(found["run"], "loss")) == 6
    assert len(found["run"]["params"]) > 100
    assert found["run"]["params"]["hidden_size"] == "16"
    assert any(path.endswith("model.safetensors") for path in found["run"]["files"])
    assert found["same"]
