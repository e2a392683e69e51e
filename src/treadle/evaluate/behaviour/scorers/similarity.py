"""How alike texts are: by their characters, by their words, or by vectors that a model makes of them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from treadle.evaluate.behaviour.scorers.port import shown
from treadle.evaluate.behaviour.targets.paths import as_text
from treadle.evaluate.behaviour.types import Case, Score

_WORD = re.compile(r"(?u)\b\w\w+\b")
_GRAM = 3

Vector = Mapping[str, float]
Embed = Callable[[Sequence[str]], list[list[float]] | str]
"""Makes vectors of texts, or says why it can't."""


def cosine(one: Vector, other: Vector) -> float:
    """The cosine of two vectors that have no negative parts: from 0, nothing in common, to 1, the same."""
    if one == other:
        return 1.0
    shared = sum(weight * other[key] for key, weight in one.items() if key in other)
    size = math.sqrt(sum(w * w for w in one.values()) * sum(w * w for w in other.values()))
    return min(shared / size, 1.0) if size else 0.0


def characters(text: str) -> Vector:
    """How often each run of three characters occurs, whatever their case; spelling, not meaning."""
    plain = f" {' '.join(text.casefold().split())} "
    return Counter(plain[place : place + _GRAM] for place in range(max(len(plain) - _GRAM + 1, 1)))


class Words:
    """Words weighted by how rare they are among some texts: TF-IDF, smoothed as scikit-learn's default.

    ``tf * (ln((1 + n) / (1 + df)) + 1)``; words of one letter don't count. What no text has is as rare as
    can be.

    Args:
        texts: The texts; here what is expected of all cases.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        sets = [set(_words(text)) for text in texts]
        self._count = len(sets)
        self._with = Counter(word for words in sets for word in words)

    def __call__(self, text: str) -> Vector:
        """The weights of a text's words."""
        return {
            word: count * (math.log((1 + self._count) / (1 + self._with[word])) + 1)
            for word, count in Counter(_words(text)).items()
        }


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def wanted(case: Case) -> list[str]:
    """The texts that are expected of a case."""
    return list(case.expected) if isinstance(case.expected, list) else [as_text(case.expected)]


class Similar:
    """How alike an answer is to what is expected, or to the nearest of several texts.

    Args:
        weigh: Makes a vector of a text.
    """

    def __init__(self, weigh: Callable[[str], Vector]) -> None:
        self._weigh = weigh

    def score(self, case: Case, answer: Any) -> Score:
        """The cosine of both vectors."""
        found = self._weigh(as_text(answer))
        best = max(cosine(found, self._weigh(text)) for text in wanted(case))
        return Score(value=best, reason=f"{best:.2f} like {shown(case.expected)}")


class Embedded:
    """How alike an answer is to what is expected, by vectors.

    Args:
        embed: Makes vectors of texts; asked once for each text.
    """

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._known: dict[str, list[float]] = {}

    def score(self, case: Case, answer: Any) -> Score:
        """The cosine of both vectors, a negative one as 0."""
        texts = [as_text(answer), *wanted(case)]
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            found = self._embed(new)
            if isinstance(found, str):
                return Score(reason=found)
            wrong = _unlike([*self._known.values(), *found], len(new), len(found))
            if wrong:
                return Score(reason=wrong)
            self._known.update(zip(new, found, strict=True))
        first, *others = (self._known[text] for text in texts)
        best = max(_angle(first, other) for other in others)
        return Score(value=max(best, 0.0), reason=f"{best:.2f} like {shown(case.expected)}")


def _unlike(vectors: Sequence[Sequence[float]], asked: int, found: int) -> str:
    """What is wrong with vectors; empty if nothing is."""
    if asked != found:
        return f"{found} vectors came for {asked} texts"
    if any(len(one) != len(vectors[0]) or not one for one in vectors):
        return "the vectors have different lengths, or none"
    return "" if all(map(math.isfinite, (x for one in vectors for x in one))) else "a vector has NaN in it"


def _angle(one: Sequence[float], other: Sequence[float]) -> float:
    size = math.hypot(*one) * math.hypot(*other)
    return (
        max(min(math.fsum(a * b for a, b in zip(one, other, strict=True)) / size, 1.0), -1.0) if size else 0.0
    )
