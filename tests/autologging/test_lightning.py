"""PyTorch Lightning: curves by epoch and step, a checkpoint an epoch, and the network."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_epochs_checkpoints_and_the_network(train):
    found = train("lightning")
    checks.quiet(found)
    checks.whole(found["run"], models=1)
    for metric in ("train_loss", "val_loss"):
        assert checks.steps(found["run"], metric) == [0, 1, 2, 3]
    assert found["run"]["params"].items() >= {"epochs": "4", "optimizer_name": "Adam", "lr": "0.1"}.items()
    for epoch in range(4):
        assert f"checkpoints/epoch_{epoch}/checkpoint.pth" in found["run"]["files"]
    assert found["same"]
