"""Errors as MLflow's clients read them: ``{"error_code", "message"}`` and MLflow's own statuses."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from treadle.kernel.errors import (
    AlreadyExists,
    Conflict,
    InvalidInput,
    NotFound,
    Refused,
    StorageError,
    TreadleError,
    Unavailable,
)

Code: TypeAlias = Literal[
    "BAD_REQUEST",
    "ENDPOINT_NOT_FOUND",
    "INTERNAL_ERROR",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "NOT_IMPLEMENTED",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
    "TEMPORARILY_UNAVAILABLE",
]

_STATUS: dict[Code, int] = {
    "BAD_REQUEST": 400,
    "ENDPOINT_NOT_FOUND": 404,
    "INTERNAL_ERROR": 500,
    "INVALID_PARAMETER_VALUE": 400,
    "INVALID_STATE": 500,
    "NOT_IMPLEMENTED": 501,
    "PERMISSION_DENIED": 403,
    "RESOURCE_ALREADY_EXISTS": 400,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "TEMPORARILY_UNAVAILABLE": 503,
}


class MlflowError(msgspec.Struct, frozen=True):
    """An error on MLflow's wire."""

    error_code: Code
    message: str


# A client asks again for minutes after a 5xx: what a user did wrong is never one.
_CODES: tuple[tuple[type[TreadleError], Code], ...] = (
    (AlreadyExists, "RESOURCE_ALREADY_EXISTS"),
    (NotFound, "RESOURCE_DOES_NOT_EXIST"),
    (InvalidInput, "INVALID_PARAMETER_VALUE"),
    (Conflict, "INVALID_PARAMETER_VALUE"),
    (Refused, "PERMISSION_DENIED"),
    (Unavailable, "TEMPORARILY_UNAVAILABLE"),
    (StorageError, "TEMPORARILY_UNAVAILABLE"),
)


def to_wire(error: TreadleError) -> tuple[int, bytes]:
    """The status and body for an error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return answer(code, str(error))
    return answer("INTERNAL_ERROR", str(error))


def answer(code: Code, message: str) -> tuple[int, bytes]:
    """The status and body for an error code."""
    return _STATUS[code], msgspec.json.encode(MlflowError(code, message))
