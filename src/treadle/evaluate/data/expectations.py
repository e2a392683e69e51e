"""Suites of Great Expectations, from their JSON, as checks of data; what can't be said is listed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from treadle.evaluate.data.imported import ANY, ImportedSuite, Unsaid, built, put
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan.patterns import portable

_TYPES = {
    "int": "integer", "int64": "integer", "int32": "integer", "INTEGER": "integer", "BIGINT": "integer",
    "float": "number", "float64": "number", "DOUBLE": "number", "DOUBLE_PRECISION": "number",
    "str": "text", "object": "text", "string": "text", "TEXT": "text", "VARCHAR": "text",
    "bool": "boolean", "BOOLEAN": "boolean", "datetime64[ns]": "timestamp", "TIMESTAMP": "timestamp",
}  # fmt: skip
_ASIDE = {
    "result_format", "catch_exceptions", "include_config", "meta", "batch_id", "parse_strings_as_datetimes",
}  # fmt: skip


def import_expectations(text: str | bytes, where: str = "the suite") -> ImportedSuite:
    """The checks of a suite of Great Expectations, as versions 0.x and 1.x save it; none of it is needed.

    Args:
        text: Its JSON.
        where: What to call it in errors.

    Raises:
        InvalidInput: If it is no such suite.
    """
    try:
        raw = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"it is no JSON: {error}", where=where, fix="give the suite's .json file"
        ) from None
    listed = raw.get("expectations") if isinstance(raw, dict) else None
    if not isinstance(listed, list):
        raise InvalidInput("it has no list of expectations", where=where, fix="give the suite's .json file")
    made: dict[str, Any] = {}
    unsaid = []
    for one in listed:
        named = one.get("expectation_type") or one.get("type") if isinstance(one, dict) else None
        kind = str(named or "an expectation without a type")
        given = dict(one.get("kwargs") or {}) if isinstance(one, dict) else {}
        try:
            _say(kind, {key: value for key, value in given.items() if key not in _ASIDE}, made)
        except (KeyError, ValueError, TypeError) as error:
            unsaid.append(f"{kind}: it can't be read ({type(error).__name__}: {error})")
        except Unsaid as why:
            about = given.get("column") or given.get("column_list") or "the table"
            unsaid.append(f"{kind} ({about}): {why}")
    return built(made, unsaid, where)


def _say(kind: str, given: dict[str, Any], made: dict[str, Any]) -> None:
    maker = _MAKERS.get(kind)
    if maker is None:
        raise Unsaid("there is no such check")
    if given.get("row_condition"):
        raise Unsaid("it is about some rows only")
    maker({key: value for key, value in given.items() if value is not None}, made)


def _mostly(given: Mapping[str, Any], made: dict[str, Any], name: str) -> None:
    if (mostly := float(given.get("mostly", 1.0))) < 1:
        put(made, "max_violations", name, round(1 - mostly, 12))


def _not_null(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    put(made, "max_null", given["column"], round(1 - float(given.get("mostly", 1.0)), 12))


def _ends(given: Mapping[str, Any]) -> list[float]:
    if given.get("strict_min") or given.get("strict_max"):
        raise Unsaid("its ends are left out")
    ends = [given.get("min_value", -math.inf), given.get("max_value", math.inf)]
    if not all(isinstance(end, int | float) for end in ends):
        raise Unsaid("its ends are no numbers")
    return ends


def _between(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    put(made, "ranges", given["column"], _ends(given))
    _mostly(given, made, given["column"])


def _mean(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    put(made, "means", given["column"], _ends(given))


def _in_set(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    put(made, "values", given["column"], given.get("value_set", []))
    _mostly(given, made, given["column"])


def _regex(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    """Great Expectations looks for it anywhere in a text; here it is the whole text that must match."""
    written = str(given["regex"])
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
    put(made, "patterns", given["column"], whole)
    _mostly(given, made, given["column"])


def _unique(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    if float(given.get("mostly", 1.0)) < 1:
        raise Unsaid("a key has no exceptions")
    made.setdefault("unique", []).append(given.get("column") or list(given["column_list"]))


def _type(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    kind = _TYPES.get(str(given.get("type_")))
    if kind is None:
        raise Unsaid(f"the type {given.get('type_')!r} isn't known")
    put(made, "types", given["column"], kind)


def _rows(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    if "min_value" in given:
        made["min_rows"] = max(1, int(given["min_value"]))
    if "max_value" in given:
        raise Unsaid("there is no greatest number of rows (`max_volume_change` looks at days)")


def _greater(given: Mapping[str, Any], made: dict[str, Any]) -> None:
    one, other = ('"' + str(given[key]).replace('"', '""') + '"' for key in ("column_A", "column_B"))
    sign = ">=" if given.get("or_equal") else ">"
    name = f"{given['column_A']} over {given['column_B']}"
    put(made, "conditions", name, f"{one} {sign} {other}")
    _mostly(given, made, name)


_MAKERS: Mapping[str, Callable[[Mapping[str, Any], dict[str, Any]], None]] = {
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_be_between": _between,
    "expect_column_mean_to_be_between": _mean,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_match_regex": _regex,
    "expect_column_values_to_be_unique": _unique,
    "expect_compound_columns_to_be_unique": _unique,
    "expect_column_values_to_be_of_type": _type,
    "expect_table_row_count_to_be_between": _rows,
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
}
