"""A small, quick, real project: rows with a pattern, and a script that learns it into an ONNX model."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START = datetime(2025, 12, 1, tzinfo=UTC)

# Least squares on hour and carrier, written as ONNX: learns in a tenth of a second, without scikit-learn.
# Pandas, which pyarrow's `read_table` and `to_numpy` import, would double the time of the whole job.
TRAIN = """
import numpy as np, onnx, pyarrow.parquet as pq, treadle
from onnx import TensorProto, helper

with treadle.start_run() as run:
    table = pq.ParquetFile(treadle.data("rows")).read()
    hour = np.array(table["hour"].to_pylist(), float)
    carrier = np.array(table["carrier"].to_pylist())
    late = np.array(table["late"].to_pylist(), float)
    names = sorted(set(carrier))
    hour = np.nan_to_num(hour, nan=12.0)
    noise = np.random.default_rng(run.seed).normal(0, 0.01, len(late))
    design = np.column_stack([hour, *[(carrier == n) for n in names]]).astype(float)
    weights, *_ = np.linalg.lstsq(design, late + noise, rcond=None)
    for step in range(3):
        run.log(step=step, loss=1.0 / (step + 1))
    nodes = [
        helper.make_node("IsNaN", ["hour"], ["missing"]),
        helper.make_node("Where", ["missing", "noon", "hour"], ["filled"]),
        helper.make_node("Mul", ["filled", "slope"], ["a"]),
        helper.make_node("LabelEncoder", ["carrier"], ["b"], domain="ai.onnx.ml", keys_strings=names,
                         values_floats=[float(w) for w in weights[1:]], default_float=0.2),
        helper.make_node("Add", ["a", "b"], ["raw"]),
        helper.make_node("Clip", ["raw", "low", "high"], ["probability"]),
    ]
    constants = {"noon": 12.0, "slope": float(weights[0]), "low": 0.001, "high": 0.999}
    graph = helper.make_graph(
        nodes, "toy",
        [helper.make_tensor_value_info("hour", TensorProto.FLOAT, [None, 1]),
         helper.make_tensor_value_info("carrier", TensorProto.STRING, [None, 1])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor(k, TensorProto.FLOAT, [], [v]) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), "model.onnx")
    example = {"hour": hour[:20].tolist(), "carrier": carrier[:20].tolist()}
    run.log_model("model.onnx", example=example)
"""


@functools.cache
def rows(days: int = 120, per_day: int = 120, *, turn: int | None = None, seed: int = 0) -> pa.Table:
    """Rows whose label depends on hour and carrier; from day ``turn`` on the dependence is reversed."""
    rng = np.random.default_rng(seed)
    count = days * per_day
    day = np.repeat(np.arange(days), per_day)
    hour = rng.integers(0, 24, count).astype(float)
    carrier = rng.choice(["AA", "DL", "UA"], count)
    slope = np.where((turn is not None) & (day >= (turn or 0)), -1, 1)
    chance = 0.3 + slope * (hour - 12) / 40 + (carrier == "UA") * 0.1
    late = rng.random(count) < np.clip(chance, 0.02, 0.98)
    hour[rng.random(count) < 0.02] = np.nan
    at = [
        START + timedelta(days=int(d), seconds=int(s))
        for d, s in zip(day, rng.integers(0, 86_400, count), strict=True)
    ]
    known = [moment + timedelta(hours=5) for moment in at]
    return pa.table(
        {
            "id": [f"row-{i}" for i in range(count)],
            "at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "hour": pa.array(hour, from_pandas=True),
            "carrier": carrier,
            "late": late,
            "known_at": pa.array(known, pa.timestamp("us", tz="UTC")),
        }
    )


def fill(folder: Path, table: pa.Table | None = None) -> Path:
    """Gives a project folder its rows and its script."""
    (folder / "data").mkdir(exist_ok=True)
    pq.write_table(table if table is not None else rows(), folder / "data" / "rows.parquet")
    (folder / "train.py").write_text(TRAIN)
    return folder
