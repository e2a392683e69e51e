"""What is told of where data and models come from, and where they went."""

from __future__ import annotations

from datetime import datetime

import msgspec

MODEL_SOURCE = "treadle-model"
"""The type of source of a run's input that is a model version; its name is ``flights/3``."""


class LineageStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a lineage: something, and what it was made of or what used it.

    Attributes:
        kind: What it is: ``version`` (of data), ``run``, ``model``, ``logged model``, ``deployment``,
            ``window`` (of predictions that were judged); also what an import calls its source.
        id: Which: ``flights@v3``, a run's identifier, ``flights/3``, a URL.
        of: The thing at the other end, which is nearer to what was asked for.
        detail: How: the step that was run, what it was used for, a model's status.
        at: When; None if it isn't known.
    """

    kind: str
    id: str
    of: str
    detail: str = ""
    at: datetime | None = None


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where something comes from, and where it went.

    Attributes:
        ref: The version of data or of a model, or the run.
        made_of: What it was made of and by, then what that was made of, and so on; the nearest first.
        used_by: What used it, then what used that, and so on; the nearest first.
        cut: Whether there is more than is told.
    """

    ref: str
    made_of: tuple[LineageStep, ...]
    used_by: tuple[LineageStep, ...]
    cut: bool = False
