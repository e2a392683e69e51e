"""An API that answers with values given by the test, and what a command printed before it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from treadle.client.transport import Answer
from treadle.kernel.errors import TreadleError
from treadle.kernel.names import unknown


def plain(text: str) -> str:
    """What a terminal would show: text without styles."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


class Asked(msgspec.Struct):
    """A request that the command line made."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


class Wire:
    """A transport that answers from a table of ``METHOD PATH`` patterns.

    An answer is a value, an error to raise, a function of the request, or an iterator of answers.
    """

    def __init__(self, name: str = "http://treadle.test") -> None:
        self.name = name
        self.answers: dict[str, Any] = {}
        self.asked: list[Asked] = []
        self.closed = False

    def send(self, method: str, target: str, body: Any = b"", headers: Any = None) -> Answer:
        path, _, query = target.partition("?")
        raw = body if isinstance(body, bytes) else b"".join(body)
        asked = Asked(method, path, dict(parse_qsl(query)), raw)
        self.asked.append(asked)
        try:
            value = self._answer(asked)
        except TreadleError as error:
            return Answer(error.status, iter([msgspec.json.encode(error.body())]))
        return Answer(200, iter([value if isinstance(value, bytes) else msgspec.json.encode(value)]))

    def _answer(self, asked: Asked) -> Any:
        where = f"{asked.method} {asked.path}"
        for pattern, answer in self.answers.items():
            if re.fullmatch(pattern, where):
                given = answer
                while isinstance(given, Iterator):
                    given = next(given)
                if callable(given):
                    given = given(asked)
                if isinstance(given, Exception):
                    raise given
                return given
        if where == "POST /v1/required-load-test":
            return None  # none is due unless the test says so
        raise unknown("route", where, self.answers)

    def close(self) -> None:
        self.closed = True

    def made(self, pattern: str) -> list[Asked]:
        """The requests that fit a pattern."""
        return [asked for asked in self.asked if re.fullmatch(pattern, f"{asked.method} {asked.path}")]


class Result(msgspec.Struct):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self, kind: Any = Any) -> Any:
        return msgspec.json.decode(self.out, type=kind)


Call = Callable[..., Result]
