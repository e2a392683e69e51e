"""Verdicts on data before training: one aggregate query for all columns, then decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from treadle.evaluate.holdout import column_types, is_number, require, require_checked
from treadle.evaluate.rules import against, holm, needed, share_increase, wilson
from treadle.evaluate.types import Outcome, Verdict
from treadle.evaluate.wording import percent
from treadle.kernel.config import Config, DataCheck
from treadle.kernel.engine import Engine, quote, text
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean

Facts: TypeAlias = Mapping[tuple[str, str], Any]
Rows: TypeAlias = Path | list[Path]

_WHERE = "treadle.toml [checks.data]"
_ROWS = ("", "rows")


def check(engine: Engine, config: Config, data: Rows, reference: Rows | None = None) -> list[Verdict]:
    """All verdicts of ``[checks.data]`` on the rows of Parquet files.

    Args:
        engine: Reads the rows.
        config: Names features, label and checks.
        data: The rows.
        reference: The rows that production was trained on, if there are any.

    Raises:
        InvalidInput: If a check names a column that the data doesn't have, or is of the wrong
            kind for it.
        CorruptData: If a file can't be read.
    """
    train, dataset = config.training
    label, checks = str(dataset.label), config.checks.data
    modelled = [*train.features, label]
    types = column_types(engine, data)
    _check_names(config, modelled, types)
    columns = [name for name in modelled if name in types]
    columns += [name for name in checks.max_null if name in types and name not in columns]
    binary = label if config.project.task == "binary" and label in types else None
    facts = _ask(engine, data, _questions(types, columns, checks, binary))
    verdicts = [*_schema(modelled, types), _min_rows(facts, checks)]
    if reference is not None:
        verdicts += _kinds(modelled, types, column_types(engine, reference))
    if facts[_ROWS]:
        verdicts += _nulls(facts, columns, checks)
        verdicts += _unique(engine, data, [name for name in checks.unique if name in types])
        verdicts += _ranges(facts, types, checks)
        verdicts += _values(facts, types, checks)
        if binary is not None:
            verdicts += _label(facts, binary, config)
        if reference is not None:
            verdicts += _null_increase(engine, facts, columns, reference, config)
    return verdicts


def _check_names(config: Config, modelled: list[str], types: Mapping[str, str]) -> None:
    """Refuses checks that can't be meant; a feature that isn't there is the schema verdict's business."""
    checks = config.checks.data
    known = {**dict.fromkeys(modelled, ""), **types}
    for key in ("unique", "max_null", "ranges", "values"):
        require(getattr(checks, key), known, f"{_WHERE} {key}")
    require_checked(config, known)
    for name, (low, high) in checks.ranges.items():
        where = f"{_WHERE} ranges"
        if not low <= high:
            raise InvalidInput(f"the range of {name!r} is empty: [{low:g}, {high:g}]", where=where)
        if name in types and not is_number(types[name]):
            raise InvalidInput(f"{name!r} is {types[name]}, which has no range", where=where)


def _questions(
    types: Mapping[str, str], columns: list[str], checks: DataCheck, binary: str | None
) -> dict[tuple[str, str], str]:
    """What to ask of the rows, in SQL, by column and fact."""
    asked = {_ROWS: "count(*)"}
    for name in columns:
        asked[name, "nulls"] = f"count(*) FILTER (WHERE {missing_sql(name, types)})"
    for name, (low, high) in checks.ranges.items():
        if name in types:
            column, there = quote(name), f"NOT ({missing_sql(name, types)})"
            asked[name, "low"] = f"CAST(min({column}) FILTER (WHERE {there}) AS DOUBLE)"
            asked[name, "high"] = f"CAST(max({column}) FILTER (WHERE {there}) AS DOUBLE)"
            asked[name, "outside"] = (
                f"count(*) FILTER (WHERE {there} AND NOT {column} BETWEEN {_number(low)} AND {_number(high)})"
            )
    for name, allowed in checks.values.items():
        if name in types:
            column = f"CAST({quote(name)} AS VARCHAR)"
            other = (
                f"{column} NOT IN ({', '.join(map(text, allowed))})" if allowed else f"{column} IS NOT NULL"
            )
            asked[name, "other"] = f"count(*) FILTER (WHERE {other})"
            asked[name, "example"] = f"min({column}) FILTER (WHERE {other})"
    if binary is not None and _can_be_binary(types[binary]):
        column = f"CAST({quote(binary)} AS DOUBLE)"
        asked[binary, "true"] = f"count(*) FILTER (WHERE {column} = 1)"
        asked[binary, "false"] = f"count(*) FILTER (WHERE {column} = 0)"
    return asked


