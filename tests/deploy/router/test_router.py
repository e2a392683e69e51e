"""The router before replicas that answer, break, hang and die: what callers see of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import urllib3
from replica_parts import one_row, options, wait_for, write_model
from router_parts import READY, Fake, routed, run
from tritonclient.grpc import InferenceServerClient, InferInput

from treadle.deploy import DesiredRevision, Supervisor, listen
from treadle.deploy.listening import reserve
from treadle.deploy.local import router_command
from treadle.deploy.router import pool as pool_module
from treadle.kernel.ids import digest_file

INFER = b"POST /v2/models/toy/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


def test_what_was_asked_of_a_replica_that_breaks_is_asked_of_the_other_once() -> None:
    async def test() -> None:
        bad, good = Fake("a", lambda _: None), Fake("b")
        async with routed(bad, good) as send:
            found = await asyncio.gather(*(send(INFER) for _ in range(20)))
            assert all(one.startswith(b"HTTP/1.1 200 OK") and one.endswith(b"\r\n\r\nb") for one in found)
        assert 1 <= len(bad.asked) <= 20
        assert len(good.asked) == 20

        one, two = Fake("a", lambda _: None), Fake("b", lambda _: None)
        async with routed(one, two) as send:
            found = await send(INFER)
            assert found.startswith(b"HTTP/1.1 502 ")
            assert b"the replica that was asked died" in found
        assert (len(one.asked), len(two.asked)) == (1, 1)

    run(test)


HANGS = (
    b"HTTP/1.1 503 x\r\ncontent-length: 45\r\nconnection: close\r\n\r\n"
    b'{"live":true,"ready":false,"hangs":"too long"}'
)


@pytest.mark.parametrize("ready", [HANGS, None])
def test_what_was_asked_of_a_replica_that_hangs_is_asked_of_the_other(ready, monkeypatch) -> None:
    """One that says so, and one that says nothing at all; what may not be done twice waits."""
    monkeypatch.setattr(pool_module, "_PATIENCE", 0.4)

    async def test() -> None:
        hung, good = Fake("a"), Fake("b")
        async with routed(hung, good) as send:
            while not hung.asked:  # one connection to each is open and proven
                await send(INFER)
            hung.does = lambda _: b"never"
            before = len(hung.asked)
            waiting = [asyncio.create_task(send(INFER))]
            while len(hung.asked) == before:
                waiting.append(asyncio.create_task(send(INFER)))
                await asyncio.sleep(0.01)
            hung.ready = ready
            found = await asyncio.gather(*waiting)
            assert all(one.endswith(b"b") for one in found)
            taken = len(hung.asked)
            found = [await send(INFER) for _ in range(20)]
            assert all(one.endswith(b"b") for one in found)
            assert len(hung.asked) == taken, "it is out of rotation"
            hung.ready, hung.does = READY, Fake("a").does
            while len(hung.asked) == taken:  # and back
                await send(INFER)

    run(test)


def test_half_an_answer_is_none() -> None:
    async def test() -> None:
        half = Fake("a", lambda _: b"!HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        async with routed(half, Fake("b")) as send:
            found = await asyncio.gather(*(send(INFER) for _ in range(8)))
            assert all(one.endswith(b"\r\n\r\nb") for one in found)
        assert half.asked

    run(test)


def test_what_may_not_be_done_twice_is_not() -> None:
    async def test() -> None:
        one, two = Fake("a", lambda _: None), Fake("b", lambda _: None)
        async with routed(one, two) as send:
            found = await send(INFER.replace(b"/v2/models/toy/infer", b"/treadle/flush"))
            assert found.startswith(b"HTTP/1.1 502 ")
        assert len(one.asked) + len(two.asked) == 1

    run(test)


def test_messages_are_passed_on_as_they_are_but_for_what_concerns_a_connection() -> None:
    async def test() -> None:
        echo = Fake("a", lambda _: b"HTTP/1.1 201 Created\r\nX-Y: z\r\ntransfer-encoding: chunked\r\n\r\n"
                    b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")  # fmt: skip
        async with routed(echo) as send:
            chunked = b"".join(
                [
                    b"POST /invocations?x=1 HTTP/1.1\r\nhost: x\r\nX-Treadle-Key: k\r\n",
                    b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                ]
            )
            found = await send(chunked)
            assert found == (
                b"HTTP/1.1 100 Continue\r\n\r\n"
                b"HTTP/1.1 201 Created\r\nx-y: z\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc"
            )
        assert echo.asked == [
            b"POST /invocations?x=1 HTTP/1.1\r\nhost: x\r\nx-treadle-key: k\r\ncontent-length: 3\r\n\r\nabc"
        ]
        head = Fake("a", lambda _: b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")
        async with routed(head) as send:
            found = await send(b"HEAD /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
            assert found == b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 7\r\n\r\n"
            assert (await send(b"HEAD /v2 HTTP/1.1\r\nhost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")

    run(test)


def test_requests_on_one_connection_are_answered_in_order() -> None:
    async def test() -> None:
        numbers = Fake("a", lambda head: b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n" + head[5:8])
        async with routed(numbers, Fake("b", numbers.does)) as send:
            many = b"".join(b"GET /%03d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(60))
            last = b"GET /999 HTTP/1.1\r\nconnection: close\r\nhost: x\r\n\r\n"
            found = await send(many + last, close=False)
            bodies = [part[:3] for part in found.split(b"\r\n\r\n")[1:]]
            assert bodies == [b"%03d" % number for number in (*range(60), 999)]

    run(test)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (
            b"POST /v2/models/toy/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 200\r\n\r\n" + b"x" * 200,
            b"413",
        ),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", b"200"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nslow", b"408"),
    ],
)
def test_what_is_no_plain_request_is_told(sent, status) -> None:
    async def test() -> None:
        async with routed(Fake("a"), max_body=100, timeout=0.3) as send:
            assert (await send(sent, close=False)).startswith(b"HTTP/1.1 " + status)
            assert (await send(INFER)).startswith(b"HTTP/1.1 200")

    run(test)


def test_while_nobody_answers_callers_wait_and_too_many_are_sent_away() -> None:
    async def test() -> None:
        dies = Fake("a", lambda _: None)
        async with routed(dies, max_waiting=1) as send:
            found = await asyncio.gather(*(send(INFER) for _ in range(3)), return_exceptions=True)
            codes = sorted(one[9:12] for one in found if isinstance(one, bytes))
            # Each is tried twice on the only one there is; who finds the queue full is told to come again.
            assert set(codes) <= {b"502", b"503"}
            assert all(b"retry-after: 1" in one for one in found if b" 503 " in one)
            dies.does = Fake("b").does
            assert (await send(INFER)).endswith(b"b")

    run(test)


# ── real replicas ────────────────────────────────────────────────────────


@contextlib.contextmanager
def replicas(tmp_path: Path, count: int = 2, rpc: int | None = None):
    """Supervised replicas in processes of their own behind a router: its URL, and they."""
    folder = write_model(tmp_path / "model")
    files = {path.name: digest_file(path) for path in folder.iterdir()}
    (tmp_path / "files").mkdir()
    for path in folder.iterdir():
        (tmp_path / "files" / files[path.name]).write_bytes(path.read_bytes())
    wanted = msgspec.json.encode(DesiredRevision(revision=1, version=1, files=files)).decode()
    made: list[Supervisor] = []
    addresses, kept = [], []
    for number in range(count):
        own = listen("127.0.0.1", 0)
        addresses.append(own.getsockname()[:2])
        kept.append(reserve("127.0.0.1", 0))
        port = None if rpc is None else kept[-1].getsockname()[1]
        how = options(tmp_path / f"state-{number}", grpc_port=port, grpc_shared=True)
        chosen = msgspec.json.encode(how).decode()
        command = [sys.executable, "-m", "treadle.deploy.loadtest.candidate", chosen, wanted,
                   str(tmp_path / "files"), str(own.fileno())]  # fmt: skip
        made.append(Supervisor(command, tmp_path / f"{number}.log", first_pause=0.05, listening=own))
    listening: socket.socket = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    calls = [] if rpc is None else [one.getsockname()[:2] for one in kept]
    command = router_command(options(tmp_path / "none", grpc_port=rpc), addresses, listening, calls)
    router = Supervisor(command, tmp_path / "router.log", listening=listening)
    for one in (*made, router):
        one.start()
    try:
        wait_for(lambda: ready(url) == [True] * count, timeout=60)
        yield url, made
    finally:
        for one in (router, *made, *kept):
            one.close()


def ready(url: str) -> list[bool]:
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        found = urllib3.request("GET", f"{url}/treadle/router", retries=False, timeout=5).json()
        return [one["ready"] for one in found["replicas"]]
    return []


def test_kill_9_under_load_fails_no_request(tmp_path) -> None:
    failures: list[object] = []
    counts = [0] * 6
    stop = threading.Event()

    def by_http(url: str) -> Callable[[], None]:
        pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=20)
        body = json.dumps(one_row()).encode()

        def ask() -> None:
            answer = pool.request("POST", f"{url}/v2/models/toy/infer", body=body)
            assert answer.status == 200, answer.data

        return ask

    def by_grpc(client: InferenceServerClient) -> Callable[[], None]:
        inputs = [InferInput("hour", [1], "FP32"), InferInput("carrier", [1], "BYTES")]
        inputs[0].set_data_from_numpy(np.ones(1, np.float32))
        inputs[1].set_data_from_numpy(np.array(["AA"], object))
        return lambda: client.infer("toy", inputs, client_timeout=20).as_numpy("probability")

    def call(number: int, ask: Callable[[], None]) -> None:
        while not stop.is_set():
            try:
                ask()
            except Exception as error:  # noqa: BLE001 - any is a failure
                failures.append(error)
            counts[number] += 1

    with (
        contextlib.closing(reserve("127.0.0.1", 0)) as rpc,
        replicas(tmp_path, rpc=rpc.getsockname()[1]) as (url, made),
        InferenceServerClient(f"127.0.0.1:{rpc.getsockname()[1]}") as client,
    ):
        assert client.is_server_ready()
        assert client.get_model_metadata("toy").name == "toy"
        asks = [by_http(url), by_grpc(client)] * 3
        callers = [threading.Thread(target=call, args=each) for each in enumerate(asks)]
        for caller in callers:
            caller.start()
        for victim in made:
            time.sleep(0.3)
            os.kill(victim.pid, signal.SIGKILL)
            wait_for(lambda one=victim: one.starts == 2 and ready(url) == [True, True], timeout=60)
        stop.set()
        for caller in callers:
            caller.join()
    assert failures == []
    assert min(counts) > 20
