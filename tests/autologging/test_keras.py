"""Keras 3: the callback's curves, and the network."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_epochs_and_the_network(train):
    found = train("keras")
    checks.quiet(found)
    checks.whole(found["run"], models=1)
    for metric in ("loss", "mae", "val_loss"):
        assert checks.steps(found["run"], metric) == [0, 1, 2, 3]
    assert found["run"]["params"]["optimizer_name"] == "adam"
    assert "model_summary.txt" in found["run"]["files"]
    assert found["same"]
