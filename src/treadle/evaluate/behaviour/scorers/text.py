"""Scorers that compare text and JSON as they are. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Any

import msgspec

from treadle.evaluate.behaviour.scorers.patterns import Matcher, TooSlow
from treadle.evaluate.behaviour.scorers.port import passed, shown
from treadle.evaluate.behaviour.targets.paths import as_text
from treadle.evaluate.behaviour.types import Case, Score
from treadle.kernel.config import ScorerConfig


def normal(text: str, ignore: Collection[str]) -> str:
    """A text without what is overlooked: case, space at its ends and runs of it, punctuation, accents."""
    if "accents" in ignore:
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(one for one in decomposed if not unicodedata.combining(one))
    else:
        text = unicodedata.normalize("NFC", text)
    if "case" in ignore:
        text = text.casefold()
    if "punctuation" in ignore:
        text = "".join(one for one in text if not unicodedata.category(one).startswith("P"))
    return " ".join(text.split()) if "space" in ignore else text


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal; 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


class Exact:
    """Whether an answer is what is expected; of a list of texts, whether it is one of them.

    Args:
        config: What is overlooked.
    """

    def __init__(self, config: ScorerConfig) -> None:
        self._ignore = frozenset(config.ignore or ())

    def score(self, case: Case, answer: Any) -> Score:
        """1 if it is, else 0. A text is also compared as the JSON that it may be."""
        expected = case.expected
        if isinstance(answer, str):
            wanted = expected if _texts(expected) else [expected]
            found = normal(answer, self._ignore)
            right = any(normal(as_text(one), self._ignore) == found for one in wanted)
            right = right or (not isinstance(expected, str) and _reads_as(answer, expected))
        else:
            right = same(answer, expected)
        return passed(right, f"{shown(as_text(answer))} is not {shown(as_text(expected))}")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _reads_as(text: str, expected: Any) -> bool:
    try:
        return same(msgspec.json.decode(text), expected)
    except msgspec.DecodeError:
        return False


class Regex:
    """Whether a pattern is found in an answer.

    Args:
        config: The pattern, and whether it is to match the whole.
        matcher: What tries it.
    """

    def __init__(self, config: ScorerConfig, matcher: Matcher) -> None:
        self._pattern, self._whole, self._matcher = config.pattern, config.whole, matcher

    def score(self, case: Case, answer: Any) -> Score:
        """1 if it is, else 0; a pattern of the case that is none, or finds no end, can't be told."""
        pattern, text = case.expected if self._pattern is None else self._pattern, as_text(answer)
        try:
            re.compile(pattern)
            found = self._matcher.found(pattern, text, whole=bool(self._whole))
        except re.error as error:
            return Score(reason=f"{shown(case.expected)} is no regular expression: {error}")
        except (TooSlow, ValueError) as error:
            return Score(reason=f"{shown(pattern)} on {shown(text)}: {error}")
        return passed(found, f"{shown(text)} doesn't match {shown(pattern)}")


class Contains:
    """Whether texts are found in an answer.

    Args:
        config: Which, whether all or any, and what is overlooked.
    """

    def __init__(self, config: ScorerConfig) -> None:
        self._values, self._any = config.values, config.match == "any"
        self._ignore = frozenset(config.ignore or ())

    def score(self, case: Case, answer: Any) -> Score:
        """1 if they are, else 0."""
        wanted = case.expected if self._values is None else self._values
        text = normal(as_text(answer), self._ignore)
        texts = wanted if isinstance(wanted, list) else [wanted]
        missing = [one for one in texts if normal(one, self._ignore) not in text]
        right = len(missing) < len(texts) if self._any else not missing
        return passed(right, f"it lacks {', '.join(map(shown, missing[:5]))}")
