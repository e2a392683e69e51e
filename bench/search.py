"""What a search costs: a filter and an order, the first 100 runs, in experiments of up to a million.

Every run has 4 metrics, 4 parameters and 3 tags. Each search is asked for by itself on a new
connection, as the server does, and timed without the text that it is read from.

Run: ``python bench/search.py FOLDER|postgresql://... RUNS [--plans]``; a database that is there
already is used again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from treadle.experiment.grammar import parse_run_filter, parse_run_order
from treadle.experiment.search import search_runs
from treadle.experiment.tables import metrics, params, runs, tags
from treadle.kernel.database import Database, open_database

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = 100
# What is searched for; how often; whether its filter or order is one that an index helps.
SEARCHES: list[tuple[str, str, list[str], bool]] = [
    ("newest", "", [], True),
    ("by a metric", "", ["metrics.auc DESC"], True),
    ("metric over 0.8, by it", "metrics.auc > 0.8", ["metrics.auc DESC"], True),
    ("metric and parameter", "metrics.auc > 0.8 and params.depth = '5'", ["metrics.auc DESC"], True),
    ("one in 10,000 by a tag, by a metric", "tags.commit = 'c42'", ["metrics.auc"], True),
    ("by a parameter of 8 values, by a metric", "", ["params.depth", "metrics.loss"], True),
    ("name of one", "run_name = 'run-4242'", [], True),
    ("names that begin so", "run_name LIKE 'run-424%'", ["metrics.auc"], True),
    ("the last hour by a metric", "start_time > {hour}", ["metrics.auc"], True),
    ("failed ones, newest", "status = 'FAILED'", [], True),
    ("by a metric that half have, without a parameter", "params.extra IS NULL", ["metrics.rare"], True),
    ("text within a tag, newest", "tags.note LIKE '%7 of%'", [], True),
    ("by name", "", ["run_name"], True),
    ("by end", "", ["end_time DESC"], False),
    ("by user", "", ["user_id"], True),
    ("nothing passes both", "params.depth = '5' and tags.even = 'no'", ["metrics.auc"], False),
    ("nothing has that text", "tags.note LIKE '%nowhere%'", [], False),
    ("nothing so low", "metrics.auc > 0.5 and metrics.loss < -0.5", ["metrics.rare"], False),
]  # fmt: skip


# Every run has a place (the order of its identifiers) and a number (the order of its start), which
# have nothing to do with each other. SQLite's and Postgres' own words stand in braces.
_MADE = """
CREATE {temporary} made AS {with_} SELECT place, place * 7919 % {count} AS number,
  {hex_id} AS id FROM {places}
"""
_FILLS = (
    """
INSERT INTO runs (id, name, experiment, source, "user", started_at, params, tags, status,
  lifecycle, ended_at, applied)
SELECT id, 'run-' || number, '0', 'mlflow', 'u' || (number % 97), {start} + number * 1000000,
  '{{"depth":"' || (number % 8) || '","lr":"0.00' || number || '","model":"tree","seed":"' || number || '"}}',
  '{{"commit":"c' || (number / 100 % 10000) || '","note":"note ' || (number % 1000) || ' of a run"}}',
  CASE WHEN number % 50 = 0 THEN 'failed' ELSE 'finished' END, 'active',
  {start} + number * 1000000 + number * 104729 % 9973 * 1000000, 0 FROM made ORDER BY place
""",
    """
INSERT INTO run_metrics (run, name, experiment, step, "at", value)
SELECT id, name, '0', 1, 0, CASE name WHEN 'epoch' THEN number % 10 ELSE {random} END
FROM made CROSS JOIN
  (SELECT 'auc' AS name UNION ALL SELECT 'epoch' UNION ALL SELECT 'loss' UNION ALL SELECT 'rare') n
WHERE name != 'rare' OR number % 2 = 1 ORDER BY place, name
""",
    """
INSERT INTO run_params (run, name, experiment, value)
SELECT id, name, '0', CASE name WHEN 'depth' THEN {text_of_depth} WHEN 'extra' THEN 'x'
  WHEN 'lr' THEN '0.00' || number ELSE '' || number END
FROM made CROSS JOIN
  (SELECT 'depth' AS name UNION ALL SELECT 'extra' UNION ALL SELECT 'lr' UNION ALL SELECT 'seed') n
WHERE name != 'extra' OR number % 2 = 1 ORDER BY place, name
""",
    """
INSERT INTO run_tags (run, name, experiment, value)
SELECT id, name, '0', CASE name WHEN 'commit' THEN 'c' || (number / 100 % 10000)
  WHEN 'even' THEN CASE WHEN number % 8 = 5 OR number % 2 = 0 THEN 'yes' ELSE 'no' END
  ELSE 'note ' || (number % 1000) || ' of a run' END
FROM made CROSS JOIN
  (SELECT 'commit' AS name UNION ALL SELECT 'even' UNION ALL SELECT 'note') n ORDER BY place, name
