"""Conditions and patterns: what can be written, and how the rest is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.columns import Column
from treadle.kernel.scan.patterns import like, portable
from treadle.kernel.scan.reading import read

COLUMNS = {
    "price": Column("price", "number", "float64"),
    "n": Column("n", "integer", "int64"),
    "name": Column("name", "text", "text"),
    "late": Column("late", "boolean", "boolean"),
    "at": Column("at", "timestamp", "timestamptz"),
    "day": Column("day", "date", "date"),
    "tags": Column("tags", "nested", "list"),
    "odd name": Column("odd name", "number", "float64"),
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("price * n <= 100", "((price * n) <= 100)"),
        ("1 + 2 * 3 - 4 = n", "(((1 + (2 * 3)) - 4) = n)"),
        ("-price < -1.5e3", "((0 - price) < -1500.0)"),
        ("NOT late AND n > 1 OR n < 0", "((NOT late AND (n > 1)) OR (n < 0))"),
        ("not (late or n == 1)", "NOT (late OR (n = 1))"),
        ("n BETWEEN 1 AND 2 AND late", "(((n >= 1) AND (n <= 2)) AND late)"),
        ("name NOT IN ('a', 'it''s')", "NOT name IN ('a', 'it''s')"),
        ("name IS NOT NULL", "NOT name IS NULL"),
        ('"odd name" != 1', '("odd name" <> 1)'),
        ("at > TIMESTAMP '2026-01-31T10:00:00+02:00'", "(at > TIMESTAMP '2026-01-31 10:00:00+02:00')"),
        ("day = date '2026-01-31'", "(day = DATE '2026-01-31')"),
        ("coalesce(price, n, 0) > 0", "(coalesce(price, n, 0) > 0)"),
        ("n in (-1, 2)", "n IN (-1, 2)"),
    ],
)
def test_what_is_read_binds_as_in_sql(text, shown):
    found = read(text, "here")
    ex.check(found, COLUMNS, "here")
    assert ex.show(found) == shown
    assert read(ex.show(found), "here") == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a value was expected, and there is the end"),
        ("price >", "a value was expected, and there is the end"),
        ("price > 1 price", "the end was expected, and there is 'price'"),
        ("(price > 1", r"\) was expected, and there is the end"),
        ("price > 1; DROP TABLE t", "';' can't stand in a condition"),
        ("price > 1 -- a comment", "the end was expected, and there is 'comment'"),
        ("name = 'open", "\"'\" can't stand in a condition"),
        ("price IN ()", "a constant was expected"),
        ("price IN (n)", "a constant was expected"),
        ("price IN (SELECT 1)", "a constant was expected"),
        ("EXISTS (SELECT 1)", "there is no function 'EXISTS'"),
        ("read_csv('/etc/passwd') = 1", "there is no function 'read_csv'"),
        ("lenght(name) > 1", "did you mean 'length'"),
        ("name LIKE n", "a text in single quotes was expected"),
        ("name LIKE 'a' ESCAPE 'b'", "the end was expected"),
        ("price NOT 1", "IN, BETWEEN or LIKE was expected"),
        ("day = date '2026-13-01'", "'2026-13-01' is no date"),
        ("at = timestamp 'noon'", "'noon' is no timestamp"),
        ("matches(name, '(?=x)')", "on which engines don't agree"),
        ("matches(name, '(')", "does not compile"),
        ("(" * 60 + "n" + ")" * 60 + " = 1", "nested too deeply"),
        ("n" + " + 1" * 60 + " = 1", "nested too deeply"),
        ("NOT " * 60 + "late", "nested too deeply"),
        ("n = 1" + " " * 3000, "longer than 2,000 characters"),
    ],
)
def test_what_can_not_be_read_says_where(text, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        read(text, "treadle.toml [checks.data] conditions.total")
    assert str(caught.value.where).startswith("treadle.toml [checks.data] conditions.total")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prices > 1", "the data has no column 'prices'.*did you mean 'price'"),
        ("Price > 1", "the data has no column 'Price'"),
        ("price > 'a'", "price is a number and 'a' a text: they can't be compared"),
        ("name + 1 > 2", "name is a text, and a number is needed there"),
        ("price", "it gives a number, not true or false"),
        ("price > 1 AND n", "n is a number, and a boolean is needed there"),
        ("length(n) > 1", "n is a number, and a text is needed there"),
        ("year(n) = 1", "n is a number, and a time is needed there"),
        ("abs(n, n) = 1", "abs takes 1 argument, not 2"),
        ("coalesce(n) = 1", "coalesce takes 2 or more arguments, not 1"),
        ("coalesce(n, 'a') = 1", "they can't be taken for each other"),
        ("late = 1", "late is a boolean and 1 a number"),
        ("n IN (1, 'a')", "n is a number and 'a' a text"),
        ("tags IS NULL", "'tags' is list, which no condition can look at"),
    ],
)
def test_what_the_columns_can_not_answer(text, says):
    with pytest.raises(InvalidInput, match=f"(?s){says}") as caught:
        ex.check(read(text, "here"), COLUMNS, "here")
    assert caught.value.where == "here"


def test_days_and_moments_can_be_compared():
    ex.check(
        read("at >= day AND seconds_between(day, at) < 86400 AND coalesce(at, day) = at", ""), COLUMNS, ""
    )


def test_the_columns_of_a_condition():
    assert list(ex.names(read("price * n < price OR name IN ('n')", ""))) == ["price", "n", "name"]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        found = read(text, "here")
    except InvalidInput:
        return
    assert read(ex.show(found), "here") == found


# ── patterns ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"[A-Z]{2}\d{3,}", "AB123", "AB12"),
        (r"(?P<year>\d{4})-\d\d", "2026-01", "٢٠٢٦-01"),
        (r"[^\d]+|\W", "ab", "1"),
        (r"a{,2}b{0}", "aa", "aaa"),
        (r"{x}", "{x}", "x"),
        (r"[]\-~&]+", "]-~&", "a"),
        (r"(?i)yes|no", "NO", "maybe"),
        (r"\w+?\.\w+", "a.b", "é.b"),
    ],
)
def test_a_portable_pattern_means_the_same(pattern, yes, no):
    found = re.compile(portable(pattern, ""))
    assert found.fullmatch(yes)
    assert not found.fullmatch(no)


@pytest.mark.parametrize(
    "pattern",
    [r"(?=a)", r"(?!a)", r"(?<=a)b", r"(a)\1", r"(?P<n>a)(?P=n)", r"\ba", r"\Aa", r"a\Z", r"a++", r"(?>a)",
     r"(?s)a", r"(?m)^a", r"a{2000}", r"\N{HYPHEN}", r"[\D]", r"\u00e9"],
)  # fmt: skip
def test_what_engines_do_not_agree_on_is_refused(pattern):
    with pytest.raises(InvalidInput, match="engines don't agree"):
        portable(pattern, "here")


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a**", "(?P<1>a)", "a" * 2000, "[b-a]", "a{3,2}"])
def test_what_does_not_compile_is_refused(pattern):
    with pytest.raises(InvalidInput) as caught:
        portable(pattern, "here")
    assert caught.value.where == "here"


@given(st.text(st.sampled_from("ab[]{}()\\.*+?|^$-d&~1,=!<>P:i #"), max_size=12))
def test_any_pattern_is_portable_or_refused(pattern):
    """What is taken compiles in Python and in Rust's engine, which is stricter than RE2 and Java."""
    import polars as pl

    try:
        found = portable(pattern, "here")
    except InvalidInput:
        return
    texts = ["", "a", "ab", "b[]", "1", "d", "aa", "\n", "-", "{", "a\\"]
    expected = [bool(re.fullmatch(found, text)) for text in texts]
    assert pl.Series(texts).str.contains(rf"\A(?:{found})\z").to_list() == expected


def test_like():
    for pattern, yes, no in [
        ("a%", "abc", "ba"),
        ("a_c", "abc", "ac"),
        (r"5\%", "5%", "50"),
        ("a.c", "a.c", "abc"),
    ]:
        found = re.compile(portable(like(pattern), ""))
        assert found.fullmatch(yes)
        assert not found.fullmatch(no)
