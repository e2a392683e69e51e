"""The same 53 checks by different hands.

Usage: ``checks.py make|by_hand|polars|duckdb|pandera|gx FILE [ROWS]``.

Twenty columns: a key, ten numbers, four whole numbers, three categories, a text with a pattern and a
time. Twenty checks of missing values, fourteen ranges, ten means, three sets, two conditions, a key, a
pattern, the schema and the number of rows. Each prints how many of them failed: one range does.
"""

from __future__ import annotations

import sys
from pathlib import Path

NUMBERS = [f"f{i}" for i in range(10)]
WHOLE = [f"i{i}" for i in range(4)]
KINDS = [f"c{i}" for i in range(3)]
COLUMNS = ["id", *NUMBERS, *WHOLE, *KINDS, "mail", "at"]
SETS = {name: [f"v{k}" for k in range(8)] for name in KINDS}
RANGES = {**dict.fromkeys(NUMBERS, (-7.0, 7.0)), **dict.fromkeys(WHOLE, (0, 1000)), "f9": (-3.0, 3.0)}
MEANS = dict.fromkeys(NUMBERS, (-0.1, 0.1))
CONDITIONS = {"low under high": ("f0", "f1"), "whole under whole": ("i0", "i1")}
PATTERN = r"[a-z]+[0-9]*@[a-z]+\.org"


def make(path: Path, rows: int) -> None:
    """Writes the rows, a part at a time."""
    import duckdb

    numbers = ", ".join(
        f"(hash(i * 31 + {k}) % 1000003 / 1000003.0 + hash(i * 37 + {k}) % 1000003 / 1000003.0 "
        f"+ hash(i * 41 + {k}) % 1000003 / 1000003.0 - 1.5) * {7 if k == 9 else 2}.0 AS f{k}"
        for k in range(2, 10)
    )
    whole = ", ".join(f"(hash(i * 43 + {k}) % 900)::INTEGER AS i{k}" for k in range(2, 4))
    kinds = ", ".join(f"'v' || hash(i * 47 + {k}) % 8 AS c{k}" for k in range(3))
    sql = f"""
        SELECT i AS id, 0 - hash(i) % 1000003 / 1000003.0 * 0.1 AS f0,
        hash(i * 3) % 1000003 / 1000003.0 * 0.1 AS f1, {numbers},
        (hash(i * 5) % 400)::INTEGER AS i0, (400 + hash(i * 7) % 400)::INTEGER AS i1, {whole}, {kinds},
        'user' || hash(i) % 5000 || '@example.org' AS mail,
        TIMESTAMP '2026-01-01' + INTERVAL (i) SECOND AS at
        FROM range({rows}) r(i)"""
    duckdb.sql(sql).write_parquet(str(path), row_group_size=200_000)


def by_hand(path: Path) -> int:
    """One streaming pass of Polars."""
    import polars as pl

    c = pl.col
    asked = {f"null {name}": c(name).null_count() for name in COLUMNS}
    asked |= {f"range {name}": (~c(name).is_between(*ends)).sum() for name, ends in RANGES.items()}
    asked |= {f"set {name}": (~c(name).is_in(values)).sum() for name, values in SETS.items()}
    for name in MEANS:
        asked |= {f"mean {name}": c(name).mean(), f"sd {name}": c(name).std()}
    asked |= {f"condition {name}": (c(a) > c(b)).sum() for name, (a, b) in CONDITIONS.items()}
    asked |= {
        "rows": pl.len(),
        "key": c("id").n_unique(),
        "pattern": (~c("mail").str.contains(f"^{PATTERN}$")).sum(),
    }
    scan = pl.scan_parquet(path)
    schema = scan.collect_schema().names() == COLUMNS
    found = scan.select(**asked).collect(engine="streaming").row(0, named=True)
    failed = sum(found[key] > 0 for key in asked if key.split()[0] in {"null", "range", "set", "condition"})
    failed += sum(not low <= found[f"mean {name}"] <= high for name, (low, high) in MEANS.items())
    return failed + (found["key"] != found["rows"]) + (found["pattern"] > 0) + (not schema)


