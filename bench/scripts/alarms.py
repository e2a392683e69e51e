"""Alarms on simulated years. Usage: ``alarms.py streams FOLDER YEARS``, then ``alarms.py TOOL FOLDER``."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np

WEEKS, CHANGE, FEW, MANY, REFERENCE = 52, 26, 100, 1400, 14_000


def scored(rng, n, centre=0.0, width=1.5, decay=0.0):
    """Scores that are probabilities, and labels; ``decay`` of the labels have nothing to do with them."""
    score = 1 / (1 + np.exp(-rng.normal(centre, width, n)))
    chance = np.where(rng.random(n) < decay, score.mean(), score)
    return score, (rng.random(n) < chance).astype(float)


def streams(folder: Path, years: int) -> None:
    rng = np.random.default_rng(20)
    for year in range(years):
        columns = {"reference": rng.normal(0, 1, REFERENCE)}
        columns["reference_score"], columns["reference_label"] = scored(rng, REFERENCE)
        for name, shift, decay, width in (
            ("calm", 0, 0, 1.5),
            ("moved", 0.5, 0.08, 1.5),
            ("unsure", 0, 0, 1.3),
        ):
            changed = np.arange(WEEKS) >= CHANGE
            columns[f"{name}_input"] = np.stack([rng.normal(shift * c, 1, FEW) for c in changed])
            weeks = [scored(rng, MANY, 0.0, width if c else 1.5, decay * c) for c in changed]
            columns[f"{name}_score"] = np.stack([score for score, _ in weeks])
            columns[f"{name}_label"] = np.stack([label for _, label in weeks])
        np.savez(folder / f"year_{year:03}.npz", **columns)


def told(what, rule, calm, changed):
    """False alarms in calm years; how soon a change was found in the others."""
    calm, after = np.array(calm), np.array(changed)[:, CHANGE:]
    hit = after.any(axis=1)
    delays = after.argmax(axis=1)[hit]
    return {
        "what": what,
        "rule": rule,
        "windows": 100 * float(calm.mean()),
        "years": 100 * float(calm.any(axis=1).mean()),
        "found": 100 * float(after[:, 0].mean()),
        "delay": float(np.median(delays)) if len(delays) else None,
        "missed": 100 * float((~hit).mean()),
    }


def treadle(years):
    from datetime import UTC, datetime, timedelta

    from treadle.evaluate import Measure, estimate
    from treadle.kernel.config.monitor import MonitorConfig
    from treadle.monitor import rules
    from treadle.monitor.findings import Window
    from treadle.monitor.performance.alarms import judged
    from treadle.monitor.performance.preparing import places, with_estimates
    from treadle.monitor.performance.results import estimated_result, gap_result
    from treadle.monitor.profile import _of_array, counts
    from treadle.monitor.sequential import run_length
    from treadle.monitor.types import Profile

    config, measure, week = MonitorConfig(tolerance=0.0), Measure("roc_auc"), timedelta(days=7)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    alpha, wanted = rules.level(config.false_alarms, week), run_length(config.false_alarms, week)
    rows = {"psi": ([], []), "realised": ([], []), "estimated": ([], [])}
    for year in years:
        shape = _of_array(year["reference"])
        before = counts(shape)
        score, label = year["reference_score"], year["reference_label"]
        profile = Profile(rows=len(score), inputs={}, prediction=_of_array(score), metric="roc_auc",
                          value=estimate("roc_auc", label, score).value)  # fmt: skip
        profile = with_estimates(profile, measure, {}, label, score)
        for side, (moved, unsure) in enumerate((("calm", "calm"), ("moved", "unsure"))):
            drifts = []
            for values in year[f"{moved}_input"]:
                now = np.bincount(places(shape, values), minlength=len(before)).tolist()
                drifts.append(rules.shift(before, now, 0.1, alpha, 1).state == "alert")
            rows["psi"][side].append(drifts)
            gaps, estimates = [], []
            for place in range(WEEKS):
                window = Window(
                    model="m", version=1, since=start + place * week, until=start + (place + 1) * week
                )
                days = np.arange(MANY) * 7 // MANY
                gap = gap_result(window, profile, measure, year[f"{moved}_label"][place],
                                 year[f"{moved}_score"][place], days, config)  # fmt: skip
                gaps += judged([gap], gaps, wanted)
                scores = year[f"{unsure}_score"][place]
                estimate_ = estimated_result(window, profile, measure, scores, {}, config)
                estimates += judged([estimate_], estimates, wanted)
            rows["realised"][side].append([one.state == "alert" for one in gaps])
            rows["estimated"][side].append([one.state == "alert" for one in estimates])
    return [
        told("input", "PSI over 0.1 and over chance, 1 false alarm a year", *rows["psi"]),
        told("performance", "realised minus estimated, 1 a year", *rows["realised"]),
        told("performance", "estimated (CBPE), 1 a year", *rows["estimated"]),
    ]


def nannyml(years):
    import nannyml as nml
    import pandas as pd

    drifts, realised, estimated = ([], []), ([], []), ([], [])
    for year in years:
        reference = pd.DataFrame({"x": year["reference"]})
        drift = nml.UnivariateDriftCalculator(column_names=["x"], chunk_size=FEW).fit(reference)
        scores = frame(pd, year["reference_score"], year["reference_label"])
        common = {"y_true": "label", "y_pred_proba": "score", "y_pred": "decided", "chunk_size": MANY,
                  "problem_type": "classification_binary", "metrics": ["roc_auc"]}  # fmt: skip
        after, before = nml.PerformanceCalculator(**common).fit(scores), nml.CBPE(**common).fit(scores)
        for side, (moved, unsure) in enumerate((("calm", "calm"), ("moved", "unsure"))):
            found = drift.calculate(pd.DataFrame({"x": year[f"{moved}_input"].ravel()}))
            drifts[side].append(alerts(found, ("x", "jensen_shannon", "alert")))
            rows = frame(pd, year[f"{moved}_score"].ravel(), year[f"{moved}_label"].ravel())
            realised[side].append(alerts(after.calculate(rows), ("roc_auc", "alert")))
            rows = frame(pd, year[f"{unsure}_score"].ravel(), year[f"{unsure}_label"].ravel())
            estimated[side].append(alerts(before.estimate(rows), ("roc_auc", "alert")))
    return [
        told("input", "Jensen-Shannon, its default threshold", *drifts),
        told("performance", "realised, mean ± 3 SD of the reference's chunks", *realised),
        told("performance", "estimated (CBPE), mean ± 3 SD", *estimated),
    ]


def frame(pd, score, label):
    return pd.DataFrame({"score": score, "label": label.astype(int), "decided": (score >= 0.5).astype(int)})


def alerts(found, column):
    return found.filter(period="analysis").to_df()[column].astype(bool).tolist()[:WEEKS]


def evidently(years):
    import pandas as pd
    from evidently import Report
    from evidently.metrics import ValueDrift

    sides = [], []
    for year in years[:10]:  # a report takes a tenth of a second
        reference = pd.DataFrame({"x": year["reference"]})
        for side, name in enumerate(("calm", "moved")):
            drifted = []
            for values in year[f"{name}_input"]:
                report = Report(
                    [ValueDrift(column="x")]
                )  # for numbers: Wasserstein over the standard deviation, alert from 0.1 on
                [found] = json.loads(report.run(pd.DataFrame({"x": values}), reference).json())["metrics"]
                drifted.append(float(found["value"]) >= 0.1)
            sides[side].append(drifted)
    return [
        told("input", "Wasserstein over SD from 0.1, its default; 10 years", *sides),
        evidently_performance(years[:3]),  # half a second each
    ]


def evidently_performance(years):
    import pandas as pd
    from evidently import BinaryClassification, DataDefinition, Dataset, Report
    from evidently.metrics import RocAuc

    scored = DataDefinition(classification=[BinaryClassification(target="label", prediction_probas="score")])

    def rows(score, label):
        return Dataset.from_pandas(frame(pd, score, label)[["score", "label"]], data_definition=scored)

    sides = [], []
    for year in years:
        reference = rows(year["reference_score"], year["reference_label"])
        for side, name in enumerate(("calm", "moved")):
            fallen = []
            for score, label in zip(year[f"{name}_score"], year[f"{name}_label"], strict=True):
                report = Report([RocAuc()], include_tests=True)  # within a fifth of the reference's
                [found] = json.loads(report.run(rows(score, label), reference).json())["tests"]
                fallen.append(found["status"] == "FAIL")
            sides[side].append(fallen)
    return told("performance", "realised, within 20 % of the reference's, its default; 3 years", *sides)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tool, where = sys.argv[1], Path(sys.argv[2])
    if tool == "streams":
        streams(where, int(sys.argv[3]))
    else:
        files = [dict(np.load(path)) for path in sorted(where.glob("year_*.npz"))]
        print(json.dumps({"treadle": treadle, "nannyml": nannyml, "evidently": evidently}[tool](files)))
