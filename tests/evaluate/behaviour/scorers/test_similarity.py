"""Similarities, beside scikit-learn's."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from treadle.evaluate.behaviour.scorers.similarity import Embedded, Similar, Words, characters, cosine
from treadle.evaluate.behaviour.types import Case

FEW = settings(max_examples=40, deadline=None)
TEXTS = [
    "The cat sat on the mat", "A dog sat on the log", "Completely different words here",
    "the CAT, the cat!", "x", "",
]  # fmt: skip


def case(expected):
    return Case(id="a", input="?", expected=expected)


def test_words_weigh_as_scikit_learn_says():
    theirs = cosine_similarity(TfidfVectorizer().fit_transform(TEXTS))
    weigh = Words(TEXTS)
    for i, one in enumerate(TEXTS[:4]):
        for j, other in enumerate(TEXTS[:4]):
            assert cosine(weigh(one), weigh(other)) == pytest.approx(theirs[i][j])


def test_characters_count_as_scikit_learn_says():
    texts = [f" {text.lower()} " for text in TEXTS[:4]]
    counted = CountVectorizer(analyzer="char", ngram_range=(3, 3), lowercase=False).fit_transform(texts)
    theirs = cosine_similarity(counted)
    for i, one in enumerate(TEXTS[:4]):
        for j, other in enumerate(TEXTS[:4]):
            assert cosine(characters(one), characters(other)) == pytest.approx(theirs[i][j])


@FEW
@given(st.text(max_size=30), st.text(max_size=30))
def test_a_similarity_lies_between_0_and_1_and_is_the_same_both_ways(one, other):
    for weigh in (characters, Words([one, other])):
        found = cosine(weigh(one), weigh(other))
        assert 0 <= found <= 1
        assert found == pytest.approx(cosine(weigh(other), weigh(one)))
        assert cosine(weigh(one), weigh(one)) == 1


def test_the_nearest_of_several_texts_counts():
    scorer = Similar(characters)
    best = scorer.score(case(["zzz", "colour"]), "color").value
    assert best == scorer.score(case("colour"), "color").value
    assert 0.3 < best < 1
    assert scorer.score(case("abc"), "xyz").value == 0


VECTORS = {"a": [1.0, 0.0], "b": [1.0, 1.0], "c": [-1.0, 0.0], "zero": [0.0, 0.0]}


def test_vectors_are_learnt_once():
    scorer = Embedded()
    assert scorer.unknown(case(["b", "a"]), "a") == ["a", "b"]
    assert scorer.score(case("b"), "a").value is None
    scorer.learn(list(VECTORS), list(VECTORS.values()))
    assert scorer.unknown(case(["b", "a"]), "a") == []
    assert scorer.score(case("b"), "a").value == pytest.approx(math.sqrt(0.5))
    assert scorer.score(case(["b", "a"]), "a").value == pytest.approx(1)
    assert scorer.score(case("c"), "a").value == 0
    assert scorer.score(case("zero"), "a").value == 0


@pytest.mark.parametrize(
    ("found", "says"),
    [([[1.0]], "1 vectors came for 2"), ([[1.0], [1.0, 2.0]], "different lengths"),
     ([["x"], [1.0]], "no number"), ([[math.nan], [1.0]], "no number"),
     ([[], []], "no vectors"), ("x", "no vectors"), (None, "no vectors")],
)  # fmt: skip
def test_vectors_that_are_none_can_not_be_told(found, says):
    scorer = Embedded()
    scorer.learn(["a", "b"], found)
    score = scorer.score(case("b"), "a")
    assert score.value is None
    assert says in score.reason


def test_why_there_is_no_vector_is_told():
    scorer = Embedded()
    scorer.learn(["a", "b"], None, "HTTP 500")
    assert scorer.score(case("b"), "a").reason == "HTTP 500"
