"""Evaluations in the format that somebody asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec

from treadle.evaluate.types import Evaluation, ReportFormat
from treadle.kernel.errors import InvalidInput

FORMATS: tuple[ReportFormat, ...] = get_args(ReportFormat)
MEDIA = {
    "html": "text/html; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "junit": "application/xml",
    "json": "application/json",
}


def render(evaluations: Sequence[Evaluation], wanted: str) -> tuple[bytes, str]:
    """What some evaluations found, as one document and its media type.

    Args:
        evaluations: They, in the order in which they are told.
        wanted: One of :data:`FORMATS`.

    Raises:
        InvalidInput: If there is no such format.
    """
    if wanted == "html":
        from treadle.evaluate.reports.page import page

        made = page(evaluations)
    elif wanted == "markdown":
        from treadle.evaluate.reports.markdown import markdown

        made = markdown(evaluations)
    elif wanted == "junit":
        from treadle.evaluate.reports.junit import junit

        made = junit(evaluations)
    elif wanted == "json":
        made = msgspec.json.format(msgspec.json.encode(evaluations), indent=2).decode()
    else:
        raise InvalidInput(f"there is no report in {wanted[:40]!r}", fix=f"use {', '.join(FORMATS)}")
    return made.encode(), MEDIA[wanted]
