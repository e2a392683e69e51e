"""Every error is ``{code, message, where, fix}`` with the right status, whichever way it was asked."""

from __future__ import annotations

import http.client
import socket
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from live import Up, until
from treadle.api.app import create_app
from treadle.api.routes import ROUTES
from treadle.client import Client
from treadle.client.http import HttpTransport
from treadle.client.inprocess import InProcessTransport
from treadle.kernel.errors import ErrorBody, TreadleError

RUN = b'{"id": "run_x", "name": "x", "started_at": "2020-03-01T00:00:00Z"}'
DEEP = b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def refused(transport: Any, method: str, target: str, body: bytes = b"") -> tuple[int, ErrorBody]:
    answer = transport.send(method, target, body)
    return answer.status, msgspec.json.decode(answer.read(), type=ErrorBody)


@pytest.mark.parametrize(
    ("body", "message", "where"),
    [
        (b"", "not valid JSON", None),
        (b"{", "not valid JSON", None),
        (b"\xff\xfe", "not valid JSON", None),
        (b'"\\ud800"', "not valid JSON", None),
        (b"null", "Expected `object`, got `null`", None),
        (b"[]", "Expected `object`, got `array`", None),
        (b"{}", "missing required field `id`", None),
        (RUN.replace(b'"x"', b"7"), "Expected `str`, got `int`", "$.name"),
        (RUN.replace(b"-03-", b"-13-"), "Invalid RFC3339", "$.started_at"),
        (RUN.replace(b"}", b', "source": "dream"}'), "Invalid enum value 'dream'", "$.source"),
        (RUN.replace(b"}", b', "params": {"a": {}}}'), "got `object`", "$.params[...]"),
        (RUN.replace(b"run_x", b"../x"), "can't be the name of a run", None),
        (DEEP, "nested too deeply", None),
    ],
)
def test_a_body_that_can_not_be_used(transport: Any, body: bytes, message: str, where: str | None) -> None:
    status, error = refused(transport, "POST", "/v1/runs", body)
    assert (status, error.code, error.where) == (422, "invalid_input", where)
    assert message in error.message


def test_keys_that_are_not_known_are_passed_over(transport: Any) -> None:
    """A client may be newer than its server."""
    body = RUN.replace(b"run_x", b"run_newer").replace(b"}", b', "mood": {"today": ["good"]}}')
    answer = transport.send("POST", "/v1/runs", body)
    assert (answer.status, b"mood" in answer.read()) == (200, False)


def test_a_body_that_is_too_large(transport: Any) -> None:
    def endless() -> Any:
        yield b'{"x": "'
        for _ in range(66):
            yield b"x" * (1 << 20)

    status, error = refused(transport, "POST", "/v1/runs", endless())  # type: ignore[arg-type]
    assert (status, error.code, error.message) == (413, "invalid_input", "the body is larger than 64 MiB")
    assert Client(transport).health().project == "toy"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/runs/", 404),
        ("GET", "/v1/runs/a/b", 404),
        ("DELETE", "/v1/runs", 405),
        ("PATCH", "/v1/health", 405),
        ("POST", "/openapi.json", 405),
        ("POST", "/v1/cycles/resum", 405),
    ],
)
def test_no_such_route(transport: Any, method: str, target: str, status: int) -> None:
    found, error = refused(transport, method, target)
    assert (found, error.code) == (status, "not_found")
    assert error.message == f"there is no {method} {target}"
    assert error.fix == "GET /openapi.json lists what there is"


@pytest.mark.parametrize(
    ("target", "fix"),
    [
        ("/v1/cycles/cycle_nope", "cycle_"),
        ("/v1/datasets/row/versions", "did you mean 'rows'?"),
        ("/v1/datasets/row/training", "did you mean 'rows'?"),
        ("/v1/model?ref=toi/1", "did you mean 'toy'?"),
        ("/v1/model?ref=toy/7", "1"),
        ("/v1/monitors/toi/windows", "did you mean 'toy'?"),
        ("/v1/monitors/toi/alerts", "did you mean 'toy'?"),
    ],
)
def test_a_name_that_is_not_known(transport: Any, target: str, fix: str) -> None:
    status, error = refused(transport, "GET", target)
    assert (status, error.code) == (404, "not_found")
    assert fix in (error.fix or "")


@pytest.mark.parametrize(
    "target", ["/v1/runs/nope", "/v1/evaluations/nope", f"/v1/blobs/{'0' * 64}", "/v1/comparison?run=nope"]
)
def test_an_identifier_that_is_not_known(transport: Any, target: str) -> None:
    status, error = refused(transport, "GET", target)
    assert (status, error.code) == (404, "not_found")


REQUIRED = [(route, query) for route in ROUTES for query in route.query if query.required]


@pytest.mark.parametrize(
    ("route", "query"), REQUIRED, ids=[f"{r.method} {r.path} {q.name}" for r, q in REQUIRED]
)
def test_a_required_parameter_that_is_missing(transport: Any, route: Any, query: Any) -> None:
    run = Client(transport).runs(limit=1)[0].id
    given = "&".join(f"{one.name}=x" for one in route.query if one.required and one is not query)
    status, error = refused(transport, route.method, f"{route.path.replace('{run}', run)}?{given}")
    assert (status, error.code) == (422, "invalid_input")
    assert query.name in error.message or route.path.startswith("/v1/comparison")


