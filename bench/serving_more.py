"""Inference beyond single rows: batches beside ONNX Runtime itself, and many models in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import urllib3

from bench import measure
from bench.tables import show, times

# Connections that send at half load, each in turn.
CLIENTS = 60
ROWS = 1000
_PARTS = 5
_V2 = "/v2/models/bench/infer"


def batches(port: int, pid: int, model: Path, rounds: int) -> None:
    """Prints what 1,000 rows cost the server, in CPU time, and ONNX Runtime called directly."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, 30)).astype(np.float32)
    url = f"http://127.0.0.1:{port}{_V2}"
    named = _json(rows)
    cases: dict[str, Callable[[int], float]] = {
        "ONNX Runtime, called directly": _direct(model, rows),
        "msgspec reads the JSON, and nothing else": _decoding(named[0]),
        "Treadle, predictions logged: binary tensor": lambda times: _asked(url, pid, *_binary(rows), times),
        "Treadle, predictions logged: JSON, one tensor a column": lambda times: _asked(
            url, pid, *named, times
        ),
    }
    found: dict[str, list[float]] = {title: [] for title in cases}
    for part in range(-1, _PARTS):
        for title, case in cases.items():
            cost = case(max(rounds // _PARTS, 10))
            if part >= 0:  # the first is warming
                found[title].append(cost)
    middle = {title: statistics.median(costs) for title, costs in found.items()}
    direct = middle["ONNX Runtime, called directly"]
    table: list[list[object]] = [
        [title, cost, times(cost, direct), min(found[title]), max(found[title])]
        for title, cost in middle.items()
    ]
    columns = ["1,000 rows", "CPU-ms", "ratio", "least", "most"]
    show(
        "Batches",
        columns,
        table,
        f"In turn, {_PARTS} times {rounds // _PARTS} requests, one after the other.",
    )


def _direct(model: Path, rows: np.ndarray) -> Callable[[int], float]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    feed = {name: np.ascontiguousarray(rows[:, i : i + 1]) for i, name in enumerate(names)}
    output = [node.name for node in session.get_outputs() if "prob" in node.name.lower()]
    return lambda times: _timed(lambda: session.run(output, feed), times)


def _decoding(body: bytes) -> Callable[[int], float]:
    import msgspec

    column = msgspec.defstruct("Column", [("data", list[float])])
    decode = msgspec.json.Decoder(msgspec.defstruct("Request", [("inputs", list[column])])).decode
    return lambda times: _timed(lambda: decode(body), times)


def _timed(work: Callable[[], object], times: int) -> float:
    before = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - before) / times * 1000


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
            before = measure.precise_cpu_of(pid)
        answer = pool.request("POST", url, body=body, headers=headers)
        if answer.status != 200:
            raise measure.Failed(f"it answers {answer.status}: {answer.data[:200]!r}")
    return (measure.precise_cpu_of(pid) - before) / rounds * 1000


def half_load(
    body: str, port: int, path: str, pid: int, rate: float, seconds: int, work: Path
) -> list[float]:
    """Asks at a rate, whatever the answers take: requests a second, CPU-ms a request, p50, p99, failures.

    Raises:
        measure.Failed: If ``h2load`` fails, or sends less than nine tenths of the rate.
    """
    (work / "half.json").write_text(body)
    log = work / "half.log"
    log.unlink(missing_ok=True)
    each = max(1, round(rate / CLIENTS))
    clients = round(rate / each)
    before = measure.cpu_of(pid)
    measure.run(
        [
            *("h2load", "--h1", "-t1", f"-c{clients}", f"-D{seconds}", f"--rps={each}"),
            *("-d", work / "half.json", "-H", "content-type: application/json", f"--log-file={log}"),
            f"http://127.0.0.1:{port}{path}",
        ],
        work,
    )
    used = measure.cpu_of(pid) - before
    status, micros = np.loadtxt(log, usecols=(1, 2), unpack=True, ndmin=2)
    if len(status) < 0.9 * rate * seconds:
        raise measure.Failed(f"only {len(status) / seconds:,.0f} of {rate:,.0f} a second were sent")
    p50, p99 = np.percentile(micros / 1000, [50, 99])
    failed = int((status != 200).sum())
    return [len(status) / seconds, used / len(status) * 1000, float(p50), float(p99), failed]


def single_rows(port: int, rpc: int, pid: int, body: str, rounds: int) -> None:
    """Prints what a row costs the server over HTTP and over gRPC, asked one after the other."""
    import msgspec
    from tritonclient.grpc import InferenceServerClient, InferInput

    named = [(one["name"], one["data"]) for one in msgspec.json.decode(body)["inputs"]]

    def tensor(name: str, shape: list[int], values: list[float]) -> InferInput:
        made = InferInput(name, shape, "FP32")
        made.set_data_from_numpy(np.array(values, np.float32).reshape(shape))
        return made

    each = [tensor(name, [1], values) for name, values in named]
    whole = [tensor("rows", [1, len(named)], [value for _, values in named for value in values])]
    pool = urllib3.PoolManager(maxsize=1)
    with InferenceServerClient(f"127.0.0.1:{rpc}") as client:
        cases: dict[str, Callable[[], object]] = {
            "HTTP, JSON, 30 inputs": lambda: pool.request("POST", f"http://127.0.0.1:{port}{_V2}", body=body),
            "gRPC, 30 inputs": lambda: client.infer("bench", each),
            "gRPC, one tensor": lambda: client.infer("bench", whole),
        }
        found: dict[str, list[float]] = {title: [] for title in cases}
        for part in range(-1, _PARTS):
            for title, case in cases.items():
                before = measure.precise_cpu_of(pid)
                for _ in range(rounds // _PARTS):
                    case()
                if part >= 0:
                    cost = (measure.precise_cpu_of(pid) - before) / (rounds // _PARTS) * 1000
                    found[title].append(cost)
    middle = {title: statistics.median(costs) for title, costs in found.items()}
    http = middle["HTTP, JSON, 30 inputs"]
    table: list[list[object]] = [
        [title, cost, times(cost, http), min(found[title]), max(found[title])]
        for title, cost in middle.items()
    ]
    notes = f"One after the other, in turn, {_PARTS} times {rounds // _PARTS}; predictions logged."
    show("A row over gRPC", ["a row", "CPU-ms", "ratio", "least", "most"], table, notes)


def ask_each(port: int, body: str, models: int, hot: int) -> tuple[float, float, float]:
    """Asks so many models once each, and the last ``hot`` of them again.

    Returns:
        Milliseconds until the first answer of each, as median and as longest, and of the second as median.
    """
    pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=60)
    headers = {"content-type": "application/json"}

    def once(number: int) -> float:
        name = f"bench-{number}" if number else "bench"
        began = time.perf_counter()
        url = f"http://127.0.0.1:{port}/v2/models/{name}/infer"
        answer = pool.request("POST", url, body=body, headers=headers)
        if answer.status != 200:
            raise measure.Failed(f"{name} answers {answer.status}: {answer.data[:200]!r}")
        return (time.perf_counter() - began) * 1000

    first = [once(number) for number in range(models)]
    again = [once(number) for number in range(max(models - hot, 0), models)]
    return statistics.median(first), max(first), statistics.median(again)


def many(rows: list[list[object]]) -> None:
    """Prints how soon servers of many models are ready, what they hold, and how soon they answer."""
    columns = [
        "server", "models", "ready after, s", "CPU-s until then", "MB then",
        "first answer, ms", "longest", "second answer, ms", "MB after",
    ]  # fmt: skip
    notes = "The model above, under so many names; at most 60 are asked, one after the other. MB is PSS."
    show("Many models in one process", columns, rows, notes)
