r"""Regular expressions that mean the same on every engine.

RE2, Rust's ``regex``, Java and Python agree on a large part of the language and on little beyond it.
That part is what a pattern may use: literals, ``.``, classes, ``\d \w \s`` (ASCII), groups, ``|``,
``* + ? {m,n}``, lazy or not, ``^`` and ``$``, and ``(?i)`` at the start. Look-around and
back-references, which some engines can't do in linear time, are refused. A pattern must match a text
as a whole, and a dot matches any character but a line feed.
"""

from __future__ import annotations

import re
import warnings

from treadle.kernel.errors import InvalidInput

_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\x0b\f\r "}
_CONTROL = {"t": r"\t", "n": r"\n", "r": r"\r", "f": r"\f", "v": r"\x0b"}
_SPECIAL = set(r"\.+*?()[]{}|^$-/&~#\"' @!%,:;<=>_`")
_LONGEST = 1000
_FIX = "use literals, classes, groups, | and * + ? {m,n}; what is matched is always the whole text"


def portable(pattern: str, where: str) -> str:
    r"""The pattern as every engine takes it: with ASCII classes written out.

    Raises:
        InvalidInput: If it doesn't compile, or uses what engines don't agree on.
    """
    if len(pattern) > _LONGEST:
        raise InvalidInput(f"the pattern is longer than {_LONGEST} characters", where=where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise InvalidInput(
            f"the pattern {pattern!r} does not compile: {error}", where=where, fix="mend it, or leave it out"
        ) from None
    return _Reader(pattern, where).read()


class _Reader:
    """Goes through a pattern that Python can compile."""

    def __init__(self, pattern: str, where: str) -> None:
        self._text, self._where, self._at = pattern, where, 0

    def read(self) -> str:
        found = []
        if self._text.startswith("(?i)"):
            found.append(self._take(4))
        while self._at < len(self._text):
            found.append(self._piece())
        return "".join(found)

    def _piece(self) -> str:  # noqa: C901, PLR0911 - one a construct
        text = self._text[self._at :]
        if text[0] == "\\":
            return self._escape(inside=False)
        if text[0] == "[":
            return self._class()
        if text.startswith("(?"):
            if text.startswith("(?:"):
                return self._take(3)
            if named := re.match(r"\(\?P<\w+>", text):
                self._take(len(named[0]))
                return "(?:"
            raise self._refused(text[:4])
        if text[0] == "(":
            self._take(1)
            return "(?:"
        if text[0] in "*+?}":
            if text[1:2] == "+":
                raise self._refused(text[:2])
            return self._take(1)
        if text[0] == "{":
            if not re.match(r"\{\d*(,\d*)?\}", text) or text.startswith(("{}", "{,}")):
                self._take(1)
                return r"\{"
            return self._quantity(text)
        return self._literal()

    def _quantity(self, text: str) -> str:
        """``{,n}`` is ``{0,n}`` where that isn't known. Java and RE2 stop at 1000 repeats."""
        low, comma, high = text[1 : text.index("}")].partition(",")
        if max(int(low or 0), int(high or 0)) > _LONGEST:
            raise self._refused(text[: text.index("}") + 1])
        self._take(text.index("}"))
        return f"{{{low or 0}{comma}{high}"

    def _literal(self) -> str:
        char = self._take(1)
        return "\\" + char if char in "}]" else char

    def _escape(self, *, inside: bool) -> str:
        char = self._text[self._at + 1]
        if char in _CLASSES:
            self._take(2)
            return _CLASSES[char] if inside else f"[{_CLASSES[char]}]"
        if char.lower() in _CLASSES and not inside:
            self._take(2)
            return f"[^{_CLASSES[char.lower()]}]"
        if char in _CONTROL:
            self._take(2)
            return _CONTROL[char]
        if char in _SPECIAL:
            self._take(2)
            return "\\" + char if char in r"\.+*?()[]{}|^$-&~" else char
        raise self._refused("\\" + char)

    def _class(self) -> str:
        found = [self._take(1)]
        if self._text[self._at] == "^":
            found.append(self._take(1))
        first = True
        while self._text[self._at] != "]" or first:
            first = False
            char = self._text[self._at]
            if char == "\\":
                found.append(self._escape(inside=True))
            elif char in "[]&~":
                found.append("\\" + self._take(1))
            else:
                found.append(self._take(1))
        found.append(self._take(1))
        return "".join(found)

    def _take(self, count: int) -> str:
        found = self._text[self._at : self._at + count]
        self._at += count
        return found

    def _refused(self, what: str) -> InvalidInput:
        return InvalidInput(
            f"the pattern {self._text!r} uses {what}, on which engines don't agree",
            where=self._where,
            fix=_FIX,
        )


def like(pattern: str) -> str:
    r"""The pattern of SQL's ``LIKE``: ``%`` any text, ``_`` any character, ``\`` before a literal one."""
    found, at = [], 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            at += 1
            found.append(re.escape(pattern[at]))
        else:
            found.append({"%": r"(.|\n)*", "_": r"(.|\n)"}.get(char) or re.escape(char))
        at += 1
    return "".join(found)
