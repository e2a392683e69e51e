"""Schemas of Pandera, from the YAML or JSON that they write; what checks of data can't say is listed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from treadle.evaluate.data.imported import ANY, ImportedSuite, Unsaid, built, put
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan.patterns import portable

_KINDS = (
    (r"u?int\d*", "integer"),
    (r"float\d*|decimal.*", "number"),
    (r"str|string.*|object", "text"),
    (r"bool(ean)?", "boolean"),
    (r"datetime64.*|datetime.*|timestamp.*", "timestamp"),
    (r"date", "date"),
)
_OWN = {
    "dtype", "nullable", "unique", "required", "coerce", "regex", "title", "description", "metadata",
    "checks", "report_duplicates", "drop_invalid_rows", "default", "name",
}  # fmt: skip


def import_pandera(text: str | bytes, where: str = "the schema") -> ImportedSuite:
    """The checks of a Pandera schema, as ``schema.to_yaml()`` or ``to_json()`` writes it.

    Args:
        text: Its YAML or JSON.
        where: What to call it in errors.

    Raises:
        InvalidInput: If it is no such schema.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(
            f"it is no YAML: {str(error).splitlines()[0]}",
            where=where,
            fix="give what schema.to_yaml() wrote",
        ) from None
    columns = raw.get("columns") if isinstance(raw, dict) else None
    if not isinstance(columns, dict):
        raise InvalidInput("it has no columns", where=where, fix="give what schema.to_yaml() wrote")
    made: dict[str, Any] = {"min_rows": 1}
    unsaid: list[str] = []
    for name, column in columns.items():
        unsaid += _column(str(name), column if isinstance(column, dict) else {}, made)
    unsaid += _whole(raw, made)
    return built(made, unsaid, where)


def _whole(raw: Mapping[str, Any], made: dict[str, Any]) -> Iterator[str]:
    """What is said of the table as a whole."""
    if raw.get("ordered"):
        made["ordered"] = True
    if raw.get("strict") is True:
        made["extra"] = "refuse"
    elif raw.get("strict"):
        yield f"strict ({raw['strict']}): checks take no columns away"
    if raw.get("unique"):
        key = raw["unique"]
        made.setdefault("unique", []).append([key] if isinstance(key, str) else list(key))
    if raw.get("index"):
        yield "index: it is no column; write it as one (reset_index)"
    if raw.get("checks"):
        yield "checks of the whole table: say them as conditions"


def _column(name: str, column: Mapping[str, Any], made: dict[str, Any]) -> Iterator[str]:
    if column.get("regex"):
        yield f"{name}: a column is named by its name, not by a pattern"
        return
    if column.get("required") is False:
        yield f"{name}: checks are of columns that are there, and it may be absent"
        return
    for rule, value in _rules(column):
        try:
            rule(name, value, made)
        except Unsaid as why:
            yield f"{name}: {why}"
        except (KeyError, ValueError, TypeError) as error:
            yield f"{name}: {value!r} can't be read ({type(error).__name__})"


def _rules(column: Mapping[str, Any]) -> Iterator[tuple[Callable[..., None], Any]]:
    yield _kind, column.get("dtype")
    if column.get("dtype") is None or _kind_of(column["dtype"]):
        yield _nullable, bool(column.get("nullable"))
    if column.get("unique"):
        yield _unique, None
    nested = column.get("checks") or {}
    listed = nested if isinstance(nested, list) else [{key: value} for key, value in nested.items()]
    rest = [{key: value} for key, value in column.items() if key not in _OWN]
    for one in [*listed, *rest]:
        options = one.get("options") or {}
        check = options.get("check_name")
        pairs = {check: one.get("value", one)} if check else one
        for key, value in pairs.items():
            if value is not None or not check:
                yield _MAKERS.get(key, _no_such(key)), value


def _no_such(check: str) -> Callable[..., None]:
    def say(name: str, value: Any, made: dict[str, Any]) -> None:
        del name, value, made
        raise Unsaid(f"there is no check like {check}")

    return say


def _kind(name: str, value: Any, made: dict[str, Any]) -> None:
    if value is None:
        return
    kind = _kind_of(value)
    if kind is None:
        raise Unsaid(f"the type {value!r} isn't known: say it and `max_null` yourself")
    put(made, "types", name, kind)


