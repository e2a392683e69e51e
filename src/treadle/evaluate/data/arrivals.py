"""When a dataset's rows came, whether or not their labels are known by now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec

from treadle.evaluate.data.suite import Suite
from treadle.kernel.engine import Engine, quote
from treadle.kernel.scan.columns import Columns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NEVER = 2**63 - 1
_MOST_LABELS = 0.99


class Whole(msgspec.Struct, frozen=True):
    """All of a dataset, of which a part is checked.

    Attributes:
        files: Its rows, as Parquet.
        until: What happened later isn't known yet; nothing is left out when None.
    """

    files: Path | Sequence[Path]
    until: datetime | None = None


class Arrivals(msgspec.Struct, frozen=True):
    """When rows came.

    Attributes:
        newest: When the newest row happened; a day where times are days.
        days: Rows by day.
        settled: Up to when all rows are here.
    """

    newest: date | None
    days: Mapping[date, int]
    settled: datetime


def count_arrivals(engine: Engine, whole: Whole, suite: Suite, columns: Columns, now: datetime) -> Arrivals:
    """Counts the rows of each day, in one pass over the columns of time and label.

    A model is trained on rows whose labels are known, so that its newest days seem to have lost most of
    theirs: how many rows came is a question for all of them. Where none waits for its label, rows come
    together with it, and all rows of a day are here once 99 in 100 labels of its age are.

    Args:
        engine: Runs the queries.
        whole: The rows.
        suite: Names the columns; ``time`` must be one of them.
        columns: Those that there are.
        now: The time now.

    Raises:
        CorruptData: If a file can't be read.
    """
    assert suite.time is not None  # noqa: S101 - whoever asks has looked
    time, tables = f"epoch_us({quote(suite.time)})", {"t": whole.files}
    label = f"{quote(suite.label)} IS NULL" if suite.label and suite.label in columns else "false"
    timed = suite.label_time and suite.label_time in columns
    known = f"epoch_us({quote(suite.label_time)})" if suite.label_time and timed else "NULL"
    limit, future = _micros(whole.until or now), _micros(whole.until) if whole.until else _NEVER
    sql = (
        f"SELECT max({time}) FILTER ({time} < $2), "  # noqa: S608 - names are quoted
        f"count(*) FILTER ({time} < $1 AND ({label} OR {known} > $1)), "
        f"quantile_disc({known} - {time}, {_MOST_LABELS}) FILTER ({time} < $1) FROM t"
    )
    [(newest, waiting, delay)] = engine.rows(sql, [limit, future], tables)
    settled = limit if waiting or delay is None else limit - max(delay, 0)
    sql = f"SELECT make_timestamp({time})::DATE, count(*) FROM t WHERE {time} < $1 GROUP BY 1"  # noqa: S608 - the name is quoted
    days = dict(engine.rows(sql, [settled], tables))
    moment = None if newest is None else _EPOCH + newest * _MICROSECOND
    return Arrivals(
        moment.date() if moment and columns[suite.time].kind == "date" else moment,
        days,
        _EPOCH + settled * _MICROSECOND,
    )


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
