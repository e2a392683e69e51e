"""Which inputs a model leans on, where the answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.inspection import permutation_importance as of_sklearn
from sklearn.linear_model import LinearRegression

from treadle.evaluate import permutation_importance
from treadle.evaluate.models.measures import Measure


def test_shares_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 3))
    y = 3 * x[:, 0] + x[:, 1] + rng.normal(size=4000)
    model = LinearRegression().fit(x, y)
    names = ["a", "b", "c"]

    def predict(inputs: Mapping[str, Any]) -> np.ndarray:
        return np.asarray(model.predict(np.column_stack([inputs[name] for name in names])))

    found = permutation_importance(predict, dict(zip(names, x.T, strict=True)), y, Measure("mse"))
    theirs = of_sklearn(model, x, y, scoring="neg_mean_squared_error", random_state=0).importances_mean
    assert sum(found.values()) == pytest.approx(1)
    assert [found[name] for name in names] == pytest.approx(theirs / theirs.sum(), abs=0.01)
    assert found["c"] < 0.001
    again = permutation_importance(predict, dict(zip(names, x.T, strict=True)), y, Measure("mse"))
    assert again == found


def test_a_metric_where_more_is_better_texts_and_missing_values() -> None:
    rng = np.random.default_rng(2)
    text, number = rng.choice(["u", "v"], 9000).astype(object), np.ma.array(rng.normal(size=9000))
    number[::7] = np.ma.masked
    labels = (rng.random(9000) < np.where(text == "u", 0.8, 0.2)).astype(float)

    def predict(inputs: Mapping[str, Any]) -> np.ndarray:
        assert len(inputs["number"]) == 5000
        return np.where(inputs["text"] == "u", 0.8, 0.2)

    found = permutation_importance(predict, {"text": text, "number": number}, labels, Measure("roc_auc"))
    assert found == {"text": 1.0, "number": 0.0}


def test_where_nothing_matters_or_the_metric_is_not_defined_nothing_is_said() -> None:
    inputs = {"x": np.arange(10.0)}

    def constant(inputs: Mapping[str, Any]) -> np.ndarray:
        return np.full(10, 0.5)

    labels = np.array([0.0, 1.0] * 5)
    assert permutation_importance(constant, inputs, labels, Measure("roc_auc")) == {}
    assert permutation_importance(constant, inputs, np.ones(10), Measure("roc_auc")) == {}
