"""Appends on Postgres: all that wait, by one statement, which is a transaction and a journey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treadle.experiment import curves, series
from treadle.experiment.types import Sample
from treadle.experiment.writes import Append, Outcome, kept_value, refused_run

# Runs are locked and latest values replaced in one order, so that two servers never wait for each other.
_STATEMENT = """
WITH found AS MATERIALIZED (
  SELECT id, experiment, lifecycle FROM runs WHERE id = ANY(%s) ORDER BY id FOR SHARE
), live AS (
  SELECT id, experiment FROM found WHERE lifecycle = 'active'
), appended AS (
  INSERT INTO run_chunks (run, name, id, points, data)
  SELECT c.run, '', c.id, c.points, c.data
  FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bytea[]) AS c(run, id, points, data)
  JOIN live ON live.id = c.run
), replaced AS (
  INSERT INTO run_metrics (run, name, experiment, step, "at", value)
  SELECT m.run, m.name, live.experiment, m.step, m."at", m.value
  FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::float8[])
    AS m(run, name, step, "at", value)
  JOIN live ON live.id = m.run ORDER BY m.run, m.name
  ON CONFLICT (run, name) DO UPDATE SET step = excluded.step, "at" = excluded."at", value = excluded.value
  WHERE (excluded.step, excluded."at", coalesce(excluded.value, 0))
     >= (run_metrics.step, run_metrics."at", coalesce(run_metrics.value, 0))
)
SELECT id, lifecycle FROM found
"""


def append_at_once(cursor: Any, appends: Sequence[Append]) -> list[Outcome]:
    """Writes points of several runs; returns what each append came to.

    Args:
        cursor: Of a connection that commits each statement.
        appends: The points.
    """
    latest: dict[tuple[str, str], Sample] = {}
    for append in appends:
        for name, sample in series.latest(append.samples).items():
            known = latest.get((append.run, name))
            latest[append.run, name] = series.latest((known, sample))[name] if known else sample
    keys = sorted(latest)
    cursor.execute(
        _STATEMENT,
        (
            sorted({append.run for append in appends}),
            [append.run for append in appends],
            [curves.next_id() for _ in appends],
            [len(append.samples) for append in appends],
            [series.pack(append.samples) for append in appends],
            [run for run, _ in keys],
            [name for _, name in keys],
            [latest[key].step for key in keys],
            [latest[key].at for key in keys],
            [kept_value(latest[key]) for key in keys],
        ),
    )
    found: dict[str, str] = dict(cursor.fetchall())
    return [refused_run(append.run, found.get(append.run)) for append in appends]
