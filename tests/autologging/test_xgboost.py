"""XGBoost: its own interface and scikit-learn's."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_boosters_their_curves_and_versions(train):
    found = train("xgboost")
    checks.quiet(found)
    checks.whole(found["native"], models=1)
    checks.whole(found["estimator"], models=1)
    assert checks.steps(found["native"], "train-logloss")[:15] == list(range(15))
    assert found["native"]["params"]["max_depth"] == "2"
    assert checks.steps(found["estimator"], "validation_0-logloss") == list(range(8))
    assert "feature_importance_weight.json" in found["native"]["files"]
    assert found["native"]["models"][0]["metrics"].count("train-auc") >= 15
    assert found["versions"] == [1, 2]
    assert found["same"]
