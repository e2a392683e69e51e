"""How a search is carried out: along the index that has its order, or from the filter that few runs pass.

Along an index, runs come a stretch at a time, so that it shows early where an index has very
many runs of one value (then the next key's index is better) or hardly any that pass the
filter (then the filter's is). A page begins where the one before ended by the index as well:
the hundredth costs what the first did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa

from treadle.experiment.grammar.types import Comparison, OrderKey
from treadle.experiment.search_terms import (
    HEAD,
    Column,
    Condition,
    IsNan,
    Scope,
    Source,
    Term,
    Terms,
    found_first,
    raw,
)
from treadle.experiment.tables import runs

Mark: TypeAlias = tuple[int, str | int | float | None]
"""Where a run stands by one key: its rank (1 for NaN, 2 for nothing), and its value if that is 0."""
Marks: TypeAlias = tuple[Mark, ...]
"""The same by all keys: what a page token holds."""

FEW, STRETCH, PATIENCE, MANY = 5_000, 5_000, 40_000, 300_000
"""So few runs are simply sorted; the first stretch along an index; how far to go without filling the
page before looking for a filter that fewer runs pass; what is fewer then."""


class Plan:
    """One search among the runs of one scope.

    Args:
        terms: For the database at hand.
        scope: Among which.
        limit: How many runs are wanted.
    """

    def __init__(self, terms: Terms, scope: Scope, limit: int) -> None:
        self._terms = terms
        self._scope = scope
        self._limit = limit
        self._connection = terms.connection
        self._counts: dict[tuple[Term, int], int] = {}
        self._scans: set[Term] = set()

    def run(self, keys: Sequence[OrderKey], after: Marks | None, filters: Sequence[Term]) -> list[Marks]:
        """The first runs behind a place in the order, by their marks."""
        return self._top(list(keys), after, list(filters), self._limit)

    def _top(self, keys: list[OrderKey], after: Marks | None, filters: list[Term], most: int) -> list[Marks]:
        if not keys:
            return [()]
        first = keys[0]
        by_start = first.entity == "attribute" and first.key == "start_time"
        if first.numeric or (
            not by_start and self._terms.by_key(self._scope, first.entity, first.key) is None
        ):
            return self._sorted(self._fewest(filters, MANY), keys, after, filters, most)
        few = self._fewest([one for one in filters if not _on(first, one)], FEW)
        if few is not None and self._pays(self._count(few, FEW)):
            return self._sorted(few, keys, after, filters, most)
        way = self._by_start if by_start else self._by_value
        return way(keys, after, filters, most)

    def _pays(self, count: int) -> bool:
        """Whether to sort so many takes less than to pass, along an index, over all that lie between them."""
        if count <= FEW // 10:
            return True
        passed = count * count // self._limit
        there = sa.select(runs.c.id).where(*self._terms.whole(self._scope)).limit(1).offset(passed)
        return self._connection.execute(there).first() is not None

    def _fewest(self, filters: Sequence[Term], bound: int) -> Term | None:
        """The condition that the fewest runs fulfil, if those are fewer than a bound."""
        best, fewest = None, bound
        for term in filters:
            count = self._count(term, bound)
            if count < fewest:
                best, fewest = term, count
        return best

    def _count(self, term: Term, bound: int) -> int:
        if (term, bound) not in self._counts:
            source = self._terms.by_term(self._scope, term)
            if source is None:
                return bound
            found: sa.Select[Any] = sa.select(sa.literal_column("1").label("one")).select_from(source.table)
            found = found.where(*source.within, *source.bounds).limit(bound)
            counted = sa.select(sa.func.count()).select_from(found.subquery())
            count = int(self._connection.execute(counted).scalar_one())
            if count == bound == MANY and self._terms.scan(self._scope, term):
                self._scans.add(term)
                count -= 1  # any other condition is better
            self._counts[term, bound] = count
        return self._counts[term, bound]

    # ── from a filter, or from everything ────────────────────────────────

    def _sorted(
        self, driver: Term | None, keys: list[OrderKey], after: Marks | None, filters: list[Term], most: int
    ) -> list[Marks]:
        find = self._terms.scan if driver in self._scans else self._terms.by_term
        source = find(self._scope, driver) if driver else None
        columns = [self._terms.column(key, ordered=False) for key in keys]
        others = [one for one in filters if one is not driver]
        if source is not None and not source.own and self._connection.dialect.name == "postgresql":
            beside = [one for one in others if not isinstance(one, Comparison) or one.entity != "attribute"]
            # Postgres would sort every run before it looks at the filter.
            matching = sa.select(source.run.label("run")).select_from(source.table)
            tests = [self._terms.condition(one, source) for one in beside]
            matching = matching.where(*source.within, *source.bounds, *source.exact, *tests)
            source = found_first(matching, self._connection)
            others = [one for one in others if one not in beside]
        conditions = [self._terms.condition(one, source) for one in others]
        if source is not None:
            conditions += [*source.bounds, *source.exact]
        if after is not None:
            conditions.append(behind(columns, after))
        return self._fetch(source, columns, conditions, most)

    def _fetch(
        self,
        source: Source | None,
        columns: Sequence[Column],
        conditions: Sequence[Condition],
        most: int,
        order: Sequence[sa.ColumnElement[Any]] = (),
    ) -> list[Marks]:
        """The marks of the first runs of a query, ordered by its columns.

        Args:
            source: Where to begin; with the runs of the scope if there is none.
            columns: The keys.
            conditions: What the runs fulfil, besides being in the scope.
            most: How many.
            order: What to order by before the columns.
        """
        query = sa.select(
            *(
                part
                for number, column in enumerate(columns)
                for part in (
                    (sa.literal_column("0") if column.key.rank is None else column.key.rank).label(
                        f"r{number}"
                    ),
                    column.key.value.label(f"v{number}"),
                )
            )
        )
        start: Any = runs if source is None else source.table
        if source is None or source.own:
            scope = self._terms.whole(self._scope)
        else:
            start = start.join(runs, runs.c.id == source.run)
            alive = runs.c.lifecycle == self._scope.lifecycle
            here = () if source.within else (runs.c.experiment == self._scope.experiment,)
            scope = (*source.within, alive, *here)
        for column in columns:
            if column.beside:
                start = start.outerjoin(*column.beside)
        query = query.select_from(start).where(*scope, *conditions)
        query = query.order_by(*order, *_order(columns)).limit(most)
        rows = self._connection.execute(query).all()
        return [
            tuple((row[at], None if row[at] else row[at + 1]) for at in range(0, 2 * len(columns), 2))
            for row in rows
        ]

    # ── along the start ──────────────────────────────────────────────────

    def _by_start(
        self, keys: list[OrderKey], after: Marks | None, filters: list[Term], most: int
    ) -> list[Marks]:
        start, down = raw(runs.c.started_at), not keys[0].ascending
        columns = [self._terms.column(key) for key in keys]
        conditions = [self._terms.condition(one) for one in filters]
        source = Source(runs, runs.c.id, start, start, ())
        found: list[Marks] = []
        beyond: list[Condition] = []
        if after is not None:
            at = after[0][1]
            same = [start == at, behind(columns[1:], after[1:])]
            found = self._fetch(source, columns, [*conditions, *same], most)
            beyond = [start < at if down else start > at]
        if len(found) < most and filters:
            edge = self._edge(source, beyond, PATIENCE, down=down)
            if edge is not None:
                near = [*beyond, start >= edge if down else start <= edge]
                found += self._fetch(source, columns, [*conditions, *near], most - len(found))
                beyond = [start < edge if down else start > edge]
                few = self._fewest(filters, MANY) if len(found) < most else None
                if few is not None:
                    return self._sorted(few, keys, after, filters, most)
        if len(found) < most:
            found += self._fetch(source, columns, [*conditions, *beyond], most - len(found))
        return found

    def _edge(self, source: Source, within: Sequence[Condition], skip: int, *, down: bool) -> Any:
        """The value so far along an index; None if it isn't that long."""
        query = sa.select(source.head).select_from(source.table)
        scope = self._terms.whole(self._scope) if source.own else source.within
        query = query.where(*scope, *within)
        order = source.head.desc() if down else source.head.asc()
        return self._connection.execute(query.order_by(order).limit(1).offset(skip)).scalar()

    # ── along the values of a key ────────────────────────────────────────

    def _by_value(
        self, keys: list[OrderKey], after: Marks | None, filters: list[Term], most: int
    ) -> list[Marks]:
        key, rank = keys[0], after[0][0] if after else 0
        own = [one for one in filters if _on(key, one)]
        ops = {one.op if isinstance(one, Comparison) else "IS NAN" for one in own}
        found: list[Marks] = []

        def group(mark: Mark, term: Term) -> None:
            rest = after[1:] if after and mark == after[0] else None
            if len(found) < most:
                behind_it = self._top(keys[1:], rest, [*filters, term], most - len(found))
                found.extend((mark, *marks) for marks in behind_it)

        if rank == 0 and not ops & {"IS NULL", "IS NAN"}:
            if after is not None:
                group(after[0], Comparison(key.entity, key.key, "=", after[0][1]))
            if self._along(keys, after, filters, found, most):
                return self._sorted(self._fewest(filters, MANY), keys, after, filters, most)
        if rank <= 1 and key.entity == "metric" and ops <= {"!=", "IS NAN"}:
            group((1, None), IsNan(key.key))
        if ops <= {"IS NULL"} and len(found) < most and (rank == 2 or self._lacking(key)):
            group((2, None), Comparison(key.entity, key.key, "IS NULL"))
        return found

    def _along(
        self, keys: list[OrderKey], after: Marks | None, filters: list[Term], found: list[Marks], most: int
    ) -> bool:
        """Adds runs by their values; returns whether that was given up, since a filter has far fewer."""
        source = self._terms.by_key(self._scope, keys[0].entity, keys[0].key)
        assert source is not None  # noqa: S101 - else this way isn't taken
        down, head, value = not keys[0].ascending, source.head, source.value
        columns = [self._terms.column(keys[0], source), *map(self._terms.column, keys[1:])]
        own = [part for one in filters if _on(keys[0], one) for part in self._terms.narrow(source, one)]
        others = [self._terms.condition(one, source) for one in filters if not _on(keys[0], one)]
        order = () if head is value else (head.desc() if down else head.asc(),)
        beyond: list[Condition] = []
        if after is not None:
            last = after[0][1]
            beyond.append(value < last if down else value > last)
            if head is not value:
                shown = str(last)[:HEAD]
                beyond.append(head <= shown if down else head >= shown)
        elif head is value:
            beyond.append(value.is_not(None))
        seen, size = 0, STRETCH
        while len(found) < most:
            edge = self._edge(source, [*own, *beyond], size, down=down)
            first = edge if edge is None else self._edge(source, [*own, *beyond], 0, down=down)
            near = [*own, *beyond]
            if edge is not None and first == edge and not (isinstance(edge, str) and len(edge) >= HEAD):
                same = Comparison(keys[0].entity, keys[0].key, "=", edge)
                within = self._top(keys[1:], None, [*filters, same], most - len(found))
                found.extend(((0, edge), *marks) for marks in within)
            else:
                if edge is not None:
                    near.append(head == edge if first == edge else head > edge if down else head < edge)
                found += self._fetch(source, columns, [*near, *others], most - len(found), order)
            if edge is None:
                break
            if first == edge:
                beyond = [head < edge if down else head > edge]
            else:
                beyond = [head <= edge if down else head >= edge]
            seen += size
            if seen >= PATIENCE > seen - size and len(found) < most and self._fewest(filters, MANY):
                return True
            size = min(2 * size, PATIENCE)
        return False

    def _lacking(self, key: OrderKey) -> bool:
        """Whether some run of the experiment may lack a value: a count of two indexes."""
        source = self._terms.by_key(self._scope, key.entity, key.key)
        if source is None or source.own:
            return False
        having = sa.select(sa.func.count()).select_from(source.table).where(*source.within)
        every = sa.select(sa.func.count()).where(runs.c.experiment == self._scope.experiment)
        have, all_ = self._connection.execute(
            sa.select(having.scalar_subquery(), every.scalar_subquery())
        ).one()
        return bool(have < all_)


def _on(key: OrderKey, term: Term) -> bool:
    if isinstance(term, IsNan):
        return (key.entity, key.key) == ("metric", term.key)
    return (key.entity, key.key) == (term.entity, term.key)


def _order(columns: Sequence[Column]) -> list[sa.ColumnElement[Any]]:
    order: list[sa.ColumnElement[Any]] = []
    for column in columns:
        if column.key.rank is not None:
            order.append(column.key.rank.asc())
        order.append(column.key.value.asc() if column.key.ascending else column.key.value.desc())
    return order


def behind(columns: Sequence[Column], marks: Marks) -> Condition:
    """That the run at hand comes after a place in the order."""
    found: Condition = sa.false()
    for column, (rank, last) in reversed(list(zip(columns, marks, strict=True))):
        key = column.key
        if key.rank is not None and rank:
            beyond, same = key.rank > rank, key.rank == rank
        else:
            beyond = key.value > last if key.ascending else key.value < last
            same = key.value == last
            if key.rank is not None:
                beyond = sa.or_(key.rank > 0, beyond)
        found = sa.or_(beyond, sa.and_(same, found))
    return found
