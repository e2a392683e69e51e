"""How wrong a regression is expected to be before its labels are there: ten chunks of NannyML's own data.

Usage: ``car_price.py nannyml FOLDER`` with NannyML's interpreter and ``NML_DISABLE_USAGE_LOGGING=1``, which
writes the data and what its direct loss estimation says of it; then ``car_price.py treadle FOLDER``, which
prints all of it beside what became true.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CHUNK, METRICS = 6000, ("mae", "rmse")
NUMBERS = ("car_age", "km_driven", "price_new", "accident_count", "door_count")
TEXTS = ("fuel", "transmission")


def nannyml(folder: Path) -> None:
    """NannyML's estimates, by its defaults, and the data."""
    import nannyml as nml
    import pandas as pd

    pd.options.future.infer_string = False  # its encoders can't read pandas 3's texts
    reference, analysis, labels = nml.load_synthetic_car_price_dataset()
    features = [*NUMBERS, *TEXTS]
    estimator = nml.DLE(
        feature_column_names=features,
        y_pred="y_pred",
        y_true="y_true",
        metrics=list(METRICS),
        chunk_size=CHUNK,
        tune_hyperparameters=False,
    ).fit(reference)
    found = estimator.estimate(analysis).filter(period="analysis").to_df()
    told = {
        metric: [
            {"value": float(row[(metric, "value")]), "alert": bool(row[(metric, "alert")])}
            for _, row in found.iterrows()
        ]
        for metric in METRICS
    }
    (folder / "nannyml.json").write_text(json.dumps(told))
    reference.to_parquet(folder / "reference.parquet")
    analysis.merge(labels, on="id").to_parquet(folder / "analysis.parquet")


def treadle(folder: Path) -> None:
    """Treadle's estimates of the same chunks, as its monitor makes them, beside the truth and NannyML's."""
    from datetime import UTC, datetime, timedelta

    import numpy as np

    from treadle.evaluate import Measure, estimate
    from treadle.kernel.config.monitor import MonitorConfig
    from treadle.kernel.engine import DuckDBEngine
    from treadle.monitor import build_profile, with_estimates
    from treadle.monitor.findings import Window
    from treadle.monitor.performance.alarms import judged
    from treadle.monitor.performance.losses import PREDICTION
    from treadle.monitor.performance.preparing import histogrammed, places
    from treadle.monitor.performance.results import estimated_result
    from treadle.monitor.sequential import run_length

    engine, names = DuckDBEngine(folder / "spill"), [*NUMBERS, *TEXTS]
    listed = ", ".join(names)

    def rows(file: str) -> dict[str, Any]:
        sql = f"SELECT {listed}, y_true, y_pred FROM read_parquet('{folder / file}') ORDER BY id"
        return dict(engine.columns(sql))

    held, live = rows("reference.parquet"), rows("analysis.parquet")
    theirs = json.loads((folder / "nannyml.json").read_text())
    week = timedelta(days=7)
    config = MonitorConfig(tolerance=0.0)
    print("| chunk | metric | realised | Treadle | NannyML | Treadle off, % | NannyML off, % | alerts |")
    print("|---:|---|---:|---:|---:|---:|---:|---|")
    for metric in METRICS:
        measure = Measure(metric)
        value = estimate(metric, held["y_true"], held["y_pred"]).value
        profile = build_profile(
            engine, folder / "reference.parquet", names, np.asarray(held["y_pred"]), metric, value
        )
        inputs = {name: held[name] for name in names}
        profile = with_estimates(
            profile, measure, inputs, np.asarray(held["y_true"]), np.asarray(held["y_pred"])
        )
        assert profile.losses is not None
        print(metric, "pairs:", *(pair.name for pair in profile.losses.pairs), sep="; ", file=sys.stderr)
        shapes = {**profile.inputs, PREDICTION: profile.prediction}
        before: list[Any] = []
        wrong: dict[str, list[float]] = {"Treadle": [], "NannyML": []}
        for chunk in range(len(live["y_true"]) // CHUNK):
            part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
            here = {name: live[name][part] for name in [*names, "y_true", "y_pred"]}
            histograms = histogrammed(
                profile.losses,
                {
                    name: places(shape, here["y_pred" if name == PREDICTION else name])
                    for name, shape in shapes.items()
                },
            )
            start = datetime(2026, 1, 5, tzinfo=UTC) + chunk * week
            window = Window(model="m", version=1, since=start, until=start + week)
            ours = estimated_result(
                window, profile, measure, np.asarray(here["y_pred"], dtype=float), histograms, config
            )
            [ours] = judged([ours], before, run_length(config.false_alarms, week))
            before.append(ours)
            realised = estimate(metric, here["y_true"], here["y_pred"]).value
            peer = theirs[metric][chunk]
            off = [100 * (one / realised - 1) for one in (ours.value, peer["value"])]
            for tool, one in zip(wrong, off, strict=True):
                wrong[tool].append(abs(one))
            alerts = [
                tool
                for tool, alert in (("Treadle", ours.state == "alert"), ("NannyML", peer["alert"]))
                if alert
            ]
            print(
                f"| {chunk} | {metric} | {realised:.1f} | {ours.value:.1f} | {peer['value']:.1f} | "
                f"{off[0]:+.2f} | {off[1]:+.2f} | {' and '.join(alerts) or '-'} |"
            )
        means = ", ".join(f"{tool} {np.mean(values):.2f} %" for tool, values in wrong.items())
        print(f"{metric} {value:.1f} at registration; off by, on average: {means}")


{"nannyml": nannyml, "treadle": treadle}[sys.argv[1]](Path(sys.argv[2]))
