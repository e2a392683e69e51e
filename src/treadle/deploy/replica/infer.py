"""Inference: from a request's bytes to its answer's."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from treadle.deploy.replica import invocations, protocol, tensors
from treadle.deploy.replica.batcher import Answer, Batcher, Job, Outcome
from treadle.deploy.replica.fleet import Fleet
from treadle.deploy.replica.holder import Holder, Served
from treadle.deploy.replica.intake import read_body, unpacked
from treadle.deploy.replica.protocol import InferenceResponse, OutputTensor, Wanted
from treadle.deploy.replica.reply import JSON, Denied, Gone, Receive, Reply, Scope, retry_after
from treadle.deploy.replica.rows import Rows, read_rows
from treadle.deploy.replica.watch import Watch
from treadle.deploy.types import ReplicaOptions
from treadle.kernel.names import did_you_mean

_HEADERS = (JSON,)


class Inference:
    """Answers inference requests.

    Args:
        options: Limits.
        fleet: The models.
        batcher: Predicts.
        watch: Counts what is being received.
    """

    def __init__(self, options: ReplicaOptions, fleet: Fleet, batcher: Batcher, watch: Watch) -> None:
        self._options = options
        self._fleet = fleet
        self._batcher = batcher
        self._watch = watch
        self._encode = msgspec.json.Encoder().encode

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
        started: float = scope["treadle.started"]
        body = await read_body(scope, receive, self._options.max_body, self._watch)
        scope["treadle.body"] = True
        model = self.served(holder, version)
        read = model.one_row.read(body)
        if read:
            request, rows = read
        else:
            request, rows = self._read(scope, body, model)
        output = model.loaded.signature.output
        wanted = protocol.pick_outputs(request, output)
        answer = await self._predict(model, rows, started, receive)
        outputs = []
        if wanted.value is not None:
            outputs.append(OutputTensor(output, (rows.count,), "FP64", answer.outputs))
        if wanted.ids is not None:
            outputs.append(OutputTensor(protocol.PREDICTION_ID, (rows.count,), "BYTES", answer.ids))
        if wanted.value or wanted.ids:
            return self._binary(holder.desk.model, model, request.id, outputs, wanted)
        response = InferenceResponse(holder.desk.model, str(model.version), outputs, request.id)
        return Reply(200, _HEADERS, self._encode(response))

    async def invoke(self, scope: Scope, receive: Receive, holder: Holder, version: str) -> Reply:
        """Answers by MLflow's scoring protocol; arguments and errors are those of :meth:`infer`."""
        started: float = scope["treadle.started"]
        body = await read_body(scope, receive, self._options.max_body, self._watch)
        scope["treadle.body"] = True
        model = self.served(holder, version)
        headers = dict(scope["headers"])
        body = unpacked(body, headers.get(b"content-encoding"), self._options.max_body)
        kind = headers.get(b"content-type", b"")
        rows = invocations.read(body, kind, model.inputs, self._options.max_rows)
        answer = await self._predict(model, rows, started, receive)
        return Reply(200, _HEADERS, self._encode({"predictions": answer.outputs}))

    def _binary(
        self, name: str, model: Served, request: str | None, outputs: list[OutputTensor], wanted: Wanted
    ) -> Reply:
        ways = [way for way in wanted if way is not None]
        told, binary = tensors.pack(list(zip(outputs, ways, strict=True)))
        head = self._encode(InferenceResponse(name, str(model.version), told, request))
        length = (tensors.HEADER, b"%d" % len(head))
        return Reply(200, ((b"content-type", b"application/octet-stream"), length), head + binary)

    def _read(self, scope: Scope, body: bytes, model: Served) -> tuple[Any, Rows]:
        headers = dict(scope["headers"])
        body = unpacked(body, headers.get(b"content-encoding"), self._options.max_body)
        text, binary = tensors.split(body, headers.get(tensors.HEADER))
        request = protocol.decode(text)
        tensors.attach(request, binary)
        return request, read_rows(request, model.inputs, self._options.max_rows)

    async def _predict(self, model: Served, rows: Rows, started: float, receive: Receive) -> Answer:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        job = Job(model, rows, started, future)
        if self._batcher.submit(job):
            await self._wait(job, future, receive)
        outcome = await future
        if not isinstance(outcome, Answer):
            raise outcome
        return outcome

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
