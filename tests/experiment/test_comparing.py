from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.experiment.comparing import compare, packages, share_axis, within_noise
from treadle.experiment.series import Curve
from treadle.experiment.types import Artifact, Provenance, Run, RunInput

AT = datetime(2026, 3, 1, tzinfo=UTC)
START = round(AT.timestamp() * 1e6)


def run(number: int = 1, **given) -> Run:
    return Run(id=f"run_{number}", name="a", started_at=AT, **given)


def test_compare_shows_what_differs():
    found = compare(
        [
            run(1, params={"a": 1, "b": 2, "flag": True}, metrics={"auc": 0.7}),
            run(2, params={"a": 1, "b": 3, "flag": 1}, metrics={"auc": 0.8, "loss": math.inf}),
        ]
    )
    assert found.params == {"b": [2, 3], "flag": [True, 1]}
    assert found.metrics == {"auc": [0.7, 0.8], "loss": [None, math.inf]}
    assert found.noise == {}
    assert compare([run(1, params={"a": 1})]).params == {}


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=8))
def test_noise_between_replicas_is_the_sample_standard_deviation(values):
    runs = [run(n, recipe="r", metrics={"auc": value}) for n, value in enumerate(values)]
    other = run(99, recipe="other", metrics={"auc": 1e9})
    broken = run(98, recipe="r", metrics={"auc": math.nan})
    expected = statistics.stdev(values)
    assert compare([*runs, other, broken]).noise["auc"] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_noise_over_several_recipes_is_pooled_and_one_run_named_twice_is_one_replica():
    a, b = [0.70, 0.72, 0.71], [0.80, 0.86]
    runs = [run(n, recipe="a", metrics={"auc": v}) for n, v in enumerate(a)]
    runs += [run(10 + n, recipe="b", metrics={"auc": v}) for n, v in enumerate(b)]
    pooled = (2 * statistics.variance(a) + statistics.variance(b)) / 3
    assert compare(runs).noise["auc"] == pytest.approx(math.sqrt(pooled))
    assert compare([runs[0], runs[0]]).noise == {}


@pytest.mark.parametrize(
    ("value", "noise", "same"),
    [(0.7276, 0.01, True), (0.728, 0.01, False), (None, 0.01, False), (0.7, None, False)],
)
def test_noise_reaches_as_far_as_the_repeatability_limit(value, noise, same):
    assert within_noise(value, 0.7, noise) is same


def test_files_and_data_that_differ_are_named_and_the_rest_is_left_out():
    files = {
        "run_1": [Artifact("model.onnx", "a" * 64, 10), Artifact("same.txt", "b" * 64, 1)],
        "run_2": [Artifact("model.onnx", "c" * 64, 12), Artifact("same.txt", "b" * 64, 1)],
    }
    used = {"digest": "1", "source_type": "local", "source": "x"}
    inputs = {
        "run_1": [RunInput(name="orders", **used), RunInput(name="same", **used)],
        "run_2": [RunInput(name="orders", **used | {"digest": "2"}), RunInput(name="same", **used)],
        "run_3": [RunInput(name="same", **used)],
    }
    found = compare([run(1), run(2), run(3)], files, inputs)
    assert [(one.path, one.sizes) for one in found.files] == [
        ("model.onnx", [10, 12, None]),
        ("same.txt", [1, 1, None]),
    ]
    assert [(one.name, one.digests) for one in found.inputs] == [("orders", ["1", "2", None])]
    assert [one.path for one in compare([run(1), run(2)], files, inputs).files] == ["model.onnx"]


def test_packages_are_compared_by_their_names_as_pip_takes_them():
    assert packages(
        "NumPy==2.1\nscikit_learn == 1.5 ; python_version > '3'\n-e git+x\n# c\na @ file:///b\n"
    ) == {
        "numpy": "2.1",
        "scikit-learn": "1.5",
        "a": "file:///b",
    }
    kept = {"run_1": "numpy==2.1\nrich==1\n", "run_2": "Numpy==2.2\nrich==1\n"}
    assert compare([run(1), run(2), run(3)], requirements=kept).packages == {"numpy": ["2.1", "2.2", None]}
    assert compare([run(1), run(3)], requirements=kept).packages == {}


def test_tags_that_differ():
    found = compare([run(1, tags={"host": "a", "x": "1"}), run(2, tags={"host": "a"})])
    assert found.tags == {"x": ["1", None]}


def curve(points: int, every: int = 1) -> Curve:
    steps = np.arange(0, points * every, every)
    return Curve(np.sqrt(steps), START + steps * 1_000_000, steps)


def test_curves_by_step_share_their_steps_and_keep_their_ends():
    found = share_axis(
        "loss", "step", [run(1), run(2), run(3)], {"run_1": curve(1000), "run_2": curve(500, 2)}, 50
    )
    one, two = found.curves
    assert (one.run, two.run) == ("run_1", "run_2")
    assert len(one.x) <= 52
    assert len(two.x) <= 52
    assert (one.x[0], one.x[-1], two.x[-1]) == (0, 999, 998)
    assert [y for x, y in zip(one.x, one.y, strict=True)] == pytest.approx([math.sqrt(x) for x in one.x])
    assert set(two.x) & set(one.x)


def test_curves_by_time_count_from_each_runs_start():
    late = Run(id="run_2", name="a", started_at=datetime(2026, 3, 1, 0, 0, 10, tzinfo=UTC))
    found = share_axis("loss", "time", [run(1), late], {"run_1": curve(100), "run_2": curve(100)}, 10)
    assert [(one.x[0], one.x[-1], len(one.x)) for one in found.curves] == [(0, 99, 10), (-10, 89, 10)]


def test_a_point_that_came_twice_is_one():
    twice = Curve(np.array([1.0, 1.0, math.nan]), np.array([START, START, START]), np.array([0, 0, 1]))
    (only,) = share_axis("loss", "step", [run(1), run(1)], {"run_1": twice}, 10).curves
    assert only.x == [0, 1]
    assert math.isnan(only.y[1])


def test_where_runs_come_from_is_compared_and_what_clients_set_themselves_is_not():
    one = Provenance(commit="a" * 40, command=("python", "a b.py"), python="CPython 3.11")
    other = Provenance(commit="b" * 40, command=("python", "a b.py"), python="CPython 3.12")
    tags = [{"mlflow.runName": str(n), "treadle.host": str(n), "team": str(n)} for n in range(2)]
    found = compare([run(1, provenance=one, tags=tags[0]), run(2, provenance=other, tags=tags[1])])
    assert found.origin == {"commit": ["a" * 40, "b" * 40], "python": ["CPython 3.11", "CPython 3.12"]}
    assert found.tags == {"team": ["0", "1"]}
    assert compare([run(1, provenance=one), run(2)]).origin["command"] == ["python 'a b.py'", None]
