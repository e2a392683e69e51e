"""Errors as lakeFS's clients read them: ``{"message"}`` and lakeFS's statuses."""

from __future__ import annotations

import msgspec

from treadle.api.lakefs.wire import Failure
from treadle.kernel.errors import (
    Conflict,
    CorruptData,
    Deleted,
    InvalidInput,
    NotFound,
    Refused,
    StorageError,
    StorageFull,
    TreadleError,
    Unavailable,
)


class PreconditionFailed(Conflict):
    """What a header demanded isn't so."""


class Unoffered(Conflict):
    """An operation of lakeFS's that Treadle has no answer to."""


class NothingToDo(InvalidInput):
    """There is nothing to commit or to merge: lakeFS has this as a bad request."""


_STATUS: tuple[tuple[type[TreadleError], int], ...] = (
    (PreconditionFailed, 412),
    (Unoffered, 501),
    (CorruptData, 500),
    (Deleted, 410),
    (NotFound, 404),
    (Conflict, 409),
    (InvalidInput, 400),
    (Refused, 403),
    (StorageFull, 507),
    (Unavailable, 503),
    (StorageError, 503),
)


def to_wire(error: TreadleError) -> tuple[int, bytes]:
    """The status and body for an error."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return status, failure(str(error))


def failure(message: str) -> bytes:
    """The body for an error."""
    return msgspec.json.encode(Failure(message))
