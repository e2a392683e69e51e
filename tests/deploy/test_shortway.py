"""What goes the short way is answered as what goes uvicorn's, and in turn with it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from replica_parts import HTTP, FolderPlatform, one_row, options, running, tensor, write_model

INFER = "/v2/models/toy/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    folder = tmp_path_factory.mktemp("shortway")
    with running(options(folder / "state"), FolderPlatform(write_model(folder / "model"))) as found:
        yield SimpleNamespace(url=found.url, taken=taken(found))


def taken(server) -> list[str]:
    """The ids of the requests that went the short way, from now on."""
    found: list[str] = []
    door = server._server.config.http.door
    enter = door.enter

    def noted(holder, body, connection):
        done = enter(holder, body, connection)
        if done:
            found.append(json.JSONDecoder().raw_decode(body.decode("latin-1"))[0].get("id"))
        return done

    door.enter = noted
    return found


def framed(body: dict, extra: str = "") -> bytes:
    raw = json.dumps(body).encode()
    return f"POST {INFER} HTTP/1.1\r\nhost: x\r\n{extra}content-length: {len(raw)}\r\n\r\n".encode() + raw


def request(name: str, extra: str = "", **more) -> bytes:
    return framed(one_row(id=name, **more), extra)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def large(name: str) -> bytes:
    hours = tensor("hour", "FP64", [1.0] * 100)
    return framed({"inputs": [hours, tensor("carrier", "BYTES", ["AA"] * 100)], "id": name})


def answers(server: SimpleNamespace, *pieces: bytes, count: int) -> list[tuple[int, dict]]:
    """Sends the pieces over one connection, each at once; reads so many answers."""
    host, port = server.url.removeprefix("http://").split(":")
    found = []
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        stream = connection.makefile("rb")
        for _ in range(count):
            status = int(stream.readline().split()[1])
            headers = {}
            while line := stream.readline().strip():
                name, _, value = line.decode().partition(": ")
                headers[name] = value
            assert {"date", "content-length", "content-type"} <= headers.keys()
            found.append((status, json.loads(stream.read(int(headers["content-length"])))))
        stream.close()
    return found


def batch(name: str, hours: np.ndarray, extra: str = "", **changes) -> bytes:
    """Rows of two numbers in binary, answered in binary."""
    data = hours.astype("<f4").tobytes()
    told = {"name": "rows", "shape": [len(hours), 2], "datatype": "FP32"}
    told |= {"parameters": {"binary_data_size": len(data)}, **changes}
    outputs = [{"name": "probability", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [told], "outputs": outputs, "id": name}).encode()
    lines = f"inference-header-content-length: {len(head)}\r\ncontent-length: {len(head) + len(data)}\r\n"
    return f"POST {INFER} HTTP/1.1\r\nhost: x\r\n{extra}{lines}\r\n".encode() + head + data


def binary_answers(url: str, *pieces: bytes) -> list[tuple[int, dict, bytes]]:
    """Status, JSON and binary data of each answer."""
    host, port = url.removeprefix("http://").split(":")
    found = []
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        stream = connection.makefile("rb")
        for piece in pieces:
            connection.sendall(piece)
            status = int(stream.readline().split()[1])
            headers = dict(
                line.decode().strip().lower().split(": ", 1) for line in iter(stream.readline, b"\r\n")
            )
            body = stream.read(int(headers["content-length"]))
            length = int(headers.get("inference-header-content-length", len(body)))
            kind = (
                "application/octet-stream"
                if "inference-header-content-length" in headers
                else "application/json"
            )
            assert headers["content-type"] == kind
            found.append((status, json.loads(body[:length]), body[length:]))
        stream.close()
    return found


def test_quick_batches_in_binary_go_the_short_way_and_are_written_down(tmp_path):
    platform = FolderPlatform(write_model(tmp_path / "model", columns={"x": "float", "y": "float"}))
    hours = np.linspace(-2, 2, 400).reshape(200, 2)
    with running(options(tmp_path / "state", max_rows=1000), platform) as found:
        went = taken(found)
        vitals = found.fleet.find("toy").current.vitals
        vitals.alone, vitals.among, vitals.large = 0.0, 0.0, 3
        vitals.took = lambda *_, **__: None  # quick, however busy the machine is
        names = [f"b{number}" for number in range(8)]
        said = binary_answers(found.url, *(batch(name, hours) for name in names))
        for name, (status, told, data) in zip(names, said, strict=True):
            assert (status, told["id"], told["model_version"]) == (200, name, "7")
            assert told["outputs"][0]["shape"] == [200]
            assert np.frombuffer(data, "<f8") == pytest.approx(1 / (1 + np.exp(-hours.sum(axis=1))), abs=1e-6)
        assert went == names
        went.clear()
        [few] = binary_answers(found.url, batch("few", hours[:3]))
        assert (few[0], went) == (200, ["few"])
        went.clear()
        nobody = np.full((200, 2), np.inf)
        wrong = binary_answers(
            found.url,
            batch("inf", nobody),
            batch("short", hours, shape=[201, 2]),
            batch("many", np.zeros((2000, 2))),
            batch("gzip", hours, "content-encoding: gzip\r\n"),
            batch("test", hours, "x-treadle-test: 1\r\n"),
        )
        assert [status for status, _, _ in wrong] == [400, 400, 400, 400, 200]
        assert went == []
        assert HTTP.request("POST", found.url + "/treadle/flush").status == 200
    rows = [row for one in platform.batches for row in zip(*one.inputs.values(), one.outputs, strict=True)]
    assert len(rows) == 8 * 200 + 3
    for x, y, output in rows[::97]:
        assert output == pytest.approx(1 / (1 + np.exp(-x - y)), abs=1e-6)


def test_the_common_request_goes_the_short_way_again_and_again(server):
    server.taken.clear()
    found = answers(server, *(request(f"r{i}") for i in range(5)), count=5)
    assert [(status, body["id"]) for status, body in found] == [(200, f"r{i}") for i in range(5)]
    assert server.taken == [f"r{i}" for i in range(5)]


def test_pipelined_requests_of_both_ways_are_answered_in_turn(server):
    server.taken.clear()
    mixed = [
        request("a"),
        large("b"),
        request("c"),
        get("/v2/health/live"),
        request("d"),
        request("e", outputs=[{"name": "probability"}]),
        request("f"),
        get("/v2/nowhere"),
    ]
    found = answers(server, b"".join(mixed), count=8)
    said = [body.get("id", body.get("live", body.get("error", "")[:12])) for _, body in found]
    assert said == ["a", "b", "c", True, "d", "e", "f", "there is not"]
    assert "a" in server.taken
    assert "b" not in server.taken
    assert "e" not in server.taken


def test_what_arrives_in_pieces_goes_uvicorns_way(server):
    server.taken.clear()
    whole = request("p")
    for cut in (20, whole.index(b"\r\n\r\n") + 2, whole.index(b"\r\n\r\n") + 4, len(whole) - 3):
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(whole[:cut])
            time.sleep(0.05)
            connection.sendall(whole[cut:])
            assert b" 200 OK" in connection.recv(100)
    assert server.taken == ["p", "p"]  # cut within the headers, the rest was whole


def test_a_body_that_follows_its_headers_at_once_goes_the_short_way(server, monkeypatch):
    monkeypatch.setattr("treadle.deploy.replica.shortway._MOMENT", 20.0)
    server.taken.clear()
    pieces = []
    for name in ("a", "b"):
        whole = request(name)
        body = whole.index(b"\r\n\r\n") + 4
        pieces += [whole[:body], whole[body : body + 30], whole[body + 30 :]]
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for count, piece in enumerate(pieces, start=1):
            time.sleep(0.02)
            connection.sendall(piece)
            if count % 3 == 0:
                assert b" 200 OK" in connection.recv(10_000)
        connection.sendall(pieces[0])  # and hangs up in the middle
    assert answers(server, request("c"), count=1)[0][0] == 200
    assert server.taken == ["a", "b", "c"]


@pytest.mark.parametrize("extra", ["connection: close\r\n", "expect: 100-continue\r\n"])
def test_what_asks_for_more_goes_uvicorns_way(server, extra):
    server.taken.clear()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request("x", extra=extra))
        assert connection.recv(100).startswith((b"HTTP/1.1 200", b"HTTP/1.1 100"))
    assert server.taken == []


def test_errors_are_told_the_same_on_both_ways(server):
    bad = framed(one_row(hour="noon"))
    nothing = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode()
    failing = framed(
        {**one_row(id="nan"), "inputs": [tensor("hour", "FP64", [None]), one_row()["inputs"][1]]}
    )
    found = answers(server, bad, nothing, failing, request("after"), count=4)
    assert [status for status, _ in found] == [400, 400, 500, 200]
    assert "no number" in found[2][1]["error"]
