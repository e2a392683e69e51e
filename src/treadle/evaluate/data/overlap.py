"""Whether held-out rows are among those that are trained on."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.evaluate.data.suite import WHERE, Suite
from treadle.evaluate.data.telling import tell
from treadle.evaluate.holdout import require
from treadle.evaluate.types import Verdict
from treadle.evaluate.wording import percent
from treadle.kernel.errors import InvalidInput
from treadle.kernel.scan.asks import CountRows
from treadle.kernel.scan.columns import Columns
from treadle.kernel.scan.port import ScanEngine, Source


def overlap_columns(suite: Suite, columns: Columns) -> tuple[str, ...]:
    """The columns by which a row is known again.

    Raises:
        InvalidInput: If none is named, or one isn't there.
    """
    chosen: Sequence[str] = suite.checks.overlap_by or ([suite.key] if suite.key else [])
    if not chosen:
        raise InvalidInput(
            "it needs to know by which columns a row is known again",
            where=f"{WHERE} max_overlap",
            fix="declare `key` in the dataset's [data.*], or `overlap_by`",
        )
    require(chosen, columns, _where(suite))
    return tuple(chosen)


def overlap(engine: ScanEngine, suite: Suite, data: Source, holdout: Source) -> Verdict:
    """The verdict on how many held-out rows are also trained on; exactly, by a join.

    A row in which all the columns to join by are missing can't be known again, and is taken for a new one.

    Args:
        engine: Reads.
        suite: Says by which columns a row is known again, and the share that is allowed: none without it.
        data: The rows that are trained on.
        holdout: The held-out rows.

    Raises:
        InvalidInput: If the columns to join by aren't there, or hold other things in one than in the other.
        CorruptData: If a file can't be read.
    """
    columns, held = engine.columns(data), engine.columns(holdout)
    names = overlap_columns(suite, columns)
    require(names, held, f"{_where(suite)} (held-out rows)")
    _alike(names, columns, held, _where(suite))
    allowed, subject = float(suite.checks.max_overlap or 0.0), ", ".join(names)
    rows = engine.scan(holdout, [CountRows()])[CountRows()].rows
    if not rows:
        sentence = "There are no held-out rows."
        return Verdict(check="overlap", subject=subject, outcome="inconclusive", sentence=sentence)
    found = engine.shared(holdout, data, names)
    share = found.rows / rows
    shown = f", such as {tell(found.example)}" if found.example else ""
    may = f"up to {percent(allowed)} may be" if allowed else "none may be"
    return Verdict(
        check="overlap",
        subject=subject,
        outcome="fail" if share > allowed else "pass",
        sentence=f"{found.rows:,} of {rows:,} held-out rows ({percent(share)}) are among those trained on, "
        f"by {subject}{shown}; {may}.",
        estimate=share,
        bound=allowed,
        n=rows,
    )


def _where(suite: Suite) -> str:
    """The key of ``treadle.toml`` that names the columns."""
    return f"{WHERE} overlap_by" if suite.checks.overlap_by else "treadle.toml [data.*] key"


def _alike(names: Sequence[str], columns: Columns, held: Columns, where: str) -> None:
    """Refuses keys that can't be the same, as a number and a text can't.

    Raises:
        InvalidInput: If one is of another kind in one table than in the other.
    """
    for name in names:
        one, other = columns[name], held[name]
        if one.kind != other.kind and not (one.is_number and other.is_number):
            raise InvalidInput(
                f"{name!r} is {one.type} in the rows trained on and {other.type} in the held-out ones",
                where=where,
                fix="write it as the same kind in both",
            )
