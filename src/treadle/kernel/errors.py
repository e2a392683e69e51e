"""Every error that Treadle raises on purpose.

    TreadleError
    ├── InvalidInput (ValueError)          what was given can't be used
    │   ├── ConfigError                    treadle.toml
    │   ├── CorruptData                    a file or blob that isn't what it should be
    │   └── ModelInvalid                   a model that can't be loaded or contradicts its signature
    ├── NotFound (KeyError)
    │   └── Deleted                        it was there, and somebody deleted it
    ├── Conflict (RuntimeError)            the state forbids it
    │   ├── AlreadyExists                  something has that name
    │   ├── Busy                           somebody else is doing it right now
    │   └── WorkspaceTooNew                written by a later version of Treadle
    ├── Refused (PermissionError)          a policy forbids it
    │   └── BudgetExceeded
    ├── JobFailed (RuntimeError)           a training job didn't do its work
    │   └── JobTimedOut (TimeoutError)
    ├── StorageError (OSError)             a disk, a bucket or a database failed
    │   └── StorageFull
    ├── Unavailable (ConnectionError)      a server didn't answer
    └── MissingExtra (ImportError)         an optional part isn't installed

Each carries what happened, where, and what to do next. The tree is what the
API sends over the wire (as ``code``), so a client raises the same class.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error on the wire.

    Attributes:
        code: The stable name of the error class, such as ``not_found``.
        message: What happened, one sentence.
        where: The file, field, row or version concerned.
        fix: What to do next.
    """

    code: str
    message: str
    where: str | None = None
    fix: str | None = None


class TreadleError(Exception):
    """The base of every error that Treadle raises on purpose.

    Args:
        message: What happened, one sentence.
        where: The file, field, row or version concerned.
        fix: What to do next.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  → {self.fix}" if self.fix else text

    def body(self) -> ErrorBody:
        """The error as it goes over the wire."""
        return ErrorBody(self.code, self.message, self.where, self.fix)


class InvalidInput(TreadleError, ValueError):
    """What was given can't be used."""

    code = "invalid_input"
    status = 422


class ConfigError(InvalidInput):
    """``treadle.toml`` can't be used."""

    code = "config"


class CorruptData(InvalidInput):
    """A file or a blob isn't what it should be."""

    code = "corrupt_data"


class ModelInvalid(InvalidInput):
    """A model can't be loaded, or contradicts its own signature."""

    code = "model_invalid"


class NotFound(TreadleError, KeyError):
    """Nothing has that name."""

    code = "not_found"
    status = 404


class Deleted(NotFound):
    """It was there, and somebody deleted it."""

    code = "deleted"
    status = 410


class Conflict(TreadleError, RuntimeError):
    """The state forbids it."""

    code = "conflict"
    status = 409


class AlreadyExists(Conflict):
    """Something has that name already."""

    code = "already_exists"


class Busy(Conflict):
    """Somebody else is doing it right now."""

    code = "busy"


class WorkspaceTooNew(Conflict):
    """The workspace was written by a later version of Treadle."""

    code = "workspace_too_new"


class Refused(TreadleError, PermissionError):
    """A policy forbids it."""

    code = "refused"
    status = 403


class BudgetExceeded(Refused):
    """It would cost more than the budget allows."""

    code = "budget_exceeded"


class JobFailed(TreadleError, RuntimeError):
    """A training job didn't do its work."""

    code = "job_failed"


class JobTimedOut(JobFailed, TimeoutError):
    """A training job ran past its time limit and was stopped."""

    code = "job_timed_out"


class StorageError(TreadleError, OSError):
    """A disk, a bucket or a database failed."""

    code = "storage"
    status = 503


class StorageFull(StorageError):
    """No space is left where the bytes should go."""

    code = "storage_full"
    status = 507


class Unavailable(TreadleError, ConnectionError):
    """A server didn't answer, or can't answer now."""

    code = "unavailable"
    status = 503


class MissingExtra(TreadleError, ImportError):
    """An optional part of Treadle isn't installed."""

    code = "missing_extra"
    status = 501


def _tree(root: type[TreadleError]) -> dict[str, type[TreadleError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        for code, kind in _tree(child).items():
            found.setdefault(
                code, kind
            )  # a class within a room that has no code of its own is told as its base
    return found


def from_body(body: ErrorBody) -> TreadleError:
    """The error that a server sent, as the class that it was raised as.

    An unknown code (a newer server) becomes a plain :class:`TreadleError`.
    """
    kind = _tree(TreadleError).get(body.code, TreadleError)
    return kind(body.message, where=body.where, fix=body.fix)
