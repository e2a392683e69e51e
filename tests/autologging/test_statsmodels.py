"""statsmodels: a linear model's figures and summary."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_a_linear_model(train):
    found = train("statsmodels")
    checks.quiet(found)
    checks.whole(found["run"], models=1)
    assert found["run"]["metrics"]["rsquared"] > 0.5
    assert "model_summary.txt" in found["run"]["files"]
    assert found["same"]
