"""Searching runs and experiments: what fits a filter, in an order, a page at a time.

With :mod:`treadle.experiment.grammar.match`'s meaning on every database, but for two points: runs
that began in the same millisecond are ordered by the microsecond, and a character whose case
changes how many characters there are is compared as the database does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
import sqlalchemy as sa

from treadle.experiment.grammar.match import Record as Plain
from treadle.experiment.grammar.match import matches
from treadle.experiment.grammar.orders import EXPERIMENTS, RUNS, complete
from treadle.experiment.grammar.sql import holds
from treadle.experiment.grammar.types import Comparison, OrderKey
from treadle.experiment.search_plan import Marks, Plan
from treadle.experiment.search_terms import Scope, Terms, check_terms, moment, raw
from treadle.experiment.tables import experiments, runs
from treadle.experiment.types import Experiment
from treadle.kernel.errors import InvalidInput
from treadle.kernel.paging import SortKey, by_code_point, page

Lives: TypeAlias = Literal["active_only", "deleted_only", "all"]
"""Which of what was deleted is shown."""

_LIVES: dict[Lives, tuple[str, ...]] = {
    "active_only": ("active",),
    "deleted_only": ("deleted",),
    "all": ("active", "deleted"),
}
_PIECE = 500


class RunPage(msgspec.Struct, frozen=True):
    """A page of runs.

    Attributes:
        rows: The runs' rows.
        token: Where the next page begins; None if there is none.
    """

    rows: list[sa.RowMapping]
    token: str | None = None


class ExperimentPage(msgspec.Struct, frozen=True):
    """A page of experiments, and where the next one begins if there is one."""

    experiments: list[Experiment]
    token: str | None = None


class _Token(msgspec.Struct, frozen=True, array_like=True):
    check: bytes
    marks: Marks


def search_runs(
    connection: sa.Connection,
    experiments: Sequence[str],
    filters: Sequence[Comparison],
    order: Sequence[OrderKey],
    view: Lives,
    limit: int,
    token: str | None,
) -> RunPage:
    """A page of the runs of experiments that fit a filter.

    Args:
        connection: The database.
        experiments: The experiments' identifiers.
        filters: What must all hold.
        order: What they are ordered by before the ties.
        view: Which of what was deleted is shown.
        limit: The most to return.
        token: Where the page before ended.

    Raises:
        InvalidInput: If the token isn't one of this search, or the search is too large.
    """
    check_terms(filters, order)
    keys, among = complete(order, RUNS), sorted(set(experiments))
    asked = repr((among, tuple(filters), keys, view))
    after = _read(token, asked, keys) if token else None
    found: list[Marks] = []
    terms = Terms(connection)
    for scope in _scopes(connection, among, view):
        found += Plan(terms, scope, limit + 1).run(keys, after, filters)
    found = _arranged(found, keys)
    more = len(found) > limit
    place = next(at for at, key in enumerate(keys) if (key.entity, key.key) == ("attribute", "run_id"))
    rows = _rows(connection, [str(marks[place][1]) for marks in found[:limit]])
    return RunPage(rows, _write(found[limit - 1], asked) if more else None)


def _scopes(connection: sa.Connection, among: Sequence[str], view: Lives) -> list[Scope]:
    """Those of the experiments that have such runs."""
    found: list[Scope] = []
    for start in range(0, len(among), _PIECE):
        for lifecycle in _LIVES[view]:
            has = sa.select(runs.c.id).where(
                runs.c.experiment == experiments.c.id, runs.c.lifecycle == lifecycle
            )
            query = sa.select(experiments.c.id).where(
                experiments.c.id.in_(among[start : start + _PIECE]), has.exists()
            )
            found += [Scope(number, lifecycle) for number in connection.execute(query).scalars()]
    return found


def _arranged(found: list[Marks], keys: Sequence[OrderKey]) -> list[Marks]:
    """Runs of several scopes in one order."""
    for place in reversed(range(len(keys))):
        groups: tuple[list[Marks], ...] = ([], [], [])
        for marks in found:
            groups[marks[place][0]].append(marks)
        groups[0].sort(key=lambda marks: _value(marks, place), reverse=not keys[place].ascending)
        found = [*groups[0], *groups[1], *groups[2]]
    return found


def _value(marks: Marks, place: int) -> str | float:
    value = marks[place][1]
    return "" if value is None else value


def _rows(connection: sa.Connection, ids: Sequence[str]) -> list[sa.RowMapping]:
    known: dict[str, sa.RowMapping] = {}
    for start in range(0, len(ids), _PIECE):
        query = sa.select(runs).where(runs.c.id.in_(ids[start : start + _PIECE]))
        known.update((row["id"], row) for row in connection.execute(query).mappings())
    return [known[one] for one in ids if one in known]


def search_experiments(
    connection: sa.Connection,
    filters: Sequence[Comparison],
    order: Sequence[OrderKey],
    view: Lives,
    limit: int,
    token: str | None,
) -> ExperimentPage:
    """A page of the experiments that fit a filter; arguments as for :func:`search_runs`.

    Raises:
        InvalidInput: If the token isn't one of this search, or the search is too large.
    """
    check_terms(filters, order)
    keys = complete(order, EXPERIMENTS)
    asked = ("experiments", tuple(filters), keys, view)
    query = sa.select(experiments).where(experiments.c.lifecycle.in_(_LIVES[view]))
    query = query.where(*(_holds(one) for one in filters if one.entity == "attribute"))
    tagged = [one for one in filters if one.entity == "tag"]
    sort = [_experiment_key(connection, key) for key in keys]
    found: list[Experiment] = []
    while True:
        rows, token = page(connection, query, sort, limit=limit - len(found), token=token, asked=asked)
        for row in rows:
            one = Experiment(**{name: row[name] for name in Experiment.__struct_fields__})
            if matches(Plain(tags=one.tags), tagged):
                found.append(one)
        if token is None or len(found) == limit:
            return ExperimentPage(found, token)


def _holds(one: Comparison) -> sa.ColumnElement[bool]:
    if one.key == "name":
        return holds(experiments.c.name, one.op, one.value)
    if one.key == "experiment_id":
        return holds(experiments.c.id, one.op, one.value)
    return moment(_moment(one.key), one)


def _moment(key: str) -> sa.ColumnElement[int]:
    return raw({"creation_time": experiments.c.created_at}.get(key, experiments.c.updated_at))


def _experiment_key(connection: sa.Connection, key: OrderKey) -> SortKey:
    if key.key == "name":
        return SortKey(by_code_point(connection, experiments.c.name), key.ascending)
    if key.key == "experiment_id":
        return SortKey(sa.cast(experiments.c.id, sa.BigInteger), key.ascending)
    return SortKey(_moment(key.key), key.ascending)


# ── tokens ───────────────────────────────────────────────────────────────


def _check(asked: str, marks: Marks) -> bytes:
    return hashlib.blake2s(repr((asked, marks)).encode(), digest_size=9).digest()


def _write(marks: Marks, asked: str) -> str:
    # Not JSON, which has no infinity.
    packed = msgspec.msgpack.encode(_Token(_check(asked, marks), marks))
    return base64.urlsafe_b64encode(packed).decode()


def _read(token: str, asked: str, keys: Sequence[OrderKey]) -> Marks:
    try:
        found = msgspec.msgpack.decode(base64.urlsafe_b64decode(token), type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        found = None
    if (
        found is None
        or found.check != _check(asked, found.marks)
        or len(found.marks) != len(keys)
        or not all(_fits(*both) for both in zip(keys, found.marks, strict=True))
    ):
        raise InvalidInput(
            f"{token!r:.80} is no page token of this search",
            where="page_token",
            fix="use the one that came with the page before, and ask the same as for that page",
        )
    return found.marks


def _fits(key: OrderKey, mark: tuple[int, str | int | float | None]) -> bool:
    """Whether a key could have a mark; a token may be anybody's work."""
    rank, value = mark
    if rank:
        return rank in {1, 2} and value is None
    if key.entity == "metric":
        return isinstance(value, float)
    if key.entity == "attribute" and key.key in {"start_time", "end_time"}:
        return isinstance(value, int) and -(2**63) <= value < 2**63
    return isinstance(value, str) and "\0" not in value
