"""Where rows lie, and their values as answers have them: what engines have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from treadle.kernel.errors import CorruptData, NotFound
from treadle.kernel.scan.answers import Scalar


def plain(value: Any) -> Scalar | None:
    """A value as answers have it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    if value is None or isinstance(value, bool | int | float | str | date):
        return value
    return str(value)


def look(paths: Sequence[Path]) -> None:
    """Files are there, and of one format.

    Raises:
        NotFound: If one isn't.
        CorruptData: If one is empty, or they are of several formats.
    """
    if not paths:
        raise NotFound("there is no file to read", fix="name a Parquet or CSV file")
    kinds = {path.suffix.lower() for path in paths}
    if len(kinds) > 1:
        raise CorruptData(
            f"the files are of several formats: {', '.join(sorted(kinds))}",
            where=str(paths[0].parent),
            fix="check those of one format at a time",
        )
    for path in paths:
        if not path.is_file():
            raise NotFound("there is no such file", where=str(path), fix="check the path")
        if not path.stat().st_size:
            raise CorruptData("the file is empty", where=str(path), fix="write it again")
