"""Suites of Great Expectations, from their JSON, as checks of data; what can't be said is listed."""

from __future__ import annotations

from typing import Any

import msgspec

from treadle.evaluate.data.expectation_rules import MAKERS
from treadle.evaluate.data.imported import ImportedSuite, Unsaid, built
from treadle.kernel.errors import InvalidInput

_ASIDE = {
    "result_format", "catch_exceptions", "include_config", "meta", "batch_id", "parse_strings_as_datetimes",
    "condition_parser",
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
    unsaid: list[str] = []
    # What is said of the columns as a whole rests on what was said of each.
    for one in sorted(listed, key=lambda one: _kind(one).startswith("expect_table_columns")):
        kind, given = _kind(one), dict(one.get("kwargs") or {}) if isinstance(one, dict) else {}
        about = given.get("column") or given.get("column_list") or given.get("column_A") or "the table"
        try:
            _say(kind, {key: value for key, value in given.items() if key not in _ASIDE}, made)
        except (KeyError, ValueError, TypeError) as error:
            unsaid.append(f"{kind}: it can't be read ({type(error).__name__}: {error})")
        except Unsaid as why:
            unsaid.append(f"{kind} ({about}): {why}")
        else:
            if one.get("severity", "critical") != "critical":
                unsaid.append(f"{kind} ({about}): it is a {one['severity']} there, and fails here")
    return built(made, unsaid, where)


def _kind(one: Any) -> str:
    named = one.get("expectation_type") or one.get("type") if isinstance(one, dict) else None
    return str(named or "an expectation without a type")


def _say(kind: str, given: dict[str, Any], made: dict[str, Any]) -> None:
    maker = MAKERS.get(kind)
    if maker is None:
        raise Unsaid("there is no such check")
    if given.get("row_condition"):
        raise Unsaid("it is about some rows only: say it as a condition")
    maker({key: value for key, value in given.items() if value is not None}, made)