def _treadle(path: Path, engine: str) -> int:
    from treadle.evaluate import Suite, check_data
    from treadle.kernel.clock import SystemClock
    from treadle.kernel.config import DataCheck
    from treadle.kernel.engine import DuckDBEngine

    checks = DataCheck(
        min_rows=1000,
        unique=["id"],
        ranges={name: list(ends) for name, ends in RANGES.items()},
        values=SETS,
        patterns={"mail": PATTERN},
        conditions={name: f"{a} <= {b}" for name, (a, b) in CONDITIONS.items()},
        means={name: list(ends) for name, ends in MEANS.items()},
        engine=engine,
    )
    suite = Suite(checks=checks, columns=tuple(COLUMNS))
    made = DuckDBEngine(path.parent / "tmp")
    verdicts = check_data(suite, [path], engine=made, now=SystemClock().now())
    assert len(verdicts) == 53, len(verdicts)
    return sum(one.outcome == "fail" for one in verdicts)


def polars(path: Path) -> int:
    """Treadle's checks by Polars."""
    return _treadle(path, "polars")


def duckdb(path: Path) -> int:
    """Treadle's checks by DuckDB."""
    return _treadle(path, "duckdb")


def pandera(path: Path) -> int:
    """Pandera's checks of a Polars frame."""
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaErrors

    def mean(low: float, high: float) -> pa.Check:
        return pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).mean().is_between(low, high)))

    def under(a: str, b: str) -> pa.Check:
        return pa.Check(lambda data: data.lazyframe.select(pl.col(a) <= pl.col(b)))

    frame = pl.read_parquet(path)
    rules: dict[str, list[pa.Check]] = {name: [] for name in COLUMNS}
    for name, ends in RANGES.items():
        rules[name].append(pa.Check.in_range(*ends))
    for name, values in SETS.items():
        rules[name].append(pa.Check.isin(values))
    for name, ends in MEANS.items():
        rules[name].append(mean(*ends))
    rules["mail"].append(pa.Check.str_matches(f"^{PATTERN}$"))
    schema = pa.DataFrameSchema(
        {name: pa.Column(frame.schema[name], each, unique=name == "id") for name, each in rules.items()},
        checks=[under(*pair) for pair in CONDITIONS.values()],
        ordered=True,
    )
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        return len({(one.schema.name, str(one.check)) for one in error.schema_errors})
    return 0


def gx(path: Path) -> int:
    """Great Expectations on pandas."""
    import great_expectations as gx
    import great_expectations.expectations as e
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    batch = (
        context.data_sources.add_pandas("p")
        .add_dataframe_asset("a")
        .add_batch_definition_whole_dataframe("b")
    )
    suite = gx.ExpectationSuite(name="s")
    for name in COLUMNS:
        suite.add_expectation(e.ExpectColumnValuesToNotBeNull(column=name))
    for name, (low, high) in RANGES.items():
        suite.add_expectation(e.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
    for name, values in SETS.items():
        suite.add_expectation(e.ExpectColumnValuesToBeInSet(column=name, value_set=values))
    for name, (low, high) in MEANS.items():
        suite.add_expectation(e.ExpectColumnMeanToBeBetween(column=name, min_value=low, max_value=high))
    for a, b in CONDITIONS.values():
        suite.add_expectation(
            e.ExpectColumnPairValuesAToBeGreaterThanB(column_A=b, column_B=a, or_equal=True)
        )
    suite.add_expectation(e.ExpectColumnValuesToBeUnique(column="id"))
    suite.add_expectation(e.ExpectColumnValuesToMatchRegex(column="mail", regex=f"^{PATTERN}$"))
    suite.add_expectation(e.ExpectTableColumnsToMatchOrderedList(column_list=COLUMNS))
    suite.add_expectation(e.ExpectTableRowCountToBeBetween(min_value=1000))
    suite = context.suites.add(suite)
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name="v", data=batch, suite=suite)
    )
    found = definition.run(batch_parameters={"dataframe": pd.read_parquet(path)})
    return sum(not one.success for one in found.results)


if __name__ == "__main__":
    do, file = sys.argv[1], Path(sys.argv[2])
    if do == "make":
        make(file, int(sys.argv[3]))
    else:
        print(f"{globals()[do](file)} of 53 fail")