def missing_sql(name: str, types: Mapping[str, str]) -> str:
    """SQL for a value that isn't there; NaN counts as missing, as it does for models."""
    column = quote(name)
    if types[name] not in {"FLOAT", "DOUBLE"}:
        return f"{column} IS NULL"
    # Not isnan(): DuckDB 2.0 answers it from Parquet's statistics, which leave NaN out.
    return f"{column} IS NULL OR NOT (isfinite({column}) OR isinf({column}))"


def _number(value: float) -> str:
    return f"CAST('{value!r}' AS DOUBLE)"


def _can_be_binary(kind: str) -> bool:
    return kind == "BOOLEAN" or is_number(kind)


def _ask(engine: Engine, data: Rows, asked: Mapping[tuple[str, str], str]) -> Facts:
    answers = engine.rows(f"SELECT {', '.join(asked.values())} FROM t", tables={"t": data})  # noqa: S608 - quoted
    return dict(zip(asked, answers[0], strict=True))


def _schema(modelled: list[str], types: Mapping[str, str]) -> Iterator[Verdict]:
    missing = [name for name in modelled if name not in types]
    for name in missing:
        hint = did_you_mean(name, types)
        yield _verdict("schema", name, "fail", f"Column {name!r} is missing{f' ({hint})' if hint else ''}.")
    if not missing:
        features = f"{len(modelled) - 1} feature{'s' * (len(modelled) != 2)}"
        yield _verdict(
            "schema", "columns", "pass", f"The {features} and the label {modelled[-1]!r} are there."
        )


def _kinds(modelled: list[str], types: Mapping[str, str], before: Mapping[str, str]) -> Iterator[Verdict]:
    """A column that was numbers and is text now is another column, whatever its name."""
    for name in modelled:
        if name in types and name in before and kind_of(types[name]) != kind_of(before[name]):
            yield _verdict(
                "schema",
                name,
                "fail",
                f"Column {name!r} is {kind_of(types[name])} ({types[name]}) and was {kind_of(before[name])} "
                f"({before[name]}) when production was trained.",
            )


def kind_of(column: str) -> str:
    """What an SQL type holds: numbers of any size are one kind, and so are booleans for a model."""
    if is_number(column) or column == "BOOLEAN":
        return "numbers"
    if column.startswith(("DATE", "TIME")):
        return "times"
    return "text" if column == "VARCHAR" or column.startswith("ENUM") else column.lower()


def _min_rows(facts: Facts, checks: DataCheck) -> Verdict:
    rows = facts[_ROWS]
    return _verdict(
        "min_rows",
        "rows",
        "pass" if rows >= checks.min_rows else "fail",
        f"There are {rows:,} rows; at least {checks.min_rows:,} are needed.",
        estimate=float(rows),
        bound=float(checks.min_rows),
        n=rows,
    )


def _nulls(facts: Facts, columns: list[str], checks: DataCheck) -> Iterator[Verdict]:
    rows = facts[_ROWS]
    for name in columns:
        nulls, bound = facts[name, "nulls"], checks.max_null.get(name, 0.0)
        allowed = f"up to {percent(bound)} may be" if bound else "none may be"
        yield _verdict(
            "nulls",
            name,
            "pass" if nulls / rows <= bound else "fail",
            f"{name}: {nulls:,} of {rows:,} values ({percent(nulls / rows)}) are missing; {allowed}.",
            estimate=nulls / rows,
            bound=bound,
            n=rows,
        )


def _unique(engine: Engine, data: Rows, columns: list[str]) -> Iterator[Verdict]:
    for name in columns:
        column = quote(name)
        repeated, example = engine.rows(
            f"SELECT count(*), min(CAST(v AS VARCHAR)) FROM (SELECT {column} AS v FROM t "  # noqa: S608 - quoted
            f"WHERE {column} IS NOT NULL GROUP BY v HAVING count(*) > 1)",
            tables={"t": data},
        )[0]
        if repeated:
            many = f"{repeated:,} value{'s appear' if repeated > 1 else ' appears'}"
            yield _verdict("unique", name, "fail", f"{name}: {many} more than once, such as {example!r}.")
        else:
            yield _verdict("unique", name, "pass", f"{name}: no value appears twice.")


def _ranges(facts: Facts, types: Mapping[str, str], checks: DataCheck) -> Iterator[Verdict]:
    for name, (low, high) in checks.ranges.items():
        if name not in types:
            continue
        smallest, largest, outside = (facts[name, fact] for fact in ("low", "high", "outside"))
        allowed = f"[{low:g}, {high:g}]"
        if smallest is None:
            sentence = f"{name}: there are no values to hold against {allowed}."
            yield _verdict("ranges", name, "inconclusive", sentence)
            continue
        found = f"they go from {smallest:g} to {largest:g}"
        count = f"{outside:,} of {facts[_ROWS]:,}" if outside else "no"
        yield _verdict(
            "ranges",
            name,
            "fail" if outside else "pass",
            f"{name}: {count} values lie outside {allowed}; {found}.",
            estimate=largest if largest > high else smallest,
            bound=high if largest > high else low,
            n=facts[_ROWS],
        )


