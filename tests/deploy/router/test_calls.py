"""Calls over gRPC through the router, to replicas that answer, refuse, break and are away."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import msgspec
import pytest
from replica_parts import options
from router_parts import Fake, routed, run

from treadle.deploy import ReplicaOptions, Supervisor, serve_replicas
from treadle.deploy.listening import listen, reserve
from treadle.deploy.local import LocalReplicas
from treadle.deploy.router.main import Router, RouterOptions
from treadle.kernel.errors import Busy, MissingExtra

SERVICE = "inference.GRPCInferenceService"
INFER = f"/{SERVICE}/ModelInfer"

Does = Callable[[bytes, Any], Awaitable[bytes]]


class Called(Fake):
    """A replica that does with each call what it is told; it answers ready over HTTP."""

    def __init__(self, name: str, does: Does) -> None:
        super().__init__(name)
        self.calls: list[dict[str, Any]] = []
        self.then = does
        self.kept = reserve("127.0.0.1", 0)
        self.rpc: tuple[str, int] = self.kept.getsockname()[:2]
        self.grpc: grpc.aio.Server | None = None

    async def begin(self) -> None:
        async def take(data: bytes, context: Any) -> bytes:
            self.calls.append(dict(tuple(context.invocation_metadata())))
            return await self.then(data, context)

        class Handler(grpc.GenericRpcHandler):
            def service(self, details: Any) -> Any:
                return grpc.unary_unary_rpc_method_handler(take)

        self.grpc = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
        self.grpc.add_generic_rpc_handlers((Handler(),))
        self.grpc.add_insecure_port(f"127.0.0.1:{self.rpc[1]}")
        await self.grpc.start()

    async def end(self) -> None:
        if self.grpc is not None:
            await self.grpc.stop(0)
        self.kept.close()


@contextlib.asynccontextmanager
async def called(*fakes: Called, **changes: Any) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """A router before them; makes a call, and gives its answer or its error."""
    with contextlib.closing(reserve("127.0.0.1", 0)) as kept:
        for fake in fakes:
            await fake.begin()
        address = kept.getsockname()[:2]
        rpc = {"grpc": address, "grpc_replicas": tuple(fake.rpc for fake in fakes)}
        async with (
            routed(*fakes, **rpc, **changes),
            grpc.aio.insecure_channel(f"127.0.0.1:{address[1]}") as channel,
        ):

            async def call(method: str = INFER, data: bytes = b"x", within: float = 10, **more: Any) -> Any:
                try:
                    return await channel.unary_unary(method)(data, timeout=within, **more)
                except grpc.aio.AioRpcError as error:
                    return error

            try:
                yield call
            finally:
                for fake in fakes:
                    await fake.end()


def told(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    return dict(tuple(error.trailing_metadata()))


async def echo(data: bytes, context: Any) -> bytes:
    context.set_trailing_metadata((("x-told", "t"),))
    return b"<" + data + b">"


async def breaks(data: bytes, context: Any) -> bytes:
    """As a connection that broke is seen: no code could tell more."""
    await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")


async def busy(data: bytes, context: Any) -> bytes:
    trailing = (("grpc-retry-pushback-ms", "3000"), ("grpc-status-details-bin", b"\x00\xff"))
    await context.abort(grpc.StatusCode.UNAVAILABLE, "no version yet", trailing)


def test_calls_pass_as_they_are_with_what_they_bring_along() -> None:
    async def test() -> None:
        one = Called("a", echo)
        async with called(one, max_body=1000) as call:
            metadata = (("x-treadle-key", "ann"), ("x-trace-bin", b"\x01\xff"))
            assert await call(data=b"\x00\xffabc", metadata=metadata) == b"<\x00\xffabc>"
            assert {"x-treadle-key": "ann", "x-trace-bin": b"\x01\xff"}.items() <= one.calls[0].items()
            assert await call("/grpc.health.v1.Health/Check", b"") == b"<>"
            large = await call(data=bytes(3 << 20))
            assert large.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            other = await call("/other.Service/Method")
            assert other.code() is grpc.StatusCode.UNIMPLEMENTED
        assert len(one.calls) == 2

    run(test)


def test_a_replica_that_breaks_costs_no_call_and_one_that_answers_is_not_asked_again() -> None:
    async def test() -> None:
        bad, good = Called("a", breaks), Called("b", echo)
        async with called(bad, good) as call:
            assert await asyncio.gather(*(call() for _ in range(20))) == [b"<x>"] * 20
            assert 1 <= len(bad.calls) <= 20
            assert len(good.calls) == 20
            bad.calls.clear()
            found = [await call(f"/{SERVICE}/ModelTrain") for _ in range(10)]
            died = [one for one in found if one != b"<x>"]
            assert all("died" in one.details() for one in died)  # it might have been done
            assert len(died) == len(bad.calls)
        one, two = Called("a", breaks), Called("b", breaks)
        async with called(one, two) as call:
            assert (await call()).code() is grpc.StatusCode.UNAVAILABLE
        assert (len(one.calls), len(two.calls)) == (1, 1)
        one, two = Called("a", busy), Called("b", busy)
        async with called(one, two) as call:
            error = await call()
            assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "no version yet")
            trailing = told(error)
            assert trailing["grpc-retry-pushback-ms"] == "3000"
            assert trailing["grpc-status-details-bin"] == b"\x00\xff"
        assert len(one.calls) + len(two.calls) == 1

    run(test)


def test_a_replica_that_comes_back_is_waited_for_and_callers_that_go_are_let_go() -> None:
    async def test() -> None:
        ended = asyncio.Event()

        async def slow(data: bytes, context: Any) -> bytes:
            try:
                await asyncio.sleep(30)
            finally:
                ended.set()
            return b""

        one = Called("a", echo)
        async with called(one, max_waiting=1) as call:
            assert await call() == b"<x>"
            await one.grpc.stop(0)
            first = asyncio.create_task(call(within=2))
            await asyncio.sleep(0.15)
            assert not first.done()
            sent_away = await call(within=5)
            assert sent_away.code() is grpc.StatusCode.UNAVAILABLE
            assert "too many" in sent_away.details()
            assert told(sent_away)["grpc-retry-pushback-ms"] == "1000"
            one.then = slow
            await one.begin()
            async with asyncio.timeout(10):  # the replica's call ends with the caller's patience
                await ended.wait()
            assert (await first).code() is grpc.StatusCode.DEADLINE_EXCEEDED

    run(test)


def test_each_replica_takes_calls_at_a_port_that_it_keeps_and_the_router_at_the_configured_one(tmp_path):
    door = listen("127.0.0.1", 0)
    chosen = options(tmp_path / "state", host="127.0.0.1", grpc_port=4321)
    several = LocalReplicas(chosen, "http://x", tmp_path, door, count=2, router=True)
    try:
        each = [decoded(one, ReplicaOptions) for one in several.supervisors]
        router = decoded(several.router, RouterOptions)
        assert router.grpc == ("127.0.0.1", 4321)
        assert router.grpc_replicas == tuple((one.host, one.grpc_port) for one in each)
        assert router.replicas == tuple((one.host, one.port) for one in each)
        assert len({*router.replicas, *router.grpc_replicas}) == 4
        with pytest.raises(Busy):  # nobody else is given it meanwhile
            listen(*router.grpc_replicas[0])
    finally:
        several.close()
    with contextlib.closing(listen(*router.grpc_replicas[0])):
        pass


def decoded(supervisor: Supervisor, kind: type) -> Any:
    command = supervisor._command
    return msgspec.json.decode(command[command.index("--options") + 1], type=kind)


def test_ports_that_are_taken_and_an_extra_that_is_missing_say_so(tmp_path, monkeypatch) -> None:
    with contextlib.closing(listen("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Busy, match="can't listen") as caught:
            serve_replicas(options(tmp_path, grpc_port=port), "http://x", tmp_path, count=2)
        assert "--grpc-port" in caught.value.fix

        async def test() -> None:
            with contextlib.closing(listen("127.0.0.1", 0)) as door:
                router = Router(RouterOptions(replicas=(), grpc=("127.0.0.1", port)), door)
                with pytest.raises(Busy, match="in use"):
                    await router.run()

        run(test)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(MissingExtra, match="grpc isn't installed") as missing:
        LocalReplicas(options(tmp_path, grpc_port=0), "http://x", tmp_path, None)
    assert "treadle[grpc]" in missing.value.fix
