"""A candidate beside production, overall and in ten groups, by four metrics.

Usage: ``gate.py treadle|counts|points|boot gate.npz``; prints the figures of each group as JSON, and
before it the CPU seconds of judging alone. Treadle gives verdicts with paired intervals: by the metrics
that Fairlearn computes here (``treadle``), or by four metrics of decisions, of which three are
bootstrapped 10,000 times (``counts``). Fairlearn gives each model's figures (``points``), or figures with
bootstrapped intervals, four resamples (``boot``).
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

METRICS = ("roc_auc", "accuracy", "log_loss", "brier")
COUNTS = ("accuracy", "precision", "f1", "balanced_accuracy")


def treadle(data, metrics) -> dict[str, float]:
    import msgspec

    from treadle.evaluate import Holdout
    from treadle.evaluate.performance import judge
    from treadle.kernel.config import ChecksConfig

    first, *others = metrics
    checks = {
        "performance": {"metric": first, "also": {name: {"margin": 0.01} for name in others}},
        "slices": {"search": False},
    }
    checks = msgspec.convert(checks, ChecksConfig)
    begun = time.process_time()
    rows = Holdout(labels=data["label"], inputs={}, groups={"group": data["group"]})
    verdicts = judge(checks, rows, data["candidate"], data["production"])
    print(f"judging {time.process_time() - begun:.3f}")
    return {
        f"{one.metric} {one.subject.removeprefix('group=')}": (
            -one.estimate if one.metric in {"log_loss", "brier"} else one.estimate
        )
        for one in verdicts
    }


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
if sys.argv[1] in {"treadle", "counts"}:
    found = treadle(data, METRICS if sys.argv[1] == "treadle" else COUNTS)
elif sys.argv[1] == "points":
    found = fairlearn(data)
else:
    found = fairlearn(data, n_boot=4, ci_quantiles=[0.05, 0.95], random_state=0)
print("\n" + json.dumps(found))
