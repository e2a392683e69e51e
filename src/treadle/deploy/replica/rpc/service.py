"""The gRPC server of a replica: the same models, limits, counts and journal as over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
from google.protobuf.message import DecodeError

from treadle.deploy.replica.batcher import Overloaded
from treadle.deploy.replica.reply import Denied, Receive, Reply, Scope
from treadle.deploy.replica.rows import Rows, read_rows
from treadle.deploy.replica.rpc import values
from treadle.deploy.replica.rpc.messages import HEALTH, MESSAGES, SERVICE
from treadle.deploy.replica.served import Served
from treadle.kernel.errors import Busy, InvalidInput

if TYPE_CHECKING:
    from treadle.deploy.replica.app import App
    from treadle.deploy.replica.holder import Holder
    from treadle.deploy.types import ReplicaOptions

log = logging.getLogger("treadle.replica")

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_SERVING, _NOT_SERVING = 1, 2
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
# A message has more than its data: names, shapes, datatypes.
_AROUND = 1 << 20

_Answer = Callable[[bytes, Any], Awaitable[bytes]]


class Rpc:
    """Answers the protocol's calls. Lives on the event loop of the HTTP server.

    Args:
        options: Where to listen, and limits.
        app: Answers the same over HTTP: admits, counts, and ends what takes too long.

    Attributes:
        port: Where it answers, once it does.
    """

    def __init__(self, options: ReplicaOptions, app: App) -> None:
        self._options = options
        self._app = app
        self._server: grpc.aio.Server | None = None
        self._ending: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Begins to answer.

        Raises:
            Busy: If the port is in use.
        """
        server = self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._options.max_body + _AROUND),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(self._options.grpc_shared)),
            ]
        )
        answers: dict[str, _Answer] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._about,
            "ModelMetadata": self._model_about,
            "ModelInfer": self._infer,
        }
        server.add_generic_rpc_handlers(
            (_handler(SERVICE, answers), _handler(HEALTH, {"Check": self._health}))
        )
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        address = f"{host}:{self._options.grpc_port}"
        try:
            self.port = server.add_insecure_port(address)
        except RuntimeError:
            raise Busy(
                "the address is in use, or none of this machine's",
                where=address,
                fix="set [serve] grpc_port or --grpc-port to another one; 0 takes a free one",
            ) from None
        await server.start()
        log.info("gRPC is answered at %s:%d", host, self.port)

    def drain(self, seconds: float) -> None:
        """Takes no new calls; those in hand have so many seconds. Returns at once."""
        if self._server is not None and self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._server.stop(seconds))

    async def ended(self) -> None:
        """Returns once no call is in hand."""
        self.drain(0)
        if self._ending is not None:
            await self._ending

    # ── calls ────────────────────────────────────────────────────────────

    async def _live(self, _: bytes, __: Any) -> bytes:
        return _data("ServerLiveResponse", live=True)

    async def _ready(self, _: bytes, __: Any) -> bytes:
        return _data("ServerReadyResponse", ready=self._app.ready())

    async def _health(self, data: bytes, context: Any) -> bytes:
        """What Kubernetes' probes ask: whether every model answers."""
        asked = await self._parsed("HealthCheckRequest", data, context)
        if asked.service not in ("", SERVICE):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {asked.service!r} here")
        return _data("HealthCheckResponse", status=_SERVING if self._app.ready() else _NOT_SERVING)

    async def _about(self, _: bytes, __: Any) -> bytes:
        about = self._app.about()
        return _data(
            "ServerMetadataResponse", name=about.name, version=about.version, extensions=about.extensions
        )

    async def _model_ready(self, data: bytes, context: Any) -> bytes:
        asked = await self._parsed("ModelReadyRequest", data, context)
        try:
            ready = self._app.model_ready(asked.name, asked.version)
        except Denied as error:
            if error.status == 404:
                await _abort(context, error, self._app.failed(error))
            ready = False
        return _data("ModelReadyResponse", ready=ready)

    async def _model_about(self, data: bytes, context: Any) -> bytes:
        asked = await self._parsed("ModelMetadataRequest", data, context)
        try:
            about = msgspec.json.decode(await self._app.model_about(asked.name, asked.version))
        except Exception as error:  # noqa: BLE001 - every call gets an answer
            await _abort(context, error, self._app.failed(error))
        return _data("ModelMetadataResponse", **about)

    async def _infer(self, data: bytes, context: Any) -> bytes:
        message = await self._parsed("ModelInferRequest", data, context)
        scope: Scope = {
            "method": "POST",
            "headers": [(key.encode(), _plain(value)) for key, value in context.invocation_metadata()],
            "treadle.body": True,
        }
        failures: list[Exception] = []

        def failed(error: Exception) -> Reply:
            failures.append(error)
            return self._app.failed(error)

        async def ask(scope: Scope, receive: Receive, holder: Holder, version: str) -> Reply:
            raw, request = bool(message.raw_input_contents), values.read(message)

            def read(model: Served) -> tuple[Any, Rows]:
                rows = read_rows(request, model.inputs, self._options.max_rows)
                return request, rows.single(model.inputs.features)

            found = await self._app.inference.predict(scope, receive, holder, version, read)
            outputs = found.outputs(raw=raw)
            by = holder.desk.model, found.model.version
            return Reply(200, (), values.write(*by, request.id, outputs, raw=raw))

        try:
            reply = await self._app.asked(
                ask, message.model_name, message.model_version, scope, _for_ever, failed
            )
        except Denied as error:  # no such model
            await _abort(context, error, self._app.failed(error))
        if failures:
            await _abort(context, failures[0], reply)
        return reply.body

    async def _parsed(self, name: str, data: bytes, context: Any) -> Any:
        try:
            return MESSAGES[name].FromString(data)
        except DecodeError:
            error = InvalidInput(f"the message is no {name} of the Open Inference Protocol")
            await _abort(context, error, self._app.failed(error))


def _handler(service: str, answers: dict[str, _Answer]) -> Any:
    handlers = {name: grpc.unary_unary_rpc_method_handler(answer) for name, answer in answers.items()}
    return grpc.method_handlers_generic_handler(service, handlers)


async def _for_ever() -> dict[str, Any]:
    """A caller that hangs up has its call cancelled: nothing is to be listened for."""
    await asyncio.get_running_loop().create_future()
    return {}


def _plain(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def _data(kind: str, /, **fields: Any) -> bytes:
    data: bytes = MESSAGES[kind](**fields).SerializeToString()
    return data


async def _abort(context: Any, error: Exception, reply: Reply) -> None:
    """Ends a call with a status, and with when to come again where that is known."""
    code = _CODES.get(reply.status, grpc.StatusCode.UNKNOWN)
    if isinstance(error, Overloaded):
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
    message = msgspec.json.decode(reply.body)["error"]
    after = next((int(value) for name, value in reply.headers if name == b"retry-after"), None)
    trailing: tuple[tuple[str, str | bytes], ...] = ()
    if after is not None:
        told = MESSAGES["RetryInfo"](retry_delay={"seconds": after}).SerializeToString()
        details = [{"type_url": _RETRY_INFO, "value": told}]
        status = _data("Status", code=code.value[0], message=message, details=details)
        # Pushback is what gRPC's own retries go by, the details what a caller's code reads.
        trailing = (
            ("grpc-retry-pushback-ms", str(after * 1000)),
            ("grpc-status-details-bin", status),
        )
    await context.abort(code, message, trailing)