def _values(facts: Facts, types: Mapping[str, str], checks: DataCheck) -> Iterator[Verdict]:
    for name, allowed in checks.values.items():
        if name not in types:
            continue
        other, rows = facts[name, "other"], facts[_ROWS]
        if other:
            sentence = (
                f"{name}: {other:,} of {rows:,} values are none of the {len(allowed)} allowed, "
                f"such as {facts[name, 'example']!r}."
            )
        else:
            sentence = f"{name}: all values are among the {len(allowed)} allowed."
        yield _verdict("values", name, "fail" if other else "pass", sentence, n=rows)


def _label(facts: Facts, label: str, config: Config) -> Iterator[Verdict]:
    """Whether a binary label has two classes, and enough of the rarer one."""
    known = facts[_ROWS] - facts[label, "nulls"]
    true, false = facts.get((label, "true"), 0), facts.get((label, "false"), 0)
    if true + false < known:
        sentence = (
            f"{label}: {known - true - false:,} of {known:,} labels are neither 0 nor 1 (false nor true)."
        )
        yield _verdict("label", label, "fail", sentence, n=known)
        return
    rarer, bound = min(true, false), config.checks.data.min_class_share
    if known and not rarer:
        sentence = f"{label}: all {known:,} labels are {int(true > 0)}; there is nothing to learn."
        yield _verdict("label", label, "fail", sentence, n=known)
    elif known and bound is not None:
        yield _class_share(label, rarer, known, bound, config.checks.performance.confidence)


def _class_share(label: str, rarer: int, known: int, bound: float, confidence: float) -> Verdict:
    share, (low, high) = rarer / known, wilson(rarer, known, confidence)
    outcome = against(low, high, bound)
    more = None
    if outcome == "inconclusive":
        se = (share * (1 - share) / known) ** 0.5
        more = needed(known, share - bound, se, (1 - confidence) / 2)
    doubt = f"; {known:,} rows can't tell" + (f", about {more:,} would" if more else "")
    return _verdict(
        "min_class_share",
        label,
        outcome,
        f"{label}: the rarer class is {percent(share)} of the labels ({percent(low)} to {percent(high)}); "
        f"at least {percent(bound)} is needed{doubt if outcome == 'inconclusive' else ''}.",
        hypothesis=f"the rarer class is at least {percent(bound)} (Wilson's {percent(confidence)} interval)",
        estimate=share,
        low=low,
        high=high,
        bound=bound,
        n=known,
        n_needed=more,
    )


def _null_increase(
    engine: Engine, facts: Facts, columns: list[str], reference: Rows, config: Config
) -> list[Verdict]:
    """Whether more is missing than in the reference: significantly (Holm over columns) *and* by much."""
    types = column_types(engine, reference)
    shared = [name for name in columns if name in types]
    asked = {_ROWS: "count(*)"} | {
        (name, "nulls"): f"count(*) FILTER (WHERE {missing_sql(name, types)})" for name in shared
    }
    old = _ask(engine, reference, asked)
    if not old[_ROWS]:
        return []
    confidence = config.checks.performance.confidence
    found = [
        share_increase((facts[name, "nulls"], facts[_ROWS]), (old[name, "nulls"], old[_ROWS]), confidence)
        for name in shared
    ]
    adjusted = holm([p_value for _, _, p_value in found])
    return [
        _increase(name, facts, old, interval, adjusted_p, config)
        for name, interval, adjusted_p in zip(shared, found, adjusted, strict=True)
    ]


def _increase(
    name: str, facts: Facts, old: Facts, found: tuple[float, float, float], adjusted: float, config: Config
) -> Verdict:
    low, high, p_value = found
    rows, bound = facts[_ROWS], config.checks.data.max_null_increase
    now, before = facts[name, "nulls"] / rows, old[name, "nulls"] / old[_ROWS]
    large, significant = now - before > bound, adjusted <= 1 - config.checks.performance.confidence
    outcome: Outcome = "pass" if not large else "fail" if significant else "inconclusive"
    note = "" if significant or not large else f", but {rows:,} rows can't tell that from chance"
    return _verdict(
        "null_increase",
        name,
        outcome,
        f"{name}: {percent(now)} of the values are missing, {percent(before)} were in the data that "
        f"production was trained on; an increase of {percent(bound)} is allowed{note}.",
        hypothesis="the share of missing values has not grown (two-proportion z test, one-sided, "
        f"Holm-adjusted over columns at confidence {config.checks.performance.confidence:.4g})",
        estimate=now - before,
        low=low,
        high=high,
        bound=bound,
        p_value=p_value,
        n=rows,
    )


def _verdict(check: str, subject: str, outcome: Outcome, sentence: str, **evidence: Any) -> Verdict:
    return Verdict(check=check, subject=subject, outcome=outcome, sentence=sentence, **evidence)
