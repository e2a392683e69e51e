from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from treadle.experiment.grammar.tokens import tokenize


def kinds(text):
    return [token.kind for token in tokenize(text)]


def test_every_kind_of_token_is_told_from_the_others():
    text = "metrics.`a b` >= -1.5 AND x IN ('y', \"z\")"
    assert kinds(text) == [
        *("word", "operator", "number", "word", "word", "word"),
        *("(", "string", ",", "string", ")", "end"),
    ]


def test_a_token_knows_its_place_and_its_text():
    text = "  tags.a\t= 'x'"
    assert [(t.at, t.text) for t in tokenize(text)] == [(2, "tags.a"), (9, "="), (11, "'x'"), (14, "")]


@pytest.mark.parametrize(
    ("text", "entity", "value", "quoted"),
    [
        ("a", None, "a", False),
        ("`a.b`", None, "a.b", True),
        ("tags.a.b", "tags", "a.b", False),
        ("tags.`a.b`", "tags", "a.b", True),
        ('tags."a`b"', "tags", "a`b", True),
        ("`tags`.a", "tags", "a", False),
        ("tags.", "tags", "", False),
        ("tags.a-b/c", "tags", "a-b/c", False),
    ],
)
def test_a_word_is_a_prefix_and_a_key(text, entity, value, quoted):
    word, _ = tokenize(text)
    assert (word.kind, word.entity, word.value, word.quoted) == ("word", entity, value, quoted)


@pytest.mark.parametrize("text", ["`and`", "tags.and", "'and'", "1"])
def test_only_a_plain_word_is_a_keyword(text):
    assert tokenize("and")[0].keyword == "AND"
    assert not tokenize(text)[0].keyword


PIECES = ["a", "é", "#", '"', " ", "''", "\\\n"]
ESCAPES = [*"ntabrvf'\"\\d8", "x41", "x4", "u00e9", "U0001f600", "101", "0"]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.sampled_from([*PIECES, *(f"\\{escape}" for escape in ESCAPES)])).map("".join))
def test_a_string_in_a_list_is_read_as_python_reads_it(content):
    assume("'''" not in f"'{content}'")  # Python's triple quotes, which the grammar doesn't have
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (expected,) = ast.literal_eval(f"('{content}',)")
        except SyntaxError:
            assume(False)
    strings = [token.value for token in tokenize(f"('{content}',)") if token.kind == "string"]
    assert "".join(strings) == expected


def test_a_string_outside_a_list_is_taken_as_it_stands():
    assert [token.value for token in tokenize(r"'a\n''b\'c\\'")] == [r"a\n''b\'c\\", ""]
