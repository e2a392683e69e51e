"""Files that nobody declared as a table, read as one: those that differ between versions, or all of one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from treadle.data import reading, rules
from treadle.data.branches.tables import is_table
from treadle.data.storage.contents import Contents
from treadle.data.tree.pages import entry_at
from treadle.data.tree.trees import entries as listed
from treadle.data.tree.types import Difference, Entry, Mode
from treadle.data.types import Column
from treadle.kernel.engine import Engine
from treadle.kernel.errors import CorruptData, InvalidInput

MOST = 1000
"""So many files are read as one table at most."""


class NoTable(InvalidInput):
    """Files that can't be read as one table."""


class Side(NamedTuple):
    """A table.

    Attributes:
        columns: Its columns.
        files: Its files, as Parquet.
        changed: Those that aren't on the other side.
    """

    columns: tuple[Column, ...]
    files: list[Path]
    changed: list[Path]


class Changed:
    """The Parquet and CSV files that differ, gathered from a comparison by path."""

    def __init__(self) -> None:
        self._before: list[Entry] = []
        self._after: list[Entry] = []
        self._many = False

    def add(self, one: Difference) -> None:
        """Takes a path into account, if it is a table; nothing is compared where there are too many."""
        if self._many or not is_table(one.path):
            return
        for entry, found in ((one.before, self._before), (one.after, self._after)):
            if entry is not None and entry.size and _is_file(entry):
                found.append(entry)
        self._many = len(self._before) + len(self._after) > MOST

    def __bool__(self) -> bool:
        """Whether there is anything to compare."""
        return not self._many and bool(self._before or self._after)

    def read(self, engine: Engine, contents: Contents, folder: Path) -> tuple[Side, Side] | None:
        """Both sides as tables; None if the files of one don't make a table.

        Args:
            engine: Reads them.
            contents: Has them.
            folder: Where they are put; the sides are good for as long as it is there.

        Raises:
            NotFound: If a file isn't kept here.
            CorruptData: If what is kept isn't what was put.
            StorageFull: If no space is left.
        """
        try:
            before = _side(engine, contents, self._before, folder / "before")
            after = _side(engine, contents, self._after, folder / "after")
        except NoTable:
            return None  # it is told by path; what can't be read is no fault of who asks how versions differ
        return before, after


def whole(engine: Engine, tree: str, contents: Contents, folder: Path) -> Side:
    """All files of a version as one table; those whose names begin with ``_`` or ``.`` don't count.

    Args:
        engine: Reads them.
        tree: What lists them.
        contents: Has them.
        folder: Where they are put; the table is good for as long as it is there.

    Raises:
        NoTable: If they aren't one: names the first that stands against it.
        NotFound: If a file isn't kept here.
        CorruptData: If what is kept isn't what was put.
        StorageFull: If no space is left.
    """
    found: list[Entry] = []
    for leaf in listed(tree, contents):
        for row in range(len(leaf)):
            entry = entry_at(leaf, row)
            if not entry.size or entry.path.rpartition("/")[2].startswith(("_", ".")):
                continue
            if not _is_file(entry) or not is_table(entry.path):
                raise NoTable("it is neither Parquet nor CSV", where=entry.path)
            found.append(entry)
            if len(found) > MOST:
                raise NoTable(f"there are more than {MOST:,} files")
    if not found:
        raise NoTable("there is no Parquet or CSV file")
    return _side(engine, contents, found, folder)


def _is_file(entry: Entry) -> bool:
    return entry.mode in (Mode.FILE, Mode.EXECUTABLE)


def _side(engine: Engine, contents: Contents, entries: list[Entry], folder: Path) -> Side:
    folder.mkdir()
    places: dict[str, Path] = {}
    for number, entry in enumerate(entries):
        places[entry.path] = folder / f"{number}{Path(entry.path).suffix.lower()}"
        contents.fetch(entry.digest, entry.size, places[entry.path])
    names = {str(source): path for path, source in places.items()}
    try:
        for path, source in places.items():
            if source.suffix == ".csv":
                places[path] = source.with_suffix(".parquet")
                reading.csv_to_parquet(engine, source, places[path])
        rules.check_alike(reading.file_columns(engine, places))
    except (CorruptData, InvalidInput) as error:  # as people know the file, not as it lies here
        raise NoTable(error.message, where=names.get(error.where or "", error.where)) from error
    files = list(places.values())
    return Side(reading.table(engine, files)[0] if files else (), files, files)
