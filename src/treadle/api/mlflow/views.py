"""Which of what was deleted is shown."""

from __future__ import annotations

from typing import TypeAlias

from treadle.experiment.types import Lives
from treadle.kernel.errors import InvalidInput

View: TypeAlias = int | str

_VIEWS: dict[View, Lives] = {
    "ACTIVE_ONLY": "active_only",
    "DELETED_ONLY": "deleted_only",
    "ALL": "all",
    1: "active_only",
    2: "deleted_only",
    3: "all",
}


def to_view(view: View) -> Lives:
    """What a client asked to see, by name or number.

    Raises:
        InvalidInput: If there is no such view.
    """
    number = int(view) if isinstance(view, str) and view.isdecimal() else view
    if number not in _VIEWS:
        raise InvalidInput(f"{view!r} is no view", fix="use ACTIVE_ONLY, DELETED_ONLY or ALL")
    return _VIEWS[number]
