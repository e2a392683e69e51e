"""Inference: from a request's bytes to its answer's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from treadle.deploy.replica import invocations, protocol, tensors
from treadle.deploy.replica.batcher import Answer, Batcher, Job, Outcome, Overloaded
from treadle.deploy.replica.fleet import Fleet
from treadle.deploy.replica.holder import Holder
from treadle.deploy.replica.intake import read_body, unpacked
from treadle.deploy.replica.protocol import InferenceRequest, InferenceResponse, OutputTensor, Wanted
from treadle.deploy.replica.reply import JSON, Denied, Gone, Receive, Reply, Scope, retry_after
from treadle.deploy.replica.residents import Residents
from treadle.deploy.replica.rows import Rows, read_rows
from treadle.deploy.replica.served import Served
from treadle.deploy.replica.testing import Twins, is_test
from treadle.deploy.replica.trials import KEY_HEADER, Tried
from treadle.deploy.replica.watch import Watch
from treadle.deploy.types import ReplicaOptions
from treadle.deploy.worker import Table, plain
from treadle.kernel.errors import InvalidInput, TreadleError
from treadle.kernel.names import did_you_mean

_HEADERS = (JSON,)
_BINARY = (b"content-type", b"application/octet-stream")
_encode = msgspec.json.Encoder().encode
# Reads a request as a model takes it: the request, and its rows.
Read: TypeAlias = Callable[[Served], tuple[Any, Rows]]


class Predicted(msgspec.Struct):
    """A request that was predicted.

    Attributes:
        model: What answered.
        request: What was asked.
        wanted: Which outputs.
        count: How many rows.
        answer: Their predictions.
    """

    model: Served
    request: InferenceRequest
    wanted: Wanted
    count: int
    answer: Answer

    def outputs(self, *, raw: bool | None = None) -> list[OutputTensor]:
        """The outputs that were asked for.

        Args:
            raw: Whether all of them go in binary, and so may stay in arrays; else those that are wanted so.
        """
        return [self._output(name, binary if raw is None else raw) for name, binary in self.wanted.items()]

    def _output(self, name: str, binary: bool) -> OutputTensor:
        found, rows = self.answer.outputs, self.count
        if name == protocol.PREDICTION_ID:
            return OutputTensor(name, (rows,), "BYTES", list(self.answer.ids))
        if not isinstance(found, Table):
            return OutputTensor(name, (rows,), "FP64", found if binary else self.answer.numbers())
        values, kind = found.columns[name], found.kind(name)
        data = values.ravel() if binary and kind != "string" else plain(values.ravel())
        return OutputTensor(name, values.shape, protocol.OUTPUT_TYPES[kind], data)

    def reply(self) -> Reply:
        """The answer by the Open Inference Protocol."""
        name, version = self.model.desk.model, str(self.model.version)
        outputs, ways = self.outputs(), list(self.wanted.values())
        if not any(ways):
            return Reply(200, _HEADERS, _encode(InferenceResponse(name, version, outputs, self.request.id)))
        told, binary = tensors.pack(list(zip(outputs, ways, strict=True)))
        head = _encode(InferenceResponse(name, version, told, self.request.id))
        length = (tensors.HEADER, b"%d" % len(head))
        return Reply(200, (_BINARY, length), head + binary)


def read_tensors(body: bytes, length: bytes | None, model: Served, max_rows: int) -> tuple[Any, Rows]:
    """A request in any form that the protocol allows, and its rows.

    Args:
        body: It, not compressed.
        length: ``Inference-Header-Content-Length``; without it all is JSON.
        model: The model that it asks.
        max_rows: The largest number of rows allowed.

    Raises:
        InvalidInput: If it isn't what the model takes.
    """
    text, binary = tensors.split(body, length)
    request = protocol.decode(text)
    tensors.attach(request, binary)
    return request, read_rows(request, model.inputs, max_rows)


class Inference:
    """Answers inference requests.

    Args:
        options: Limits.
        fleet: The models.
        batcher: Predicts.
        watch: Counts what is being received.
        residents: Loads models that are not in memory.
    """

    def __init__(
        self, options: ReplicaOptions, fleet: Fleet, batcher: Batcher, watch: Watch, residents: Residents
    ) -> None:
        self._options = options
        self._fleet = fleet
        self._batcher = batcher
        self._watch = watch
        self._residents = residents
        self._shadows: set[asyncio.Task[None]] = set()
        self._twins = Twins()

    async def infer(self, scope: Scope, receive: Receive, holder: Holder, version: str) -> Reply:
        """Answers by the Open Inference Protocol.

        Args:
            scope: The request.
            receive: Gives its body.
            holder: The model that it asks.
            version: The version that it asks; none in particular if empty.

        Raises:
            Denied: If it can't be answered, for its body or because nothing serves.
            Gone: If the caller hung up.
            InvalidInput: If it isn't what the model takes.
            TreadleError: If the model fails.
            Overloaded: If too many wait.
        """
        body = await self._body(scope, receive)

        def read(model: Served) -> tuple[Any, Rows]:
            return model.one_row.read(body) or self._read(scope, body, model)

        return (await self.predict(scope, receive, holder, version, read)).reply()

    async def predict(
        self, scope: Scope, receive: Receive, holder: Holder, version: str, read: Read
    ) -> Predicted:
        """Predicts a request whose body is here.

        Args:
            scope: The request.
            receive: Tells when the caller hangs up.
            holder: The model that it asks.
            version: The version that it asks; none in particular if empty.
            read: Reads it as a model takes it.

        Raises:
            Denied: If nothing serves.
            Gone: If the caller hung up.
            InvalidInput: If it isn't what the model takes.
            TreadleError: If the model fails.
            Overloaded: If too many wait.
        """
        if holder.current is None:
            await self._residents.ask(holder)
        tried, model, (request, rows) = self._choose(scope, holder, version, read)
        wanted = protocol.pick_outputs(request, model.loaded.signature)
        answer = await self._answer(tried, model, rows, scope["treadle.started"], receive, read)
        return Predicted(model, request, wanted, rows.count, answer)

    async def invoke(self, scope: Scope, receive: Receive, holder: Holder, version: str) -> Reply:
        """Answers by MLflow's scoring protocol; arguments and errors are those of :meth:`infer`."""
        body = await self._body(scope, receive)
        if holder.current is None:
            await self._residents.ask(holder)
        headers = dict(scope["headers"])
        body = unpacked(body, headers.get(b"content-encoding"), self._options.max_body)
        kind = headers.get(b"content-type", b"")

        def read(model: Served) -> tuple[Any, Rows]:
            return None, invocations.read(body, kind, model.inputs, self._options.max_rows)

        tried, model, (_, rows) = self._choose(scope, holder, version, read)
        answer = await self._answer(tried, model, rows, scope["treadle.started"], receive, read)
        found = answer.outputs
        told = found.predictions() if isinstance(found, Table) else answer.numbers()
        return Reply(200, _HEADERS, _encode({"predictions": told}))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """A request's body. What its caller takes to send it is no time that the server took to answer."""
        try:
            body = await read_body(scope, receive, self._options.max_body, self._watch)
        finally:
            scope["treadle.started"] = time.perf_counter()
        scope["treadle.body"] = True
        return body

    def _read(self, scope: Scope, body: bytes, model: Served) -> tuple[Any, Rows]:
        headers = dict(scope["headers"])
        body = unpacked(body, headers.get(b"content-encoding"), self._options.max_body)
        length = headers.get(tensors.HEADER)
        found = model.many_rows.read(body, self._options.max_rows) if length is None else None
        return found or read_tensors(body, length, model, self._options.max_rows)

    async def _predict(self, model: Served, rows: Rows, started: float, receive: Receive) -> Answer:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        job = Job(model, rows, started, future)
        if self._batcher.submit(job):
            await self._wait(job, future, receive)
        outcome = await future
        if not isinstance(outcome, Answer):
            raise outcome
        return outcome

    # ── trials ───────────────────────────────────────────────────────────

    def _choose(
        self, scope: Scope, holder: Holder, version: str, read: Read
    ) -> tuple[Tried | None, Served, tuple[Any, Rows]]:
        """What is in trial, if anything; what answers a request; and the request as that reads it.

        For a load test nothing is in trial: what comes of it counts for neither side.
        """
        tried, model, found = self._choose_any(scope, holder, version, read)
        return (None, self._twins.of(model), found) if is_test(scope) else (tried, model, found)

    def _choose_any(
        self, scope: Scope, holder: Holder, version: str, read: Read
    ) -> tuple[Tried | None, Served, tuple[Any, Rows]]:
        tried = holder.tried
        if tried is None:
            model = self.served(holder, version)
            return None, model, read(model)
        if version == str(tried.served.version):
            return tried, tried.served, read(tried.served)
        model = self.served(holder, version)
        found = read(model)
        key = next((value for name, value in scope["headers"] if name == KEY_HEADER), None)
        if not version and tried.takes(key, found[1], model.inputs.features):
            return tried, tried.served, read(tried.served)
        return tried, model, found

    async def _answer(
        self,
        tried: Tried | None,
        model: Served,
        rows: Rows,
        started: float,
        receive: Receive,
        read: Read,
    ) -> Answer:
        """Predicts; while something is in trial, what comes of it counts for whoever answers."""
        if tried is None:
            return await self._predict(model, rows, started, receive)
        arm = tried.trial if model is tried.served else tried.beside
        try:
            answer = await self._predict(model, rows, started, receive)
        except (Overloaded, Gone):
            raise
        except BaseException as error:  # a request that is cancelled took too long
            if type(error) is not InvalidInput:  # a model that is invalid is one as well
                arm.failed()
            raise
        arm.answered(time.perf_counter() - started, answer.numbers())
        # A shadow is asked what was just answered, unless the server has better things to do.
        if tried.shadow and arm is tried.beside and 2 * len(self._batcher) < self._options.max_queue:
            task = asyncio.get_running_loop().create_task(self._shadow(tried, read, answer))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)
        return answer

    async def _shadow(self, tried: Tried, read: Read, answer: Answer) -> None:
        started = time.perf_counter()
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        outcome: Outcome
        try:
            self._batcher.submit(Job(tried.served, read(tried.served)[1], started, future))
            outcome = await future
        except Overloaded:
            return
        except TreadleError as error:
            outcome = error
        if not isinstance(outcome, Answer):
            tried.trial.failed()
            return
        tried.trial.answered(time.perf_counter() - started, outcome.numbers())
        tried.compare(answer.numbers(), outcome.numbers())

    async def _wait(self, job: Job, outcome: asyncio.Future[Outcome], receive: Receive) -> None:
        """Waits for a request that may take a while; its place is free once nobody waits for it."""
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait((outcome, gone), return_when=asyncio.FIRST_COMPLETED)
            if not outcome.done():
                raise Gone
        finally:
            gone.cancel()
            if not outcome.done():
                outcome.cancel()
                self._batcher.withdraw(job)

    def holder(self, model: str) -> Holder:
        """What holds a model.

        Raises:
            Denied: If it isn't served here (404).
        """
        found = self._fleet.find(model)
        if found is None:
            names = self._fleet.names
            here = f"{names[0]!r} is" if len(names) == 1 else did_you_mean(model, names)
            raise Denied(404, f"model {model!r} is not served here; {here}")
        return found

    def served(self, holder: Holder, version: str) -> Served:
        """What answers for a model.

        Raises:
            Denied: If nothing does yet (503), or not this version (404).
        """
        model = holder.pick()
        if model is None:
            raise Denied(
                503, "no version of the model has been loaded yet; try again in a moment", retry_after(1)
            )
        if version and version != str(model.version):
            raise Denied(404, f"version {version!r} is not served here; version {model.version} is")
        return model


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
