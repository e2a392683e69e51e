"""How far columns moved between two tables: the drift part by itself, for reviews of data."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.evaluate.data.drift import Drift, comparable, sample_ask
from treadle.evaluate.data.part import Facts, decide
from treadle.evaluate.data.suite import Suite
from treadle.evaluate.types import Verdict
from treadle.kernel.engine import Engine
from treadle.kernel.scan.asks import CountRows
from treadle.kernel.scan.choosing import engine_for
from treadle.kernel.scan.port import Source


def moves(
    engine: Engine,
    suite: Suite,
    names: Sequence[str],
    before: Source,
    after: Source,
    *,
    check: str = "drift",
    categories: bool = False,
) -> list[Verdict]:
    """Whether the distributions of columns moved by more than ``max_drift``; one verdict a column.

    Args:
        engine: Runs DuckDB's queries.
        suite: How far they may move, and the confidence of all tests together.
        names: The columns; those that aren't numbers or texts in both tables are left out.
        before: The rows before.
        after: The rows after.
        check: What the verdicts are called.
        categories: Whether each value of a number counts by itself.

    Raises:
        CorruptData: If a file can't be read.
    """
    beside, here = (engine_for(table, engine, suite.checks.engine) for table in (before, after))
    columns = here.columns(after)
    names = comparable(names, columns, beside.columns(before))
    if not names:
        return []
    sample = beside.scan(before, [sample_ask(names)])[sample_ask(names)]
    part = Drift(suite, columns, names, sample, check=check, categories=categories)
    facts = Facts(here.scan(after, [CountRows(), *part.asks()]))
    return decide(list(part.judge(facts)), suite)
