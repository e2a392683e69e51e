"""Bodies that come packed: unpacked within limits, refused otherwise, never a 500."""

from __future__ import annotations

import gzip
import json
import urllib.request
import zlib
from datetime import UTC, datetime
from urllib.error import HTTPError

import msgspec
import pytest

from live import Up, live  # noqa: F401 - a fixture
from treadle.client import Client
from treadle.client.http import HttpTransport
from treadle.experiment import JournalBatch, LogMetrics, NewRun


def post(live: Up, path: str, body: bytes, encoding: str) -> tuple[int, dict]:  # noqa: F811
    request = urllib.request.Request(
        live.url + path, body, {"Content-Encoding": encoding, "Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize(("encoding", "pack"), [("deflate", zlib.compress), ("gzip", gzip.compress)])
def test_a_packed_body_is_taken(live: Up, encoding, pack) -> None:  # noqa: F811
    new = NewRun(id=f"run_{encoding}", name="packed", started_at=datetime(2020, 1, 1, tzinfo=UTC))
    status, run = post(live, "/v1/runs", pack(msgspec.json.encode(new)), encoding)
    assert (status, run["id"]) == (200, f"run_{encoding}")


@pytest.mark.parametrize(
    ("pack", "encoding", "status", "said"),
    [
        (lambda: b"not packed", "deflate", 422, "can't be unpacked"),
        (lambda: zlib.compress(b"{}" * 100)[:-3], "deflate", 422, "cut off"),
        (lambda: zlib.compress(b"{}") + b"more", "deflate", 422, "goes on after its end"),
        (lambda: zlib.compress(b" " * (65 << 20), 1), "deflate", 413, "larger than 64 MiB"),
        (lambda: zlib.compress(b"\0" * (600 << 20), 1), "deflate", 413, "larger than 64 MiB"),
        (lambda: b"{}", "br", 415, "encoding isn't known"),
    ],
    ids=["not packed", "cut off", "longer", "too large", "a bomb", "unknown"],
)
def test_what_cannot_be_unpacked_is_refused(live: Up, pack, encoding, status, said) -> None:  # noqa: F811
    got, answer = post(live, "/v1/runs", pack(), encoding)
    assert got == status
    assert said in answer["message"]


def test_the_client_packs_what_is_worth_it(live: Up) -> None:  # noqa: F811
    sent: list[tuple[int, str | None]] = []

    class Counting(HttpTransport):
        def send(self, method, target, body=b"", headers={}):  # noqa: B006 - as the transport has it
            sent.append((len(body), headers.get("Content-Encoding")))
            return super().send(method, target, body, headers)

    with Client(Counting(live.url)) as client:
        client.create_run(NewRun(id="run_p", name="p", started_at=datetime(2020, 1, 1, tzinfo=UTC)))
        records = [LogMetrics(float(n), {"loss": 1 / (n + 1), "accuracy": 0.5}, n) for n in range(500)]
        assert client.append_journal("run_p", JournalBatch(0, records)).applied == 500
        assert len(client.history("run_p", "loss")) == 500
    plain = len(msgspec.json.encode(JournalBatch(0, records)))
    assert sent[0][1] is None
    assert sent[1][1] == "deflate"
    assert sent[1][0] * 3 < plain
