"""The Open Inference Protocol over gRPC, asked by Triton's unmodified client and by hand."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from replica_parts import HTTP, FolderPlatform, one_row, options, post, running, wait_for, write_model
from test_fleet import ManyPlatform
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, service_pb2
from tritonclient.utils import InferenceServerException

from treadle.deploy import ReplicaOptions
from treadle.deploy.replica import ReplicaServer
from treadle.deploy.replica.rpc.messages import MESSAGES, SERVICE
from treadle.kernel.errors import Busy, MissingExtra

KINDS = {"hour": "float", "carrier": "string", "stops": "int", "weekend": "bool"}


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("rpc")
    platform = FolderPlatform(write_model(folder / "model", columns=KINDS, impute=True))
    chosen = options(folder / "state", grpc_port=0, max_rows=300, max_body=100_000)
    with (
        running(chosen, platform) as server,
        InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        yield SimpleNamespace(url=server.url, port=server.grpc_port, client=client, platform=platform)


def raw(name: str, datatype: str, values: list, shape: list[int] | None = None) -> InferInput:
    """An input as Triton's client sends it."""
    kinds = {"FP32": "f4", "FP64": "f8", "INT64": "i8", "BOOL": "?", "BYTES": object}
    one = InferInput(name, shape or [len(values)], datatype)
    one.set_data_from_numpy(np.array(values, kinds[datatype]).reshape(one.shape()))
    return one


def row(rows: int = 1, **changes) -> list[InferInput]:
    known = {
        "hour": raw("hour", "FP32", [1.0] * rows),
        "carrier": raw("carrier", "BYTES", ["AA"] * rows),
        "stops": raw("stops", "INT64", [2] * rows),
        "weekend": raw("weekend", "BOOL", [True] * rows),
    }
    return [one for one in (known | changes).values() if one is not None]


def sigmoid(x) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x)))


