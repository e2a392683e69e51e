"""A candidate beside production, overall and in ten groups, by four metrics.

Usage: ``gate.py treadle|points|boot gate.npz``; prints the figures of each group as JSON.
Treadle gives verdicts with paired intervals; Fairlearn gives each model's figures (``points``)
or figures with bootstrapped intervals, four resamples (``boot``).
"""

from __future__ import annotations

import json
import sys

import numpy as np

METRICS = ("roc_auc", "accuracy", "log_loss", "brier")


def treadle(data) -> dict[str, float]:
    import msgspec

    from treadle.evaluate import Holdout
    from treadle.evaluate.performance import judge
    from treadle.kernel.config import ChecksConfig

    rows = Holdout(labels=data["label"], inputs={}, groups={"group": data["group"]})
    differences = {}
    for metric in METRICS:
        checks = msgspec.convert({"performance": {"metric": metric}}, ChecksConfig)
        sign = -1 if metric in {"log_loss", "brier"} else 1
        for verdict in judge(checks, rows, data["candidate"], data["production"]):
            differences[f"{metric} {verdict.subject.removeprefix('group=')}"] = sign * verdict.estimate
    return differences


def fairlearn(data, **boot) -> dict[str, float]:
    from fairlearn.metrics import MetricFrame
    from sklearn import metrics as m

    by = {
        "roc_auc": m.roc_auc_score,
        "accuracy": lambda y, p: m.accuracy_score(y, p >= 0.5),
        "log_loss": m.log_loss,
        "brier": m.brier_score_loss,
    }
    frames = [
        MetricFrame(
            metrics=by, y_true=data["label"], y_pred=data[name], sensitive_features=data["group"], **boot
        )
        for name in ("candidate", "production")
    ]
    if boot:
        assert all(len(frame.by_group_ci) == 2 for frame in frames)
    groups = frames[0].by_group - frames[1].by_group
    whole = frames[0].overall - frames[1].overall
    found = {f"{metric} overall": float(whole[metric]) for metric in METRICS}
    for name, row in groups.iterrows():
        found |= {f"{metric} {name}": float(row[metric]) for metric in METRICS}
    return found


with np.load(sys.argv[2]) as file:
    data = dict(file)
if sys.argv[1] == "treadle":
    found = treadle(data)
elif sys.argv[1] == "points":
    found = fairlearn(data)
else:
    found = fairlearn(data, n_boot=4, ci_quantiles=[0.05, 0.95], random_state=0)
print("\n" + json.dumps(found))
