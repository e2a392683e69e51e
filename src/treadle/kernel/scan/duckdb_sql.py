"""Conditions and columns as DuckDB's SQL. What a person wrote gets in only as a quoted name or text."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

from treadle.kernel.engine import quote, text
from treadle.kernel.scan import expressions as ex
from treadle.kernel.scan.answers import Scalar
from treadle.kernel.scan.columns import Column, Columns, Kind

_KINDS: dict[str, tuple[Kind, str]] = {
    "TINYINT": ("integer", "int8"),
    "SMALLINT": ("integer", "int16"),
    "INTEGER": ("integer", "int32"),
    "BIGINT": ("integer", "int64"),
    "HUGEINT": ("integer", "int128"),
    "UTINYINT": ("integer", "uint8"),
    "USMALLINT": ("integer", "uint16"),
    "UINTEGER": ("integer", "uint32"),
    "UBIGINT": ("integer", "uint64"),
    "UHUGEINT": ("integer", "uint128"),
    "FLOAT": ("number", "float32"),
    "DOUBLE": ("number", "float64"),
    "BOOLEAN": ("boolean", "boolean"),
    "VARCHAR": ("text", "text"),
    "UUID": ("text", "text"),
    "DATE": ("date", "date"),
    "TIMESTAMP WITH TIME ZONE": ("timestamp", "timestamptz"),
    "BLOB": ("binary", "binary"),
}
_FUNCTIONS = {
    "abs": "abs({0})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "length": "length({0})",
    "lower": "lower({0})",
    "upper": "upper({0})",
    "trim": "trim({0})",
    "starts_with": "starts_with({0}, {1})",
    "ends_with": "suffix({0}, {1})",
    "contains": "contains({0}, {1})",
    "year": "year({0})",
    "month": "month({0})",
    "day": "day({0})",
    "hour": "hour(CAST({0} AS TIMESTAMP))",
    "seconds_between": "((epoch_us(CAST({1} AS TIMESTAMP)) - epoch_us(CAST({0} AS TIMESTAMP))) / 1e6)",
}


def column_of(name: str, kind: str) -> Column:  # noqa: PLR0911 - one a kind
    """A column as DuckDB describes it."""
    if kind in _KINDS:
        return Column(name, *_KINDS[kind])
    if kind.startswith("DECIMAL"):
        whole: Kind = "integer" if kind.endswith(",0)") else "number"
        return Column(name, whole, kind.lower().replace(",", ", "))
    if kind.startswith("ENUM"):
        return Column(name, "text", "text")
    if kind.startswith("TIMESTAMP"):
        return Column(name, "timestamp", "timestamptz" if "ZONE" in kind or "TZ" in kind else "timestamp")
    if kind.startswith("TIME"):
        return Column(name, "time", "time")
    if kind.endswith("]"):
        return Column(name, "nested", "list")
    if kind.startswith(("STRUCT", "MAP", "UNION")):
        return Column(name, "nested", kind.partition("(")[0].lower())
    return Column(name, "other", kind.lower())


def value_sql(column: Column) -> str:  # noqa: PLR0911 - one a kind
    """A column's value: a null where there is NaN, moments in UTC without a zone, decimals as floats."""
    name = quote(column.name)
    if column.is_float:
        wide = name if column.type == "float64" else f"CAST({name} AS DOUBLE)"
        return f"nullif({wide}, CAST('NaN' AS DOUBLE))"
    if column.kind == "integer" and column.type.startswith("decimal"):
        return f"CAST({name} AS HUGEINT)"
    if column.kind == "number":
        return f"CAST({name} AS DOUBLE)"
    if column.kind == "text":  # ENUM and UUID as well; of texts it costs nothing
        return f"CAST({name} AS VARCHAR)"
    if column.type == "timestamptz":
        return f"timezone('UTC', {name})"
    if column.kind == "timestamp":
        return f"CAST({name} AS TIMESTAMP)"
    return name


def number_sql(column: Column) -> str:
    """The value of a number or boolean as a float."""
    value = value_sql(column)
    return value if column.kind == "number" else f"CAST({value} AS DOUBLE)"


def condition_sql(node: ex.Expression, columns: Columns) -> str:  # noqa: C901, PLR0911 - one a node
    """A condition, in brackets where it needs them."""

    def sql(part: ex.Expression) -> str:
        return condition_sql(part, columns)

    match node:
        case ex.Name():
            return value_sql(columns[node.column])
        case ex.Value():
            return constant_sql(node.value)
        case ex.Compare():
            return f"({sql(node.left)} {node.operator} {sql(node.right)})"
        case ex.Compute():
            return _computed(node.operator, sql(node.left), sql(node.right))
        case ex.All():
            return f"({' AND '.join(map(sql, node.parts))})"
        case ex.Any():
            return f"({' OR '.join(map(sql, node.parts))})"
        case ex.Not():
            return f"(NOT {sql(node.part)})"
        case ex.IsMissing():
            return f"({sql(node.part)} IS NULL)"
        case ex.In():
            return f"({sql(node.part)} IN ({', '.join(map(constant_sql, node.values))}))"
        case ex.Matches():
            return f"regexp_full_match({sql(node.part)}, {text(node.pattern)})"
        case ex.Call():
            return _called(node, columns)


def _computed(operator: ex.Operation, left: str, right: str) -> str:
    by = f"CAST({right} AS DOUBLE)"
    if operator in {"/", "%"}:
        by = f"nullif({by}, 0)"
    return f"nullif(CAST({left} AS DOUBLE) {operator} {by}, CAST('NaN' AS DOUBLE))"


def _called(node: ex.Call, columns: Columns) -> str:
    arguments = [condition_sql(argument, columns) for argument in node.arguments]
    if node.function == "coalesce":
        return f"coalesce({', '.join(arguments)})"
    return _FUNCTIONS[node.function].format(*arguments)


def constant_sql(value: Scalar) -> str:
    """A constant."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) and abs(value) < 2**127:
        return str(value)
    if isinstance(value, int | float):
        return f"CAST('{float(value)!r}' AS DOUBLE)" if not math.isnan(value) else "NULL"
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        return f"TIMESTAMP '{moment.replace(tzinfo=None).isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return text(value)
