"""Artifacts over HTTP, as clients send and read them, against a real server."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec
import pytest
import urllib3

from live import until
from mlflow_parts import TrackingServer
from treadle.kernel.ids import digest_bytes

PROXY = "/api/2.0/mlflow-artifacts"
BIG = os.urandom(9_000_001)


class Client:
    """What a client does with one run's files."""

    def __init__(self, server: TrackingServer) -> None:
        self.server = server
        self.pool = urllib3.PoolManager(retries=False)
        status, answer = server.ask("POST", "/runs/create", {"experiment_id": "0"})
        assert status == 200
        self.run = answer["run"]["info"]["run_id"]
        self.root = answer["run"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")

    def __call__(self, method: str, path: str, body: bytes | None = None, **headers: str):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.pool.request(method, f"{self.server.url}{path}", body=body, headers=headers)

    def file(self, method: str, path: str, body: bytes | None = None, **headers: str):
        return self(method, f"{PROXY}/artifacts/{self.root}/{quote(path)}", body, **headers)

    def json(self, method: str, path: str, body: object = None):
        answer = self(method, path, None if body is None else msgspec.json.encode(body))
        return answer.status, answer.json()


@pytest.fixture(scope="module")
def client(tracked: TrackingServer) -> Client:
    made = Client(tracked)
    for path, data in (("big.bin", BIG), ("model/MLmodel", b"flavors"), ("empty", b"")):
        assert made.file("PUT", path, data).status == 200
    return made


def uploads(server: TrackingServer) -> list[Path]:
    """What is on its way into the blob store."""
    return list((server.root / ".treadle" / "blobs" / "tmp").glob("*"))


@pytest.mark.parametrize(
    ("path", "data", "kind"),
    [
        ("big.bin", BIG, "application/octet-stream"),
        ("model/MLmodel", b"flavors", "text/plain"),
        ("empty", b"", "application/octet-stream"),
    ],
)
def test_a_file_comes_back_to_be_kept_not_shown(client, path, data, kind):
    answer = client.file("GET", path)
    assert (answer.status, answer.data, answer.headers["content-type"]) == (200, data, kind)
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = client.file("HEAD", path)
    assert (head.status, head.headers["content-length"], head.data) == (200, str(len(data)), b"")
    assert client.file("GET", path, if_none_match=answer.headers["etag"]).status == 304


def test_names_may_have_spaces_and_letters_of_any_language(client):
    assert client.file("PUT", "plots/ü 1.html", b"<p>").status == 200
    answer = client.file("GET", "plots/ü 1.html")
    assert answer.data == b"<p>"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC%201.html"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-5000000", 5, 5_000_001),
        ("bytes=9000000-", 9_000_000, 9_000_001),
        ("bytes=-7", 8_999_994, 9_000_001),
        ("bytes=100-99999999", 100, 9_000_001),
    ],
)
def test_a_range_of_a_file(client, asked, start, end):
    answer = client.file("GET", "big.bin", range=asked)
    assert (answer.status, answer.data) == (206, BIG[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(BIG)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "rows=1-2", "bytes=-", "bytes=9-3", "bytes=x-"])
def test_what_is_no_plain_range_gets_the_whole_file(client, asked):
    answer = client.file("GET", "model/MLmodel", range=asked)
    assert (answer.status, answer.data) == (200, b"flavors")


def test_ranges_that_are_not_there_or_no_longer_of_that_file(client):
    for path, asked in (("model/MLmodel", "bytes=7-"), ("empty", "bytes=0-"), ("empty", "bytes=-1")):
        answer = client.file("GET", path, range=asked)
        assert answer.status == 416
        assert answer.headers["content-range"] == f"bytes */{7 if 'ML' in path else 0}"
    changed = client.file("GET", "model/MLmodel", range="bytes=0-1", if_range='"other"')
    assert (changed.status, changed.data) == (200, b"flavors")


