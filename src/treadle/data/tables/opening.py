"""Opening a dataset's Delta table, and what delta-rs says when it can't, in Treadle's errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.data.tables.rules import parse_at
from treadle.kernel.config import DatasetConfig
from treadle.kernel.errors import (
    Busy,
    CorruptData,
    InvalidInput,
    NotFound,
    StorageError,
    StorageFull,
    TreadleError,
)
from treadle.kernel.names import unknown
from treadle.kernel.workspace import Workspace

if TYPE_CHECKING:
    from deltalake import DeltaTable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BROKEN_PATH = frozenset("[]|^%")  # delta-rs makes URLs of paths, and makes these wrong
_FULL = ("No space left", "os error 28", "os error 122", "QuotaExceeded", "507 Insufficient Storage")
_LOG = ("Json error", "found gap", "Expected contiguous", "InvalidJson", "invalid JSON", "checkpoint")
_REFUSED = ("Schema error", "sql parser error", "SQL error", "validation check", "Error during planning")
_MISSING = re.compile(r"Object at location (\S+) not found|Failed to fetch metadata for file ([^:\s]+)")


class TablePlace:
    """Where a dataset's table lies.

    Args:
        workspace: The project.
        name: The dataset, one of ``[data.*]`` with ``format = "delta"``.

    Raises:
        NotFound: If no dataset has the name.
        InvalidInput: If it isn't a table.
        StorageError: If tables can't lie under its path.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        datasets = workspace.config.data
        if name not in datasets:
            raise unknown("dataset", name, datasets)
        self.name = name
        self.config: DatasetConfig = datasets[name]
        if self.config.format != "delta":
            raise InvalidInput(
                f"{name!r} is not a table", fix=f'set format = "delta" in [data.{name}] of treadle.toml'
            )
        self.remote = "://" in self.config.path
        self.url = self.config.path if self.remote else str(workspace.root / self.config.path)
        if not self.remote and _BROKEN_PATH & set(self.url):
            raise StorageError(
                f"tables can't be kept under a path with any of {' '.join(sorted(_BROKEN_PATH))}",
                where=self.url,
                fix=f"give [data.{name}] another path",
            )

    def exists(self) -> bool:
        """Whether there is a table."""
        from deltalake import DeltaTable

        with self.errors():
            return DeltaTable.is_deltatable(self.url, storage_options=self.config.options)

    def open(self, at: str | int = "") -> DeltaTable:
        """The table at a version.

        Args:
            at: A Delta version or a moment; the latest when empty.

        Raises:
            InvalidInput: If it is neither.
            NotFound: If there is no table, or no such version of it any more.
            CorruptData: If its log is broken.
            StorageError: If it can't be reached.
        """
        from deltalake import DeltaTable

        wanted = at if isinstance(at, int) else parse_at(at)
        with self.errors():
            table = DeltaTable(self.url, storage_options=self.config.options)
            newest = table.version()
            if isinstance(wanted, datetime):
                wanted = self._version_at(table, wanted)
            if wanted is not None and wanted != newest:
                if wanted > newest:
                    raise NotFound(
                        f"the table has no version {wanted}", where=self.name, fix=f"the latest is {newest}"
                    )
                try:
                    table.load_as_version(wanted)
                except Exception as error:
                    raise self._lost(wanted, str(error)) from error
        return table

    def _version_at(self, table: DeltaTable, moment: datetime) -> int:
        """The latest version at a moment by its commits, for a copied log's files have other times."""
        millis = (moment - _EPOCH) // timedelta(milliseconds=1)
        commits = [(entry["version"], entry.get("timestamp")) for entry in table.history()]
        earlier = [version for version, made in commits if made is not None and made <= millis]
        if not earlier:
            raise NotFound(
                f"the table had no version yet at {moment:%Y-%m-%d %H:%M:%S} UTC",
                where=self.name,
                fix=f"`treadle data table history {self.name}` tells when each was made",
            )
        return int(max(earlier))

    def _lost(self, version: int, said: str) -> TreadleError:
        if not self.remote and (Path(self.url) / "_delta_log" / f"{version:020d}.json").exists():
            return CorruptData(
                f"version {version} can't be read from the log: {_first(said)}",
                where=f"{self.url}/_delta_log",
                fix="bring the log back from a copy; later versions may still be read",
            )
        return NotFound(
            f"version {version} is not in the table's log any more",
            where=self.name,
            fix="its log was cleaned up; choose a later version",
        )

    @contextlib.contextmanager
    def errors(self, version: int | None = None) -> Iterator[None]:
        """Turns what delta-rs raises inside the block into Treadle's errors.

        Args:
            version: The Delta version that is read, for the error's text.
        """
        try:
            yield
        except TreadleError:
            raise
        except Exception as error:  # deltalake raises its own, OSError, ValueError and Exception
            raise self._told(error, version) from error

    def _told(self, error: Exception, version: int | None) -> TreadleError:  # noqa: PLR0911 - one a kind
        from deltalake.exceptions import CommitFailedError, TableNotFoundError

        said = str(error)
        first = _first(said)
        if any(sign in said for sign in _FULL):
            return StorageFull(
                "no space is left where the table is; nothing was written",
                where=self.url,
                fix="free some space and do it again",
            )
        if isinstance(error, TableNotFoundError):
            return NotFound(
                "there is no table",
                where=self.url,
                fix=f"make one: treadle data table create {self.name} --from FILE",
            )
        if isinstance(error, CommitFailedError):
            return Busy(
                "others wrote to the table meanwhile; nothing was written", where=self.url, fix="try again"
            )
        missing = _MISSING.search(said)
        if missing and "_delta_log" not in said:
            at = "" if version is None else f" of version {version}"
            return CorruptData(
                f"a file{at} is missing: {(missing[1] or missing[2]).rsplit('/', 1)[-1]}",
                where=self.url,
                fix="bring it back from a copy, or restore a version whose files are there",
            )
        if any(sign in said for sign in _LOG):
            return CorruptData(
                f"the table's log is broken: {first}",
                where=f"{self.url}/_delta_log",
                fix="bring the log back from a copy",
            )
        if any(sign in said for sign in _REFUSED):
            return InvalidInput(
                f"the table refuses it: {first}", where=self.name, fix="nothing was written; correct it"
            )
        if any(sign in said for sign in ("nsupported", "reader feature", "writer feature", "not supported")):
            return InvalidInput(
                f"delta-rs can't do that with this table: {first}",
                where=self.url,
                fix="use the engine that wrote it for this; `treadle data table schema` lists its features",
            )
        return StorageError(f"the table can't be used: {first}", where=self.url)


def _first(said: str) -> str:
    """The first line, without the names of the layers that it came through."""
    lines = [line for line in said.strip().splitlines() if line.strip()] or ["no reason was given"]
    return re.sub(r"^((Generic|External|Kernel)[A-Za-z ]* error: )+", "", lines[0])[:300]
