"""The routes of the data in the project's folder: versions made of it, its status, versions brought back."""

from __future__ import annotations

from treadle.api.route import Call, Query, RouteSpec
from treadle.data import AddPath, CheckedOut, Checkout, DatasetVersion, WorkStatus


def _add(call: Call) -> DatasetVersion:
    """Makes a version of what lies at a path of the project, and writes its pointer."""
    return call.rooms.working.add(call.body)


def _status(call: Call) -> list[WorkStatus]:
    """How the data in the project's folder differs from the versions that its pointers name."""
    path = call.query.get("path", "")
    return call.rooms.working.status([path] if path else [])


def _checkout(call: Call) -> list[CheckedOut]:
    """Brings the data that pointers name into the project's folder."""
    return call.rooms.working.checkout(call.body)


DATA_WORK_ROUTES = (
    RouteSpec("POST", "/v1/data/additions", _add, DatasetVersion, AddPath),
    RouteSpec("GET", "/v1/data/status", _status, list[WorkStatus], query=(Query("path"),)),
    RouteSpec("POST", "/v1/data/checkouts", _checkout, list[CheckedOut], Checkout),
)
