"""A project whose training takes a tenth of a second. Usage: ``make_toy.py FOLDER``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper

PROJECT = """\
[project]
name = "toy"

[data.rows]
path = "data/rows.parquet"
time = "at"
key = "id"
label = "late"

[train]
command = "python train.py"
data = "rows"
features = ["hour", "wind"]
holdout = "14d"
code = ["*.py", "*.onnx"]
params = { model = 1 }

[checks.performance]
bound = 0.6
margin = 0.05

[serve]
port = 0
"""

TRAIN = """\
import time

import treadle

with treadle.start_run() as run:
    started = time.process_time()
    while time.process_time() - started < 0.1:
        pass
    run.log(loss=0.5, step=0)
    example = {"hour": [1.0, 23.0], "wind": [3.0, 9.0]}
    run.log_model(f"model-{run.params['model']}.onnx", example=example)
"""


def graph(slope: float) -> onnx.ModelProto:
    """sigmoid(slope * hour + wind / 10 - 1)."""
    nodes = [
        helper.make_node("Mul", ["hour", "slope"], ["a"]),
        helper.make_node("Mul", ["wind", "tenth"], ["b"]),
        helper.make_node("Sum", ["a", "b", "minus"], ["raw"]),
        helper.make_node("Sigmoid", ["raw"], ["probability"]),
    ]
    constants = {"slope": slope, "tenth": 0.1, "minus": -1.0}
    columns = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1]) for n in ("hour", "wind")]
    answer = [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])]
    kept = [helper.make_tensor(k, TensorProto.FLOAT, [], [v]) for k, v in constants.items()]
    body = helper.make_graph(nodes, "toy", columns, answer, kept)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


folder = Path(sys.argv[1])
count = 14_400
rng = np.random.default_rng(0)
hour, wind = rng.integers(0, 24, count).astype(float), rng.gamma(2, 4, count)
start = datetime.now(UTC) - timedelta(days=120)  # a cycle looks back from now
(folder / "data").mkdir()
table = {
    "id": [f"row-{i}" for i in range(count)],
    "at": pa.array([start + timedelta(minutes=12 * i) for i in range(count)], pa.timestamp("us", tz="UTC")),
    "hour": hour,
    "wind": wind,
    "late": rng.random(count) < 1 / (1 + np.exp(-(0.1 * hour + wind / 10 - 2))),
}
pq.write_table(pa.table(table), folder / "data" / "rows.parquet")
for number, slope in ((1, 0.1), (2, 0.101)):
    onnx.save(graph(slope), folder / f"model-{number}.onnx")
(folder / "treadle.toml").write_text(PROJECT)
(folder / "train.py").write_text(TRAIN)
