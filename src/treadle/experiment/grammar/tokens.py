"""Text into tokens, quoted and escaped as MLflow reads them.

Outside a list, a quoted string is taken as it stands between its quotes: a doubled or
backslashed quote doesn't end it and isn't undone either. Inside a list, strings are read as
Python's are, with Python's escapes, and neighbours without a comma are joined.
"""

from __future__ import annotations

import re
from typing import Literal, NoReturn

import msgspec

from treadle.kernel.errors import InvalidInput

Kind = Literal["word", "string", "number", "operator", "(", ")", ",", "end"]

_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_OPERATOR = re.compile(r"[<>=!~]+")
_MARKS: dict[str, Kind] = {"(": "(", ")": ")", ",": ","}
_HEAD = re.compile(r"\w+")
# Wider than what may stand without quotes, so that the refusal can show the whole key.
_TAIL = re.compile(r"[\w.*/@:$#-]*")
_QUOTED = {
    "'": re.compile(r"'((?:''|\\'|[^'])*)'"),
    '"': re.compile(r'"((?:""|\\"|[^"])*)"'),
    "`": re.compile(r"`((?:``|[^`])*)`"),
}
_LISTED = {
    "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL),
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
}
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|([0-7]{1,3})|(.))",
    re.DOTALL,
)
_SIMPLE = {
    "\\": "\\",
    "'": "'",
    '"': '"',
    "\n": "",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}


class Token(msgspec.Struct, frozen=True):
    """One token.

    Attributes:
        kind: What it is.
        at: Where it starts, counted from 0.
        text: As it was written.
        value: A string's content, a word's key without its quotes; else as written.
        entity: What stands before a word's first dot, if it has one.
        quoted: Whether a word's key was quoted, so that it can't be a keyword.
    """

    kind: Kind
    at: int
    text: str
    value: str
    entity: str | None = None
    quoted: bool = False

    @property
    def keyword(self) -> str:
        """The word in capitals if it may be a keyword, else nothing."""
        plain = self.kind == "word" and self.entity is None and not self.quoted
        return self.value.upper() if plain else ""


def refuse(message: str, source: str, at: int, fix: str) -> NoReturn:
    """Says what is wrong with a filter or an order, and where.

    Raises:
        InvalidInput: Always.
    """
    raise InvalidInput(message, where=f"{source}, character {at + 1}", fix=fix)


def show(text: str) -> str:
    """Text as an error shows it: quoted, and no longer than a line."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def tokenize(text: str, source: str = "filter") -> list[Token]:
    """The tokens of a text, the last of which is its end.

    Args:
        text: A filter or one key of an order.
        source: What it is, for errors.

    Raises:
        InvalidInput: If a quote is never closed, a number isn't one, or a character means nothing.
    """
    tokens: list[Token] = []
    depth = 0
    at = _skip(text, 0)
    while at < len(text):
        token = _next(text, at, source, listed=depth > 0)
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        tokens.append(token)
        at = _skip(text, at + len(token.text))
    tokens.append(Token("end", len(text), "", ""))
    return tokens


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _next(text: str, at: int, source: str, *, listed: bool) -> Token:
    char = text[at]
    if char in "'\"":
        return _string(text, at, source, listed=listed)
    if number := _NUMBER.match(text, at):
        return _number(text, at, number.group(), source)
    if char == "`" or _HEAD.match(text, at):
        return _word(text, at, source)
    if operator := _OPERATOR.match(text, at):
        return Token("operator", at, operator.group(), operator.group())
    if char in _MARKS:
        return Token(_MARKS[char], at, char, char)
    fix = "a filter is 'field operator value', joined by AND; quote text and unusual keys"
    if char == ";":
        fix = "give one expression, without ';'"
    return refuse(f"{show(char)} has no meaning here", source, at, fix)


def _string(text: str, at: int, source: str, *, listed: bool) -> Token:
    found = (_LISTED if listed else _QUOTED)[text[at]].match(text, at)
    if not found:
        return _unclosed(text, at, source)
    value = _ESCAPE.sub(_unescape, found[1]) if listed else found[1]
    return Token("string", at, found[0], value)


def _unclosed(text: str, at: int, source: str) -> NoReturn:
    refuse(f"the quote {text[at]} that opens here is never closed", source, at, f"add the closing {text[at]}")


def _unescape(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code:
        return chr(int(code, 16))
    if found[4]:
        return chr(int(found[4], 8))
    return _SIMPLE.get(found[5], found[0])


def _number(text: str, at: int, number: str, source: str) -> Token:
    rest = _TAIL.match(text, at + len(number))
    if rest and rest[0]:
        refuse(
            f"{show(number + rest[0])} isn't a number", source, at, "write a number such as 1, -0.5 or 1e-3"
        )
    return Token("number", at, number, number)


def _word(text: str, at: int, source: str) -> Token:
    head, quoted, end = _part(text, at, source, _HEAD)
    if not text.startswith(".", end):
        return Token("word", at, text[at:end], head, quoted=quoted)
    key, quoted, end = _part(text, end + 1, source, _TAIL)
    if quoted and text[end : end + 1] in {".", "'", '"', "`"}:
        refuse(
            "a quoted key ends before the name does",
            source,
            end,
            "put the whole key in one pair of backticks",
        )
    return Token("word", at, text[at:end], key, entity=head, quoted=quoted)


def _part(text: str, at: int, source: str, plain: re.Pattern[str]) -> tuple[str, bool, int]:
    if text[at : at + 1] in _QUOTED:
        found = _QUOTED[text[at]].match(text, at)
        return (found[1], True, found.end()) if found else _unclosed(text, at, source)
    part = plain.match(text, at)
    return (part[0], False, part.end()) if part else ("", False, at)
