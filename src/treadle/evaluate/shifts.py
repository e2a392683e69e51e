"""How far the columns of a table moved between two sets of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from treadle.evaluate.data_checks import kind_of, missing_sql
from treadle.evaluate.holdout import is_number
from treadle.evaluate.rules import stability
from treadle.evaluate.types import Outcome, Verdict
from treadle.kernel.engine import Engine, quote, text

_BINS = 10
_MOST = 20


def shifts(
    engine: Engine,
    columns: Mapping[str, str],
    before: list[Path],
    after: list[Path],
    bound: float,
    confidence: float,
    *,
    check: str = "drift",
    categories: bool = False,
) -> list[Verdict]:
    """Whether the distributions of columns moved by more than is allowed; one verdict a column.

    Numbers are counted between the tenths of the rows before; of texts and booleans the twenty most
    frequent values before are counted, and the others together; what is missing counts as a value.

    Args:
        engine: Reads the rows.
        columns: Names and SQL types of the columns; times and nested values are left out.
        before: The rows before, as Parquet files.
        after: The rows after.
        bound: How far the population stability index may be from 0.
        confidence: Of the test over all columns together (Bonferroni).
        check: What the verdicts are called.
        categories: Whether each value of a number counts by itself.

    Raises:
        CorruptData: If a file can't be read.
    """
    judged = {name: kind for name, kind in columns.items() if kind_of(kind) in {"numbers", "text"}}
    if not judged:
        return []
    bins = [_bins(engine, name, kind, before, categories) for name, kind in judged.items()]
    counted = [_count(engine, bins, files) for files in (before, after)]
    level = (1 - confidence) / len(judged)
    return [
        _verdict(check, name, counted[0][at], counted[1][at], bound, level) for at, name in enumerate(judged)
    ]


def _bins(engine: Engine, name: str, kind: str, before: list[Path], categories: bool) -> list[str]:
    """The bins of a column, each as a condition in SQL; each row falls into the first that holds."""
    column, missing = quote(name), missing_sql(name, {name: kind})
    tables = {"t": before}
    if is_number(kind) and not categories:
        wanted = ", ".join(str(tenth / _BINS) for tenth in range(1, _BINS))
        sql = f"SELECT quantile_disc({column}, [{wanted}]) FROM t WHERE NOT ({missing})"  # noqa: S608 - quoted
        [(found,)] = engine.rows(sql, tables=tables)
        edges = dict.fromkeys(found or [])
        return [missing, *(f"{column} <= CAST('{edge}' AS {kind})" for edge in edges), "true"]
    as_text = f"CAST({column} AS VARCHAR)"
    sql = f"SELECT {as_text} FROM t WHERE NOT ({missing}) GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {_MOST}"  # noqa: S608 - quoted
    values = [value for (value,) in engine.rows(sql, tables=tables)]
    return [missing, *(f"{as_text} = {text(value)}" for value in values), "true"]


def _count(engine: Engine, bins: Sequence[Sequence[str]], files: list[Path]) -> list[list[int]]:
    """How many rows fall into each bin of each column; in one pass."""
    asked = list(_questions(bins))
    [found] = engine.rows(f"SELECT {', '.join(asked)} FROM t", tables={"t": files})  # noqa: S608 - quoted
    counts, at = [], 0
    for one in bins:
        counts.append(list(found[at : at + len(one)]))
        at += len(one)
    return counts


def _questions(bins: Sequence[Sequence[str]]) -> Iterator[str]:
    for one in bins:
        cases = " ".join(f"WHEN {condition} THEN {at}" for at, condition in enumerate(one))
        for at in range(len(one)):
            yield f"count(*) FILTER (WHERE CASE {cases} END = {at})"


def _verdict(
    check: str, name: str, before: list[int], after: list[int], bound: float, level: float
) -> Verdict:
    index, chance = stability(before, after, level)
    rows = sum(after)
    outcome: Outcome = "pass" if index <= bound else "fail" if index > chance else "inconclusive"
    doubt = f", but {rows:,} rows can't tell that from chance" if outcome == "inconclusive" else ""
    return Verdict(
        check=check,
        subject=name,
        outcome=outcome,
        sentence=f"{name}: its distribution moved by {index:.3g} (population stability index); "
        f"{bound:.3g} is allowed{doubt}.",
        hypothesis="the distribution has not moved (chi-square of the stability index, Bonferroni-adjusted "
        f"over columns, at level {level:.3g})",
        estimate=index,
        bound=bound,
        n=rows,
    )