def _kind_of(named: object) -> str | None:
    written = str(named).lower()
    return next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, written)), None)


def _nullable(name: str, value: Any, made: dict[str, Any]) -> None:
    put(made, "max_null", name, 1.0 if value else 0.0)


def _unique(name: str, value: Any, made: dict[str, Any]) -> None:
    del value
    made.setdefault("unique", []).append(name)


def _least(name: str, value: Any, made: dict[str, Any]) -> None:
    if isinstance(value, str):
        _compare(">=")(name, value, made)
    else:
        _within(name, float(value), math.inf, made)


def _most(name: str, value: Any, made: dict[str, Any]) -> None:
    if isinstance(value, str):
        _compare("<=")(name, value, made)
    else:
        _within(name, -math.inf, float(value), made)


def _range(name: str, value: Any, made: dict[str, Any]) -> None:
    for end, sign, key in (("min_value", ">", "include_min"), ("max_value", "<", "include_max")):
        if value.get(key) is False:
            _compare(sign)(name, value[end], made)
        elif end == "min_value":
            _least(name, value[end], made)
        else:
            _most(name, value[end], made)


def _within(name: str, low: float, high: float, made: dict[str, Any]) -> None:
    """Narrows the range of a column."""
    before = made.setdefault("ranges", {}).get(name, [-math.inf, math.inf])
    made["ranges"][name] = [max(before[0], low), min(before[1], high)]


def _compare(sign: str) -> Callable[..., None]:
    def say(name: str, value: Any, made: dict[str, Any]) -> None:
        quoted = '"' + name.replace('"', '""') + '"'
        literal = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else json.dumps(value)
        if isinstance(value, str) and made.get("types", {}).get(name) in {"date", "timestamp"}:
            literal = f"TIMESTAMP '{datetime.fromisoformat(value).isoformat(sep=' ')}'"
        put(made, "conditions", f"{name} {sign} {value}", f"{quoted} {sign} {literal}")

    return say


def _in(name: str, value: Any, made: dict[str, Any]) -> None:
    put(made, "values", name, list(value["allowed_values"] if isinstance(value, dict) else value))


def _equal(name: str, value: Any, made: dict[str, Any]) -> None:
    put(made, "values", name, [value])


def _not_in(name: str, value: Any, made: dict[str, Any]) -> None:
    for one in value["forbidden_values"] if isinstance(value, dict) else value:
        _compare("!=")(name, one, made)


def _matches(name: str, value: Any, made: dict[str, Any]) -> None:
    """Pandera's pattern begins where the text does, and need not reach its end (``re.match``)."""
    _pattern(name, str(value).removeprefix("^"), made, ends=str(value).endswith("$"))


def _contains(name: str, value: Any, made: dict[str, Any]) -> None:
    _pattern(name, f"{ANY}({value})", made)


def _starts(name: str, value: Any, made: dict[str, Any]) -> None:
    _pattern(name, re.escape(str(value)), made)


def _ends(name: str, value: Any, made: dict[str, Any]) -> None:
    _pattern(name, f"{ANY}{re.escape(str(value))}$", made, ends=True)


def _length(name: str, value: Any, made: dict[str, Any]) -> None:
    if isinstance(value, int) or value.get("exact_value") is not None:
        exact = value if isinstance(value, int) else value["exact_value"]
        low, high = exact, exact
    else:
        low, high = value.get("min_value") or 0, value.get("max_value")
    _pattern(name, f"(.|\\n){{{low},{'' if high is None else high}}}$", made, ends=True)


def _pattern(name: str, written: str, made: dict[str, Any], *, ends: bool = False) -> None:
    whole = f"({written[:-1]})" if ends else f"({written}){ANY}"
    try:
        portable(whole, "pattern")
    except InvalidInput as error:
        raise Unsaid(error.message) from None
    put(made, "patterns", name, whole)


_MAKERS: Mapping[str, Callable[..., None]] = {
    "greater_than_or_equal_to": _least,
    "less_than_or_equal_to": _most,
    "greater_than": _compare(">"),
    "less_than": _compare("<"),
    "in_range": _range,
    "isin": _in,
    "notin": _not_in,
    "equal_to": _equal,
    "not_equal_to": _compare("!="),
    "str_matches": _matches,
    "str_contains": _contains,
    "str_startswith": _starts,
    "str_endswith": _ends,
    "str_length": _length,
}
