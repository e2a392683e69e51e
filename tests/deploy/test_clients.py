"""Unmodified clients of the protocols, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import schemathesis
import tritonclient.http as triton
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis.errors import Unsatisfiable
from replica_parts import HTTP, FolderPlatform, options, running, write_model
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from tritonclient.utils import InferenceServerException

KINDS = {"hour": "float", "carrier": "string", "stops": "int", "weekend": "bool"}
FOUR = {f"f{i}": "float" for i in range(4)}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x, float)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A model with a column of each kind."""
    folder = tmp_path_factory.mktemp("clients")
    platform = FolderPlatform(write_model(folder / "model", columns=KINDS, impute=True))
    with running(options(folder / "state", max_rows=100), platform) as found:
        client = triton.InferenceServerClient(found.url.removeprefix("http://"))
        yield SimpleNamespace(url=found.url, client=client, platform=platform)
        client.close()


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A model of four numbers."""
    folder = tmp_path_factory.mktemp("numbers")
    platform = FolderPlatform(write_model(folder / "model", columns=FOUR, impute=True), key=None, when=None)
    with running(options(folder / "state"), platform) as found:
        client = triton.InferenceServerClient(found.url.removeprefix("http://"))
        yield SimpleNamespace(url=found.url, client=client)
        client.close()


def given(name: str, values: Any, datatype: str, *, binary: bool = True) -> triton.InferInput:
    found = triton.InferInput(name, list(values.shape), datatype)
    return found.set_data_from_numpy(values, binary_data=binary)


def row(hour: float = 1.0, *, binary: bool = True, **changes: triton.InferInput) -> list[triton.InferInput]:
    known = {
        "hour": given("hour", np.array([hour], np.float32), "FP32", binary=binary),
        "carrier": given("carrier", np.array([b"AA"], object), "BYTES", binary=binary),
        "stops": given("stops", np.array([2], np.int64), "INT64", binary=binary),
        "weekend": given("weekend", np.array([True]), "BOOL", binary=binary),
    }
    return list((known | changes).values())


def test_tritonclient_finds_the_server_and_its_model(server):
    client = server.client
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy")
    assert client.is_model_ready("toy", "7")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert [tensor["datatype"] for tensor in client.get_model_metadata("toy")["inputs"][:4]] == [
        "FP32",
        "BYTES",
        "INT64",
        "BOOL",
    ]
    (entry,) = client.get_model_repository_index()
    assert entry == {"name": "toy", "version": "7", "state": "READY", "reason": ""}


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_tritonclient_gives_and_takes_every_type(server, binary, shape):
    inputs = [
        given("hour", np.array([1.0, 2.0, -1.0], np.float64).reshape(shape), "FP64", binary=binary),
        given(
            "carrier",
            np.array([b"AA", "\u00e9".encode(), b""], object).reshape(shape),
            "BYTES",
            binary=binary,
        ),
        given("stops", np.array([1, 2, 3]).reshape(shape), "INT64", binary=binary),
        given("weekend", np.array([True, False, True]).reshape(shape), "BOOL", binary=binary),
        given("id", np.array([b"a", b"b", b"c"], object).reshape(shape), "BYTES", binary=binary),
        given("at", np.array([10.0, 20.0, 30.0]).reshape(shape), "FP64", binary=binary),
    ]
    for wanted in (None, [True], [False, True]):
        names = ["probability", "prediction_id"]
        outputs = wanted and [
            triton.InferRequestedOutput(name, binary_data=way)
            for name, way in zip(names, wanted, strict=False)
        ]
        answer = server.client.infer("toy", inputs, outputs=outputs, request_id="r")
        assert answer.get_response()["id"] == "r"
        assert answer.as_numpy("probability") == pytest.approx(sigmoid([3.5, 4.0, 3.0]), abs=1e-6)
        if wanted is None or len(wanted) == 2:
            assert answer.as_numpy("prediction_id").tolist() == [b"a", b"b", b"c"]


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_tritonclient_gives_integers_of_every_width(server, kind):
    for binary in (True, False):
        stops = given("stops", np.array([2], kind), kind.upper(), binary=binary)
        answer = server.client.infer("toy", row(binary=binary, stops=stops))
        assert answer.as_numpy("probability") == pytest.approx(sigmoid([4.5]), abs=1e-6)


def test_what_came_in_binary_is_logged_as_what_came_in_json(server):
    hours = [1.5, float("nan"), -2.0]
    carriers = np.array([b"AA", b"x", b"y"], object)
    more = [given("stops", np.array([1, 2, 3]), "INT64"), given("weekend", np.array([True] * 3), "BOOL")]
    ids = given("id", np.array([b"k1", b"k2", b"k3"], object), "BYTES")
    inputs = [given("hour", np.array(hours), "FP64"), given("carrier", carriers, "BYTES"), *more, ids]
    server.client.infer("toy", inputs)
    assert HTTP.request("POST", server.url + "/treadle/flush").status == 200
    batch = next(batch for batch in server.platform.batches if "k1" in batch.ids)
    at = batch.ids.index("k1")
    found = {name: values[at : at + 3] for name, values in batch.inputs.items()}
    assert found == {
        "hour": [1.5, None, -2.0],
        "carrier": ["AA", "x", "y"],
        "stops": [1, 2, 3],
        "weekend": [True, True, True],
    }


def test_tritonclient_compresses(server):
    for algorithm in ("gzip", "deflate"):
        answer = server.client.infer("toy", row(), request_compression_algorithm=algorithm)
        assert answer.as_numpy("probability") == pytest.approx(sigmoid([4.5]), abs=1e-6)


@pytest.mark.parametrize("kind", ["FP16", "BF16", "FP32", "FP64"])
def test_a_model_of_one_type_takes_all_its_columns_in_one_tensor(numbers, kind):
    # numpy knows no BF16: tritonclient cuts it from FP32
    dtype = {"FP16": np.float16, "BF16": np.float32, "FP32": np.float32, "FP64": np.float64}[kind]
    rows = (np.arange(12).reshape(3, 4) / 8).astype(dtype)
    answer = numbers.client.infer("toy", [given("x", rows, kind)])
    assert answer.as_numpy("probability") == pytest.approx(sigmoid(rows.astype(float).sum(1)), abs=1e-6)
    if kind not in ("FP16", "BF16"):
        answer = numbers.client.infer("toy", [given("x", rows, kind, binary=False)])
        assert answer.as_numpy("probability") == pytest.approx(sigmoid(rows.sum(1)), abs=1e-6)


def test_tritonclient_is_told_what_is_wrong(server, numbers):
    infinite = given("hour", np.array([np.inf], np.float32), "FP32")
    with pytest.raises(InferenceServerException, match="'hour', row 0: inf is beyond what FP32 can hold"):
        server.client.infer("toy", [infinite, *row()[1:]])
    with pytest.raises(InferenceServerException, match="columns of several types"):
        server.client.infer("toy", [given("x", np.zeros((1, 4), np.float32), "FP32")])
    with pytest.raises(InferenceServerException, match="no input 'x'"):
        numbers.client.infer("toy", [given("x", np.zeros((1, 3), np.float32), "FP32")])
    shared = triton.InferInput("x", [1, 4], "FP32").set_shared_memory("region", 16)
    with pytest.raises(InferenceServerException, match="shared memory, which is not offered"):
        numbers.client.infer("toy", [shared])
    classes = triton.InferRequestedOutput("probability", class_count=2)
    with pytest.raises(InferenceServerException, match="as classes"):
        numbers.client.infer("toy", [given("x", np.zeros((1, 4), np.float32), "FP32")], outputs=[classes])


@pytest.mark.parametrize(
    ("length", "tail", "sentence"),
    [
        (b"x", b"", "'x': no length within"),
        (b"99999", b"", "no length within"),
        (None, b"\0" * 3, "3 bytes of binary data; binary_data_size says 16"),
        (None, b"\0" * 17, "1 bytes follow the inputs' binary data"),
    ],
)
def test_binary_data_that_do_not_fit_are_refused(numbers, length, tail, sentence):
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": (length or b"%d" % len(head)).decode()}
    answer = HTTP.request("POST", numbers.url + "/v2/models/toy/infer", body=head + tail, headers=headers)
    assert answer.status == 400
    assert sentence in answer.json()["error"]


def test_a_body_that_grows_when_it_is_unpacked_is_bounded(numbers):
    import gzip

    bomb = gzip.compress(b" " * (64 << 20))
    for body, encoding, status in (
        (bomb, "gzip", 413),
        (b"no", "gzip", 400),
        (bomb[:50], "gzip", 400),
        (b"", "br", 415),
    ):
        headers = {"content-encoding": encoding}
        answer = HTTP.request("POST", numbers.url + "/v2/models/toy/infer", body=body, headers=headers)
        assert answer.status == status


# ── MLflow's scoring protocol ────────────────────────────────────────────


def invoke(url: str, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = HTTP.request("POST", url + "/invocations", body=raw, headers={"content-type": kind})
    return answer.status, answer.json()


ROW = {"hour": 1.0, "carrier": "AA", "stops": 2, "weekend": True}
SECOND = {"hour": None, "carrier": "x", "stops": 0, "weekend": False}
NAMES = list(ROW)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "data": [list(ROW.values()), list(SECOND.values())]}},
        {
            "dataframe_split": {
                "columns": NAMES[::-1],
                "data": [list(r.values())[::-1] for r in (ROW, SECOND)],
            }
        },
        {"dataframe_records": [ROW, SECOND]},
        {"instances": [ROW, {**SECOND, "ignored": 1}]},
        {"instances": [list(ROW.values()), list(SECOND.values())]},
        {"inputs": {name: [ROW[name], SECOND[name]] for name in NAMES}},
        b"hour,carrier,stops,weekend,ignored\n1.0,AA,2,true,1\n,x,0,False,2\n",
    ],
)
def test_invocations_take_every_form(server, body):
    kind = "text/csv; charset=utf-8" if isinstance(body, bytes) else "application/json"
    status, answer = invoke(server.url, body, kind)
    assert (status, list(answer)) == (200, ["predictions"])
    assert answer["predictions"] == pytest.approx(sigmoid([4.5, 0.0]), abs=1e-6)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "not valid JSON"),
        ({}, "must have one of dataframe_split, dataframe_records, instances, inputs; this has none"),
        ({"instances": [ROW], "inputs": [ROW]}, "this has instances and inputs"),
        ({"dataframe_split": {"columns": NAMES, "data": [[1.0]]}}, "row 0 has 1 values; there are 4 columns"),
        ({"dataframe_split": {"columns": ["hour"] * 4, "data": [[1.0] * 4]}}, "twice"),
        ({"dataframe_records": []}, "no rows"),
        ({"dataframe_records": [{"hour": 1.0}]}, "'carrier', 'stops', 'weekend' are missing"),
        ({"dataframe_records": [{**ROW, "hour": "noon"}]}, "'hour', row 0: \"noon\" is not a number"),
        ({"instances": [ROW, [1.0]]}, "all of one form"),
        ({"instances": [ROW] * 101}, "at most 100"),
        ({"inputs": {"hour": 1.0}}, "'hour' must be a list"),
    ],
)
def test_invocations_say_what_is_wrong(server, body, sentence):
    status, answer = invoke(server.url, body)
    assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
    assert sentence in answer["message"]


def test_invocations_in_csv_say_what_is_wrong(server):
    for body, sentence in (
        (b"hour,carrier\n", "no rows"),
        (b"hour,carrier,stops,weekend\nnoon,AA,2,true\n", "'hour', row 0: 'noon' is not of type float"),
        (b"\xff\xfe", "not CSV"),
    ):
        status, answer = invoke(server.url, body, "text/csv")
        assert (status, sentence in answer["message"]) == (400, True)
    status, answer = invoke(server.url, b"", "text/html")
    assert (status, "can't be read" in answer["message"]) == (415, True)


def test_mlflows_probes(server):
    for path in ("/ping", "/health"):
        answer = HTTP.request("GET", server.url + path)
        assert (answer.status, answer.data) == (200, b"\n")
    assert HTTP.request("GET", server.url + "/version").status == 200


# ── the document ─────────────────────────────────────────────────────────


def test_the_documents_own_examples_are_answered(server):
    paths = HTTP.request("GET", server.url + "/openapi.json").json()["paths"]
    for path in ("/v2/models/toy/infer", "/invocations"):
        example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        headers = {"content-type": "application/json"}
        assert (
            HTTP.request("POST", server.url + path, body=json.dumps(example), headers=headers).status == 200
        )


def schemathesis_run(url: str, examples: int) -> int:
    """Every operation of the document, asked rightly and wrongly; how many requests it took."""
    schema = schemathesis.openapi.from_url(url + "/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    return sum(
        _ask_all(one.as_strategy(generation_mode=mode), examples) for one in operations for mode in MODES
    )


NOT_SAID = [positive_data_acceptance, negative_data_rejection]
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


def _ask_all(strategy: Any, examples: int) -> int:
    count = 0

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @drawn(case=strategy)
    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        # No schema can say that as many values must come as the shape has; and the document tells
        # the plain way to ask, not every one that the protocols allow.
        case.validate_response(case.call(), excluded_checks=NOT_SAID)

    try:
        ask()
    except Unsatisfiable:  # nothing can be wrong about a request that has nothing
        return 0
    return count


def test_schemathesis_finds_no_answer_against_the_document(server):
    assert schemathesis_run(server.url, examples=10) > 40


@pytest.mark.soak
def test_schemathesis_finds_no_answer_against_the_document_in_many_requests(server):
    assert schemathesis_run(server.url, examples=300) > 1000