""",
)
_SQLITE = {
    "temporary": "TEMP TABLE",
    "with_": "WITH RECURSIVE places(place) AS"
    " (SELECT 0 UNION ALL SELECT place + 1 FROM places WHERE place < {last})",
    "places": "places",
    "hex_id": "printf('%016x%016x', place * 9223372036 , place * 48271)",
    "random": "abs(random()) / 9223372036854775808.0",
    "text_of_depth": "'' || (number % 8)",
}
_POSTGRES = {
    "temporary": "TEMP TABLE",
    "with_": "",
    "places": "generate_series(0::bigint, {last}) AS places(place)",
    "hex_id": "lpad(to_hex(place * 9223372036), 16, '0') || lpad(to_hex(place * 48271), 16, '0')",
    "random": "random()",
    "text_of_depth": "'' || (number % 8)",
}


def fill(database: Database, count: int) -> None:
    """Makes the runs, unless they are there; their indexes afterwards, which is faster."""
    with database.read() as connection:
        if connection.execute(sa.select(runs.c.id).limit(1)).first():
            return
    indexes = [index for table in (runs, metrics, params, tags) for index in table.indexes]
    sqlite = database.engine.dialect.name == "sqlite"
    words = {name: text.format(last=count - 1) for name, text in (_SQLITE if sqlite else _POSTGRES).items()}
    words |= {"count": str(count), "start": str(int(START.timestamp()) * 1_000_000)}
    with database.engine.connect() as connection:
        if sqlite:
            for pragma in ("foreign_keys=OFF", "cache_size=-200000", "journal_mode=OFF", "synchronous=OFF"):
                driver: Any = connection.connection.driver_connection
                driver.execute(f"PRAGMA {pragma}")  # before the transaction begins
        with connection.begin():
            for index in indexes:
                index.drop(connection)
            for statement in (_MADE, *_FILLS):
                connection.exec_driver_sql(statement.format(**words).replace("%", "%" if sqlite else "%%"))
            for index in indexes:
                index.create(connection)
        if not sqlite:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text("VACUUM ANALYZE"))
    database.close()


def timed(ask: Callable[[], object], least: int = 7) -> tuple[float, float]:
    """The medians of some calls by the clock and of this process's CPU, in ms; of three if they are slow."""
    clock: list[float] = []
    cpu: list[float] = []
    while len(clock) < least and not (len(clock) >= 3 and sum(clock) > 3000):
        begun, used = time.perf_counter(), time.process_time()
        ask()
        clock.append(1000 * (time.perf_counter() - begun))
        cpu.append(1000 * (time.process_time() - used))
    return statistics.median(clock), statistics.median(cpu)


def searcher(database: Database, where: str, order: list[str], token: str | None = None) -> Callable[[], Any]:
    """A search as a call."""
    filters, keys = parse_run_filter(where), parse_run_order(order)

    def ask() -> Any:
        with database.read() as connection:
            return search_runs(connection, ["0"], filters, keys, "active_only", LIMIT, token)

    return ask


def deep(database: Database, where: str, order: list[str], pages: int) -> str | None:
    """The token of a page far behind."""
    filters, keys = parse_run_filter(where), parse_run_order(order)
    with database.read() as connection:
        token = None
        for _ in range(pages):
            token = search_runs(connection, ["0"], filters, keys, "active_only", 1000, token).token
            if token is None:
                break
    return token


def plans(database: Database, ask: Callable[[], Any]) -> None:
    """Prints how the database carries out each statement of a search, and how long it takes."""
    explain = "EXPLAIN QUERY PLAN " if database.engine.dialect.name == "sqlite" else "EXPLAIN ANALYZE "
    said: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, given: Any, ___: Any, ____: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            said.append((statement, given))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    ask()
    sa.event.remove(database.engine, "before_cursor_execute", note)
    with database.read() as connection:
        for statement, given in said:
            begun = time.perf_counter()
            connection.exec_driver_sql(statement, given).all()
            print(f"    {1000 * (time.perf_counter() - begun):.1f} ms  {' '.join(statement.split())[-400:]}")
            for row in connection.exec_driver_sql(explain + statement, given):
                print("       ", row[-1])


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("where")
    parser.add_argument("runs", type=int)
    parser.add_argument("--plans", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    url = given.where if "://" in given.where else f"sqlite:///{given.where}/{given.runs}.db"
    database = open_database(url, Path.cwd())
    begun = time.perf_counter()
    fill(database, given.runs)
    print(
        f"{given.runs:,} runs on {database.engine.dialect.name}, made in {time.perf_counter() - begun:.0f} s"
    )
    print(f"{'':48} {'ms':>8} {'CPU ms':>8} {'far page':>8} {'found':>6}")
    hour = int((START + timedelta(seconds=given.runs - 3600)).timestamp() * 1000)
    for name, where, order, friendly in SEARCHES:
        if given.only not in name:
            continue
        text = where.format(hour=hour)
        ask = searcher(database, text, order)
        found = len(ask().rows)
        clock, cpu = timed(ask)
        pages = min(given.runs // 2000, 15)
        token = deep(database, text, order, pages) if friendly and found == LIMIT else None
        later = timed(searcher(database, text, order, token))[1] if token else 0
        shown = f"{clock:8.1f} {cpu:8.1f} {later:8.1f} {found:6}"
        print(f"{name:48} {shown}{'' if friendly else '  no index'}", flush=True)
        if given.plans:
            plans(database, ask)


if __name__ == "__main__":
    main()