def call(port: int, method: str, message: bytes, metadata=()) -> tuple[bytes, grpc.RpcError | None]:
    """A call by hand: what it answers, or why it doesn't."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            return channel.unary_unary(f"/{SERVICE}/{method}")(message, timeout=20, metadata=metadata), None
        except grpc.RpcError as error:
            return b"", error


def test_the_messages_are_those_of_the_protocol():
    same = {"InferTensor": ["ModelInferRequest.InferInputTensor", "ModelInferResponse.InferOutputTensor"]}
    same["InferRequestedOutputTensor"] = ["ModelInferRequest.InferRequestedOutputTensor"]
    same["TensorMetadata"] = ["ModelMetadataResponse.TensorMetadata"]
    skipped = {"Parameter", "Duration", "RetryInfo", "Detail", "Status"}
    skipped |= {"HealthCheckRequest", "HealthCheckResponse"}
    scalars = {FieldDescriptor.TYPE_MESSAGE: "message"}
    for name, ours in MESSAGES.items():
        for theirs in same.get(name, [] if name in skipped else [name]):
            found = service_pb2
            for part in theirs.split("."):
                found = getattr(found, part)
            for field in ours.DESCRIPTOR.fields:
                other = found.DESCRIPTOR.fields_by_name[field.name]
                told = [(one.number, scalars.get(one.type, one.type)) for one in (field, other)]
                assert told[0] == told[1], (name, field.name)
                assert field.is_repeated == other.is_repeated, (name, field.name)


def test_tritons_client_asks_what_it_asks_of_triton(replica):
    client = replica.client
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.is_model_ready("toy", "7")
    about = client.get_server_metadata()
    assert (about.name, list(about.extensions)) == ("treadle", ["binary_tensor_data", "model_repository"])
    model = client.get_model_metadata("toy")
    assert (model.name, list(model.versions), model.platform) == ("toy", ["7"], "onnx_onnxruntime")
    assert [(one.name, one.datatype, list(one.shape)) for one in model.inputs][:2] == [
        ("hour", "FP32", [-1]),
        ("carrier", "BYTES", [-1]),
    ]
    answer = client.infer("toy", row(), request_id="r-1")
    response = answer.get_response()
    assert (response.model_name, response.model_version, response.id) == ("toy", "7", "r-1")
    assert answer.as_numpy("probability") == pytest.approx(sigmoid([4.5]), abs=1e-6)
    assert answer.as_numpy("prediction_id").shape == (1,)
    only = client.infer("toy", row(), outputs=[InferRequestedOutput("probability")])
    assert [one.name for one in only.get_response().outputs] == ["probability"]


@pytest.mark.parametrize("rows", [1, 2, 64, 300])
def test_rows_are_answered_as_over_http_and_written_down(replica, rows):
    hours = np.linspace(-2, 2, rows)
    hours[0] = np.nan
    inputs = row(rows, hour=raw("hour", "FP64", hours.tolist()))
    answer = replica.client.infer("toy", [*inputs, raw("id", "BYTES", [f"n{rows}-{i}" for i in range(rows)])])
    body = {
        "inputs": [
            {"name": "hour", "shape": [rows], "datatype": "FP64", "data": [None, *hours[1:].tolist()]},
            {"name": "carrier", "shape": [rows], "datatype": "BYTES", "data": ["AA"] * rows},
            {"name": "stops", "shape": [rows], "datatype": "INT64", "data": [2] * rows},
            {"name": "weekend", "shape": [rows], "datatype": "BOOL", "data": [True] * rows},
        ]
    }
    over_http = post(replica.url, body)[1]["outputs"][0]["data"]
    assert answer.as_numpy("probability").tolist() == pytest.approx(over_http, abs=1e-6)
    assert [name.decode() for name in answer.as_numpy("prediction_id")] == [
        f"n{rows}-{i}" for i in range(rows)
    ]
    assert HTTP.request("POST", replica.url + "/treadle/flush").status == 200
    logged = {
        name: (batch.inputs["hour"][at], batch.inputs["carrier"][at], batch.outputs[at])
        for batch in replica.platform.batches
        for at, name in enumerate(batch.ids)
    }
    for i, output in enumerate(answer.as_numpy("probability").tolist()):
        hour = None if np.isnan(hours[i]) else hours[i]
        assert logged[f"n{rows}-{i}"] == (hour, "AA", output)


def test_data_in_the_tensors_are_answered_in_the_tensors(replica):
    def tensor(name: str, datatype: str, **contents) -> dict:
        return {"name": name, "datatype": datatype, "shape": [2], "contents": contents}

    inputs = [
        tensor("hour", "FP32", fp32_contents=[0.5, np.nan]),
        tensor("carrier", "BYTES", bytes_contents=[b"AA", b"zz"]),
        tensor("stops", "UINT8", uint_contents=[1, 255]),
        tensor("weekend", "BOOL", bool_contents=[False, True]),
    ]
    message = service_pb2.ModelInferRequest(model_name="toy", id="x", inputs=inputs)
    data, error = call(replica.port, "ModelInfer", message.SerializeToString())
    assert error is None
    answer = service_pb2.ModelInferResponse.FromString(data)
    assert answer.id == "x"
    assert answer.outputs[0].contents.fp64_contents == pytest.approx(sigmoid([2.0, 256.0]), abs=1e-6)
    assert len(answer.outputs[1].contents.bytes_contents) == 2
    assert not answer.raw_output_contents
    wrong = {
        "has fp64_contents; FP32 is sent in fp32_contents": tensor("hour", "FP32", fp64_contents=[0.5, 1]),
        "no contents": tensor("hour", "FP16"),
        "has shape [2] and 1 values": tensor("hour", "FP32", fp32_contents=[0.5]),
        "not UTF-8": tensor("carrier", "BYTES", bytes_contents=[b"AA", b"\xff"]),
        "300 is not a whole number from 0 to 255": tensor("stops", "UINT8", uint_contents=[1, 300]),
    }
    for why, bad in wrong.items():
        rest = [one for one in inputs if one["name"] != bad["name"]]
        message = service_pb2.ModelInferRequest(model_name="toy", inputs=[bad, *rest])
        _, error = call(replica.port, "ModelInfer", message.SerializeToString())
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert why in error.details()


def test_bad_requests_say_what_is_wrong(replica):
    shared = raw("hour", "FP32", [1.0])
    shared._raw_content = None
    shared.set_shared_memory("region", 4)
    classes = [InferRequestedOutput("probability", class_count=2)]
    infinite = row(2, hour=raw("hour", "FP32", [1.0, np.inf]))
    alone = row(hour=raw("hour", "FP32", [np.inf]))
    for inputs, outputs, model, version, code, why in (
        (row(hour=None), None, "toy", "", "INVALID_ARGUMENT", "input 'hour' is missing"),
        (row(301), None, "toy", "", "INVALID_ARGUMENT", "at most 300"),
        (infinite, None, "toy", "", "INVALID_ARGUMENT", "row 1: inf"),
        (alone, None, "toy", "", "INVALID_ARGUMENT", "row 0: inf is not"),
        (row(hour=shared), None, "toy", "", "INVALID_ARGUMENT", "raw_input_contents"),
        (row(), classes, "toy", "", "INVALID_ARGUMENT", "can't be given as classes"),
        (row(), None, "tox", "", "NOT_FOUND", "'toy' is"),
        (row(), None, "toy", "8", "NOT_FOUND", "version 7 is"),
    ):
        with pytest.raises(InferenceServerException, match=re.escape(why)) as caught:
            replica.client.infer(model, inputs, version, outputs=outputs)
        assert caught.value.status() == f"StatusCode.{code}"
    about, ready = service_pb2.ModelMetadataRequest, service_pb2.ModelReadyRequest
    for method, message, code in (
        ("ModelInfer", b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("ModelMetadata", about(name="x").SerializeToString(), grpc.StatusCode.NOT_FOUND),
        ("ModelReady", ready(name="toy", version="8").SerializeToString(), grpc.StatusCode.NOT_FOUND),
        ("ModelInfer", bytes(2 << 20), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("ModelExplain", b"", grpc.StatusCode.UNIMPLEMENTED),
    ):
        assert call(replica.port, method, message)[1].code() is code


def test_kubernetes_probes_are_answered(replica):
    """By hand, after grpc/health/v1/health.proto: service is text in field 1, SERVING is 1 in field 1."""

    def check(service: bytes) -> tuple[bytes, grpc.RpcError | None]:
        asked = b"\n" + bytes([len(service)]) + service if service else b""
        with grpc.insecure_channel(f"127.0.0.1:{replica.port}") as channel:
            try:
                return channel.unary_unary("/grpc.health.v1.Health/Check")(asked, timeout=20), None
            except grpc.RpcError as error:
                return b"", error

    assert check(b"") == check(SERVICE.encode()) == (b"\x08\x01", None)
    assert check(b"other")[1].code() is grpc.StatusCode.NOT_FOUND


def test_calls_are_counted_and_load_tests_are_not(replica):
    def counted() -> str:
        lines = HTTP.request("GET", replica.url + "/metrics").data.decode().splitlines()
        return next(line for line in lines if line.startswith('treadle_requests_total{code="200"')).split()[
            -1
        ]

    before = float(counted())
    replica.client.infer("toy", row())
    assert float(counted()) == before + 1
    replica.client.infer("toy", row(), headers={"x-treadle-test": "1"})
    assert float(counted()) == before + 1


def test_too_many_are_told_when_to_come_again_and_too_slow_ones_end(tmp_path, monkeypatch):
    from treadle.registry import LoadedModel

    entered, go_on, predict = threading.Event(), threading.Event(), LoadedModel.predict

    def slow(self, columns):
        if len(columns["hour"]) == 100:
            entered.set()
            assert go_on.wait(20)
        return predict(self, columns)

    monkeypatch.setattr(LoadedModel, "predict", slow)
    platform = FolderPlatform(write_model(tmp_path / "model"))
    chosen = options(tmp_path / "state", grpc_port=0, max_queue=1, timeout=1.5)

    def two(rows: int) -> list[InferInput]:
        return [raw("hour", "FP32", [1.0] * rows), raw("carrier", "BYTES", ["AA"] * rows)]

    with (
        running(chosen, platform) as server,
        InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(client.infer, "toy", two(100))
        assert entered.wait(20)
        message = service_pb2.ModelInferRequest(
            model_name="toy",
            inputs=[
                {"name": "hour", "datatype": "FP32", "shape": [1]},
                {"name": "carrier", "shape": [1]},
            ],
            raw_input_contents=[np.float32(1).tobytes(), b"\x02\x00\x00\x00AA"],
        )
        message.inputs[1].datatype = "BYTES"
        _, error = call(server.grpc_port, "ModelInfer", message.SerializeToString())
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "1 requests wait" in error.details()
        trailing = dict(error.trailing_metadata())
        assert trailing["grpc-retry-pushback-ms"] == "1000"
        status = MESSAGES["Status"].FromString(trailing["grpc-status-details-bin"])
        assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert status.details[0].type_url.endswith("google.rpc.RetryInfo")
        assert MESSAGES["RetryInfo"].FromString(status.details[0].value).retry_delay.seconds == 1
        with pytest.raises(InferenceServerException, match=r"no answer within 1\.5 s") as caught:
            waiting.result()
        assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        go_on.set()
        wait_for(lambda: post(server.url, one_row())[0] == 200)
        assert client.infer("toy", two(1)).as_numpy("probability").shape == (1,)


def test_what_is_in_hand_is_answered_before_the_server_ends(tmp_path, monkeypatch):
    from treadle.registry import LoadedModel

    entered, predict = threading.Event(), LoadedModel.predict

    def slow(self, columns):
        if len(columns["hour"]) == 100:
            entered.set()
            time.sleep(0.5)
        return predict(self, columns)

    monkeypatch.setattr(LoadedModel, "predict", slow)
    platform = FolderPlatform(write_model(tmp_path / "model"))
    inputs = [raw("hour", "FP32", [1.0] * 100), raw("carrier", "BYTES", ["AA"] * 100)]
    with running(options(tmp_path / "state", grpc_port=0), platform) as server, ThreadPoolExecutor(1) as pool:
        port = server.grpc_port
        with InferenceServerClient(f"127.0.0.1:{port}") as client:
            waiting = pool.submit(client.infer, "toy", inputs)
            assert entered.wait(20)
            server.stop()
            assert waiting.result().as_numpy("probability").shape == (100,)
    assert sum(len(batch.ids) for batch in platform.batches) == 100
    assert call(port, "ServerLive", b"")[1].code() is grpc.StatusCode.UNAVAILABLE


def test_models_that_rest_are_loaded_for_it(tmp_path):
    folder = write_model(tmp_path / "model")
    platform = ManyPlatform({"m0": folder, "m1": folder})
    chosen = options(tmp_path / "state", models=("m0", "m1"), max_models=1, grpc_port=0)
    inputs = [raw("hour", "FP32", [1.0]), raw("carrier", "BYTES", ["AA"])]
    with (
        running(chosen, platform) as server,
        InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client,
    ):
        for name in ("m0", "m1", "m0"):
            assert client.is_model_ready(name)
            assert client.infer(name, inputs).get_response().model_name == name
        assert client.get_model_metadata("m1").name == "m1"


def test_a_port_that_is_taken_and_an_extra_that_is_missing_say_so(replica, tmp_path, monkeypatch):
    platform = FolderPlatform(write_model(tmp_path / "model"))

    def serve(chosen: ReplicaOptions) -> None:
        ReplicaServer(chosen, platform).run()

    with pytest.raises(Busy, match="in use"):
        serve(options(tmp_path / "state", grpc_port=replica.port))
    monkeypatch.setitem(sys.modules, "treadle.deploy.replica.rpc.service", None)
    with pytest.raises(MissingExtra, match="gRPC isn't installed") as caught:
        serve(options(tmp_path / "state", grpc_port=0))
    assert "treadle[grpc]" in caught.value.fix
