"""The short way for the most common requests: one row as JSON, or a quick batch in binary.

They are whole when they arrive, or a moment later: clients send a body after its headers. uvicorn makes a
scope, a task and an event for each request; asyncio a future for each wait. Together they cost more than a
small model. What can be read at once, and will be predicted in this turn of the event loop, is answered
without any of them. All else goes uvicorn's way as if this were not here.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from treadle.deploy.replica.app import App
from treadle.deploy.replica.batcher import Answer, Batcher, Job, Outcome
from treadle.deploy.replica.fleet import Fleet
from treadle.deploy.replica.holder import Holder
from treadle.deploy.replica.infer import Predicted, read_tensors
from treadle.deploy.replica.protocol import (
    PREDICTION_ID,
    InferenceResponse,
    OutputTensor,
    Wanted,
    pick_outputs,
)
from treadle.deploy.replica.reply import JSON, Header
from treadle.deploy.replica.rows import Rows
from treadle.deploy.replica.served import Served
from treadle.deploy.replica.tensors import HEADER
from treadle.deploy.replica.testing import has_test
from treadle.deploy.types import ReplicaOptions

_encode = msgspec.json.Encoder().encode
_PLAIN = (JSON,)
_ENCODING = b"content-encoding"
# Bytes of the widest number.
_WIDEST = 8
# Seconds for which the rest of a body is waited for, and the largest body for which it is.
_MOMENT = 0.005
_NEAR = 1 << 20


class Door:
    """Decides which requests go the short way, and has them predicted.

    Args:
        options: Limits.
        app: Answers all others.
        fleet: The models.
        batcher: Predicts.
    """

    def __init__(self, options: ReplicaOptions, app: App, fleet: Fleet, batcher: Batcher) -> None:
        self._app = app
        self._batcher = batcher
        self._max_body = options.max_body
        self._max_rows = options.max_rows
        self._max_concurrency = options.max_concurrency
        self._holders = {f"/v2/models/{name}/infer".encode(): fleet.find(name) for name in fleet.names}

    def find(self, url: bytes) -> Holder | None:
        """The model that is asked at an address; None if it isn't one of inference, or one is in trial."""
        found = self._holders.get(url)
        return found if found is None or found.tried is None else None

    def enter(self, holder: Holder, body: bytes, connection: ShortWay) -> bool:
        """Takes a request if it can go the short way; it is answered in this turn of the event loop."""
        app, model = self._app, holder.pick()
        if model is None or holder.tried is not None or app.draining or len(body) > self._max_body:
            return False
        if len(app.watch) >= self._max_concurrency:
            return False
        started = holder.used = time.perf_counter()
        try:
            read = self._read(body, connection.headers, model)
            if read is None:
                return False
            request, rows, wanted = read
            seat = _Seat(app, connection, started, request, model, wanted, rows.count)
            self._batcher.submit(Job(model, rows, started, seat))
        except Exception:  # noqa: BLE001 - whatever it is, uvicorn's way finds it again and tells it
            return False
        return True

    def _read(
        self, body: bytes, headers: list[Header], model: Served
    ) -> tuple[Any, Rows, Wanted | None] | None:
        """A request, its rows, and the outputs that it names; None if it can't go the short way.

        Raises:
            InvalidInput: If it isn't what the model takes.
        """
        length = next((value for name, value in headers if name == HEADER), None)
        if length is None:
            read = model.one_row.read(body)
            if read is None or read[0].outputs or read[0].parameters is not None:
                return None
            return (*read, None) if self._batcher.is_brief(model, 1) else None
        # At least so many rows, if a number has at most 8 bytes: what can't be answered now isn't read now.
        fewest = len(body) // (_WIDEST * len(model.inputs.features))
        if not self._is_quick(model, fewest) or any(name == _ENCODING for name, _ in headers):
            return None
        request, rows = read_tensors(body, length, model, self._max_rows)
        if not self._is_quick(model, rows.count):
            return None
        return request, rows, pick_outputs(request, model.loaded.signature)

    def _is_quick(self, model: Served, rows: int) -> bool:
        return self._batcher.is_brief(model, rows) or self._batcher.is_moment(model, rows)

    def flush(self) -> None:
        """Answers what was taken, so that what comes after it on its connection is answered after it."""
        self._batcher.flush()


