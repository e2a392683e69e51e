"""What KServe's logger sends is taken; what is no event, or can't be used, is told as what it is."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import payload_actions
from treadle.api.cloudevents import REQUEST, RESPONSE, read_event
from treadle.client.inprocess import InProcessTransport
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import ErrorBody, InvalidInput
from treadle.kernel.workspace import Workspace
from treadle.monitor import InferenceEvent, PredictionLog

# As pkg/logger/worker.go of KServe 0.15 has Go's CloudEvents SDK send it: the content type is that of the
# caller's request (curl's own here), and the time has nanoseconds.
KSERVE = {
    "Host": "treadle.mlops:8090",
    "User-Agent": "Go-http-client/1.1",
    "Ce-Id": "9a4e2d8c-8a8f-4b0f-9d0c-5c9f2a0c1b3e",
    "Ce-Source": "http://localhost:9081/",
    "Ce-Specversion": "1.0",
    "Ce-Time": "2026-01-01T06:00:00.123456789Z",
    "Ce-Type": REQUEST,
    "Ce-Inferenceservicename": "flights",
    "Ce-Namespace": "default",
    "Ce-Component": "predictor",
    "Ce-Endpoint": "default",
    "Ce-Metadata": "{}",
    "Content-Type": "application/x-www-form-urlencoded",
}
BODY = b'{"inputs": []}'
AT = datetime(2026, 1, 1, 6, 0, 0, 123456, tzinfo=UTC)
EVENT = InferenceEvent(id=KSERVE["Ce-Id"], side="request", body=BODY, at=AT, service="flights")


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def structured(**change: Any) -> bytes:
    event = {
        "specversion": "1.0",
        "id": EVENT.id,
        "source": "http://localhost:9081/",
        "type": REQUEST,
        "time": "2026-01-01T07:00:00.123456+01:00",
        "datacontenttype": "application/json",
        "inferenceservicename": "flights",
        "data": {"inputs": []},
    }
    return json.dumps({key: value for key, value in (event | change).items() if value is not None}).encode()


def test_both_modes_are_read() -> None:
    assert read_event(lower(KSERVE), BODY) == EVENT
    assert read_event(lower(KSERVE | {"Ce-Type": RESPONSE}), BODY).side == "response"
    media = {"content-type": "application/cloudevents+json; charset=UTF-8"}
    assert read_event(media, structured()) == EVENT
    assert read_event(media, structured(data='{"inputs": []}')) == EVENT
    coded = base64.b64encode(BODY).decode()
    assert read_event(media, structured(data=None, data_base64=coded)) == EVENT
    bare = read_event(media, structured(time=None, inferenceservicename=None))
    assert (bare.at, bare.service) == (None, "")
    assert read_event(lower(KSERVE | {"Ce-Id": "f%C3%BCnf"}), BODY).id == "fünf"


@pytest.mark.parametrize(
    ("headers", "where"),
    [
        ({"Ce-Id": ""}, "ce-id"),
        ({"Ce-Type": ""}, "ce-type"),
        ({"Ce-Type": "org.kubeflow.serving.inference.feedback"}, "ce-type"),
        ({"Ce-Specversion": "0.2"}, "ce-specversion"),
        ({"Ce-Time": "yesterday"}, "ce-time"),
        ({"Ce-Time": "2026-01-01T06:00:00"}, "ce-time"),
        ({"Ce-Time": "0001-01-01T00:00:00+14:00"}, "ce-time"),
        ({"Ce-Id": "%FF"}, "ce-id"),
        ({"Content-Type": "application/cloudevents-batch+json"}, "content-type"),
        ({"Content-Type": "application/cloudevents+avro"}, "content-type"),
        ({"Content-Type": "application/cloudevents+json"}, "specversion"),
    ],
)
def test_what_is_wrong_is_named(headers: dict[str, str], where: str) -> None:
    body = b'{"id": "a", "type": "b"}' if headers.get("Content-Type", "").endswith("+json") else BODY
    with pytest.raises(InvalidInput) as raised:
        read_event(lower(KSERVE | headers), body)
    assert where in f"{raised.value.where} {raised.value.message}"


@pytest.mark.parametrize(
    "change", [{"data": None}, {"data": None, "data_base64": "?"}, {"id": ""}, {"id": 7}, {"type": "x"}]
)
def test_a_structured_event_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        read_event({"content-type": "application/cloudevents+json"}, structured(**change))


# ── over HTTP ────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def transport(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessTransport]:
    """A project with a version in production."""
    root = tmp_path_factory.mktemp("events") / "toy"
    payload_actions.prepare(root)
    made = InProcessTransport(root)
    yield made
    made.close()


def post(transport: InProcessTransport, headers: dict[str, str], body: bytes, query: str = "") -> Any:
    answer = transport.send("POST", f"/v1/predictions/toy/events{query}", body, headers)
    raw = answer.read()
    assert answer.status < 500, (headers, body, raw)
    if answer.status >= 400:
        assert msgspec.json.decode(raw, type=ErrorBody).message
    return answer.status, raw


@pytest.fixture
def opened(transport: InProcessTransport) -> Iterator[Workspace]:
    found = Workspace.open(Path(transport.name), ManualClock(payload_actions.START))
    yield found
    found.close()


def test_what_kserve_sends_becomes_predictions(transport: InProcessTransport, opened: Workspace) -> None:
    """Bodies as its scikit-learn server takes and gives them by protocol version v2."""
    hour = {"name": "hour", "shape": [2], "datatype": "FP32", "data": [6.0, 7.5]}
    carrier = {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["AA", "UA"]}
    request = {"id": "call-1", "inputs": [hour, carrier]}
    output = {"name": "output-0", "shape": [2], "datatype": "FP64", "parameters": None, "data": [0.25, 0.5]}
    response = {"model_name": "flights", "model_version": None, "id": "call-1", "outputs": [output]}
    later = {"Ce-Type": RESPONSE, "Ce-Time": "2026-01-01T06:00:00.163456789Z"}
    # The response is first: each of the logger's workers sends by itself.
    assert post(transport, KSERVE | later, json.dumps(response).encode()) == (200, b"null")
    assert post(transport, KSERVE, json.dumps(request).encode()) == (200, b"null")
    assert payload_actions.logged(opened) == []
    assert transport.send("POST", "/v1/monitors/toy/ingest").status == 200
    found = PredictionLog(opened).scan(
        "toy",
        'SELECT prediction_id, epoch("at"), version, latency_ms, output, input_hour FROM log ORDER BY 1',
        since=payload_actions.START,
        until=payload_actions.START + timedelta(days=1),
    )
    at = [pytest.approx(AT.timestamp())] * 2
    told = [column.tolist() for column in found.values()]
    ids = [f"{EVENT.id}:0", f"{EVENT.id}:1"]
    assert told == [ids, at, [1, 1], [pytest.approx(40)] * 2, [0.25, 0.5], [6.0, 7.5]]


def test_what_the_route_answers(transport: InProcessTransport) -> None:
    assert post(transport, KSERVE, BODY) == (200, b"null")
    media = {"Content-Type": "application/cloudevents+json"}
    assert post(transport, media, structured(id="b")) == (200, b"null")
    assert post(transport, {}, BODY)[0] == 422
    status, raw = post(transport, KSERVE, b" " * ((4 << 20) + 1))
    assert status == 422
    assert b"at most 4 MiB" in raw
    for query in ("?version=x", "?version=0", "?version=", "?output=%00"):
        assert post(transport, KSERVE | {"Ce-Id": "c"}, BODY, query)[0] == 422
    assert transport.send("POST", "/v1/predictions/toi/events", BODY, KSERVE).status == 404


TEXT = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)
NAMES = [name for name in KSERVE if name.startswith("Ce-")]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["hour", "carrier", "x"]),
        "shape": st.lists(st.integers(-2, 3), max_size=3),
        "datatype": st.sampled_from(["FP64", "BYTES", "INT64", "BOOL", "x"]),
        "data": JSON,
    }
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    change=st.dictionaries(st.sampled_from(NAMES), TEXT | st.sampled_from([REQUEST, RESPONSE, "same"])),
    body=st.binary(max_size=80)
    | JSON.map(json.dumps).map(str.encode)
    | st.lists(TENSOR, max_size=3).map(
        lambda found: json.dumps({"inputs": found, "outputs": found}).encode()
    ),
    whole=st.booleans(),
)
def test_whatever_is_posted_is_answered(
    transport: InProcessTransport, change: dict[str, str], body: bytes, whole: bool
) -> None:
    if whole:
        post(transport, {"Content-Type": "application/cloudevents+json"}, body)
    post(transport, KSERVE | change, body)
    post(transport, KSERVE | {"Ce-Type": RESPONSE} | change, body)
