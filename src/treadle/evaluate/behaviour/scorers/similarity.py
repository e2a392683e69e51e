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
    """How alike an answer is to what is expected, by vectors that are learnt beforehand."""

    def __init__(self) -> None:
        self._known: dict[str, list[float]] = {}
        self._failed: dict[str, str] = {}

    def unknown(self, case: Case, answer: Any) -> list[str]:
        """The texts whose vectors are needed and not known."""
        return [text for text in dict.fromkeys([as_text(answer), *wanted(case)]) if text not in self._known]

    def learn(self, texts: Sequence[str], vectors: Any, why: str = "") -> None:
        """Takes the vectors of some texts; where they are none, it is known why.

        Args:
            texts: The texts.
            vectors: As many lists of numbers, all of one length; None if there are none.
            why: Why there are none.
        """
        why = why or self._wrong(vectors, len(texts))
        if why:
            self._failed.update(dict.fromkeys(texts, why))
        else:
            self._known.update(zip(texts, vectors, strict=True))

    def _wrong(self, vectors: Any, count: int) -> str:
        """What is wrong with vectors; empty if nothing is."""
        if not isinstance(vectors, list) or not all(isinstance(one, list) and one for one in vectors):
            return "what came are no vectors"
        if len(vectors) != count:
            return f"{len(vectors)} vectors came for {count} texts"
        if not all(isinstance(x, int | float) and math.isfinite(x) for one in vectors for x in one):
            return "a vector has something in it that is no number"
        known = next(iter(self._known.values()), vectors[0])
        return "" if all(len(one) == len(known) for one in vectors) else "the vectors have different lengths"

    def score(self, case: Case, answer: Any) -> Score:
        """The cosine of both vectors, a negative one as 0."""
        for text in self.unknown(case, answer):
            return Score(reason=self._failed.get(text, "it has no vector"))
        first = self._known[as_text(answer)]
        best = max(_angle(first, self._known[text]) for text in wanted(case))
        return Score(value=max(best, 0.0), reason=f"{best:.2f} like {shown(case.expected)}")


def _angle(one: Sequence[float], other: Sequence[float]) -> float:
    size = math.hypot(*one) * math.hypot(*other)
    return (
        max(min(math.fsum(a * b for a, b in zip(one, other, strict=True)) / size, 1.0), -1.0) if size else 0.0
    )