@pytest.mark.parametrize(
    "target",
    [
        "/v1/runs?limit=0",
        "/v1/runs?limit=-1",
        "/v1/runs?limit=ten",
        f"/v1/runs?limit={'9' * 5000}",
        "/v1/runs?sort=colour",
        "/v1/monitors/toy/windows?since=yesterday",
        "/v1/monitors/toy/windows?since=0001-01-01T00:00%2B14:00",
        "/v1/monitors/toy/windows?since=9999-12-31T23:59-14:00",
        "/v1/blobs/short",
        "/v1/model?ref=toy/x",
        "/v1/monitors/%20/windows",
    ],
)
def test_a_parameter_that_can_not_be_used(transport: Any, target: str) -> None:
    status, error = refused(transport, "GET", target)
    assert (status, error.code) == (422, "invalid_input")
    assert len(error.message) < 200


def test_the_state_forbids_it(transport: Any) -> None:
    assert refused(transport, "POST", "/v1/replay?at=2026-03-01")[1].code == "conflict"
    status, error = refused(transport, "POST", "/v1/model/approval?ref=toy/1&actor=a&reason=r")
    assert (status, error.code, error.where) == (409, "conflict", "toy/1")


@pytest.mark.parametrize("text", ["%00", "a%00b", "%F0%9F%A7%B5", "%2e%2e", "a%2Fb", "x" * 3000, "%"])
def test_any_text_in_a_path_is_answered(transport: Any, text: str) -> None:
    for route in ROUTES:
        if route.method == "GET" and "{" in route.path:
            path = route.path.replace(route.path[route.path.index("{") : route.path.index("}") + 1], text)
            answer = transport.send("GET", f"{path}?metric=x")
            answer.read()
            assert answer.status in {200, 404, 422}, path


def test_a_bug_is_answered_once_and_ends_nothing(live: Up, caplog: pytest.LogCaptureFixture) -> None:
    transport = InProcessTransport(live.root)
    try:
        transport._app.rooms.__dict__["experiments"] = None  # what no state of the world brings about
        status, error = refused(transport, "GET", "/v1/runs")
        assert (status, error.code, error.where) == (500, "internal", "GET /v1/runs")
        assert "AttributeError" in error.message
        assert [record.message for record in caplog.records] == ["GET /v1/runs"]
        assert transport.send("GET", "/v1/health").status == 200
    finally:
        transport.close()


def call(live: Up, method: str, target: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(live.url).netloc, timeout=30)
    connection.request(method, target, headers=headers)
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return found


def test_a_wrong_method_is_told_the_right_ones(live: Up) -> None:
    status, headers, _ = call(live, "DELETE", "/v1/runs")
    assert (status, set(headers["allow"].split(", "))) == (405, {"GET", "HEAD", "POST"})


def test_head_is_get_without_the_body(live: Up) -> None:
    for target in ("/v1/health", "/openapi.json", "/v1/models/toy/report"):
        status, headers, body = call(live, "HEAD", target)
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 0
    assert call(live, "HEAD", "/v1/runs/nope")[0] == 404


def test_a_page_of_another_site_is_refused(live: Up) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        status, _, body = call(live, "POST", "/v1/cycles/resume", Origin=origin)
        assert (status, msgspec.json.decode(body, type=ErrorBody).code) == (403, "refused")
    assert call(live, "GET", "/v1/health", Origin=live.url)[0] == 200


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/blobs"])
def test_a_client_that_leaves_halfway_changes_nothing(live: Up, path: str) -> None:
    client = Client(HttpTransport(live.url))
    before = client.runs(limit=1000)
    blobs = sorted((live.root / ".treadle" / "blobs").rglob("*"))
    where = urlsplit(live.url)
    for length in ("Content-Length: 1000", "Transfer-Encoding: chunked"):
        body = RUN if "Length" in length else b"%x\r\n%s\r\n" % (len(RUN), RUN)
        with socket.create_connection((where.hostname, where.port)) as one:
            one.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{length}\r\n\r\n".encode() + body)
    until(lambda: not list((live.root / ".treadle" / "tmp").glob("tmp*")))
    assert client.runs(limit=1000) == before
    assert sorted((live.root / ".treadle" / "blobs").rglob("*")) == blobs
    client.close()


def test_what_is_not_http_is_sent_away(live: Up) -> None:
    where = urlsplit(live.url)
    with socket.create_connection((where.hostname, where.port)) as one:
        one.sendall(b"\x16\x03\x01 not http\r\n\r\n")
        assert one.recv(1000).startswith(b"HTTP/1.1 400")
    assert call(live, "GET", "/v1/health")[0] == 200


def test_a_workspace_that_can_not_be_opened_says_why(tmp_path: Any) -> None:
    with pytest.raises(TreadleError, match="the file is missing"):
        create_app(tmp_path)
