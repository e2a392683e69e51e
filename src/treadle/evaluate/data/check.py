"""All checks of data together: what they ask of the rows is asked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache, partial

from treadle.evaluate.data.arrival import arrival_parts
from treadle.evaluate.data.arrivals import Whole, count_arrivals
from treadle.evaluate.data.conditions import Rules
from treadle.evaluate.data.drift import Drift, comparable, sample_ask
from treadle.evaluate.data.keys import Unique
from treadle.evaluate.data.label import label_parts
from treadle.evaluate.data.leakage import Leakage
from treadle.evaluate.data.means import Means
from treadle.evaluate.data.missing import NullIncrease, Nulls
from treadle.evaluate.data.overlap import overlap, overlap_columns
from treadle.evaluate.data.part import Facts, Finding, Part, Sizes, decide
from treadle.evaluate.data.schema import MinRows, Schema
from treadle.evaluate.data.suite import WHERE, Suite
from treadle.evaluate.holdout import require
from treadle.evaluate.types import Planned, Verdict
from treadle.kernel.engine import Engine
from treadle.kernel.scan.answers import Sample
from treadle.kernel.scan.asks import Answers, CountRows
from treadle.kernel.scan.choosing import engine_for
from treadle.kernel.scan.columns import Columns
from treadle.kernel.scan.port import Source

_TESTED = {"null_increase", "drift", "volume", "min_class_share", "leakage", "means"}


class Checking:
    """The checks of one suite on some rows.

    Args:
        suite: What the rows must be.
        embedded: Runs DuckDB's queries.
        data: The rows: Parquet or CSV files, a frame of Polars, pandas, PyArrow or Spark, or a table of Ibis.
        reference: The rows that they are held against, if there are any.
        holdout: The rows that a model will be judged on, if there are any: newer ones of the same columns,
            readable by the same engine.
        now: The time now.
        history: The rows of earlier versions, by day, if they are known.
        whole: All of the dataset that ``data`` is a part of: says when rows came.

    Raises:
        InvalidInput: If a check names a column that the data doesn't have, or is of the wrong kind for it,
            or can't be read.
        NotFound: If a file isn't there.
        CorruptData: If a file can't be read.
        MissingExtra: If the engine asked for isn't installed.
    """

    def __init__(
        self,
        suite: Suite,
        embedded: Engine,
        data: Source,
        reference: Source | None = None,
        *,
        holdout: Source | None = None,
        now: datetime,
        history: Mapping[date, int] | None = None,
        whole: Whole | None = None,
    ) -> None:
        self._suite, self._data, self._reference, self._holdout = suite, data, reference, holdout
        self._now, self._history = now, history
        self._embedded, self._whole = embedded, whole
        self._engine = engine_for(data, embedded, suite.checks.engine)
        self._columns: Columns = self._engine.columns(data)
        self._before: Columns | None = None
        if reference is not None:
            self._beside = engine_for(reference, embedded, suite.checks.engine)
            self._before = self._beside.columns(reference)
        check_names(suite, self._columns)
        if suite.checks.max_overlap is not None and holdout is not None:
            overlap_columns(suite, self._columns)

    @property
    def columns(self) -> Columns:
        """The columns of the rows."""
        return self._columns

    def judge(self) -> list[Verdict]:
        """All verdicts, in one pass over the rows and one over the reference."""
        before = self._ask_before()
        always, parts = self._always(), self._parts(before)
        asked = [ask for part in (*always, *parts) for ask in part.asks()]
        facts = Facts(self._engine.scan(self._data, asked), before, self._ask_held(parts))
        findings: list[Finding] = [one for part in always for one in part.judge(facts)]
        if facts.rows:
            findings += [one for part in parts for one in part.judge(facts)]
            if self._suite.checks.max_overlap is not None and self._holdout is not None:
                data, holdout = self._data, self._holdout
                findings.append(overlap(self._engine, self._suite, data, holdout))
        return decide(findings, self._suite)

    def plan(self) -> list[Planned]:
        """What each check will test, and what the rows at hand can tell; only their number is asked."""
        rows = self._engine.scan(self._data, [CountRows()])[CountRows()].rows
        before = None
        if self._before is not None:
            before = self._beside.scan(self._reference, [CountRows()])[CountRows()].rows
        parts = [*self._always(), *self._parts(None)]
        counted = [one for part in parts for one in part.plan(Sizes(rows, before, 1))]
        tests = sum(one.check in _TESTED for one in counted)
        return [one for part in parts for one in part.plan(Sizes(rows, before, tests))]

    def _always(self) -> list[Part]:
        """What holds also where there are no rows."""
        return [Schema(self._suite, self._columns, self._before), MinRows(self._suite)]

    def _parts(self, before: Answers | None) -> list[Part]:
        suite, columns = self._suite, self._columns
        examples = partial(self._engine.examples, self._data)
        parts: list[Part] = [Nulls(suite, columns), Unique(suite, columns), Rules(suite, columns, examples)]
        parts += [Means(suite, columns), *self._arrival()]
        parts += label_parts(suite, columns)
        if suite.checks.max_feature_auc is not None:
            parts.append(Leakage(suite, columns))
        if self._before is not None:
            parts.append(NullIncrease(suite, columns, self._before))
            if self._drifting:
                parts.append(Drift(suite, columns, self._drifting, self._sample(before)))
        return parts

    def _arrival(self) -> list[Part]:
        whole, suite, columns, now = self._whole, self._suite, self._columns, self._now
        arrivals = None
        if whole is not None:
            arrivals = cache(partial(count_arrivals, self._embedded, whole, suite, columns, now))
        return arrival_parts(suite, columns, now, self._history, arrivals)

    @property
    def _drifting(self) -> list[str]:
        """The columns whose distributions are compared."""
        if self._before is None or not self._suite.checks.drift:
            return []
        return comparable(self._suite.columns or list(self._columns), self._columns, self._before)

    def _sample(self, before: Answers | None) -> Sample | None:
        return before[sample_ask(self._drifting)] if before is not None else None

    def _ask_held(self, parts: Sequence[Part]) -> Answers | None:
        asked = [ask for part in parts for ask in part.asks_held()]
        if self._holdout is None or not asked:
            return None
        return self._engine.scan(self._holdout, asked)

    def _ask_before(self) -> Answers | None:
        if self._before is None:
            return None
        asked = list(NullIncrease(self._suite, self._columns, self._before).asks_before())
        if self._drifting:
            asked.append(sample_ask(self._drifting))
        return self._beside.scan(self._reference, asked)


def check_names(suite: Suite, columns: Columns) -> None:
    """Refuses checks of columns that aren't there; a feature that isn't is the schema verdict's business.

    Raises:
        InvalidInput: Naming the key of ``treadle.toml`` and the nearest column that there is.
    """
    checks = suite.checks
    known = {**dict.fromkeys([*suite.modelled, *checks.types]), **dict.fromkeys(columns)}
    for key in ("max_null", "ranges", "values", "patterns", "means"):
        require(getattr(checks, key), known, f"{WHERE} {key}")
    for one in checks.unique:
        require([one] if isinstance(one, str) else one, known, f"{WHERE} unique")


def check_data(
    suite: Suite,
    data: Source,
    reference: Source | None = None,
    *,
    engine: Engine,
    now: datetime,
    holdout: Source | None = None,
    history: Mapping[date, int] | None = None,
    whole: Whole | None = None,
) -> list[Verdict]:
    """The verdicts of a suite on some rows; see :class:`Checking` for arguments and errors."""
    made = Checking(suite, engine, data, reference, holdout=holdout, now=now, history=history, whole=whole)
    return made.judge()


def plan_data(
    suite: Suite,
    data: Source,
    reference: Source | None = None,
    *,
    engine: Engine,
    now: datetime,
    holdout: Source | None = None,
    history: Mapping[date, int] | None = None,
) -> list[Planned]:
    """What the checks of a suite would test, and what the rows at hand can tell; see :class:`Checking`."""
    return Checking(suite, engine, data, reference, holdout=holdout, now=now, history=history).plan()
