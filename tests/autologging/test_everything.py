"""By hand: evaluation, media, tables, datasets, nested, asynchronous and failed runs, the registry."""

from __future__ import annotations

import pytest

from autologging import checks

pytestmark = pytest.mark.soak


def test_what_a_careful_user_logs(train):
    found = train("everything")
    checks.quiet(found)
    run = found["run"]
    checks.whole(run, models=1)
    assert checks.steps(run, "async") == list(range(300))
    assert run["params"].items() >= {f"p{number}": str(number) for number in range(100)}.items()
    assert found["same"] == [True] * 4
    assert {"accuracy_score", "roc_auc"} <= set(found["judged"]) <= set(run["metrics"])
    assert {"accuracy_score", "auc"} <= set(run["models"][0]["metrics"])
    assert {"answers.json", "plain.png", "plots/line ü.png", "notes/über uns.txt"} <= set(run["files"])
    assert sum(path.startswith("images/black") for path in run["files"]) == 2
    assert found["table"] == {"question": ["a", "b", "c"], "answer": [1, 2, 3]}
    assert (found["settings"], found["text"], found["image"]) == ({"a": [1, 2]}, "text", [8, 8])
    assert found["below"] == [True, True]
    assert found["failed"] == "FAILED"
    assert found["found"] == ["logistic"]
    assert found["frame"] == 5
    assert run["inputs"][0] == ["cancer", ["all", "training"]]
