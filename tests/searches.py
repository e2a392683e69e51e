"""Random runs, filters and orders for the tests of searching, and what the naive model makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from hypothesis import strategies as st

from treadle.experiment import store
from treadle.experiment.grammar import RUNS, Comparison, OrderKey, Record, arrange, complete, matches
from treadle.experiment.search import search_runs
from treadle.experiment.types import NewRun, RunInput, Sample

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEYS = ("a", "b.c", "dé")
LONG = "long" * 30
# Beyond ASCII only what has one lower case of one character, on every database.
TEXTS = ("", "a", "A", "ab", "a%b", "a_b", "É", "éx", "x*", "[x]?", "\\", "'", '"', "10", "9", "\U0001f600",
         "\uffff", LONG, LONG + "1", LONG + "2")  # fmt: skip
PATTERNS = (*TEXTS, "%", "_", "%b", "a%", "_b", "%É%", "é_", "\\%", "[%", "*", LONG + "%", "%_1", "")
VALUES = (0.0, -1.5, 1.5, 2.0, 1e300, -1e-300, math.inf, -math.inf)
STATUSES = ("running", "scheduled", "finished", "failed", "killed")


class Made(msgspec.Struct, frozen=True):
    """A run to be made."""

    id: str
    experiment: str
    name: str
    user: str
    status: str
    lifecycle: str
    start: int
    end: int | None
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    inputs: tuple[tuple[str, str, str], ...]

    def record(self, *, ordering: bool = False) -> Record:
        """As the naive model sees it: moments are ordered by microseconds, compared by milliseconds."""
        unit = 1 if ordering else 1000
        return Record(
            attributes={
                "run_id": self.id,
                "run_name": self.name,
                "user_id": self.user,
                "status": self.status.upper(),
                "start_time": self.start // unit,
                "end_time": None if self.end is None else self.end // unit,
                "artifact_uri": f"mlflow-artifacts:/{self.experiment}/{self.id}/artifacts",
            },
            metrics=self.metrics,
            params=self.params,
            tags=self.tags,
            datasets=tuple(
                {"name": name, "digest": digest, "context": context or None}
                for name, digest, context in self.inputs
            ),
        )


_TEXT = st.sampled_from(TEXTS)
_MOMENT = st.sampled_from([0, 1, 999, 1000, 1001, 2000, 5000, 1_700_000_000_000_000, -1, -1000])
_INPUT = st.tuples(
    st.sampled_from(["d", "D", "e"]), st.sampled_from(["1", "2"]), st.sampled_from(["", "train"])
)
MADE = st.builds(
    Made,
    id=st.text("ab-_.9Z", min_size=1, max_size=4).map("r".__add__),
    experiment=st.sampled_from(["0", "1", "2"]),
    name=_TEXT,
    user=_TEXT,
    status=st.sampled_from(STATUSES),
    lifecycle=st.sampled_from(["active", "active", "deleted"]),
    start=_MOMENT,
    end=st.none() | _MOMENT,
    metrics=st.dictionaries(st.sampled_from(KEYS), st.sampled_from((*VALUES, math.nan)), max_size=3),
    params=st.dictionaries(st.sampled_from(KEYS), _TEXT, max_size=3),
    tags=st.dictionaries(st.sampled_from(KEYS), _TEXT, max_size=3),
    inputs=st.lists(_INPUT, max_size=2, unique_by=lambda one: one[:2]).map(tuple),
)
RUN_LISTS = st.lists(MADE, max_size=24, unique_by=lambda made: made.id)

_SIGNS = ("=", "!=", ">", ">=", "<", "<=")
_TEXT_ATTRIBUTES = ("run_id", "run_name", "user_id", "status", "artifact_uri")
_LIST = st.lists(_TEXT | st.sampled_from(["ra", "rb", "d"]), min_size=1, max_size=3).map(tuple)


def _texts(entity: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Comparison]:
    plain = st.builds(
        Comparison, entity, keys, st.sampled_from(["=", "!="]), _TEXT | st.sampled_from(["FAILED", "ra", "d"])
    )
    pattern = st.builds(
        Comparison,
        entity,
        keys,
        st.sampled_from(["LIKE", "ILIKE"]),
        st.sampled_from((*PATTERNS, "%AIL%", "r%")),
    )
    return plain | pattern


_OPEN = st.sampled_from(["param", "tag"])
FILTER = st.one_of(
    st.builds(
        Comparison, st.just("metric"), st.sampled_from(KEYS), st.sampled_from(_SIGNS), st.sampled_from(VALUES)
    ),
    _texts(_OPEN, st.sampled_from(KEYS)),
    st.builds(Comparison, _OPEN, st.sampled_from(KEYS), st.sampled_from(["IS NULL", "IS NOT NULL"])),
    _texts(st.just("attribute"), st.sampled_from(_TEXT_ATTRIBUTES)),
    st.builds(Comparison, st.just("attribute"), st.just("run_id"), st.sampled_from(["IN", "NOT IN"]), _LIST),
    st.builds(
        Comparison,
        st.just("attribute"),
        st.sampled_from(["start_time", "end_time"]),
        st.sampled_from(_SIGNS),
        st.sampled_from([0, 1, -1, 2, 0.5, 1.0, -0.5, 2**63 - 1, -(2**63), math.inf, -math.inf, 1e300]),
    ),
    _texts(st.just("dataset"), st.sampled_from(["name", "digest", "context"])),
    st.builds(
        Comparison,
        st.just("dataset"),
        st.sampled_from(["name", "digest", "context"]),
        st.sampled_from(["IN", "NOT IN"]),
        _LIST,
    ),
)  # fmt: skip
FILTERS = st.lists(FILTER, max_size=3)
_KEY = st.one_of(
    st.tuples(st.sampled_from(["metric", "param", "tag"]), st.sampled_from(KEYS)),
    st.tuples(st.just("attribute"), st.sampled_from((*_TEXT_ATTRIBUTES, "start_time", "end_time"))),
)
ORDERS = st.lists(_KEY, max_size=3, unique=True).flatmap(
    lambda keys: st.tuples(*(st.builds(OrderKey, st.just(e), st.just(k), st.booleans()) for e, k in keys))
)
VIEWS = {"active_only": ("active",), "deleted_only": ("deleted",), "all": ("active", "deleted")}


def make(connection: sa.Connection, made: Iterable[Made]) -> None:
    """Adds runs as the room's own store does."""
    for one in made:
        new = NewRun(
            id=one.id,
            name=one.name,
            user=one.user,
            started_at=_moment(one.start),
            params=dict(one.params),
            tags=one.tags,
        )
        assert store.insert_run(connection, new, one.experiment)
        before = store.exact_run(connection, one.id)
        assert before is not None
        ended = None if one.end is None else _moment(one.end)
        changed = msgspec.structs.replace(
            before, status=one.status, lifecycle=one.lifecycle, ended_at=ended
        )  # fmt: skip
        store.update_run(connection, before, changed)
        store.put_latest(connection, one.id, [Sample(k, v, 0, 0) for k, v in one.metrics.items()])
        used = [
            RunInput(name=name, digest=digest, source_type="", source="", context=context)
            for name, digest, context in one.inputs
        ]
        store.put_inputs(connection, one.id, used)


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def expected(
    made: Iterable[Made],
    experiments: Sequence[str],
    filters: Sequence[Comparison],
    order: Sequence[OrderKey],
    view: str,
) -> list[str]:
    """The identifiers that the naive model finds, in its order."""
    fits = [
        one.record(ordering=True)
        for one in made
        if one.experiment in experiments and one.lifecycle in VIEWS[view] and matches(one.record(), filters)
    ]
    return [str(one.attributes["run_id"]) for one in arrange(fits, complete(order, RUNS))]


def walk(
    connection: sa.Connection,
    experiments: Sequence[str],
    filters: Sequence[Comparison],
    order: Sequence[OrderKey],
    view: Any = "active_only",
    limit: int = 3,
) -> list[str]:
    """The identifiers on all pages."""
    found: list[str] = []
    token = None
    while True:
        page = search_runs(connection, experiments, filters, order, view, limit, token)
        assert len(page.rows) <= limit
        found += [row["id"] for row in page.rows]
        token = page.token
        if token is None:
            return found
        assert len(page.rows) == limit
