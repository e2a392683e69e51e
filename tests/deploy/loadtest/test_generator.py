"""The generator against real servers: it sends when requests are due, and their time counts from then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httptools
import msgspec
import numpy as np
import pytest
from replica_parts import FolderPlatform, options, running, write_model

from treadle.deploy.loadtest.arrivals import arrivals
from treadle.deploy.loadtest.generator import send
from treadle.deploy.loadtest.rows import bodies, rows_of
from treadle.deploy.loadtest.types import Load, Sent
from treadle.kernel.errors import InvalidInput
from treadle.registry import Field, Signature

SIGNATURE = Signature((Field("hour", "float"), Field("carrier", "string")), "probability")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Answers(asyncio.Protocol):
    """A server that answers the n-th request as it is told, after so many seconds."""

    count = 0

    def __init__(self, answer: Callable[[int], tuple[float, bytes]]) -> None:
        self._answer, self._parser = answer, httptools.HttpRequestParser(self)

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        Answers.count += 1
        after, answer = self._answer(Answers.count)
        if not answer:
            self._transport.abort()
            return
        asyncio.get_running_loop().call_later(after, self._transport.write, answer)


def sent(answer: Callable[[int], tuple[float, bytes]] | None, **changes) -> Sent:
    """What comes of a load on such a server; without an answer, on a port where nobody listens."""

    async def run() -> Sent:
        Answers.count = 0
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answers(answer or (lambda _: (0, OK))), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()[:2]
        if answer is None:
            server.close()
            await server.wait_closed()
        try:
            return await send(load(address, **changes))
        finally:
            server.close()

    return asyncio.run(run())


def load(address: tuple[str, int], **changes) -> Load:
    known = {
        "addresses": (address,), "path": "/v2/models/toy/infer", "bodies": (b"{}",), "headers": {},
        "rate": 200.0, "seconds": 1.0, "warmup": 0.2, "arrivals": "constant", "seed": 0, "timeout": 2.0,
    }  # fmt: skip
    return Load(**(known | changes))


def test_a_server_that_stands_still_has_kept_all_those_waiting_that_were_due() -> None:
    """A caller that waited for each answer would have seen one slow request."""
    loop_stops = {"done": False}

    def answer(count: int) -> tuple[float, bytes]:
        if count == 100 and not loop_stops["done"]:
            loop_stops["done"] = True
            loop_stops["until"] = asyncio.get_running_loop().time() + 0.5
        return max(0.0, loop_stops.get("until", 0) - asyncio.get_running_loop().time()), OK

    found = sent(answer)
    assert found.statuses == {200: 200}
    ms = np.array(found.seconds) * 1000
    # Half a second at 200 requests a second: 100 were due in it, and waited 250 ms on average.
    assert 90 <= (ms > 20).sum() <= 110
    assert 200 <= ms[ms > 20].mean() <= 300


def test_the_warm_up_is_not_counted() -> None:
    found = sent(lambda count: (0, OK), seconds=0.5, warmup=0.5)
    assert (len(found.at), found.at[0]) == (100, 0.0)
    assert Answers.count == 200
    assert found.statuses == {200: 100}


def test_what_breaks_or_is_not_answered_has_failed() -> None:
    error = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"

    def answer(count: int) -> tuple[float, bytes]:
        return 0, {0: b"", 1: error}.get(count % 10, OK)

    found = sent(answer, warmup=0.0)
    assert found.statuses == {0: 20, 503: 20, 200: 160}
    assert np.isinf(found.seconds).sum() == 40
    late = sent(lambda count: (9.0 if count % 2 else 0.0, OK), warmup=0.0, seconds=0.2, timeout=0.3)
    assert late.statuses == {0: 20, 200: 20}
    nobody = sent(None, warmup=0.0, seconds=0.2)
    assert nobody.statuses == {0: 40}


def test_requests_that_are_wrong_end_the_test() -> None:
    wrong = b'HTTP/1.1 400 No\r\ncontent-length: 15\r\n\r\n{"error":"no x"'
    found = sent(lambda _: (0, wrong), seconds=30.0)
    assert found.refused == '400: {"error":"no x"'


@pytest.mark.parametrize("header", [{}, {"x-treadle-test": "1"}])
def test_a_real_replica_answers_every_row(tmp_path, header) -> None:
    platform = FolderPlatform(write_model(tmp_path / "model"))
    rows = rows_of({"hour": [1.0, 2.5], "carrier": ["AA", None]})
    with running(options(tmp_path / "state"), platform) as server:
        address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        more = {"bodies": bodies(rows, SIGNATURE), "headers": header, "arrivals": "poisson"}
        found = asyncio.run(send(load(address, seconds=0.5, **more)))
        counted = server.fleet.holders[0].desk.stats.requests
    assert set(found.statuses) == {200}
    assert found.statuses[200] == len(found.seconds) > 60
    assert bool(counted) is not bool(header)


def test_arrivals_are_as_many_and_as_random_as_they_should_be() -> None:
    even = arrivals("constant", 100, 2, 1, 0)
    assert np.allclose(np.diff(even), 0.01)
    assert (len(even), even[0]) == (300, -1.0)
    gaps = np.diff(arrivals("poisson", 1000, 100, 0, 7))
    # Exponential: the standard deviation is the mean, and so many are over twice the mean.
    assert gaps.mean() == pytest.approx(1e-3, rel=0.02)
    assert gaps.std() == pytest.approx(1e-3, rel=0.02)
    assert (gaps > 2e-3).mean() == pytest.approx(np.exp(-2), rel=0.05)
    assert (arrivals("poisson", 100, 2, 0, 7) == arrivals("poisson", 100, 2, 0, 7)).all()


def test_a_row_becomes_a_request_or_says_what_it_lacks() -> None:
    (body,) = bodies([{"hour": 1.5, "carrier": "AA"}], SIGNATURE)
    assert msgspec.json.decode(body)["inputs"] == [
        {"name": "hour", "shape": [1], "datatype": "FP64", "data": [1.5]},
        {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["AA"]},
    ]
    with pytest.raises(InvalidInput, match="it has no 'carrier'"):
        bodies([{"hour": 1.5}], SIGNATURE)
    with pytest.raises(InvalidInput, match="takes no 'hours'") as caught:
        bodies([{"hour": 1.5, "carrier": "AA"}, {"hour": 1.5, "carrier": "AA", "hours": 2}], SIGNATURE)
    assert caught.value.where == "row 2"