class _Seat:
    """Where the outcome of a request goes, in place of a future: straight to its connection."""

    __slots__ = ("_app", "_connection", "_count", "_model", "_request", "_started", "_wanted")

    def __init__(
        self,
        app: App,
        connection: ShortWay,
        started: float,
        request: Any,
        model: Served,
        wanted: Wanted | None,
        count: int,
    ) -> None:
        self._app = app
        self._connection = connection
        self._started = started
        self._request = request
        self._model = model
        self._wanted = wanted
        self._count = count

    def done(self) -> bool:
        """Never before its outcome is set."""
        return False

    def set_result(self, outcome: Outcome) -> None:
        """Writes the answer."""
        status: int = 200
        headers: tuple[Header, ...] = _PLAIN
        model = self._model
        if type(outcome) is not Answer:
            status, headers, body = self._app.failed(outcome)  # type: ignore[arg-type]
        elif self._wanted is not None:
            found = Predicted(model, self._request, self._wanted, self._count, outcome)
            status, headers, body = found.reply()
        else:
            outputs = [
                OutputTensor(model.loaded.signature.output, (1,), "FP64", outcome.outputs),
                OutputTensor(PREDICTION_ID, (1,), "BYTES", list(outcome.ids)),
            ]
            response = InferenceResponse(model.desk.model, str(model.version), outputs, self._request.id)
            body = _encode(response)
        self._connection.answer(status, headers, body)
        ended = time.perf_counter()
        model.desk.stats.answered(status, ended, ended - self._started)


class ShortWay(HttpToolsProtocol):
    """uvicorn's protocol, with a short way past it.

    Attributes:
        door: Decides which requests take it; set on a subclass.
        reading: Whether a request has begun and is not all here.
        answered: How many requests went the short way.
    """

    door: Door | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reading = False
        self.answered = 0
        self._asked: Holder | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._body = b""
        self._heads: tuple[object, bytes] = (None, b"")

    def data_received(self, data: bytes) -> None:
        """Takes what arrived; the rest of a request must come at once for it to go the short way."""
        super().data_received(data)
        if self._asked is None or self._rest is not None:
            return
        if self._is_near():
            self._rest = self.loop.call_later(_MOMENT, self._give_up)
        else:
            self._give_up()

    def _is_near(self) -> bool:
        """Whether the body is one that is likely to be on its way, and has its length told."""
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return length.isdigit() and int(length) <= _NEAR

    def _give_up(self) -> None:
        """Goes uvicorn's way with what is there of a request."""
        self._stop_waiting()
        if self._asked is not None:
            self._asked = None
            self._long_way()
            if self._body:
                super().on_body(self._body)

    def _stop_waiting(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def on_message_begin(self) -> None:
        """A request begins; uvicorn's scope for it is made when it turns out to be needed."""
        self.reading = True
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._body = b""

    def on_headers_complete(self) -> None:
        """Its headers are there: which way does it go?"""
        holder = self.door.find(self.url) if self.door else None
        if holder is not None and self._is_plain():
            self._asked = holder
        else:
            self._long_way()

    def _is_plain(self) -> bool:
        parser, cycle = self.parser, self.cycle
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not has_test(self.headers)
            and (cycle is None or cycle.response_complete)
        )

    def _long_way(self) -> None:
        if self.door:
            self.door.flush()
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        if self._asked is None:
            super().on_body(body)
        else:
            self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """It is all here."""
        self.reading = False
        self._stop_waiting()
        holder, self._asked = self._asked, None
        if holder is None:
            super().on_message_complete()
        elif self.door is None or not self.door.enter(holder, self._body, self):
            self._long_way()
            if self._body:
                super().on_body(self._body)
            super().on_message_complete()

    def answer(self, status: int, headers: tuple[Header, ...], body: bytes) -> None:
        """Writes an answer, unless the caller has hung up."""
        self.answered += 1
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if status == 200 and headers == _PLAIN:
            head = self._head()
        else:
            head = self._line(status, (*self.server_state.default_headers, *headers))
        self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))

    def _head(self) -> bytes:
        """The head of a good answer, made anew when uvicorn has made its `date` anew."""
        defaults = self.server_state.default_headers
        if self._heads[0] is not defaults:
            self._heads = (defaults, self._line(200, (*defaults, JSON)))
        return self._heads[1]

    @staticmethod
    def _line(status: int, headers: tuple[Header, ...]) -> bytes:
        return STATUS_LINE[status] + b"".join(b"%s: %s\r\n" % header for header in headers)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has hung up."""
        self._stop_waiting()
        self._asked = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends: what was taken is answered first."""
        self._give_up()
        if self.door:
            self.door.flush()
        super().shutdown()
