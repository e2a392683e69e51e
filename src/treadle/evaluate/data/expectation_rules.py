"""What each expectation of Great Expectations is as a check of data."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any, TypeAlias

from treadle.evaluate.data.imported import ANY, Unsaid, put
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan.patterns import portable
from treadle.kernel.scan.reading import read

Given: TypeAlias = Mapping[str, Any]
Made: TypeAlias = dict[str, Any]
Maker: TypeAlias = Callable[[Given, Made], None]

_KINDS = (
    (r"u?int\d*|integer|bigint|smallint|\w*integertype|longtype", "integer"),
    (r"float\d*|double\w*|real|decimal.*|numeric.*", "number"),
    (r"str|string\w*|object|text|varchar.*|char.*", "text"),
    (r"bool(ean)?\w*", "boolean"),
    (r"datetime.*|timestamp.*", "timestamp"),
    (r"date(type)?", "date"),
)

_ENDS = (("min_value", "strict_min", ">"), ("max_value", "strict_max", "<"))


def _mostly(given: Given, made: Made, name: str) -> None:
    if (mostly := float(given.get("mostly", 1.0))) < 1:
        put(made, "max_violations", name, round(1 - mostly, 12))


def _condition(given: Given, made: Made, name: str, text: str) -> None:
    """A condition, if it can be read."""
    try:
        read(text, name)
    except InvalidInput as error:
        raise Unsaid(error.message) from None
    put(made, "conditions", name, text)
    _mostly(given, made, name)


def _quoted(name: object) -> str:
    return '"' + str(name).replace('"', '""') + '"'


def _literal(value: object) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise Unsaid(f"{value!r} is no value of a condition")


def _null(given: Given, made: Made) -> None:
    column = given["column"]
    _condition(given, made, f"{column} is missing", f"{_quoted(column)} IS NULL")


def _not_null(given: Given, made: Made) -> None:
    put(made, "max_null", given["column"], round(1 - float(given.get("mostly", 1.0)), 12))


def _share_not_null(given: Given, made: Made) -> None:
    if given.get("max_value", 1.0) < 1:
        raise Unsaid("there is no least share of missing values")
    if given.get("strict_min"):
        raise Unsaid("its end is left out")
    put(made, "max_null", given["column"], round(1 - float(given.get("min_value", 0.0)), 12))


def _ends(given: Given) -> list[float]:
    if given.get("strict_min") or given.get("strict_max"):
        raise Unsaid("its ends are left out")
    ends = [given.get("min_value", -math.inf), given.get("max_value", math.inf)]
    if not all(isinstance(end, int | float) for end in ends):
        raise Unsaid("its ends are no numbers")
    return ends


def _between(given: Given, made: Made) -> None:
    """A range of numbers; ends that are left out, and days and moments, as conditions."""
    column: str = given["column"]
    ends: dict[str, Any] = {}
    for key, strict, sign in _ENDS:
        end = given.get(key)
        if isinstance(end, str):
            literal = _moment(end)
        elif end is not None and given.get(strict):
            literal = _literal(end)
        else:
            ends |= {} if end is None else {key: end}
            continue
        wanted = sign if given.get(strict) else f"{sign}="
        _condition(given, made, f"{column} {wanted} {end}", f"{_quoted(column)} {wanted} {literal}")
    if ends:
        put(made, "ranges", column, _ends(ends))
        _mostly(given, made, column)


def _moment(end: str) -> str:
    try:
        return f"TIMESTAMP '{datetime.fromisoformat(end).isoformat(sep=' ')}'"
    except ValueError:
        raise Unsaid(f"its end {end!r} is neither number nor time") from None


def _least(given: Given, made: Made) -> None:
    """That the least value is at least something is said of all; that it is at most something isn't."""
    if "max_value" in given:
        raise Unsaid("the least value may not be bounded from above")
    _between(given, made)


def _greatest(given: Given, made: Made) -> None:
    if "min_value" in given:
        raise Unsaid("the greatest value may not be bounded from below")
    _between(given, made)


