"""Our own lists: parameters compared and sorted as numbers, as :mod:`match` has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from treadle.experiment import Experiments, Finish, JournalBatch, NewRun
from treadle.experiment.grammar import Record, matches, parse_listed_filter, parse_run_filter
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

AT = datetime(2026, 3, 1, tzinfo=UTC)
DEPTHS = [3, "10", 9.5, "x", "-1e1", True, None, "1e400", " 3", "3.0", 10**15]


@pytest.fixture
def runs(project: Path, metadata_url: str) -> Iterator[Experiments]:
    text = (project / "treadle.toml").read_text()
    (project / "treadle.toml").write_text(f'{text}\n[store]\nmetadata = "{metadata_url}"\n')
    workspace = Workspace.open(project)
    made = Experiments(workspace)
    for number, depth in enumerate(DEPTHS):
        params = {} if depth is None else {"depth": depth}
        start = AT + timedelta(minutes=number)
        new = NewRun(
            id=f"run_{number:02}",
            name="x",
            started_at=start,
            params={**params, "n": number},
            tags={"t": str(number)},
        )
        made.create(new)
        if number:
            made.apply(new.id, JournalBatch(0, [Finish(start.timestamp() + 100 - number, "finished")]))
    yield made
    workspace.close()


@pytest.mark.parametrize(
    "metadata_url",
    ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.soak])],
    indirect=True,
)
@pytest.mark.parametrize("op", ["<", "<=", ">", ">=", "=", "!="])
@pytest.mark.parametrize("number", ["3", "9.5", "-10", "1e15", "10"])
def test_numbers_compare_as_numbers(runs, op, number):
    where = f"params.depth {op} {number}"
    plain = [
        f"run_{place:02}"
        for place, depth in enumerate(DEPTHS)
        if matches(
            Record(
                params={} if depth is None else {"depth": str(depth).lower() if depth is True else str(depth)}
            ),
            parse_listed_filter(where),
        )
    ]
    assert sorted(run.id for run in runs.list(where=where)) == plain
    assert sorted(run.id for run in runs.list(where=where, sort="-params.n")) == plain
    assert len(plain) < len(DEPTHS)


def test_quoted_text_still_compares_as_text(runs):
    assert [run.id for run in runs.list(where="params.depth = '3'")] == ["run_00"]
    assert len(runs.list(where="params.depth = 3")) == 2
    assert [run.id for run in runs.list(where="params.depth IN ('x', '10')", sort="id")] == [
        "run_01",
        "run_03",
    ]
    assert [run.id for run in runs.list(where="params.depth IS NULL")] == ["run_06"]
    with pytest.raises(InvalidInput, match="with a number"):
        runs.list(where="params.depth < '6'")


def test_tracking_clients_keep_their_grammar():
    with pytest.raises(InvalidInput):
        parse_run_filter("params.depth < 6")


@pytest.mark.parametrize(
    ("sort", "first", "last"),
    [("params.n", 0, 10), ("-params.n", 10, 0), ("tags.t", 0, 9), ("duration", 10, 0), ("-duration", 1, 0),
     ("-id", 10, 0), ("ended_at", 1, 0), ("status", 10, 0), ("-name", 10, 0), ("-params.depth", 3, 6)],
)  # fmt: skip
def test_sorting(runs, sort, first, last):
    found = [run.id for run in runs.list(sort=sort)]
    assert len(found) == len(DEPTHS)
    assert (found[0], found[-1]) == (f"run_{first:02}", f"run_{last:02}")


@pytest.mark.parametrize(
    ("sort", "error"),
    [("colour", InvalidInput), ("params.", InvalidInput), ("params.dept", NotFound), ("tags.x", NotFound)],
)
def test_what_can_not_be_sorted_by(runs, sort, error):
    with pytest.raises(error):
        runs.list(sort=sort)