def test_lists(client):
    status, listed = client.json("GET", f"{PROXY}/artifacts?path={client.root}/model")
    assert (status, listed) == (200, {"files": [{"path": "MLmodel", "is_dir": False, "file_size": 7}]})
    _, listed = client.json("GET", f"/api/2.0/mlflow/artifacts/list?run_id={client.run}&path=model")
    assert listed == {
        "root_uri": f"mlflow-artifacts:/{client.root}",
        "files": [{"path": "model/MLmodel", "is_dir": False, "file_size": 7}],
    }
    _, listed = client.server.ask("GET", "/artifacts/list", run_uuid=client.run)
    assert {"path": "model", "is_dir": True} in listed["files"]
    assert client.json("GET", f"{PROXY}/artifacts?path={client.root}/nothing") == (200, {})


def test_the_pages_own_addresses(client):
    answer = client("GET", f"/get-artifact?path=model/MLmodel&run_uuid={client.run}")
    assert (answer.status, answer.data) == (200, b"flavors")
    upload = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={client.run}&path=notes/a.txt"
    assert client("POST", upload, b"note").status == 200
    assert (
        client("GET", f"/ajax-api/2.0/mlflow-artifacts/artifacts/{client.root}/notes/a.txt").data == b"note"
    )
    assert client("GET", "/get-artifact?path=a").status == 400
    assert client("POST", f"{PROXY}/artifacts/{client.root}/a").status == 404