def _mean(given: Given, made: Made) -> None:
    put(made, "means", given["column"], _ends(given))


def _in_set(given: Given, made: Made) -> None:
    put(made, "values", given["column"], given.get("value_set", []))
    _mostly(given, made, given["column"])


def _not_in_set(given: Given, made: Made) -> None:
    column, values = given["column"], [_literal(one) for one in given["value_set"]]
    if values:
        _condition(given, made, f"{column} not in set", f"{_quoted(column)} NOT IN ({', '.join(values)})")


def _whole(written: str) -> str:
    """A pattern that Great Expectations looks for anywhere in a text, as one of the whole text."""
    starts, ends = written.startswith("^"), written.endswith("$") and not written.endswith(r"\$")
    if "|" in written and (starts or ends):
        raise Unsaid("which part its ^ and $ bind can't be told: put the alternatives in brackets")
    middle = written[starts : len(written) - ends]
    whole = middle if starts and ends else f"({middle})"
    whole = f"{'' if starts else ANY}{whole}{'' if ends else ANY}"
    try:
        portable(whole, "regex")
    except InvalidInput as error:
        raise Unsaid(error.message) from None
    return whole


def _regex(given: Given, made: Made) -> None:
    put(made, "patterns", given["column"], _whole(str(given["regex"])))
    _mostly(given, made, given["column"])


def _each(key: str, test: Callable[[str, str], str], *, negated: bool) -> Maker:
    """Of one pattern or of a list, by a test of a column and a pattern."""

    def make(given: Given, made: Made) -> None:
        column, listed = given["column"], given[key] if isinstance(given[key], list) else [given[key]]
        tests = [test(_quoted(column), str(one)) for one in listed]
        told = ", ".join(map(str, listed))
        if negated:
            text = " AND ".join(f"NOT {one}" for one in tests)
            _condition(given, made, f"{column} not like {told}", text)
        else:
            every = given.get("match_on", "any") == "all"
            text = (" AND " if every else " OR ").join(tests)
            _condition(given, made, f"{column} like {'all of ' if every else ''}{told}", text)

    return make


def _matches(column: str, pattern: str) -> str:
    return f"matches({column}, {_literal(_whole(pattern))})"


def _like(column: str, pattern: str) -> str:
    return f"{column} LIKE {_literal(pattern)}"


def _length(given: Given, made: Made) -> None:
    column = given["column"]
    ends = [(key, sign if given.get(strict) else f"{sign}=") for key, strict, sign in _ENDS if key in given]
    if "value" in given:
        ends = [("value", "=")]
    for key, sign in ends:
        end = f"{sign} {_literal(given[key])}"
        _condition(given, made, f"length of {column} {end}", f"length({_quoted(column)}) {end}")


def _unique(given: Given, made: Made) -> None:
    if float(given.get("mostly", 1.0)) < 1:
        raise Unsaid("a key has no exceptions")
    made.setdefault("unique", []).append(given.get("column") or list(given["column_list"]))


def _kind(named: object) -> str:
    kind = next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, str(named).lower())), None)
    if kind is None:
        raise Unsaid(f"the type {named!r} isn't known")
    return kind


def _type(given: Given, made: Made) -> None:
    put(made, "types", given["column"], _kind(given.get("type_")))


def _types(given: Given, made: Made) -> None:
    kinds = sorted({_kind(one) for one in given["type_list"]})
    if len(kinds) != 1:
        raise Unsaid(f"it may be {' or '.join(kinds)}, and a column has one type")
    put(made, "types", given["column"], kinds[0])


def _rows(given: Given, made: Made) -> None:
    if "min_value" in given:
        made["min_rows"] = max(1, int(given["min_value"]))
    if "max_value" in given:
        raise Unsaid("there is no greatest number of rows (`max_volume_change` looks at days)")


def _pair(sign: str, word: str) -> Maker:
    def make(given: Given, made: Made) -> None:
        one, other = given["column_A"], given["column_B"]
        wanted = f"{sign}=" if given.get("or_equal") else sign
        _condition(given, made, f"{one} {word} {other}", f"{_quoted(one)} {wanted} {_quoted(other)}")

    return make


