"""What a search is made of, in SQL: conditions on a run, keys to order by, and the indexes that find either.

A condition beside the run (metric, parameter, tag, dataset) is a look-up by its primary key, so
that it costs the same wherever the run came from. What an index could find instead is a
:class:`Source`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

from treadle.experiment.columns import NUMBER, number_of
from treadle.experiment.grammar.match import Record as Plain
from treadle.experiment.grammar.match import matches
from treadle.experiment.grammar.sql import holds, measured
from treadle.experiment.grammar.types import Comparison, OrderKey
from treadle.experiment.tables import experiments, head, inputs, metrics, params, runs, tags
from treadle.kernel.errors import InvalidInput
from treadle.kernel.paging import SortKey, by_code_point

Condition: TypeAlias = sa.ColumnElement[bool]
HEAD = 120

_MOST_VALUES, _LONGEST = 10_000, 10_000
_US_PER_MS = 1000
_LATEST_MS = 9_200_000_000_000_000
_STATUSES = ("running", "scheduled", "finished", "failed", "killed")
_BESIDE = {"metric": metrics, "param": params, "tag": tags}
_LAST = chr(0x10FFFF)
_INDEXED = {"run_name": runs.c.name, "user_id": runs.c.user}
_MOMENTS = {"start_time": runs.c.started_at, "end_time": runs.c.ended_at}


class IsNan(msgspec.Struct, frozen=True):
    """That a run's metric is NaN, which no filter can say."""

    key: str


Term: TypeAlias = Comparison | IsNan
"""A condition that a run must fulfil."""


class Scope(msgspec.Struct, frozen=True):
    """The runs among which to search: of one experiment, all deleted or none."""

    experiment: str
    lifecycle: str


class Source(msgspec.Struct, frozen=True):
    """An index that holds some runs in the order of a value.

    Attributes:
        table: The table that it is on, under a name of its own unless that is the runs' own.
        run: The run's identifier.
        head: What is indexed: the value, or the beginning of a long text.
        value: The value itself.
        within: What narrows it to the experiment and the name.
        bounds: What narrows it to what a term could hold for.
        exact: What is to be asked of the value besides.
    """

    table: Any
    run: sa.ColumnElement[str]
    head: sa.ColumnElement[Any]
    value: sa.ColumnElement[Any]
    within: tuple[Condition, ...]
    bounds: tuple[Condition, ...] = ()
    exact: tuple[Condition, ...] = ()

    @property
    def own(self) -> bool:
        """Whether it is an index of the runs themselves."""
        return self.table is runs


class Column(msgspec.Struct, frozen=True):
    """A key of the order, as a query has it: its rank (0 where there is a value) and the value."""

    key: SortKey
    beside: tuple[Any, Condition] | None = None


