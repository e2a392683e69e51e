"""Ray Tune: its callback, and a client in each trial's own process."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_trials_by_callback_and_by_hand(train):
    found = train("ray")
    checks.quiet(found)
    for runs in (found["callback"], found["by_hand"]):
        assert [run["params"]["x"] for run in runs] == ["1.0", "2.0"]
        for x, run in enumerate(runs, 1):
            checks.whole(run | {"tags": ["mlflow.user", *run["tags"]]})  # the callback tells no user
            assert [value for _, value in run["curves"]["loss"]] == [x / (step + 1) for step in range(5)]
    assert "progress.csv" in found["callback"][0]["files"]
