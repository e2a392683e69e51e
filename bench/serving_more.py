"""Inference beyond single rows: batches beside ONNX Runtime itself, and many models in one process."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import urllib3

from bench import measure
from bench.tables import show, times

ROWS = 1000
_V2 = "/v2/models/bench/infer"


def batches(port: int, pid: int, model: Path, rounds: int) -> None:
    """Prints what 1,000 rows cost the server, in CPU time, and ONNX Runtime called directly."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, 30)).astype(np.float32)
    direct = _direct(model, rows, rounds)
    table: list[list[object]] = [["ONNX Runtime, called directly", direct, 1.0]]
    for title, body, headers in (
        ("binary tensor", *_binary(rows)),
        ("JSON, one tensor a column", *_json(rows)),
    ):
        used = _asked(f"http://127.0.0.1:{port}{_V2}", pid, body, headers, rounds)
        table.append([f"Treadle, predictions logged: {title}", used, times(used, direct)])
    columns = ["1,000 rows", "CPU-ms", "ratio"]
    show("Batches", columns, table, f"One request after the other, {rounds} of them.")


def _direct(model: Path, rows: np.ndarray, rounds: int) -> float:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    feed = {name: np.ascontiguousarray(rows[:, i : i + 1]) for i, name in enumerate(names)}
    output = [node.name for node in session.get_outputs() if "prob" in node.name.lower()]
    session.run(output, feed)
    before = time.process_time()
    for _ in range(rounds):
        session.run(output, feed)
    return (time.process_time() - before) / rounds * 1000


def _binary(rows: np.ndarray) -> tuple[bytes, dict[str, str]]:
    data = rows.tobytes()
    shape = f'"shape":[{len(rows)},{rows.shape[1]}],"datatype":"FP32"'
    head = f'{{"inputs":[{{"name":"rows",{shape},"parameters":{{"binary_data_size":{len(data)}}}}}],'
    head += '"outputs":[{"name":"probability","parameters":{"binary_data":true}}]}'
    return head.encode() + data, {"Inference-Header-Content-Length": str(len(head))}


def _json(rows: np.ndarray) -> tuple[bytes, dict[str, str]]:
    import msgspec

    tensors = [
        {"name": f"feature_{i:02d}", "shape": [len(rows)], "datatype": "FP32", "data": rows[:, i].tolist()}
        for i in range(rows.shape[1])
    ]
    return msgspec.json.encode({"inputs": tensors}), {}


def _asked(url: str, pid: int, body: bytes, headers: dict[str, str], rounds: int) -> float:
    pool = urllib3.PoolManager(maxsize=1)
    for round_ in range(rounds + 5):
        if round_ == 5:
            before = measure.cpu_of(pid)
        answer = pool.request("POST", url, body=body, headers=headers)
        if answer.status != 200:
            raise measure.Failed(f"it answers {answer.status}: {answer.data[:200]!r}")
    return (measure.cpu_of(pid) - before) / rounds * 1000


def many(found: dict[int, tuple[float, float, float]]) -> None:
    """Prints how soon servers of many models are ready, and what they hold."""
    rows: list[list[object]] = [[count, *figures] for count, figures in sorted(found.items())]
    columns = ["models", "ready after, s", "CPU-s until then", "MB"]
    show("Many models in one process", columns, rows, "The model above, under so many names; MB is PSS.")
