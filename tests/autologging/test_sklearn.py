"""scikit-learn: a search over a grid, with the candidates as runs below its own."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_a_grid_search_and_its_candidates(train):
    found = train("sklearn")
    checks.whole(found["run"], models=2)
    checks.quiet(found)
    assert [candidate[:2] for candidate in found["children"]] == [
        ["0.1", "FINISHED"],
        ["1.0", "FINISHED"],
        ["10.0", "FINISHED"],
    ]
    best = max(score for _, _, score in found["children"])
    assert found["run"]["metrics"]["best_cv_score"] == best
    assert found["run"]["metrics"]["GridSearchCV_score_rows"] == found["score"]
    assert [one["name"] for one in found["run"]["models"]] == ["best_estimator", "model"]
    assert "cv_results.csv" in found["run"]["files"]
    assert found["run"]["inputs"] == [["dataset", ["train"]]]
    assert found["same"]
