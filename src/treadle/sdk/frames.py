"""Files of data as a frame of the library that a script works with."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

from treadle.kernel.errors import CorruptData, InvalidInput, MissingExtra

Frame = Literal["pandas", "polars", "arrow"]
_FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".feather": "feather",
    ".arrow": "feather",
    ".orc": "orc",
}
_MODULES = {"pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}


def check_frame(kind: str) -> None:
    """Refuses a kind of frame that there is none of.

    Raises:
        InvalidInput: If there is none.
    """
    if kind not in _MODULES:
        raise InvalidInput(f"`frame` can't be {kind!r:.60}", fix="use 'pandas', 'polars' or 'arrow'")


def read_frame(path: Path, kind: Frame) -> Any:
    """A file, or all files of a folder one after another, as a frame.

    Args:
        path: The file or folder: Parquet, CSV, JSON lines, Arrow or ORC.
        kind: Of which library.

    Raises:
        InvalidInput: If the files are no tables, or not all of one format.
        CorruptData: If one of them can't be read.
        MissingExtra: If the library isn't installed.
    """
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    files = [one for one in files if not one.name.startswith((".", "_"))]
    formats = {_FORMATS.get(one.suffix.lower(), one.suffix or one.name) for one in files}
    if len(formats) != 1 or not formats <= set(_FORMATS.values()):
        told = ", ".join(sorted(formats)[:5]) or "no files"
        raise InvalidInput(
            f"that is no table of one format: {told}",
            where=str(path),
            fix="leave `frame` away, and read the files at the path",
        )
    _need(kind)
    arrow = _need("arrow")
    dataset = importlib.import_module("pyarrow.dataset")
    try:
        table = dataset.dataset([str(one) for one in files], format=formats.pop()).to_table()
    except (arrow.ArrowException, OSError) as error:
        raise CorruptData(f"the files can't be read as one table: {error}", where=str(path)) from error
    if kind == "arrow":
        return table
    return table.to_pandas() if kind == "pandas" else _need("polars").from_arrow(table)


def _need(kind: str) -> Any:
    try:
        return importlib.import_module(_MODULES[kind])
    except ImportError as error:
        raise MissingExtra(
            f"{_MODULES[kind]} isn't installed", fix=f"pip install {_MODULES[kind]}"
        ) from error
