"""Against searches whose answer is known, and scikit-learn's permutation importance."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from treadle.experiment.importance import importance
from treadle.experiment.types import Run

AT = datetime(2026, 3, 1, tzinfo=UTC)
KINDS = {"adam": 0.0, "sgd": 0.5, "rmsprop": 1.0}


def search(
    count: int, metric: Callable[[dict[str, Any]], float], seed: int = 0, noise: float = 0.1
) -> list[Run]:
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        params: dict[str, Any] = {
            "a": float(random.uniform()),
            "rate": float(10 ** random.uniform(-5, -1)),
            "kind": str(random.choice(list(KINDS))),
            "idle": float(random.uniform()),
            "many": int(random.integers(1, 8)),
        }
        value = metric(params) + float(random.normal()) * noise
        made.append(Run(id=f"run_{number}", name="x", started_at=AT, params=params, metrics={"m": value}))
    return made


def test_shares_are_those_of_a_sum_whose_variances_are_known():
    """3 a + kind: variances 9/12 and 1/6, so a makes 0.818 and the kind 0.182."""
    found = importance(search(400, lambda p: 3 * p["a"] + KINDS[p["kind"]]), "m")
    assert found.reason is None
    assert found.explained > 0.95
    by_name = {one.name: one for one in found.params}
    assert [one.name for one in found.params[:2]] == ["a", "kind"]
    assert by_name["a"].alone == pytest.approx(0.818, abs=0.04)
    assert by_name["kind"].alone == pytest.approx(0.182, abs=0.04)
    assert [one.name for one in found.params if one.clear] == ["a", "kind"]
    assert by_name["a"].correlation > 0.8
    assert by_name["kind"].correlation is None
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found.params)


def test_what_matters_only_together_is_found():
    """An exclusive or: neither makes anything alone, each is half of everything."""
    found = importance(search(400, lambda p: float((p["a"] > 0.5) ^ (p["rate"] > 1e-3))), "m")
    first, second = found.params[:2]
    assert {first.name, second.name} == {"a", "rate"}
    assert min(first.share, second.share) > 0.6
    assert max(first.alone, second.alone) < 0.2
    assert first.clear
    assert second.clear


def test_the_scale_of_a_parameter_doesnt_matter():
    runs = search(150, lambda p: math.log10(p["rate"]) + p["a"])
    logs = [
        Run(
            id=r.id,
            name="x",
            started_at=AT,
            metrics=r.metrics,
            params={**r.params, "rate": math.log10(r.params["rate"])},
        )
        for r in runs
    ]
    texts = [
        Run(
            id=r.id,
            name="x",
            started_at=AT,
            metrics=r.metrics,
            params={k: str(v) for k, v in r.params.items()},
        )
        for r in runs
    ]
    assert importance(runs, "m").params[0].share == importance(texts, "m").params[0].share
    assert importance(logs, "m").params[0].share == pytest.approx(
        importance(runs, "m").params[0].share, abs=0.01
    )


@pytest.mark.soak
def test_noise_has_no_importance():
    """Over forty searches in which nothing matters, hardly one names a parameter."""
    named = 0
    for seed in range(40):
        found = importance(search(60, lambda _: 0.0, seed), "m")
        named += any(one.clear for one in found.params)
    assert named <= 2


@pytest.mark.soak
def test_the_intervals_hold_what_more_runs_would_show():
    """The share over very many runs lies within the interval of few in most searches."""

    def metric(params: dict[str, Any]) -> float:
        return 2 * params["a"] + KINDS[params["kind"]]

    alone = 4 / 12 / (4 / 12 + 1 / 6)
    held = 0
    for seed in range(30):
        found = {one.name: one for one in importance(search(120, metric, seed), "m").params}
        held += found["a"].low <= alone <= found["a"].high
    assert held >= 26


def test_the_order_is_that_of_permutation_importance():
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    runs = search(300, lambda p: 2 * p["a"] + 0.4 * math.log10(p["rate"]) + 0.1 * p["many"])
    names = ["a", "idle", "many", "rate"]
    x = np.array([[run.params[name] for name in names] for run in runs])
    y = np.array([run.metrics["m"] for run in runs])
    forest = RandomForestRegressor(100, min_samples_leaf=3, random_state=0).fit(x[:200], y[:200])
    theirs = permutation_importance(forest, x[200:], y[200:], n_repeats=10, random_state=0).importances_mean
    expected = [names[place] for place in np.argsort(-theirs)][:3]
    assert [one.name for one in importance(runs, "m", params=names).params][:3] == expected


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        (search(19, lambda p: p["a"]), "too_few_runs"),
        (
            [Run(id=f"r{n}", name="x", started_at=AT, params={"a": 1}, metrics={"m": n}) for n in range(30)],
            "nothing_varies",
        ),
        (
            [
                Run(id=f"r{n}", name="x", started_at=AT, params={"a": n}, metrics={"m": 1.0})
                for n in range(30)
            ],
            "metric_constant",
        ),
        (search(60, lambda _: 0.0), "unexplained"),
        ([], "too_few_runs"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_where_nothing_can_be_said_it_is_said_why(runs, reason):
    found = importance(runs, "m")
    assert found.reason == reason
    assert found.params == []
    assert found.sentence


def test_gaps_outliers_and_names_of_their_own_disturb_nothing():
    runs = []
    for number, run in enumerate(search(150, lambda p: 3 * p["a"] + KINDS[p["kind"]])):
        params = {**run.params, "path": f"out/{number}"}
        if number % 5 == 0:
            del params["idle"]
        value = 1e12 if number == 7 else math.nan if number == 8 else run.metrics["m"]
        runs.append(Run(id=run.id, name="x", started_at=AT, params=params, metrics={"m": value}))
    found = importance(runs, "m")
    assert (found.runs, found.fenced) == (149, 1)
    assert list(found.ignored) == ["path"]
    assert found.params[0].name == "a"
    assert found.params[0].share > 0.6


def test_the_same_runs_give_the_same_answer():
    runs = search(60, lambda p: p["a"])
    assert importance(runs, "m") == importance(runs, "m")