def _pairs(given: Given, made: Made) -> None:
    one, other = given["column_A"], given["column_B"]
    allowed = [
        f"{_quoted(one)} = {_literal(a)} AND {_quoted(other)} = {_literal(b)}"
        for a, b in given["value_pairs_set"]
    ]
    _condition(given, made, f"{one} and {other}", " OR ".join(f"({pair})" for pair in allowed))


def _sum(given: Given, made: Made) -> None:
    columns, total = given["column_list"], _literal(given["sum_total"])
    text = f"{' + '.join(map(_quoted, columns))} = {total}"
    _condition(given, made, f"{' + '.join(columns)} = {total}", text)


def _all(sign: str, word: str, pairs: Callable[[Iterable[str]], Iterable[tuple[str, ...]]]) -> Maker:
    def make(given: Given, made: Made) -> None:
        columns = list(given["column_list"])
        text = " AND ".join(f"{_quoted(one)} {sign} {_quoted(other)}" for one, other in pairs(columns))
        _condition(given, made, f"{', '.join(columns)} {word}", text)

    return make


def _columns(given: Given, made: Made) -> None:
    """Which columns there are is said by their types."""
    listed = given.get("column_list") or given.get("column_set") or []
    if any(name not in made.get("types", {}) for name in listed):
        raise Unsaid("say what its columns are in `types`, of which `extra` and `ordered` then speak")
    if set(made["types"]) == set(listed) and given.get("exact_match", True):
        made["extra"] = "refuse"
    if "column_list" in given:
        made["types"] = {name: made["types"][name] for name in listed}
        made["ordered"] = True


MAKERS: Mapping[str, Maker] = {
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_proportion_of_non_null_values_to_be_between": _share_not_null,
    "expect_column_values_to_be_null": _null,
    "expect_column_values_to_be_between": _between,
    "expect_column_min_to_be_between": _least,
    "expect_column_max_to_be_between": _greatest,
    "expect_column_mean_to_be_between": _mean,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_distinct_values_to_be_in_set": _in_set,
    "expect_column_values_to_not_be_in_set": _not_in_set,
    "expect_column_values_to_match_regex": _regex,
    "expect_column_values_to_match_regex_list": _each("regex_list", _matches, negated=False),
    "expect_column_values_to_not_match_regex": _each("regex", _matches, negated=True),
    "expect_column_values_to_not_match_regex_list": _each("regex_list", _matches, negated=True),
    "expect_column_values_to_match_like_pattern": _each("like_pattern", _like, negated=False),
    "expect_column_values_to_match_like_pattern_list": _each("like_pattern_list", _like, negated=False),
    "expect_column_values_to_not_match_like_pattern": _each("like_pattern", _like, negated=True),
    "expect_column_values_to_not_match_like_pattern_list": _each("like_pattern_list", _like, negated=True),
    "expect_column_value_lengths_to_be_between": _length,
    "expect_column_value_lengths_to_equal": _length,
    "expect_column_values_to_be_unique": _unique,
    "expect_compound_columns_to_be_unique": _unique,
    "expect_column_values_to_be_of_type": _type,
    "expect_column_values_to_be_in_type_list": _types,
    "expect_table_row_count_to_be_between": _rows,
    "expect_table_columns_to_match_set": _columns,
    "expect_table_columns_to_match_ordered_list": _columns,
    "expect_column_pair_values_a_to_be_greater_than_b": _pair(">", "over"),
    "expect_column_pair_values_to_be_equal": _pair("=", "as"),
    "expect_column_pair_values_to_be_in_set": _pairs,
    "expect_multicolumn_sum_to_equal": _sum,
    "expect_multicolumn_values_to_be_equal": _all("=", "are equal", pairwise),
    "expect_select_column_values_to_be_unique_within_record": _all(
        "<>", "differ", lambda columns: combinations(columns, 2)
    ),
    "expect_multicolumn_values_to_be_unique": _all("<>", "differ", lambda columns: combinations(columns, 2)),
}
"""By the name in the JSON."""
