"""The router's door for gRPC: calls are passed on as the bytes that they are, and asked again as over HTTP.

Imports gRPC: only where ``[serve] grpc_port`` is set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, TypeAlias

import grpc

from treadle.deploy.router.pool import TRIES, Backend, Pool
from treadle.kernel.errors import Busy

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

_SERVICE = "/inference.GRPCInferenceService/"
# They change nothing, or may be done twice as well as once: see `may_repeat` of HTTP.
_ASKED = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
_AGAIN = frozenset((*(f"{_SERVICE}{name}" for name in _ASKED), "/grpc.health.v1.Health/Check"))
_HEALTH = "/grpc.health.v1.Health/"
# A message has more than its data: names, shapes, datatypes.
_AROUND = 1 << 20
# What each connection says for itself.
_OWN = frozenset(("user-agent", "te", "content-type", "accept-encoding"))
_PUSHBACK = "grpc-retry-pushback-ms"
_COME_AGAIN = ((_PUSHBACK, "1000"),)
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
_CHANNEL = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A call that broke goes to another replica, which the channel doesn't know.
    ("grpc.enable_retries", 0),
    # A replica that comes back is asked again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
)


class Calls:
    """Takes calls and passes them on.

    Args:
        pool: The replicas.
        addresses: Where each of them takes calls, in the same order.
        max_body: The largest data of a message, in bytes.
        answer: Seconds in which a replica answers, unless the caller gives fewer.
    """

    def __init__(
        self, pool: Pool, addresses: Iterable[tuple[str, int]], max_body: int, answer: float
    ) -> None:
        self._pool = pool
        self._answer = answer
        self._channels = {
            backend: grpc.aio.insecure_channel(f"{host}:{port}", options=_CHANNEL)
            for backend, (host, port) in zip(pool.backends, addresses, strict=True)
        }
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max_body + _AROUND),
                ("grpc.max_send_message_length", -1),
                # Whoever started the router keeps the port for it.
                ("grpc.so_reuseport", 1),
            ]
        )
        self._server.add_generic_rpc_handlers((_Handler(self),))

    async def start(self, host: str, port: int) -> None:
        """Begins to take calls.

        Raises:
            Busy: If the port is in use.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self._server.add_insecure_port(address)
        except RuntimeError:
            raise Busy(
                "the address is in use, or none of this machine's",
                where=address,
                fix="set [serve] grpc_port or --grpc-port to another one",
            ) from None
        await self._server.start()

    async def close(self, seconds: float) -> None:
        """Takes no new calls; those in hand have so many seconds."""
        await self._server.stop(seconds)
        for channel in self._channels.values():
            await channel.close()

    async def passed(self, method: str, data: bytes, context: Any) -> bytes:
        """Asks a replica; another one, once, if that broke and the call may be repeated."""
        loop = asyncio.get_running_loop()
        given = context.time_remaining()
        until = loop.time() + (self._answer if given is None else min(given, self._answer))
        metadata = _passed_on(context.invocation_metadata())
        tried: list[Backend] = []
        while True:
            backend = await self._found(tried, until, context)
            tried.append(backend)
            backend.hand += 1
            call = self._channels[backend].unary_unary(method)(
                data, timeout=max(until - loop.time(), 0.001), metadata=metadata
            )
            try:
                answer: bytes = await call
                trailing = _passed_on(await call.trailing_metadata())
            except grpc.aio.AioRpcError as error:
                trailing = _passed_on(error.trailing_metadata() or ())
                if _broke(error, trailing):
                    self._pool.gone(backend)
                    if method in _AGAIN and len(tried) < TRIES:
                        self._pool.retried += 1
                        continue
                    await context.abort(_UNAVAILABLE, "the replica that was asked died", _COME_AGAIN)
                await context.abort(error.code(), error.details() or "", trailing)
            else:
                context.set_trailing_metadata(trailing)
                return answer
            finally:
                backend.hand -= 1

    def _usable(self, backend: Backend) -> bool:
        """Whether a call would not fail at once, for the connection could just not be made."""
        state = self._channels[backend].get_state()
        return bool(state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE)

    async def _found(self, tried: list[Backend], until: float, context: Any) -> Backend:
        """The replica to ask; as soon as one answers, if none does."""
        try:
            async with asyncio.timeout_at(until):
                found = await self._pool.found(tried, self._usable)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no replica answered in time")
        if found is None:
            why = "no replica answers, and too many requests wait for one"
            await context.abort(_UNAVAILABLE, why, _COME_AGAIN)
            raise AssertionError  # abort has raised
        return found


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC has no types
    """Knows the calls that are passed on: those of inference and of health."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def service(self, details: Any) -> Any:
        """Who answers a call; None if it is none of these."""
        method: str = details.method
        if not method.startswith((_SERVICE, _HEALTH)):
            return None
        return grpc.unary_unary_rpc_method_handler(partial(self._calls.passed, method))


def _broke(error: grpc.aio.AioRpcError, trailing: Metadata) -> bool:
    """Whether the connection broke, or the replica takes no more calls.

    One that answers with this code, because a model isn't there yet, says when to come again.
    """
    return error.code() is _UNAVAILABLE and all(name != _PUSHBACK for name, _ in trailing)


def _passed_on(metadata: Iterable[tuple[str, str | bytes]]) -> Metadata:
    """Metadata without what concerns one connection."""
    return tuple((name, value) for name, value in metadata if name not in _OWN and not name.startswith(":"))
