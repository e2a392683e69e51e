"""Reading on past what can't be read."""

from __future__ import annotations

from treadle.interop.types import Tell, Trouble
from treadle.kernel.errors import MissingExtra, StorageError, TreadleError


class Telling:
    """A block whose failure, if it is the source's own, is told and ends there.

    Args:
        tell: Hears of it.
        where: What is being read.
    """

    def __init__(self, tell: Tell, where: str) -> None:
        self._tell = tell
        self._where = where

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Tells of what failed by the source's fault."""
        if isinstance(error, KeyError) and not isinstance(error, TreadleError):
            self._tell(Trouble(self._where, f"it lacks {error.args[0]!r}"))
        elif isinstance(error, StorageError | MissingExtra):
            return False
        elif isinstance(error, TreadleError):
            self._tell(Trouble(error.where or self._where, error.message))
        elif isinstance(error, OSError | UnicodeDecodeError | ValueError | TypeError):
            self._tell(Trouble(self._where, str(error).partition("\n")[0]))
        else:
            return False
        return True
