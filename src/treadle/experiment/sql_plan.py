"""What a query needs of each table, as far as that can be told from its text. Pure.

A filter on a table's column is applied where the rows are read, if it holds for every use of the
table: the table is named once, and the condition is one of those joined by AND in the WHERE of the
same SELECT (or in the ON of an inner join there). Whatever is not understood is not used: then more
rows are read, and the answer is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

Node: TypeAlias = dict[str, Any]

FILTERED = {
    "runs": ("id", "experiment", "status"),
    "params": ("run", "name"),
    "metrics": ("run", "name"),
    "points": ("run", "name"),
    "tags": ("run", "name"),
    "inputs": ("run", "name"),
    "artifacts": ("run",),
}


class Need(msgspec.Struct, frozen=True):
    """What is needed of a table.

    Attributes:
        only: For columns that are filtered: the values that can matter.
        through_runs: Whether only rows of the runs that are needed can matter.
    """

    only: dict[str, tuple[str, ...]] = {}
    through_runs: bool = False


def needs(tree: Node) -> dict[str, Need]:
    """What a query needs of the tables that it can be told of.

    Args:
        tree: The query as DuckDB's ``json_serialize_sql`` writes it.
    """
    selects = [node for node in _walk(tree) if node.get("type") == "SELECT_NODE"]
    named = Counter(str(n["table_name"]).lower() for n in _walk(tree) if n.get("type") == "BASE_TABLE")
    made_up = {
        str(one.get("key", "")).lower() for n in _walk(tree) for one in _list((n.get("cte_map") or {}), "map")
    }
    found: dict[str, Need] = {}
    for select in selects:
        source = select.get("from_table") or {}
        tables, conditions, sole = _tables(source)
        tables = {
            alias: name
            for alias, name in tables.items()
            if name in FILTERED and named[name] == 1 and name not in made_up
        }
        conditions += list(_conjuncts(select.get("where_clause")))
        only: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in tables.values()}
        through: set[str] = set()
        for condition in conditions:
            _learn(condition, tables, only, through, sole=sole)
        for name, columns in only.items():
            found[name] = Need(columns, name in through)
    return found


def _learn(
    condition: Node,
    tables: Mapping[str, str],
    only: dict[str, dict[str, tuple[str, ...]]],
    through: set[str],
    *,
    sole: bool,
) -> None:
    """Notes what one condition says of tables."""
    if condition.get("type") == "COMPARE_EQUAL":
        sides = (condition.get("left"), condition.get("right"))
        for one, other in (sides, sides[::-1]):
            column, value = _column(one, tables, sole=sole), _text(other)
            if column and value is not None:
                _narrow(only, column, (value,))
        pair = [_column(side, tables, sole=sole) for side in sides]
        for mine, theirs in (pair, pair[::-1]):
            if mine and mine[1] == "run" and theirs == ("runs", "id"):
                through.add(mine[0])
    elif condition.get("type") == "COMPARE_IN":
        first, *others = _list(condition, "children") or [None]
        column, values = _column(first, tables, sole=sole), [_text(one) for one in others]
        known = tuple(value for value in values if value is not None)
        if column and known and len(known) == len(values):
            _narrow(only, column, known)


def _narrow(
    only: dict[str, dict[str, tuple[str, ...]]], column: tuple[str, str], values: tuple[str, ...]
) -> None:
    table, name = column
    if name in FILTERED[table]:
        before = only[table].get(name)
        only[table][name] = tuple(dict.fromkeys(v for v in values if before is None or v in before))


def _tables(source: Node) -> tuple[dict[str, str], list[Node], bool]:
    """The tables of a FROM of inner joins only, by alias; their conditions; whether it is but one."""
    kind = source.get("type")
    if kind == "BASE_TABLE" and not source.get("sample") and not source.get("column_name_alias"):
        name = str(source["table_name"]).lower()
        plain = not source.get("schema_name") and not source.get("catalog_name")
        return ({str(source.get("alias") or name).lower(): name} if plain else {}), [], True
    if kind == "JOIN" and source.get("join_type") == "INNER" and not source.get("sample"):
        if source.get("ref_type") not in {"REGULAR", "CROSS"}:
            return {}, [], False
        left, mine, _ = _tables(source.get("left") or {})
        right, theirs, _ = _tables(source.get("right") or {})
        if left.keys() & right.keys():
            return {}, [], False
        return left | right, [*mine, *theirs, *_conjuncts(source.get("condition"))], False
    return {}, [], False


def _conjuncts(node: Any) -> Iterator[Node]:
    if isinstance(node, dict):
        if node.get("type") == "CONJUNCTION_AND":
            for child in _list(node, "children"):
                yield from _conjuncts(child)
        else:
            yield node


def _column(node: Any, tables: Mapping[str, str], *, sole: bool) -> tuple[str, str] | None:
    """The table and the column that an expression is."""
    if not isinstance(node, dict) or node.get("type") != "COLUMN_REF":
        return None
    names = [str(name).lower() for name in _list(node, "column_names")]
    if len(names) == 2 and names[0] in tables:
        return tables[names[0]], names[1]
    if len(names) == 1 and sole and len(tables) == 1:
        return next(iter(tables.values())), names[0]
    return None


def _text(node: Any) -> str | None:
    """The text that an expression is, if it is a literal one."""
    if not isinstance(node, dict) or node.get("type") != "VALUE_CONSTANT":
        return None
    literal, value = node.get("literal"), node.get("value")
    if isinstance(literal, dict) and literal.get("kind") == "STRING":
        return str(literal.get("text", ""))
    if isinstance(value, dict) and not value.get("is_null") and isinstance(value.get("value"), str):
        kind = value.get("type")
        return value["value"] if isinstance(kind, dict) and kind.get("id") == "VARCHAR" else None
    return None


def _walk(node: Any) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _list(node: Mapping[str, Any], key: str) -> list[Any]:
    found = node.get(key)
    return found if isinstance(found, list) else []
