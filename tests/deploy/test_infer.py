from __future__ import annotations

import json
import math
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from replica_parts import (
    HTTP,
    FolderPlatform,
    ids_of,
    one_row,
    options,
    post,
    running,
    tensor,
    wait_for,
    write_model,
)

KINDS = {"hour": "float", "carrier": "string", "stops": "int", "weekend": "bool"}


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A replica of a model with a column of each kind; it takes 100 rows and 20,000 bytes."""
    folder = tmp_path_factory.mktemp("replica")
    platform = FolderPlatform(write_model(folder / "model", columns=KINDS, impute=True))
    chosen = options(folder / "state", max_rows=100, max_body=20_000)
    with running(chosen, platform) as server:
        yield SimpleNamespace(url=server.url, platform=platform)


def row(**changes) -> dict:
    """A good request; ``changes`` replace or remove inputs."""
    inputs = {
        "hour": tensor("hour", "FP64", [1.0]),
        "carrier": tensor("carrier", "BYTES", ["AA"]),
        "stops": tensor("stops", "INT64", [2]),
        "weekend": tensor("weekend", "BOOL", [True]),
    } | changes
    return {"inputs": [found for found in inputs.values() if found]}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def flushed(replica: SimpleNamespace) -> list:
    """What the platform was sent, all of it."""
    assert HTTP.request("POST", replica.url + "/treadle/flush").status == 200
    return replica.platform.batches


def logged(replica: SimpleNamespace, ids: list[str]) -> dict:
    """The logged rows of some ids, by column."""
    for batch in flushed(replica):
        where = [batch.ids.index(i) for i in ids if i in batch.ids]
        if where:
            columns = {name: [values[i] for i in where] for name, values in batch.inputs.items()}
            return columns | {
                "at": [batch.at[i] for i in where],
                "out": [batch.outputs[i] for i in where],
                "version": [batch.version[i] for i in where],
                "revision": [batch.revision[i] for i in where],
                "latency": [batch.latency_ms[i] for i in where],
            }
    raise AssertionError(f"{ids} were not logged")


def test_an_answer_has_the_protocols_shape(replica):
    status, answer = post(replica.url, {"id": "r-1", **row()})
    assert status == 200
    value, ids = answer["outputs"]
    assert answer["model_name"] == "toy"
    assert answer["model_version"] == "7"
    assert answer["id"] == "r-1"
    assert (value["name"], value["shape"], value["datatype"]) == ("probability", [1], "FP64")
    assert value["data"] == pytest.approx([sigmoid(1 + 0.5 + 2 + 1)], abs=1e-6)
    assert (ids["name"], ids["shape"], ids["datatype"]) == ("prediction_id", [1], "BYTES")
    assert "id" not in post(replica.url, row())[1]


@pytest.mark.parametrize("path", ["/v2/models/toy/infer", "/v2/models/toy/versions/7/infer"])
def test_many_rows_in_any_shape_the_protocol_allows(replica, path):
    body = {
        "inputs": [
            tensor("hour", "FP32", [[0.5], [None], [2]], [3, 1]),
            tensor("carrier", "BYTES", ["AA", None, "zz"], [3, 1]),
            tensor("stops", "UINT8", [0, 1, 255]),
            tensor("weekend", "BOOL", [[False], [True], [False]], [3, 1]),
        ]
    }
    status, answer = post(replica.url, body, path)
    assert status == 200
    first, second, third = answer["outputs"][0]["data"]
    assert first == pytest.approx(sigmoid(1.0), abs=1e-6)
    assert second == pytest.approx(sigmoid(2.0), abs=1e-6)
    assert third == pytest.approx(1.0)
    seen = logged(replica, ids_of(answer))
    assert seen["hour"] == [0.5, None, 2]
    assert seen["carrier"] == ["AA", None, "zz"]
    assert seen["stops"] == [0, 1, 255]
    assert seen["weekend"] == [False, True, False]


def test_the_caller_names_rows_and_their_times(replica):
    body = row(
        hour=tensor("hour", "FP64", [1.0, 2.0]),
        carrier=tensor("carrier", "BYTES", ["AA", "BB"]),
        stops=tensor("stops", "INT64", [0, 0]),
        weekend=tensor("weekend", "BOOL", [True, True]),
        id=tensor("id", "BYTES", ["f-1", "f-2"]),
        at=tensor("at", "BYTES", ["2013-04-01T12:00:00Z", "2013-04-01T14:00:00+02:00"]),
    )
    status, answer = post(replica.url, body)
    assert status == 200
    assert ids_of(answer) == ["f-1", "f-2"]
    seen = logged(replica, ["f-1", "f-2"])
    assert seen["at"] == [1364817600.0, 1364817600.0]
    assert seen["version"] == [7, 7]
    assert seen["revision"] == [1, 1]
    assert seen["out"] == answer["outputs"][0]["data"]
    assert all(0 < ms < 10_000 for ms in seen["latency"])
    assert "id" not in seen
    numbered = row(id=tensor("id", "INT64", [99]), at=tensor("at", "FP64", [12.5]))
    assert ids_of(post(replica.url, numbered)[1]) == ["99"]
    assert logged(replica, ["99"])["at"] == [12.5]
    naive = row(id=tensor("id", "BYTES", ["n"]), at=tensor("at", "BYTES", ["1970-01-02"]))
    post(replica.url, naive)
    assert logged(replica, ["n"])["at"] == [86_400.0]


def test_rows_without_a_name_get_one_of_their_own(replica):
    many = row(
        hour=tensor("hour", "FP64", [1.0] * 5),
        carrier=tensor("carrier", "BYTES", ["AA"] * 5),
        stops=tensor("stops", "INT64", [0] * 5),
        weekend=tensor("weekend", "BOOL", [True] * 5),
    )
    ids = ids_of(post(replica.url, many)[1]) + ids_of(post(replica.url, many)[1])
    assert len(set(ids)) == 10
    assert ids == sorted(ids)


def test_only_the_outputs_asked_for_are_sent(replica):
    asked = {"outputs": [{"name": "prediction_id", "parameters": {"binary_data": False}}], **row()}
    assert [out["name"] for out in post(replica.url, asked)[1]["outputs"]] == ["prediction_id"]
    asked["outputs"] = [{"name": "probability"}]
    assert [out["name"] for out in post(replica.url, asked)[1]["outputs"]] == ["probability"]


BAD = {
    "not json": (b"{", "not valid JSON"),
    "empty": (b"", "not valid JSON"),
    "not utf-8": (b'{"inputs": ["\xff"]}', "not"),
    "a list": (b"[]", "object"),
    "no inputs": (b"{}", "inputs"),
    "too deep": (b'{"inputs":[{"name":"hour","shape":[1],"datatype":"FP64","data":' + b"[" * 9000, "deep"),
    "nan": (json.dumps(row(hour=tensor("hour", "FP64", [math.nan]))).encode(), "write null for a missing"),
    "infinity": (json.dumps(row(hour=tensor("hour", "FP64", [math.inf]))).encode(), "infinity is no JSON"),
    "no data": (row(hour={"name": "hour", "shape": [1], "datatype": "FP64"}), "data"),
    "data no list": (row(hour={"name": "hour", "shape": [1], "datatype": "FP64", "data": 1}), "data"),
    "id no text": ({"id": 4, **row()}, "id"),
    "missing": (row(hour=None), "'hour' is missing"),
    "several missing": (row(hour=None, stops=None), "'hour', 'stops' are missing"),
    "none at all": ({"inputs": []}, "are missing"),
    "unknown": (row(x=tensor("hours", "FP64", [1.0])), "no input 'hours'; did you mean 'hour'"),
    "twice": (row(x=tensor("hour", "FP64", [1.0])), "'hour' is there twice"),
    "text twice": (row(x=tensor("carrier", "BYTES", ["AA"])), "'carrier' is there twice"),
    "key twice": (
        row(x=tensor("id", "BYTES", ["a"]), y=tensor("id", "BYTES", ["b"])),
        "'id' is there twice",
    ),
    "bool as float": (row(hour=tensor("hour", "BOOL", [True])), "'hour' has datatype BOOL; expected FP64"),
    "text as float": (row(hour=tensor("hour", "BYTES", ["1"])), "'hour' has datatype BYTES; expected FP64"),
    "float as int": (row(stops=tensor("stops", "FP32", [1.0])), "'stops' has datatype FP32; expected INT64"),
    "int as bool": (
        row(weekend=tensor("weekend", "INT8", [1])),
        "'weekend' has datatype INT8; expected BOOL",
    ),
    "int as text": (
        row(carrier=tensor("carrier", "INT8", [1])),
        "'carrier' has datatype INT8; expected BYTES",
    ),
    "no datatype": (row(hour=tensor("hour", "FLOAT", [1.0])), "'hour' has the unknown datatype 'FLOAT'"),
    "text in fp": (row(hour=tensor("hour", "FP64", ["1.5"])), "'hour', row 0: \"1.5\" is not a number"),
    "bool in fp": (row(hour=tensor("hour", "FP64", [True])), "'hour', row 0: true is not a number"),
    "object in fp": (row(hour=tensor("hour", "FP64", [{}])), "'hour', row 0: {} is not a number"),
    "float in int": (row(stops=tensor("stops", "INT64", [1.5])), "'stops', row 0: 1.5 is not a whole number"),
    "null in int": (row(stops=tensor("stops", "INT64", [None])), "'stops', row 0: null is not a whole"),
    "null in bool": (row(weekend=tensor("weekend", "BOOL", [None])), "'weekend', row 0: null is not true"),
    "1 in bool": (row(weekend=tensor("weekend", "BOOL", [1])), "'weekend', row 0: 1 is not true or false"),
    "number in text": (row(carrier=tensor("carrier", "BYTES", [7])), "'carrier', row 0: 7 is not text"),
    "beyond int8": (
        row(stops=tensor("stops", "INT8", [128])),
        "'stops', row 0: 128 is not a whole number from",
    ),
    "below uint": (
        row(stops=tensor("stops", "UINT64", [-1])),
        "'stops', row 0: -1 is not a whole number from 0",
    ),
    "beyond int64": (row(stops=tensor("stops", "UINT64", [2**63])), "'stops' has a number beyond"),
    "beyond fp16": (row(hour=tensor("hour", "FP16", [1e6])), "'hour', row 0: 1000000.0 is not a number"),
    "beyond fp32": (row(hour=tensor("hour", "FP64", [1e39])), "'hour' has a number beyond what FP32"),
    "huge int": (row(hour=tensor("hour", "UINT64", [10**400])), ""),
    "beyond fp64": (
        b'{"inputs":[{"name":"hour","shape":[1],"datatype":"FP64","data":[1e999]}]}',
        "out of range",
    ),
    "half a pair": (
        b'{"inputs":[{"name":"carrier","shape":[1],"datatype":"BYTES","data":["\\ud800"]}]}',
        "",
    ),
    "shape 2": (row(hour=tensor("hour", "FP64", [1.0], [2])), "'hour' has shape [2] and 1 values"),
    "shape 1x2": (
        row(hour=tensor("hour", "FP64", [1.0, 2.0], [1, 2])),
        "'hour' has shape [1, 2]; expected [N]",
    ),
    "shape -1": (row(hour=tensor("hour", "FP64", [1.0], [-1])), "'hour' has shape [-1]"),
    "shape empty": (row(hour={"name": "hour", "shape": [], "datatype": "FP64", "data": [1.0]}), "shape []"),
    "shape text": (row(hour={"name": "hour", "shape": ["1"], "datatype": "FP64", "data": [1.0]}), "shape"),
    "nested twice": (
        row(hour=tensor("hour", "FP64", [[[1.0]]], [1, 1])),
        "'hour', row 0: [1.0] is not a number",
    ),
    "nested two": (row(hour=tensor("hour", "FP64", [[1.0, 2.0]], [1, 1])), "'hour': nested data"),
    "half nested": (row(hour=tensor("hour", "FP64", [[1.0], 2.0], [2, 1])), "'hour': nested data"),
    "no rows": ({"inputs": [tensor("hour", "FP64", [], [0])]}, "no rows"),
    "unequal": (row(stops=tensor("stops", "INT64", [1, 2])), "'stops' has 2 rows, those before it 1"),
    "too many": ({"inputs": [tensor("hour", "FP64", [1.0] * 101)]}, "101 rows; at most 100"),
    "null key": (row(x=tensor("id", "BYTES", [None])), "'id' names each row; row 0 has no name"),
    "empty key": (row(x=tensor("id", "BYTES", [""])), "'id' names each row"),
    "float key": (row(x=tensor("id", "FP64", [1.0])), "'id' has datatype FP64; expected BYTES"),
    "no time": (row(x=tensor("at", "BYTES", ["yesterday"])), "'at', row 0: 'yesterday' is not an ISO 8601"),
    "time in ms": (row(x=tensor("at", "INT64", [1_700_000_000_000])), "milliseconds"),
    "null time": (row(x=tensor("at", "FP64", [None])), "'at', row 0: None is not a time"),
    "no such output": ({"outputs": [{"name": "score"}], **row()}, "no output 'score'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_told_what_is_wrong(replica, name):
    body, sentence = BAD[name]
    status, answer = post(replica.url, body)
    assert (status, list(answer)) == (400, ["error"])
    assert sentence in answer["error"]
    assert post(replica.url, row())[0] == 200


def test_a_text_that_is_no_unicode_is_refused_among_good_inputs(replica):
    raw = json.dumps(row(carrier=tensor("carrier", "BYTES", ["\ud800"]))).encode()
    assert post(replica.url, raw)[0] == 400
    raw = json.dumps({"id": "\ud800", **row()}).encode()
    assert post(replica.url, raw)[0] == 400


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/v2/models/other/infer", "model 'other' is not served here; 'toy' is"),
        ("/v2/models/toy/versions/8/infer", "version '8' is not served here; version 7 is"),
        ("/v2/models/toy/versions/x/infer", "version 'x' is not served here"),
        ("/v2/models//infer", "model '' is not served"),
    ],
)
def test_an_unknown_model_or_version_is_404(replica, path, sentence):
    status, answer = post(replica.url, row(), path)
    assert status == 404
    assert sentence in answer["error"]


def test_a_body_over_the_limit_is_413_with_and_without_a_length(replica):
    for body in (b"x" * 30_000, iter([b"x" * 15_000, b"x" * 15_000])):
        response = HTTP.request("POST", replica.url + "/v2/models/toy/infer", body=body)
        assert response.status == 413
        assert "20000" in response.json()["error"]
    assert post(replica.url, row())[0] == 200


def test_a_caller_that_hangs_up_halfway_harms_nobody(replica):
    host, port = replica.url.removeprefix("http://").split(":")
    for sent in (
        b"",
        b"POST /v2/models/toy/infer HTTP/1.1\r\ncontent-length: 500\r\n\r\n{",
        b"\x00\xff\r\n\r\n",
    ):
        with socket.create_server(("127.0.0.1", 0)), socket.create_connection((host, int(port))) as caller:
            caller.sendall(sent)
    assert post(replica.url, row())[0] == 200


def test_wrong_methods_and_paths(replica):
    infer = HTTP.request("GET", replica.url + "/v2/models/toy/infer")
    assert (infer.status, infer.headers["allow"]) == (405, "POST")
    assert HTTP.request("POST", replica.url + "/v2").status == 405
    assert HTTP.request("GET", replica.url + "/treadle/flush").status == 405
    nowhere = HTTP.request("GET", replica.url + "/v1/models")
    assert nowhere.status == 404
    assert "/v2/models/toy/infer" in nowhere.json()["error"]


def test_metadata_and_health(replica):
    def get(path: str):
        response = HTTP.request("GET", replica.url + path)
        return response.status, response.json()

    assert get("/v2/health/live") == (200, {"live": True})
    assert get("/v2/health/ready") == (200, {"live": True, "ready": True})
    status, server = get("/v2")
    assert (status, server["name"], server["extensions"]) == (
        200,
        "treadle",
        ["binary_tensor_data", "model_repository"],
    )
    assert get("/v2/models/toy/ready") == (200, {"name": "toy", "ready": True})
    assert get("/v2/models/toy/versions/7/ready")[0] == 200
    assert get("/v2/models/toy/versions/8/ready")[0] == 404
    assert get("/v2/models/other")[0] == 404
    status, model = get("/v2/models/toy")
    assert get("/v2/models/toy/versions/7") == (200, model)
    assert status == 200
    assert (model["name"], model["versions"], model["platform"]) == ("toy", ["7"], "onnx_onnxruntime")
    assert model["inputs"] == [
        {"name": "hour", "datatype": "FP32", "shape": [-1]},
        {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
        {"name": "stops", "datatype": "INT64", "shape": [-1]},
        {"name": "weekend", "datatype": "BOOL", "shape": [-1]},
        {"name": "id", "datatype": "BYTES", "shape": [-1]},
        {"name": "at", "datatype": "FP64", "shape": [-1]},
    ]
    assert [out["name"] for out in model["outputs"]] == ["probability", "prediction_id"]


def test_metrics_are_prometheus_text(replica):
    from prometheus_client.parser import text_string_to_metric_families

    post(replica.url, row())
    post(replica.url, b"{")
    response = HTTP.request("GET", replica.url + "/metrics")
    families = {f.name: f for f in text_string_to_metric_families(response.data.decode())}
    codes = {s.labels["code"]: s.value for s in families["treadle_requests"].samples}
    assert codes["200"] >= 1
    assert codes["400"] >= 1
    seconds = families["treadle_request_seconds"].samples
    assert next(s.value for s in seconds if s.name.endswith("_count")) == sum(codes.values())
    assert families["treadle_model_info"].samples[0].labels == {
        "model": "toy",
        "version": "7",
        "revision": "1",
    }
    assert {"treadle_rows", "treadle_batch_rows", "treadle_queue_length", "treadle_journal_bytes"} <= set(
        families
    )
    assert re.search(r"^treadle_rows_total\{model=\"toy\"\} \d", response.data.decode(), re.MULTILINE)


def test_before_a_model_is_loaded_the_server_lives_and_is_not_ready(tmp_path):
    platform = FolderPlatform(write_model(tmp_path / "model"))
    wanted, platform.wanted = platform.wanted, None
    with running(options(tmp_path / "state"), platform, ready=False) as server:
        assert HTTP.request("GET", server.url + "/v2/health/ready").status == 503
        assert HTTP.request("GET", server.url + "/v2/models/toy/ready").status == 503
        refused = HTTP.request("POST", server.url + "/v2/models/toy/infer", body=b"{}")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        platform.wanted = wanted
        wait_for(lambda: post(server.url, one_row())[0] == 200)


def test_requests_that_arrive_together_are_predicted_together_and_one_bad_row_spoils_only_its_own(tmp_path):
    columns = {"hour": "float", "carrier": "string"}
    platform = FolderPlatform(write_model(tmp_path / "model", columns=columns))
    with running(options(tmp_path / "state"), platform) as server, ThreadPoolExecutor(16) as pool:
        bodies = [one_row(hour=float(i)) for i in range(300)]
        for i in range(0, 300, 10):
            bodies[i]["inputs"][0]["data"] = [None]  # the toy model answers NaN to it
        answers = list(pool.map(lambda body: post(server.url, body), bodies))
        for i, (status, answer) in enumerate(answers):
            if i % 10 == 0:
                assert status == 500
                assert "no number" in answer["error"]
            else:
                assert status == 200
                assert answer["outputs"][0]["data"] == pytest.approx([sigmoid(i + 0.5)], abs=1e-6)
        text = HTTP.request("GET", server.url + "/metrics").data.decode()
        assert HTTP.request("POST", server.url + "/treadle/flush").status == 200
    assert float(re.search(r"^treadle_rows_total\S+ (\S+)", text, re.MULTILINE)[1]) == 270
    assert sum(len(batch.ids) for batch in platform.batches) == 270


def test_when_too_many_wait_the_rest_are_told_to_come_later(tmp_path, monkeypatch):
    from treadle.registry import LoadedModel

    entered, go_on, predict = threading.Event(), threading.Event(), LoadedModel.predict

    def slow(self, columns):
        if len(columns["hour"]) == 100:
            entered.set()
            assert go_on.wait(20)
        return predict(self, columns)

    monkeypatch.setattr(LoadedModel, "predict", slow)
    platform = FolderPlatform(write_model(tmp_path / "model"))
    large = {"inputs": [tensor("hour", "FP64", [1.0] * 100), tensor("carrier", "BYTES", ["AA"] * 100)]}
    with running(options(tmp_path / "state", max_queue=2), platform) as server, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(post, server.url, large) for _ in range(2)]
        assert entered.wait(20)
        # Large requests wait beside the event loop: the server answers, and counts them.
        wait_for(
            lambda: "treadle_queue_length 2.0" in HTTP.request("GET", server.url + "/metrics").data.decode()
        )
        refused = HTTP.request(
            "POST", server.url + "/v2/models/toy/infer", body=json.dumps(one_row()).encode()
        )
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert "2 requests wait" in refused.json()["error"]
        go_on.set()
        assert [answer.result()[0] for answer in waiting] == [200, 200]
        assert post(server.url, one_row())[0] == 200
