"""Several changes of a branch as one version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsspec.transaction import Transaction

from treadle.kernel.errors import InvalidInput
from treadle.paths.changes import Changes
from treadle.paths.files import WriteFile

if TYPE_CHECKING:
    from treadle.paths.filesystem import TreadleFileSystem
    from treadle.paths.places import Place


class TreadleTransaction(Transaction):  # type: ignore[misc]  # fsspec has no types
    """All that is written, copied and removed in the block is one version; an error in it drops all.

    Attributes:
        message: Why the version is made; may be set within the block.
    """

    def __init__(self, fs: TreadleFileSystem, **options: Any) -> None:
        super().__init__(fs, **options)
        self.message = ""
        self._changes: Changes | None = None

    def changes(self, place: Place) -> Changes:
        """What is gathered for the branch of a place.

        Raises:
            InvalidInput: If another branch was changed already: two can't move together.
        """
        if self._changes is None:
            self._changes = Changes(place.dataset, place.ref or "main")
        if (self._changes.dataset, self._changes.branch) != (place.dataset, place.ref or "main"):
            raise InvalidInput(
                f"a transaction changes one branch; this one changes {self._changes.dataset}"
                f"@{self._changes.branch}",
                where=place.base,
                fix="use a transaction for each",
            )
        return self._changes

    def complete(self, commit: bool = True) -> None:
        """Makes the version, or drops what was to be in it."""
        fs: Any = self.fs  # type: ignore[has-type]  # fsspec has no types
        files = [file for file in self.files if isinstance(file, WriteFile)]
        try:
            try:
                for file in files if commit else []:
                    file.close()
                if commit and self._changes is not None:
                    fs.commit(self._changes, self.message)
            finally:
                for file in files:
                    file.discard()
                    file.close()
        finally:
            fs._intrans = False  # noqa: SLF001 - as the class above does
            fs._transaction = None  # noqa: SLF001
            self._changes = None
            self.files.clear()
            self.fs = None