def test_the_files_of_a_registered_version(client):
    ask = client.server.ask
    ask("POST", "/registered-models/create", {"name": "late"})
    for source in (f"mlflow-artifacts:/{client.root}/model", "s3://bucket/model"):
        body = {"name": "late", "source": source, "run_id": client.run}
        if source.startswith("s3"):
            del body["run_id"]
        assert ask("POST", "/model-versions/create", body)[0] == 200
    address = "/model-versions/get-artifact?name=late&path=MLmodel&version="
    assert client("GET", f"{address}1").data == b"flavors"
    away = client("GET", f"{address}2")
    assert (away.status, away.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_deleting(client):
    for path in ("gone/a", "gone/b", "stays"):
        client.file("PUT", path, b"x")
    assert client.file("DELETE", "gone").status == client.file("DELETE", "gone").status == 200
    assert (client.file("GET", "gone/a").status, client.file("GET", "stays").status) == (404, 200)


def test_an_upload_in_parts_comes_back_by_its_presigned_address(client):
    _, told = client.json("GET", "/api/3.0/mlflow/server-info")
    assert told["multipart_uploads_enabled"]
    body = {"path": "/home/ada/parts.bin", "num_parts": 3}
    status, begun = client.json("POST", f"{PROXY}/mpu/create/{client.root}/deep", body)
    assert status == 200
    parts = []
    for number, credential in enumerate(begun["credentials"]):
        piece = BIG[number * 4_000_000 : (number + 1) * 4_000_000]
        sent = client.pool.request("PUT", credential["url"], body=piece)
        assert sent.headers["etag"] == f'"{digest_bytes(piece)}"'
        parts.append({"part_number": number + 1, "etag": sent.headers["etag"], "url": credential["url"]})
    body = {"path": "parts.bin", "upload_id": begun["upload_id"], "parts": parts}
    wrong = body | {"parts": parts[::-1]}
    assert client.json("POST", f"{PROXY}/mpu/complete/{client.root}/deep", wrong)[0] == 400
    assert client.json("POST", f"{PROXY}/mpu/complete/{client.root}/deep", body) == (200, {})
    assert client.pool.request("PUT", parts[0]["url"], body=b"late").status == 404
    status, address = client.json("GET", f"{PROXY}/presigned/{client.root}/deep/parts.bin")
    assert (status, address["file_size"]) == (200, len(BIG))
    got = client.pool.request("GET", address["url"], headers={"Range": "bytes=3999999-4000001"})
    assert got.data == BIG[3_999_999:4_000_002]
    assert client.file("GET", "deep/parts.bin").data == BIG


def test_an_upload_in_parts_that_is_dropped(client):
    path, body = f"{PROXY}/mpu/create/{client.root}", {"path": "dropped", "num_parts": 1}
    _, begun = client.json("POST", path, body)
    body = {"path": "dropped", "upload_id": begun["upload_id"]}
    assert client.json("POST", f"{PROXY}/mpu/abort/{client.root}", body) == (200, {})
    assert client.pool.request("PUT", begun["credentials"][0]["url"], body=b"x").status == 404
    assert client.json("POST", path, {"path": "many", "num_parts": 10_001})[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "%252e%252e/secret",
        "/etc/passwd",
        "a%00b",
        "a%5c..%5cb",
        "a//b",
        "x" * 3000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_path_leads_out_of_a_run(client, method, path):
    # By hand, because a client would tidy the path up.
    parts = urlsplit(client.server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as sock:
        target = f"{PROXY}/artifacts/{client.root}/{path}"
        length = "Content-Length: 1\r\n\r\nx" if method == "PUT" else "\r\n"
        sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{length}".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["error_code"] == "INVALID_PARAMETER_VALUE"


def test_other_places_and_unknown_runs(client):
    large = b"x" * 2_000_000
    for path, status, says in (
        (f"0/{'f' * 32}/artifacts/a", 404, "there is no run"),
        (f"7/{client.run}/artifacts/a", 404, "there is no run"),
        ("0/models/m-0/artifacts/a", 404, "there is no logged model"),
    ):
        for method, body in (("GET", None), ("PUT", large)):
            answer = client(method, f"{PROXY}/artifacts/{path}", body)
            assert answer.status == status
            assert says in answer.json()["message"]


def test_a_loose_file_is_kept_in_the_blob_store_and_nowhere_else(client):
    assert client("PUT", f"{PROXY}/artifacts/etc/passwd", b"mine").status == 200
    assert client("GET", f"{PROXY}/artifacts/etc/passwd").data == b"mine"
    assert client.json("GET", f"{PROXY}/artifacts") == (200, {"files": [{"path": "etc", "is_dir": True}]})
    assert client("DELETE", f"{PROXY}/artifacts/etc/passwd").status == 200
    assert client("GET", f"{PROXY}/artifacts/etc/passwd").status == 404


def test_a_deleted_run_can_be_read_but_takes_no_more(tracked):
    client = Client(tracked)
    client.file("PUT", "a", b"kept")
    tracked.ask("POST", "/runs/delete", {"run_id": client.run})
    assert client.file("GET", "a").data == b"kept"
    refused = client.file("PUT", "b", b"x")
    assert (refused.status, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("place", ["file:///etc", "/etc", "s3://bucket/../a", "mlflow-artifacts:/../a"])
def test_no_experiment_keeps_its_files_elsewhere(tracked, place):
    status, answer = tracked.ask("POST", "/experiments/create", {"name": place, "artifact_location": place})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_web_page_of_another_site_is_kept_away(client):
    assert client.file("GET", "empty", origin="http://evil.example").status == 403


def test_a_client_that_stops_halfway_leaves_nothing(client):
    client.file("PUT", "halfway", b"before")
    parts = urlsplit(client.server.url)
    with socket.create_connection((parts.hostname, parts.port)) as sock:
        head = f"PUT {PROXY}/artifacts/{client.root}/halfway HTTP/1.1\r\nHost: h\r\nContent-Length: 99000000"
        sock.sendall(head.encode() + b"\r\n\r\n" + BIG)
        until(lambda: uploads(client.server))
    until(lambda: not uploads(client.server))
    assert client.file("GET", "halfway").data == b"before"


def test_a_client_that_stops_reading_is_let_go(client):
    parts = urlsplit(client.server.url)
    with socket.create_connection((parts.hostname, parts.port)) as sock:
        head = f"GET {PROXY}/artifacts/{client.root}/big.bin HTTP/1.1\r\nHost: h\r\n\r\n"
        sock.sendall(head.encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert client.file("GET", "big.bin").data == BIG


def test_a_file_whose_bytes_were_damaged_breaks_off(tracked):
    client = Client(tracked)
    data = os.urandom(6_000_000)
    client.file("PUT", "damaged", data)
    digest = digest_bytes(data)
    blob = tracked.root / ".treadle" / "blobs" / "b3" / digest[:2] / digest[2:]
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(urllib3.exceptions.HTTPError):
        client.file("GET", "damaged")
    blob.unlink()
    lost = client.file("GET", "damaged")
    assert (lost.status, lost.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_many_uploads_of_one_file_at_once_leave_one_of_them(tracked):
    client = Client(tracked)
    bodies = [bytes([number]) * 100_000 for number in range(20)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda body: client.file("PUT", "same", body).status, bodies))
    assert answers == [200] * 20
    assert client.file("GET", "same").data in bodies
