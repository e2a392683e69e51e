"""Whatever is sent to a route, the answer is never one after which a client tries again for minutes."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import pytest
import urllib3

from mlflow_parts import TrackingServer, serve
from treadle.api.mlflow.app import ROUTES
from treadle.api.mlflow.route import Ask, MlflowRoute

BASE = "/api/2.0/mlflow"
NUL, LONE = "a\0b", "\ud800"
TEXTS = [
    "",
    " ",
    NUL,
    LONE,
    "\udfff\ud800",
    "'",
    '"; DROP TABLE runs; --',
    "../../etc/passwd",
    "%00",
    "x" * 70_000,
    "\u202e",
    "🎉" * 300,
]
NUMBERS = [-1, 0, 1.5, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 1e308, "NaN", "-Infinity", "1e5", True]
OTHERS: list[Any] = [
    None,
    [],
    {},
    [[]],
    [None],
    {"a": {"b": []}},
    [{}],
    [1, "a"],
    [{"key": NUL, "value": NUL}],
    [{"key": LONE, "value": LONE}],
]
BODIES = [
    b"", b"{", b"[]", b"null", b"1", b'"text"', b"\xff\xfe", b'{"a":"\xff"}', b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"run_id":1,"run_id":"a","run_id":[]}', b"{}" * 3, b"9" * 5000, b"\0" * 10, b"run_id=a&key=b",
]  # fmt: skip


class Found(BaseException):
    """What a route reads."""


class Peek(Ask):
    """A request that tells what would be read of it."""

    def read(self, kind: type[Any]) -> Any:
        raise Found(kind)


def kind_of(route: MlflowRoute) -> type[Any] | None:
    names = re.findall(r"{(\w+)", route.path)
    try:
        route.do(Peek(Anything(), dict.fromkeys(names, "m-1"), b"", b"{}"))  # type: ignore[arg-type]
    except Found as found:
        return found.args[0]
    except AttributeError:  # it reads nothing, and what it got to work with is nothing
        return None
    return None


class Anything:
    """Rooms that take whatever comes."""

    def __getattr__(self, name: str) -> Any:
        return Anything()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return "m-1"


def usual(kind: Any, known: dict[str, Any], name: str = "") -> Any:
    """A value that a route would take."""
    info = msgspec.inspect.type_info(kind) if not isinstance(kind, msgspec.inspect.Type) else kind
    if isinstance(info, msgspec.inspect.StructType):
        return {f.encode_name: usual(f.type, known, f.encode_name) for f in info.fields}
    if name in known:
        return known[name]
    if isinstance(info, msgspec.inspect.ListType):
        return [usual(info.item_type, known)]
    if isinstance(info, msgspec.inspect.UnionType):
        return usual(info.types[0], known, name)
    if isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        return 1
    return (
        False
        if isinstance(info, msgspec.inspect.BoolType)
        else {}
        if isinstance(info, msgspec.inspect.DictType)
        else "a"
    )


def mutations(value: Any) -> Iterator[Any]:
    """The value with one part of it hostile, or gone."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield {k: v for k, v in value.items() if k != name}
            for other in mutations(part):
                yield {**value, name: other}
    elif isinstance(value, list):
        for other in mutations(value[0]) if value else ():
            yield [other]
        yield value * 1500
        yield from (*TEXTS[:5], *NUMBERS[:5], None, {})
    else:
        yield from (*TEXTS, *NUMBERS, *OTHERS)


def encoded(value: Any) -> bytes:
    """JSON with lone surrogates written as escapes, as other clients' languages let them through."""
    return json.dumps(value).encode()


class Fuzzed:
    """A server with something in it, and what was asked of it."""

    def __init__(self, server: TrackingServer) -> None:
        self.server = server
        self.pool = urllib3.PoolManager(maxsize=8, retries=False)
        ask = server.ask
        self.run = ask("POST", "/runs/create", {"experiment_id": "0"})[1]["run"]["info"]["run_id"]
        self.model = ask("POST", "/logged-models", {"experiment_id": "0"})[1]["model"]["info"]["model_id"]
        ask("POST", "/registered-models/create", {"name": "wine"})
        ask("POST", "/model-versions/create", {"name": "wine", "source": "s3://b/a"})
        self.known = {
            "experiment_id": "0", "experiment_ids": ["0"], "run_id": self.run, "run_uuid": self.run,
            "run_ids": [self.run], "model_id": self.model, "name": "wine", "new_name": "wine", "version": "1",
            "source": "s3://b/a", "key": "k", "metric_key": "k", "alias": "champion", "stage": "Staging",
            "page_token": None, "filter": "", "order_by": [], "status": "FINISHED", "source_run_id": "",
            "view_type": "ACTIVE_ONLY", "run_view_type": "ACTIVE_ONLY",
        }  # fmt: skip
        self.bad: list[str] = []

    def send(self, method: str, path: str, body: bytes | None = None) -> None:
        answer = self.pool.request(method, f"{self.server.url}{path}", body=body)
        if answer.status in {500, 502, 503, 504, 429}:
            self.bad.append(f"{method} {path[:200]} {(body or b'')[:300]!r}: {answer.data[:300]!r}")


