"""The server's routes: the Open Inference Protocol v2, metrics and administration.

A bare ASGI callable: on this path every microsecond is paid by every request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from treadle.deploy.replica.batcher import Batcher, Overloaded
from treadle.deploy.replica.document import document
from treadle.deploy.replica.fleet import Fleet
from treadle.deploy.replica.holder import Holder
from treadle.deploy.replica.infer import Inference
from treadle.deploy.replica.intake import read_body
from treadle.deploy.replica.metrics import Metrics
from treadle.deploy.replica.pulse import Pulse
from treadle.deploy.replica.reply import (
    CLOSE,
    JSON,
    Denied,
    Gone,
    Header,
    Receive,
    Reply,
    Scope,
    Send,
    retry_after,
)
from treadle.deploy.replica.residents import Residents
from treadle.deploy.replica.shipper import Shipper
from treadle.deploy.replica.testing import is_test
from treadle.deploy.replica.watch import Watch
from treadle.deploy.types import ReplicaOptions
from treadle.kernel.errors import InvalidInput, TreadleError, Unavailable

log = logging.getLogger("treadle.replica")

_MODELS = "/v2/models/"
_FLUSH_TIMEOUT = 20.0
_MLFLOW_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 503: "TEMPORARILY_UNAVAILABLE"}
_INDEX_BODY = 10_000
_REPOSITORY = "/v2/repository/models/"
_EXTENSIONS = ["binary_tensor_data", "model_repository"]
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
# What nginx notes of a caller that hung up before its answer.
_HUNG_UP = 499


Ask: TypeAlias = Callable[[Scope, Receive, Holder, str], Awaitable[Reply]]


class _Index(msgspec.Struct):
    """What the index is asked: all models, or those that are ready."""

    ready: bool = False


class About(msgspec.Struct):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class App:
    """Answers requests.

    Args:
        options: Limits.
        fleet: The models.
        batcher: Predicts.
        shipper: Ships predictions; None when they are not kept.
        residents: Loads models, and lets go of them.
        pulse: Knows whether predictions come back.
        version: Treadle's version.

    Attributes:
        watch: The requests in hand.
        inference: Answers those that ask a model.
        draining: Whether the server is about to end: it answers, asks to be left alone, and
            keeps no connection.
    """

    def __init__(
        self,
        options: ReplicaOptions,
        fleet: Fleet,
        batcher: Batcher,
        shipper: Shipper | None,
        residents: Residents,
        pulse: Pulse,
        version: str,
    ) -> None:
        self._options = options
        self._fleet = fleet
        self._batcher = batcher
        self._shipper = shipper
        self._residents = residents
        self._pulse = pulse
        self._version = version
        self.watch = Watch(options.timeout)
        self.draining = False
        self.inference = Inference(options, fleet, batcher, self.watch, residents)
        self._encode = msgspec.json.Encoder().encode
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Metrics(fleet.holders, batcher.__len__, self.watch.__len__))

    def drain(self) -> None:
        """The server is about to end."""
        self.draining = True

    def tick(self) -> None:
        """What is looked after ten times a second."""
        self._pulse.tick()
        self.watch.sweep()
        self._residents.trim()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        path: str = scope["path"]
        try:
            if path.endswith("/infer") and path.startswith(_MODELS):
                name, _, version = path[len(_MODELS) : -len("/infer")].partition("/versions/")
                ask = self.inference.infer
                status, headers, body = await self.asked(ask, name, version, scope, receive)
            elif path.endswith("/invocations"):
                name = self._invoked(path.removesuffix("/invocations"))
                ask = self.inference.invoke
                status, headers, body = await self.asked(ask, name, "", scope, receive)
                if status != 200:
                    body = self._mlflow_error(status, body)
            else:
                status, headers, body = await self._other(path, scope, receive)
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            status, headers, body = self.failed(error)
        if self.draining:
            headers = (*headers, CLOSE)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, (b"content-length", b"%d" % len(body))],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def asked(
        self,
        ask: Ask,
        name: str,
        version: str,
        scope: Scope,
        receive: Receive,
        failed: Callable[[Exception], Reply] | None = None,
    ) -> Reply:
        """Asks a model, and counts how it went.

        Args:
            ask: Asks it.
            name: The model.
            version: The version that is asked; none in particular if empty.
            scope: The request.
            receive: Gives its body.
            failed: What an error is answered with, in place of :meth:`failed`.

        Raises:
            Denied: If the model isn't served here (404).
            Gone: If the caller hung up.
        """
        failed = failed or self.failed
        holder = self.inference.holder(name)
        started = scope["treadle.started"] = holder.used = time.perf_counter()
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]
        watch, reply = self.watch, None
        try:
            self._admit(scope["method"])
            watch.enter(task, started)
            try:
                reply = await ask(scope, receive, holder, version)
            finally:
                watch.leave(task)
        except asyncio.CancelledError:
            if not watch.ended(task):
                raise
            reply = failed(self._late(received="treadle.body" in scope))
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            reply = failed(error)
        finally:
            ended = time.perf_counter()
            if not is_test(scope):
                took = ended - scope["treadle.started"]  # since its body was here
                holder.desk.stats.answered(reply.status if reply else _HUNG_UP, ended, took)
        return reply

    def _invoked(self, path: str) -> str:
        """The model that ``/invocations``, or ``/models/NAME/invocations``, asks."""
        names = self._fleet.names
        if path.startswith("/models/"):
            return path.removeprefix("/models/")
        if path or len(names) != 1:
            raise Denied(404, f"of several models each has its own, such as /models/{names[0]}/invocations")
        return names[0]

    def _mlflow_error(self, status: int, body: bytes) -> bytes:
        code = _MLFLOW_CODES.get(status, "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST")
        return self._encode({"error_code": code, "message": msgspec.json.decode(body)["error"]})

    def _admit(self, method: str) -> None:
        if len(self.watch) >= self._options.max_concurrency:
            raise Overloaded(len(self.watch), self._batcher.owed)
        if method != "POST":
            raise Denied(405, "inference is asked for by POST", (b"allow", b"POST"))

    def _late(self, *, received: bool) -> Denied:
        limit = f"{self._options.timeout:g} s"
        if received:
            return Denied(504, f"no answer within {limit}; send fewer rows, or raise [serve] timeout", CLOSE)
        return Denied(408, f"the body did not arrive within {limit} of its headers", CLOSE)

    def failed(self, error: Exception) -> Reply:
        """What an error is answered with."""
        status, message = 500, "the server failed; its log says why"
        headers: tuple[Header, ...] = (JSON,)
        if isinstance(error, Denied):
            status, message, headers = error.status, str(error), (JSON, *error.headers)
        elif isinstance(error, Overloaded):
            status, headers = 503, (JSON, retry_after(error.seconds))
            message = f"{error.waiting} requests wait already; try again in a moment"
        elif isinstance(error, Unavailable):
            status, message, headers = 503, error.message, (JSON, retry_after(1))
        elif isinstance(error, TreadleError):
            # A model that fails on an input is the server's fault; an input that can't be, the caller's.
            status = 400 if type(error) is InvalidInput else 500
            message = f"{error.where}: {error.message}" if error.where else error.message
        else:
            log.error("a request failed", exc_info=error)
        return Reply(status, headers, self._encode({"error": message}))

    # ── everything else ──────────────────────────────────────────────────

    async def _other(self, path: str, scope: Scope, receive: Receive) -> Reply:
        method = scope["method"]
        if path in ("/treadle/flush", "/v2/repository/index") or path.startswith(_REPOSITORY):
            if method != "POST":
                raise Denied(405, f"{path} is asked for by POST", (b"allow", b"POST"))
            return await self._administer(path, scope, receive)
        if method not in ("GET", "HEAD"):
            raise Denied(405, f"{path} is asked for by GET", (b"allow", b"GET"))
        if path == "/metrics":
            kind = (b"content-type", CONTENT_TYPE_LATEST.encode())
            return Reply(200, (kind,), generate_latest(self._registry))
        if path in ("/ping", "/health", "/version"):
            return self._mlflow(path)
        if path == "/openapi.json":
            served = [served for holder in self._fleet.holders if (served := holder.pick())]
            return self._json(document(served, self._version, self._options.max_rows))
        if path.startswith(_MODELS):
            return await self._describe_model(path.rstrip("/").removeprefix(_MODELS))
        return self._describe(path.rstrip("/"))

    def _mlflow(self, path: str) -> Reply:
        """What MLflow's scoring server answers to probes: an empty line once it is ready; its version."""
        if path == "/version":
            return Reply(200, (_TEXT,), self._version.encode())
        return Reply(200 if self.ready() else 404, (JSON,), b"\n")

    async def _index(self, scope: Scope, receive: Receive) -> Reply:
        """Triton's model repository extension: which models are here, and how they are."""
        try:
            async with asyncio.timeout(self._options.timeout):
                body = await read_body(scope, receive, _INDEX_BODY, self.watch)
        except TimeoutError:
            raise self._late(received=False) from None
        try:
            asked = msgspec.json.decode(body or b"{}", type=_Index)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Denied(400, f"the body is no question for the index: {error}") from None
        entries = []
        for holder in self._fleet.holders:
            served = holder.pick()
            ready = served is not None and holder.ready()
            if asked.ready and not ready:
                continue
            reason = "" if ready else ("it fails at everything" if served else "nothing has been loaded yet")
            if holder.asleep:
                reason = "unloaded; it is loaded when it is asked"
            version = str(served.version) if served else ""
            state = "READY" if ready else "UNAVAILABLE"
            entries.append({"name": holder.desk.model, "version": version, "state": state, "reason": reason})
        return self._json(entries)

    async def _administer(self, path: str, scope: Scope, receive: Receive) -> Reply:
        if path == "/treadle/flush":
            return await self._flush()
        if path == "/v2/repository/index":
            return await self._index(scope, receive)
        return await self._repository(path.removeprefix(_REPOSITORY))

    async def _repository(self, path: str) -> Reply:
        """Triton's model repository extension: loads a model now, or lets go of it until it is asked."""
        name, _, what = path.rpartition("/")
        if what not in ("load", "unload"):
            raise Denied(404, f"a model is loaded or unloaded by POST {_REPOSITORY}NAME/load or /unload")
        holder = self.inference.holder(name)
        if what == "unload":
            self._residents.unload(holder)
        else:
            holder.used = time.perf_counter()
            await self._residents.ask(holder)
            self.inference.served(holder, "")
        return self._json({})

    def _describe(self, path: str) -> Reply:
        if path == "/v2/health/live":
            return self._json({"live": True})
        if path == "/v2/health/ready":
            ready, hangs = self.ready(), self._pulse.overdue()
            told = {"live": True, "ready": ready} | ({"hangs": hangs} if hangs else {})
            return self._json(told, 200 if ready else 503)
        if path == "/v2":
            return self._json(self.about())
        names = self._fleet.names
        raise Denied(404, f"there is nothing at {path or '/'}; a model answers at {_MODELS}{names[0]}/infer")

    def ready(self) -> bool:
        """Whether every model answers, and goes on to."""
        return self._fleet.ready() and not self.draining and not self._pulse.overdue()

    def about(self) -> About:
        """What the server is."""
        return About("treadle", self._version, _EXTENSIONS)

    def model_ready(self, name: str, version: str) -> bool:
        """Whether a model answers, or would once it is asked.

        Raises:
            Denied: If it, or its version, isn't served here (404), or nothing is yet (503).
        """
        holder = self.inference.holder(name)
        if not holder.asleep:
            self.inference.served(holder, version)
        return holder.ready()

    async def model_about(self, name: str, version: str) -> bytes:
        """What a model takes and gives, as JSON.

        Raises:
            Denied: If it, or its version, isn't served here (404), or can't be loaded (503).
        """
        holder = self.inference.holder(name)
        await self._residents.ask(holder)
        return self.inference.served(holder, version).metadata

    async def _describe_model(self, path: str) -> Reply:
        asked, _, more = path.removesuffix("/ready").partition("/versions/")
        if path.endswith("/ready"):
            ready = self.model_ready(asked, more)
            return self._json({"name": asked, "ready": ready}, 200 if ready else 503)
        return Reply(200, (JSON,), await self.model_about(asked, more))

    def _json(self, body: object, status: int = 200) -> Reply:
        return Reply(status, (JSON,), self._encode(body))

    async def _flush(self) -> Reply:
        if self._shipper is not None:
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._shipper.flush, _FLUSH_TIMEOUT)
            except TreadleError as error:
                raise Denied(error.status, error.message) from None
        return self._json({"unlogged": sum(holder.desk.stats.unlogged for holder in self._fleet.holders)})