def raw(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A moment as the number that is kept."""
    return sa.type_coerce(column, sa.BigInteger)


def number(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A metric's value as it is kept, where NULL stands for NaN."""
    return sa.type_coerce(column, sa.Double)


def check_terms(terms: Sequence[Comparison], order: Sequence[OrderKey]) -> None:
    """Checks that a search is within what every database can be asked.

    Raises:
        InvalidInput: If it isn't.
    """
    if len(terms) > 100:
        raise InvalidInput(f"a filter has up to 100 comparisons, not {len(terms)}", where="filter")
    if len(order) > 20:
        raise InvalidInput(f"an order has up to 20 keys, not {len(order)}", where="order_by")
    values = [v for one in terms for v in (one.value if isinstance(one.value, tuple) else (one.value,))]
    if len(values) > _MOST_VALUES:
        raise InvalidInput(
            f"a filter has up to {_MOST_VALUES:,} values, not {len(values):,}",
            where="filter",
            fix="search in several parts",
        )
    if any("LIKE" in one.op and len(str(one.value)) > _LONGEST for one in terms):
        raise InvalidInput(f"a pattern has up to {_LONGEST:,} characters", where="filter")
    for text in (*values, *(one.key for one in terms), *(one.key for one in order)):
        if isinstance(text, str) and ("\0" in text or any("\ud800" <= char <= "\udfff" for char in text)):
            raise InvalidInput(f"{text!r:.80} has a character that no text can have", where="filter")


def found_first(matching: sa.Select[Any], connection: sa.Connection) -> Source:
    """A query's runs as a source that is found before anything else: no planner pulls it apart."""
    fenced = matching.offset(0) if connection.dialect.name == "postgresql" else matching.limit(-1)
    found = fenced.subquery()
    return Source(found, found.c.run, found.c.run, found.c.run, ())


class Terms:
    """Makes the SQL of one search on one database.

    Args:
        connection: The database.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self._folds = ""

    # ── conditions ───────────────────────────────────────────────────────

    def condition(self, term: Term, source: Source | None = None) -> Condition:
        """That a term holds for the run at hand, which a source may have found."""
        run = runs.c.id if source is None or source.own else source.run
        if isinstance(term, IsNan):
            table = metrics.alias()
            nan = (table.c.name == term.key, table.c.value.is_(None))
            return _found(table, run, *nan).is_not(None)
        if term.entity == "attribute":
            return self._of_attribute(term)
        if term.entity == "dataset":
            table = inputs.alias()
            # A context that wasn't said is none.
            return _found(table, run, table.c[term.key] != "", self._text(table.c[term.key], term)).is_not(
                None
            )
        table = _BESIDE[term.entity].alias()
        test: tuple[Condition, ...] = ()
        if term.op not in {"IS NULL", "IS NOT NULL"}:
            test = (self._beside_test(table.c.value, term),)
        found = _found(table, run, table.c.name == term.key, *test)
        return found.is_(None) if term.op == "IS NULL" else found.is_not(None)

    def _beside_test(self, value: sa.ColumnElement[Any], term: Comparison) -> Condition:
        if term.entity == "metric":
            return measured(number(value), term)
        if isinstance(term.value, float):
            return measured(self.as_number(value), term)
        return self._text(value, term)

    def as_number(self, text: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The number that a text is, as :func:`.columns.number_of` has it; NULL if none."""
        if self.connection.dialect.name != "postgresql":
            driver: Any = self.connection.connection.driver_connection
            driver.create_function("treadle_number", 1, number_of, deterministic=True)
            return sa.func.treadle_number(text, type_=sa.Double)
        fits = text.regexp_match(f"^({NUMBER})$")
        return sa.case((fits, sa.cast(text, sa.Double)), else_=sa.null())

    def _of_attribute(self, term: Comparison) -> Condition:
        if term.key in _MOMENTS:
            return moment(raw(_MOMENTS[term.key]), term)
        if term.key == "status":
            fits = [s for s in _STATUSES if matches(Plain(attributes={"status": s.upper()}), [term])]
            return runs.c.status.in_(fits)
        return self._text(_text_of(term.key), term)

    def _text(self, column: sa.ColumnElement[Any], term: Comparison) -> Condition:
        if term.op == "ILIKE" and not str(term.value).isascii():
            lowered = Comparison(term.entity, term.key, "LIKE", str(term.value).lower())
            return holds(self._lower(column), lowered.op, lowered.value)
        return holds(column, term.op, term.value)

    def _lower(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """A text in lower case beyond ASCII too, which takes a function or a collation that can."""
        if self.connection.dialect.name != "postgresql":
            driver: Any = self.connection.connection.driver_connection
            driver.create_function("treadle_lower", 1, _lower, deterministic=True)
            return sa.func.treadle_lower(column)
        if not self._folds:
            known = sa.text(
                "SELECT collname FROM pg_collation WHERE collname IN ('pg_unicode_fast', 'und-x-icu',"
                " 'pg_c_utf8', 'C.UTF-8', 'C.utf8', 'en_US.utf8') AND collencoding IN (-1, 6)"
                " ORDER BY collname DESC LIMIT 1"
            )
            self._folds = str(self.connection.execute(known).scalar() or "default")
        return sa.func.lower(column.collate(self._folds))

    # ── sources ──────────────────────────────────────────────────────────

    def by_term(self, scope: Scope, term: Term) -> Source | None:
        """The index that finds the runs for which a term may hold, if there is one."""
        if isinstance(term, Comparison):
            if term.op == "IS NULL":
                return None
            if term.entity == "dataset":
                return self._by_dataset(scope, term)
            if term.entity == "attribute" and term.key in {"run_id", "start_time"}:
                return self._by_attribute(scope, term)
        entity = "metric" if isinstance(term, IsNan) else term.entity
        source = self.by_key(scope, entity, term.key)
        if source is None:
            return None
        bounds, exact = self._narrow(source, term)
        return msgspec.structs.replace(source, bounds=bounds, exact=exact)

    def scan(self, scope: Scope, term: Term) -> Source | None:
        """The whole table as the source of a term that looks for text within a text, where that pays.

        A table is read from end to end in a tenth of the time that it takes to look up as many rows
        one by one.
        """
        if not isinstance(term, Comparison) or term.entity not in _BESIDE or "LIKE" not in term.op:
            return None
        if not self._is_most(scope.experiment):
            return None
        table = _BESIDE[term.entity].alias()
        mine = (table.c.experiment + sa.literal("") == scope.experiment, table.c.name == term.key)
        matching = sa.select(table.c.run).where(*mine, self._text(table.c.value, term))
        return found_first(matching, self.connection)

    def _is_most(self, experiment: str) -> bool:
        """Whether at least an eighth of all runs is in an experiment."""
        mine = sa.select(sa.func.count()).where(runs.c.experiment == experiment).scalar_subquery()
        every = sa.select(sa.func.count()).select_from(runs).scalar_subquery()
        found, all_ = self.connection.execute(sa.select(mine, every)).one()
        return int(found) * 8 >= int(all_)

    def _by_attribute(self, scope: Scope, term: Comparison) -> Source | None:
        if term.key == "start_time":
            start, whole = raw(runs.c.started_at), self.whole(scope)
            bounds = (moment(start, term),)
            return Source(runs, runs.c.id, start, start, whole, bounds)
        if term.op not in {"=", "IN"}:
            return None
        # Not the experiment's index, which looks better to SQLite than many identifiers.
        whole = (runs.c.experiment + sa.literal("") == scope.experiment, runs.c.lifecycle == scope.lifecycle)
        return Source(runs, runs.c.id, runs.c.id, runs.c.id, whole, (holds(runs.c.id, term.op, term.value),))

    def narrow(self, source: Source, term: Term) -> tuple[Condition, ...]:
        """That a term holds for the value that an index is about."""
        bounds, exact = self._narrow(source, term)
        return (*bounds, *exact)

    def _narrow(self, source: Source, term: Term) -> tuple[tuple[Condition, ...], tuple[Condition, ...]]:
        if isinstance(term, IsNan):
            return (source.value.is_(None),), ()
        if term.op == "IS NOT NULL":
            return (), ()
        if term.entity == "metric":
            return (measured(source.value, term),), ()
        if isinstance(term.value, float):
            return (), (self._beside_test(source.value, term),)
        return _bounds(source.head, term), self._exactly(source, term)

    def _exactly(self, source: Source, term: Comparison) -> tuple[Condition, ...]:
        """What an index of beginnings leaves to be asked."""
        values = term.value if isinstance(term.value, tuple) else (str(term.value),)
        if term.op in {"=", "IN"} and all(len(value) < HEAD for value in values):
            return ()
        if term.op == "=":  # said so, SQLite doesn't put the value into the indexed expression as well
            return source.value >= term.value, source.value <= term.value
        return (self._text(source.value, term),)

    def by_key(self, scope: Scope, entity: str, key: str) -> Source | None:
        """The index in which runs are ordered by a value, if there is one."""
        if entity in _BESIDE:
            return self._beside(scope, entity, key)
        if entity == "attribute" and key in _INDEXED:
            text = _INDEXED[key]
            return Source(runs, runs.c.id, head(text), text, self.whole(scope))
        return None

    def _beside(self, scope: Scope, entity: str, key: str) -> Source:
        table = _BESIDE[entity].alias()
        within = (table.c.experiment == scope.experiment, table.c.name == key)
        if entity == "metric":
            value = number(table.c.value)
            return Source(table, table.c.run, value, value, within)
        return Source(table, table.c.run, head(table.c.value), table.c.value, within)

    def _by_dataset(self, scope: Scope, term: Comparison) -> Source | None:
        if term.key != "name" or term.op not in {"=", "IN"}:
            return None  # a run may have several, and would then be found as often
        table = inputs.alias()
        once = sa.select(table.c.run).distinct()
        once = once.where(table.c.experiment == scope.experiment, self._text(table.c.name, term))
        found = once.subquery()
        return Source(found, found.c.run, found.c.run, found.c.run, ())

    def whole(self, scope: Scope) -> tuple[Condition, ...]:
        """That the run at hand is in the scope."""
        return (runs.c.experiment == scope.experiment, runs.c.lifecycle == scope.lifecycle)

    # ── order ────────────────────────────────────────────────────────────

    def column(self, key: OrderKey, source: Source | None = None, *, ordered: bool = True) -> Column:
        """A key of the order.

        Args:
            key: Which.
            source: The index that has its values, if it is along that one that the runs come.
            ordered: Whether the index by start may be used to order by it; else no planner shall,
                where a filter's index is meant to be.
        """
        value: sa.ColumnElement[Any]
        if source is not None:
            return Column(SortKey(source.value, key.ascending))
        if key.entity in _BESIDE:
            table = _BESIDE[key.entity].alias()
            joined = sa.and_(table.c.run == runs.c.id, table.c.name == key.key)
            rank: Any = sa.case((table.c.run.is_(None), 2), else_=0)
            value = table.c.value
            if key.entity == "metric" or key.numeric:
                value = self.as_number(table.c.value) if key.numeric else number(table.c.value)
                rank = sa.case((value.is_not(None), 0), (table.c.run.is_not(None), 1), else_=2)
            return Column(SortKey(value, key.ascending, rank), (table, joined))
        if key.key == "duration":
            value = raw(runs.c.ended_at) - raw(runs.c.started_at)
            return Column(SortKey(value, key.ascending, sa.case((value.is_(None), 2), else_=0)))
        if key.key in _MOMENTS:
            value = raw(_MOMENTS[key.key])
            value = value if ordered else value + sa.literal_column("0")
            rank = sa.case((value.is_(None), 2), else_=0) if key.key == "end_time" else None
            return Column(SortKey(value, key.ascending, rank))
        return Column(SortKey(by_code_point(self.connection, _text_of(key.key)), key.ascending))


def _text_of(key: str) -> sa.ColumnElement[Any]:
    if key == "artifact_uri":
        root = sa.select(experiments.c.artifacts).where(experiments.c.id == runs.c.experiment)
        return root.scalar_subquery() + sa.literal("/") + runs.c.id + sa.literal("/artifacts")
    return (_INDEXED | {"run_id": runs.c.id, "status": runs.c.status})[key]


def _found(table: Any, run: Any, *conditions: Condition) -> sa.ScalarSelect[Any]:
    """Something if the run at hand has such a row: a look-up that no planner turns into a join.

    Asked of the source's column, it comes before the run itself is fetched.
    """
    found: sa.Select[Any] = sa.select(sa.literal_column("1")).where(table.c.run == run, *conditions)
    return found.limit(1).correlate(run.table).scalar_subquery()


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def moment(column: sa.ColumnElement[Any], term: Comparison) -> Condition:
    """A comparison of a moment, kept in microseconds, by its whole milliseconds."""
    value = term.value
    if isinstance(value, float) and math.isinf(value):
        value = _LATEST_MS if value > 0 else -_LATEST_MS
    assert isinstance(value, int | float)  # noqa: S101 - what the grammar makes of a moment
    low, high = _us(math.ceil(value)), _us(math.floor(value) + 1)
    found: Condition
    if term.op == ">":
        found = column >= high
    elif term.op == ">=":
        found = column >= low
    elif term.op == "<":
        found = column < low
    elif term.op == "<=":
        found = column < high
    else:  # between two milliseconds, `low` is `high`, and no moment is within
        inside = sa.and_(column >= low, column < high)
        found = inside if term.op == "=" else sa.or_(column < low, column >= high)
    return found


def _us(milliseconds: int) -> int:
    return max(-_LATEST_MS, min(milliseconds, _LATEST_MS)) * _US_PER_MS


def _bounds(found: sa.ColumnElement[Any], term: Comparison) -> tuple[Condition, ...]:
    """What part of an index of texts' beginnings a term could hold for."""
    if term.op == "=":
        return (found == str(term.value)[:HEAD],)
    if term.op == "IN" and isinstance(term.value, tuple):
        return (found.in_([value[:HEAD] for value in term.value]),)
    if term.op != "LIKE":
        return ()
    text = str(term.value)
    ends = [place for mark in "%_" if (place := text.find(mark)) >= 0]
    start = text[: min(ends, default=len(text))][:HEAD]
    # Whatever begins so, but where its last possible character follows: that may be passed over twice.
    return (found >= start, found <= start + _LAST * (HEAD + 1)) if start else ()
