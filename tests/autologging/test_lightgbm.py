"""LightGBM: its own interface and scikit-learn's."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_boosters_and_their_curves(train):
    found = train("lightgbm")
    checks.quiet(found)
    checks.whole(found["native"], models=1)
    checks.whole(found["estimator"], models=1)
    assert checks.steps(found["native"], "train-auc") == list(range(12))
    assert checks.steps(found["estimator"], "training-binary_logloss") == list(range(5))
    assert "feature_importance_gain.json" in found["native"]["files"]
    assert found["same"]
