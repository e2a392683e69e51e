"""The server's routes: the Open Inference Protocol v2, metrics and administration.

A bare ASGI callable: on this path every microsecond is paid by every request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from treadle.deploy.replica import protocol
from treadle.deploy.replica.batcher import Answer, Batcher, Job, Overloaded
from treadle.deploy.replica.holder import Holder, Served
from treadle.deploy.replica.protocol import InferenceResponse, OutputTensor
from treadle.deploy.replica.shipper import Shipper
from treadle.deploy.replica.stats import Stats
from treadle.deploy.types import ReplicaOptions
from treadle.kernel.errors import InvalidInput, TreadleError

log = logging.getLogger("treadle.replica")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_LATER = (b"retry-after", b"1")
_CLOSE = (b"connection", b"close")
_FLUSH_TIMEOUT = 20.0


class _Refused(Exception):
    """Ends a request with a status and a sentence."""

    def __init__(self, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class _Gone(Exception):
    """The caller hung up."""


class App:
    """Answers requests.

    Args:
        options: Limits and the model's name.
        holder: Has the model that answers.
        batcher: Predicts.
        stats: Counts.
        shipper: Ships predictions; None when they are not kept.
        version: Treadle's version.
    """

    def __init__(
        self,
        options: ReplicaOptions,
        holder: Holder,
        batcher: Batcher,
        stats: Stats,
        shipper: Shipper | None,
        version: str,
    ) -> None:
        self._options = options
        self._holder = holder
        self._batcher = batcher
        self._stats = stats
        self._shipper = shipper
        self._version = version
        self._encode = msgspec.json.Encoder().encode
        self._infer_path = f"/v2/models/{options.model}/infer"
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(stats)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        path: str = scope["path"]
        infer = path == self._infer_path or (path.startswith("/v2/models/") and path.endswith("/infer"))
        started = time.perf_counter()
        headers: tuple[tuple[bytes, bytes], ...] = (_JSON,)
        try:
            if infer:
                status, body = 200, await self._infer(scope, receive, started)
            else:
                status, headers, body = await self._other(path, scope["method"])
        except _Gone:
            return
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            status, headers, body = self._error(error)
        if infer:
            ended = time.perf_counter()
            self._stats.answered(status, ended, ended - started)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, (b"content-length", b"%d" % len(body))],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def _error(self, error: Exception) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
        status, message = 500, "the server failed; its log says why"
        headers: tuple[tuple[bytes, bytes], ...] = (_JSON,)
        if isinstance(error, _Refused):
            status, headers, message = error.status, (_JSON, *error.headers), str(error)
        elif isinstance(error, Overloaded):
            status, headers = 503, (_JSON, _LATER)
            message = f"{self._options.max_queue} requests wait already; try again in a moment"
        elif isinstance(error, TreadleError):
            # A model that fails on an input is the server's fault; an input that can't be, the caller's.
            status = 400 if type(error) is InvalidInput else 500
            message = f"{error.where}: {error.message}" if error.where else error.message
        else:
            log.error("a request failed", exc_info=error)
        return status, headers, self._encode({"error": message})

    # ── inference ────────────────────────────────────────────────────────

    async def _infer(self, scope: Scope, receive: Receive, started: float) -> bytes:
        if scope["method"] != "POST":
            raise _Refused(405, "inference is asked for by POST", (b"allow", b"POST"))
        body = await self._body(scope, receive)
        model = self._model(scope["path"].removesuffix("/infer"))
        read = model.one_row.read(body)
        if read:
            request, rows = read
        else:
            request = protocol.decode(body)
            rows = protocol.read_rows(request, model.inputs, self._options.max_rows)
        output = model.loaded.signature.output
        wants_value, wants_id = protocol.pick_outputs(request, output)
        job = Job(model, rows, started, asyncio.get_running_loop().create_future())
        self._batcher.submit(job)
        answer = await job.outcome
        if not isinstance(answer, Answer):
            raise answer
        outputs = []
        if wants_value:
            outputs.append(OutputTensor(output, (rows.count,), "FP64", answer.outputs))
        if wants_id:
            outputs.append(OutputTensor(protocol.PREDICTION_ID, (rows.count,), "BYTES", answer.ids))
        return self._encode(InferenceResponse(self._options.model, str(model.version), outputs, request.id))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        limit = self._options.max_body
        message = await receive()
        if not message.get("more_body"):
            if message["type"] == "http.disconnect":
                raise _Gone
            body: bytes = message["body"]
            if len(body) > limit:
                raise self._too_large(len(body))
            return body
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > limit:
                raise self._too_large(int(value))
        pieces = bytearray(message["body"])
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            pieces += message["body"]
            if len(pieces) > limit:
                raise self._too_large(len(pieces))
        return bytes(pieces)

    def _too_large(self, size: int) -> _Refused:
        limit = self._options.max_body
        # The rest of the body is not worth reading: the connection ends here.
        return _Refused(
            413, f"the body has at least {size} bytes, at most {limit} are allowed; send fewer rows", _CLOSE
        )

    def _model(self, path: str) -> Served:
        """The model that a path names.

        Raises:
            _Refused: If it isn't served here (404) or nothing is yet (503).
        """
        name, _, version = path.removeprefix("/v2/models/").partition("/versions/")
        if name != self._options.model:
            raise _Refused(404, f"model {name!r} is not served here; {self._options.model!r} is")
        model = self._holder.current
        if model is None:
            raise _Refused(503, "no version of the model has been loaded yet; try again in a moment", _LATER)
        if version and version != str(model.version):
            raise _Refused(404, f"version {version!r} is not served here; version {model.version} is")
        return model

    # ── everything else ──────────────────────────────────────────────────

    async def _other(self, path: str, method: str) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
        if path == "/treadle/flush":
            if method != "POST":
                raise _Refused(405, "flush is asked for by POST", (b"allow", b"POST"))
            return 200, (_JSON,), await self._flush()
        if method not in ("GET", "HEAD"):
            raise _Refused(405, f"{path} is asked for by GET", (b"allow", b"GET"))
        if path == "/metrics":
            return 200, ((b"content-type", CONTENT_TYPE_LATEST.encode()),), generate_latest(self._registry)
        return self._describe(path.rstrip("/"))

    def _describe(self, path: str) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes]:
        if path == "/v2/health/live":
            return 200, (_JSON,), b'{"live":true}'
        if path == "/v2/health/ready":
            ready = self._holder.current is not None
            return (200 if ready else 503), (_JSON,), self._encode({"live": True, "ready": ready})
        if path == "/v2":
            about = {"name": "treadle", "version": self._version, "extensions": []}
            return 200, (_JSON,), self._encode(about)
        if path.startswith("/v2/models/"):
            if path.endswith("/ready"):
                self._model(path.removesuffix("/ready"))
                return 200, (_JSON,), self._encode({"name": self._options.model, "ready": True})
            return 200, (_JSON,), self._model(path).metadata
        raise _Refused(404, f"there is nothing at {path or '/'}; the model answers at {self._infer_path}")

    async def _flush(self) -> bytes:
        if self._shipper is not None:
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._shipper.flush, _FLUSH_TIMEOUT)
            except TreadleError as error:
                raise _Refused(error.status, error.message) from None
        return self._encode({"unlogged": self._stats.unlogged})