@pytest.fixture
def fuzzed(tmp_path: Path, metadata_url: str) -> Iterator[Fuzzed]:
    for server in serve(tmp_path, f'[store]\nmetadata = "{metadata_url}"\n'):
        yield Fuzzed(server)


def asked(fuzzed: Fuzzed, route: MlflowRoute) -> Iterator[tuple[str, str, bytes | None]]:
    """Hostile requests of a route."""
    path = BASE + re.sub(r"{tag_key.*}", "k", route.path.replace("{model_id}", fuzzed.model))
    kind = kind_of(route)
    base = usual(kind, fuzzed.known) if kind else {}
    if route.method == "GET":
        for text in (*TEXTS, "1e5", str(2**70), "-1", "NaN", "a" * 9000):
            for name in base:
                fields = {k: v for k, v in base.items() if v is not None} | {name: text}
                yield (
                    route.method,
                    f"{path}?{urlencode(fields, doseq=True, errors='surrogatepass')[:60_000]}",
                    None,
                )
        yield route.method, f"{path}?%ff=%ff&a=%00&run_id=%ed%a0%80&run_id={fuzzed.run}", None
    for changed in mutations(base):
        yield route.method, path, encoded(changed)
    for body in BODIES:
        yield route.method, path, body
    for text in TEXTS if "{" in route.path else ():
        other = re.sub(
            r"{[^}]+}",
            lambda _, text=text: quote(text[:500], safe="", errors="surrogatepass") or "%20",
            route.path,
        )
        yield route.method, BASE + other, encoded(base)


@pytest.mark.parametrize(
    "metadata_url",
    ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.soak])],
    indirect=True,
)
def test_no_request_is_the_servers_fault(fuzzed):
    # What deletes comes last, so that what is asked for is there until then.
    routes = sorted(
        ROUTES, key=lambda r: r.method == "DELETE" or r.path.endswith(("delete", "update", "rename"))
    )
    with ThreadPoolExecutor(4) as pool:
        for route in routes:
            list(pool.map(lambda request: fuzzed.send(*request), asked(fuzzed, route)))
    assert not fuzzed.bad, f"{len(fuzzed.bad)} of them:\n" + "\n".join(fuzzed.bad[:40])


def test_no_file_is_the_servers_fault(fuzzed):
    here = f"0/{fuzzed.run}/artifacts/"
    lone = {"path": LONE, "upload_id": NUL, "parts": [{"part_number": 1, "etag": LONE}]}
    bodies = (b"", b"{}", b'{"path":"\\u0000","num_parts":99999999999999999999}', encoded(lone))
    for text in (*TEXTS, here + NUL, here + "a/" * 900 + "b"):
        path = quote(text[:8000], safe="/", errors="surrogatepass")
        for where in ("artifacts/", "mpu/create/", "mpu/complete/"):
            for method in ("GET", "PUT", "POST", "DELETE"):
                for body in bodies:
                    fuzzed.send(method, f"/api/2.0/mlflow-artifacts/{where}{path}", body)
        fuzzed.send("GET", f"/api/2.0/mlflow-artifacts/artifacts?path={path}")
        fuzzed.send("GET", f"/get-artifact?run_id={fuzzed.run}&path={path}")
        fuzzed.send("GET", f"/model-versions/get-artifact?name=wine&version=1&path={path}")
    assert not fuzzed.bad, "\n".join(fuzzed.bad[:40])


def test_a_batch_that_breaks_off_leaves_nothing(fuzzed):
    parts = urlsplit(fuzzed.server.url)
    points, tags = [{"key": "half", "value": 1, "timestamp": 1}], [{"key": "half", "value": "1"}]
    body = encoded({"run_id": fuzzed.run, "metrics": points, "tags": tags})
    for cut in (0, 1, len(body) // 2, len(body) - 1):
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as sock:
            head = f"POST {BASE}/runs/log-batch HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body[:cut])
    found = fuzzed.server.ask("GET", "/runs/get", run_id=fuzzed.run)[1]["run"]["data"]
    assert "metrics" not in found
    assert [tag["key"] for tag in found["tags"]] == ["mlflow.runName"]


def test_one_name_asked_for_by_fifty_at_once_is_given_once(fuzzed):
    for path in ("/registered-models/create", "/experiments/create"):
        with ThreadPoolExecutor(50) as pool:
            answers = list(
                pool.map(lambda _, path=path: fuzzed.server.ask("POST", path, {"name": "one"}), range(50))
            )
        assert sorted(status for status, _ in answers) == [200, *[400] * 49]
        assert {answer.get("error_code") for _, answer in answers} == {None, "RESOURCE_ALREADY_EXISTS"}
