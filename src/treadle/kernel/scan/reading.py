"""Reading a condition that a person wrote: ``price * amount <= total AND country IN ('DE', 'FR')``.

A small part of SQL's expressions, read by recursive descent into values of
:mod:`treadle.kernel.scan.expressions`. No engine ever sees what was written, so nothing can be
smuggled in: there are no statements, no sub-queries and no functions but those of the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TypeAlias, cast

import msgspec

from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.patterns import like, portable

_LONGEST = 2000
_DEEPEST = 40
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<text>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")+")
  | (?P<word>[^\W\d]\w*)
  | (?P<symbol><=|>=|<>|!=|==|[-+*/%()=<>,])
  )""",
    re.VERBOSE,
)
_WORDS = {
    "and", "or", "not", "is", "null", "in", "between", "like", "true", "false", "date", "timestamp",
}  # fmt: skip
_COMPARISONS: dict[str, ex.Comparison] = {
    "=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip

Level: TypeAlias = Callable[[], ex.Expression]


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int


def read(text: str, where: str) -> ex.Expression:
    """The condition that a text says.

    Args:
        text: At most 2,000 characters.
        where: What to call the place in errors.

    Raises:
        InvalidInput: With the place in the text where it can't be understood.
    """
    if len(text) > _LONGEST:
        raise InvalidInput(f"the condition is longer than {_LONGEST:,} characters", where=where)
    return _Reader(text, where).read()


def _tokens(text: str, where: str) -> list[_Token]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            at = len(text) - len(rest)
            raise InvalidInput(f"{rest[:1]!r} can't stand in a condition", where=_place(where, text, at))
        kind = cast("str", match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return found


def _place(where: str, text: str, at: int) -> str:
    return f"{where}, at character {at + 1} of `{text}`"


class _Reader:
    """Recursive descent over the tokens, from the loosest binding to the tightest."""

    def __init__(self, text: str, where: str) -> None:
        self._text, self._where = text, where
        self._tokens = _tokens(text, where)
        self._next, self._depth = 0, 0

    def read(self) -> ex.Expression:
        found = self._any()
        if self._peek():
            raise self._wrong("the end")
        return found

    def _any(self) -> ex.Expression:
        return self._chain("or", self._all, ex.Any)

    def _all(self) -> ex.Expression:
        return self._chain("and", self._not, ex.All)

    def _chain(self, word: str, level: Level, node: type[ex.Any | ex.All]) -> ex.Expression:
        found = [level()]
        while self._word(word):
            found.append(level())
        return found[0] if len(found) == 1 else node(tuple(found))

    def _not(self) -> ex.Expression:
        return self._deeper(lambda: ex.Not(self._not())) if self._word("not") else self._comparison()

    def _comparison(self) -> ex.Expression:
        left = self._sum()
        token = self._peek()
        if token and token.kind == "symbol" and token.text in _COMPARISONS:
            self._next += 1
            return ex.Compare(_COMPARISONS[token.text], left, self._sum())
        if self._word("is"):
            negated = self._word("not")
            self._need("null")
            return ex.Not(ex.IsMissing(left)) if negated else ex.IsMissing(left)
        negated = self._word("not")
        found = self._tested(left)
        if found is None:
            if negated:
                raise self._wrong("IN, BETWEEN or LIKE")
            return left
        return ex.Not(found) if negated else found

    def _tested(self, left: ex.Expression) -> ex.Expression | None:
        if self._word("in"):
            self._need("(")
            values = [self._constant()]
            while self._symbol(","):
                values.append(self._constant())
            self._need(")")
            return ex.In(left, tuple(values))
        if self._word("between"):
            low = self._sum()
            self._need("and")
            return ex.All((ex.Compare(">=", left, low), ex.Compare("<=", left, self._sum())))
        if self._word("like"):
            return ex.Matches(left, portable(like(self._string()), self._where))
        return None

    def _sum(self) -> ex.Expression:
        return self._arithmetic(("+", "-"), self._product)

    def _product(self) -> ex.Expression:
        return self._arithmetic(("*", "/", "%"), self._unary)

    def _arithmetic(self, operators: tuple[ex.Operation, ...], level: Level) -> ex.Expression:
        found, links = level(), 0
        while operator := next((one for one in operators if self._symbol(one)), None):
            found, links = ex.Compute(operator, found, level()), links + 1
            if self._depth + links > _DEEPEST:
                raise self._deep()
        return found

    def _unary(self) -> ex.Expression:
        if self._symbol("-"):
            inner = self._deeper(self._unary)
            if isinstance(inner, ex.Value) and isinstance(inner.value, int | float):
                return ex.Value(-inner.value)
            return ex.Compute("-", ex.Value(0), inner)
        return self._primary()

    def _primary(self) -> ex.Expression:
        token = self._peek()
        if token is None:
            raise self._wrong("a value")
        if token.kind in {"number", "text"} or self._keyword(token) in {"true", "false", "date", "timestamp"}:
            return ex.Value(self._constant())
        if self._symbol("("):
            found = self._deeper(self._any)
            self._need(")")
            return found
        if token.kind == "quoted":
            self._next += 1
            return ex.Name(token.text[1:-1].replace('""', '"'))
        if token.kind == "word" and token.text.lower() not in _WORDS:
            self._next += 1
            return self._call(token) if self._symbol("(") else ex.Name(token.text)
        raise self._wrong("a value")

    def _call(self, token: _Token) -> ex.Expression:
        function = token.text.lower()
        known = {*ex.FUNCTIONS, "matches"}
        if function not in known:
            raise InvalidInput(
                f"there is no function {token.text!r}",
                where=_place(self._where, self._text, token.at),
                fix=did_you_mean(function, known),
            )
        if function == "matches":
            part = self._deeper(self._any)
            self._need(",")
            pattern = portable(self._string(), self._where)
            self._need(")")
            return ex.Matches(part, pattern)
        arguments = [self._deeper(self._any)]
        while self._symbol(","):
            arguments.append(self._deeper(self._any))
        self._need(")")
        return ex.Call(function, tuple(arguments))

    def _constant(self) -> Scalar:
        negative = self._symbol("-")
        token = self._peek()
        word = self._keyword(token)
        if token is None or (token.kind not in {"number", "text"} and not word):
            raise self._wrong("a constant")
        self._next += 1
        if token.kind == "number":
            number = float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
            return -number if negative else number
        if negative:
            raise self._wrong("a number")
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'")
        if word in {"true", "false"}:
            return word == "true"
        if word in {"date", "timestamp"}:
            return self._moment(word, token)
        self._next -= 1
        raise self._wrong("a constant")

    def _moment(self, word: str, token: _Token) -> Scalar:
        written = self._string()
        try:
            if word == "date":
                return date.fromisoformat(written)
            found = datetime.fromisoformat(written)
        except ValueError:
            raise InvalidInput(
                f"{written!r} is no {word}",
                where=_place(self._where, self._text, token.at),
                fix="write it as 2026-01-31" + (" 12:30:00" if word == "timestamp" else ""),
            ) from None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    def _string(self) -> str:
        token = self._peek()
        if token is None or token.kind != "text":
            raise self._wrong("a text in single quotes")
        self._next += 1
        return token.text[1:-1].replace("''", "'")

    def _deeper(self, level: Level) -> ex.Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._deep()
        found = level()
        self._depth -= 1
        return found

    def _deep(self) -> InvalidInput:
        return InvalidInput(
            "the condition is nested too deeply", where=self._where, fix="write it as several"
        )

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _keyword(self, token: _Token | None) -> str:
        word = token.text.lower() if token and token.kind == "word" else ""
        return word if word in _WORDS else ""

    def _word(self, word: str) -> bool:
        found = self._keyword(self._peek()) == word
        self._next += found
        return found

    def _symbol(self, symbol: str) -> bool:
        token = self._peek()
        found = token is not None and token.kind == "symbol" and token.text == symbol
        self._next += found
        return found

    def _need(self, what: str) -> None:
        if not (self._symbol(what) or self._word(what)):
            raise self._wrong(what.upper())

    def _wrong(self, expected: str) -> InvalidInput:
        token = self._peek()
        found = f"{token.text!r}" if token else "the end"
        at = token.at if token else len(self._text)
        return InvalidInput(
            f"{expected} was expected, and there is {found}", where=_place(self._where, self._text, at)
        )
