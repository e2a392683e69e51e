"""Optuna: trials as runs by its callback, and a study that is kept by the server alone."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_a_study_by_callback_and_one_that_is_kept(train):
    found = train("optuna")
    checks.quiet(found)
    assert len(found["callback"]) == 4
    for trial in found["callback"]:
        checks.whole(trial)
        assert trial["metrics"]["loss"] == pytest.approx(float(trial["params"]["x"]) ** 2)
    assert found["kept"] == found["first"]
    assert sorted(number for number, *_ in found["kept"]) == [0, 1, 2, 3]
    assert all(len(trial[-1]) == 3 for trial in found["kept"])
    assert found["best"][0] == found["best"][1]
    assert found["runs"].count("FINISHED") == 4
