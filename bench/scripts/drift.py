"""Has a window drifted from the reference? Usage: ``drift.py TOOL FOLDER``; prints what drifted."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path


def treadle(folder: Path) -> list[str]:
    """The profile of the reference, the window in its bins, and a verdict a column."""
    from datetime import UTC, datetime, timedelta

    import numpy as np

    from treadle.kernel.config.monitor import MonitorConfig
    from treadle.kernel.engine import DuckDBEngine, quote
    from treadle.monitor import build_profile
    from treadle.monitor.drift import input_result
    from treadle.monitor.findings import Window
    from treadle.monitor.profile import count, histogram_sql

    names = [f"n{i:02d}" for i in range(40)] + [f"c{i:02d}" for i in range(10)]
    until = datetime(2026, 1, 8, tzinfo=UTC)
    window = Window(model="bench", version=1, since=until - timedelta(days=7), until=until)
    with tempfile.TemporaryDirectory() as temp:
        engine = DuckDBEngine(Path(temp))
        profile = build_profile(engine, folder / "reference.parquet", names, np.ones(2) / 2, "roc_auc", 0.7)
        columns = [(shape, quote(name)) for name, shape in profile.inputs.items()]
        found = engine.columns(histogram_sql(columns), (), {"log": [folder / "current.parquet"]})
        current = count([shape for shape, _ in columns], found)
    results = [
        input_result(window, name, profile.inputs[name], now, len(names), MonitorConfig())
        for name, now in zip(names, current, strict=True)
    ]
    return [result.subject for result in results if result.state == "alert"]


def nannyml(folder: Path) -> list[str]:
    import nannyml as nml
    import pandas as pd

    reference = pd.read_parquet(folder / "reference.parquet")
    current = pd.read_parquet(folder / "current.parquet")
    calculator = nml.UnivariateDriftCalculator(column_names=list(reference), chunk_number=1)
    calculator.thresholds["jensen_shannon"] = nml.thresholds.ConstantThreshold(lower=None, upper=0.1)
    found = calculator.fit(reference).calculate(current).filter(period="analysis").to_df()
    return [name for name in reference if bool(found[(name, "jensen_shannon", "alert")].any())]


def evidently(folder: Path) -> list[str]:
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    reference = pd.read_parquet(folder / "reference.parquet")
    current = pd.read_parquet(folder / "current.parquet")
    report = Report([DataDriftPreset(method="psi", threshold=0.1)])
    found = json.loads(report.run(current, reference).json())
    drifted = []
    for metric in found["metrics"]:
        config = metric.get("config", {})
        if "column" in config and float(metric["value"]) >= 0.1:
            drifted.append(config["column"])
    return drifted


print("\n" + json.dumps(sorted(globals()[sys.argv[1]](Path(sys.argv[2])))))
