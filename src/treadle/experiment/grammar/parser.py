"""The reader behind the five filters: tokens into comparisons, by recursive descent."""

from __future__ import annotations

from typing import NoReturn

from treadle.experiment.grammar.fields import Field, Grammar, resolve
from treadle.experiment.grammar.tokens import Token, refuse, show, tokenize
from treadle.experiment.grammar.types import Comparison, Op, Value

_SOURCE = "filter"
_SIGNS: dict[str, Op] = {"=": "=", "!=": "!=", ">": ">", ">=": ">=", "<": "<", "<=": "<="}
_WORDS: dict[tuple[str, ...], Op] = {
    ("LIKE",): "LIKE",
    ("ILIKE",): "ILIKE",
    ("IN",): "IN",
    ("NOT", "IN"): "NOT IN",
    ("IS", "NULL"): "IS NULL",
    ("IS", "NOT", "NULL"): "IS NOT NULL",
}
_MEANT = {"==": "=", "<>": "!=", "=>": ">=", "=<": "<=", "~": "LIKE"}
_INT64 = range(-(2**63), 2**63)


def read(text: str, grammar: Grammar) -> tuple[Comparison, ...]:
    """The comparisons of a filter, none if it is empty.

    Raises:
        InvalidInput: If the grammar doesn't have it.
    """
    if not text:
        return ()
    if text.isspace():
        refuse("the filter is only white space", _SOURCE, 0, "leave the filter out, or empty")
    return _Parser(text, grammar).filter()


class _Parser:
    """Reads one filter from left to right."""

    def __init__(self, text: str, grammar: Grammar) -> None:
        self._tokens = tokenize(text, _SOURCE)
        self._grammar = grammar
        self._next = 0

    def filter(self) -> tuple[Comparison, ...]:
        found: list[Comparison] = []
        while self._peek().kind != "end":
            if self._peek().keyword == "AND":
                self._take()
            else:
                found.append(self._comparison())
        return tuple(found)

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        return token

    def _comparison(self) -> Comparison:
        field = self._field()
        at = self._peek().at
        op = self._operator()
        if op not in field.rule.ops:
            what = f"{op} can't be used with the {field.entity} {show(field.key)}"
            refuse(what, _SOURCE, at, f"use {', '.join(field.rule.ops)}")
        if op in {"IS NULL", "IS NOT NULL"}:
            return Comparison(field.entity, field.key, op, None)
        value = self._list(field) if op in {"IN", "NOT IN"} else self._value(field)
        return Comparison(field.entity, field.key, op, value)

    def _field(self) -> Field:
        token = self._take()
        if token.keyword == "OR":
            refuse(
                "OR isn't offered", _SOURCE, token.at, "join with AND; search once for each side of the OR"
            )
        if token.keyword == "NOT":
            refuse("NOT can't stand before a field", _SOURCE, token.at, "use != or NOT IN")
        if token.kind == "string" and token.text[0] == '"':
            token = Token("word", token.at, token.text, token.value, quoted=True)
        if token.kind == "word":
            return resolve(token, self._grammar, _SOURCE)
        what = f"a field is expected here, not {show(token.text)}"
        return refuse(what, _SOURCE, token.at, "begin each comparison with a field, and use no parentheses")

    def _operator(self) -> Op:
        token = self._take()
        if token.kind == "operator" and token.text in _SIGNS:
            return _SIGNS[token.text]
        for words, op in _WORDS.items():
            if all(self._peek(i - 1).keyword == word for i, word in enumerate(words)):
                self._next += len(words) - 1
                return op
        fix = (
            f"write {_MEANT[token.text]}"
            if token.text in _MEANT
            else f"use {', '.join(_SIGNS)}, LIKE, ILIKE or IN"
        )
        what = f"{show(token.text)} isn't an operator" if token.text else "the operator is missing"
        return refuse(what, _SOURCE, token.at, fix)

    def _value(self, field: Field) -> Value:
        token = self._take()
        if token.kind == "end":
            refuse("the value is missing", _SOURCE, token.at, "end with a value, a number or quoted text")
        if token.kind == "(":
            refuse(
                "a list goes only with IN and NOT IN",
                _SOURCE,
                token.at,
                "write one value without parentheses",
            )
        if field.rule.value == "text":
            return self._text(token)
        if field.rule.value == "number or text":
            return self._either(token, field)
        if field.rule.value == "integer as text":
            return str(_whole(token, self._text(token)))
        if token.kind == "number" or (token.kind == "string" and field.rule.value == "integer or text"):
            return _number(token, field)
        what = f"the {field.entity} {show(field.key)} is compared with a number, not {show(token.text)}"
        return refuse(what, _SOURCE, token.at, "write a number without quotes")

    def _either(self, token: Token, field: Field) -> Value:
        """A number, or text; in an order only numbers stand."""
        op = self._tokens[self._next - 2].text
        if token.kind == "number" and not self._tokens[self._next - 2].keyword:
            return float(token.text)
        if op in {"<", "<=", ">", ">="}:
            what = f"{op} compares the {field.entity} {show(field.key)} with a number, not {show(token.text)}"
            refuse(what, _SOURCE, token.at, "write a number without quotes")
        return self._text(token)

    def _text(self, token: Token) -> str:
        if token.kind == "string":
            return token.value
        if self._grammar.loose and token.kind in {"word", "number"} and not token.quoted:
            return token.text
        return _unquoted(token)

    def _list(self, field: Field) -> tuple[str, ...]:
        token = self._take()
        if token.kind != "(":
            refuse("a list is expected here", _SOURCE, token.at, "write it in parentheses: ('a', 'b')")
        values: list[str] = []
        while self._peek().kind != ")" or not values:
            first = self._take()
            if first.kind != "string":
                _unquoted(first)
            value = first.value
            while self._peek().kind == "string":
                value += self._take().value
            values.append(str(_whole(first, value)) if field.rule.value == "integer as text" else value)
            if self._peek().kind == ",":
                self._take()
            elif self._peek().kind != ")":
                refuse(
                    "the list isn't closed", _SOURCE, self._peek().at, "put ',' and more text, or ')', here"
                )
        self._take()
        return tuple(values)


def _unquoted(token: Token) -> NoReturn:
    what = (
        f"quoted text is expected here, not {show(token.text)}"
        if token.text
        else "quoted text is missing here"
    )
    fix = f"write '{token.value[:60]}'" if token.kind in {"word", "number"} else "write it as 'text'"
    refuse(what, _SOURCE, token.at, fix)


def _number(token: Token, field: Field) -> int | float:
    if field.rule.value == "float":
        return float(token.text)
    if field.rule.value == "number" and not token.text.removeprefix("-").isdigit():
        return float(token.text)
    return _whole(token, token.value)


def _whole(token: Token, text: str) -> int:
    try:
        number = int(text) if len(text) <= 40 else None
    except ValueError:
        number = None
    if number is None or number not in _INT64:
        refuse(
            f"{show(text)} isn't an integer of 64 bits", _SOURCE, token.at, "write one such as 1700000000000"
        )
    return number
