"""Where cases come from: a file, a version of a dataset, or a file of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from treadle.data import Branches, DataPaths, Datasets
from treadle.evaluate.behaviour.cases import Cases, Line, check_groups, json_lines, parse
from treadle.evaluate.sources import Rows, rows_of
from treadle.kernel.config import BehaviourCheck
from treadle.kernel.errors import InvalidInput
from treadle.kernel.workspace import Workspace

_LINES = (".jsonl", ".ndjson")
_TABLES = (".parquet", ".csv")
_PATH = "treadle://"
_FIX = "say in `cases` where they are: a JSON Lines file, a version such as support@v3, or a treadle:// path"


def read_cases(workspace: Workspace, name: str, check: BehaviourCheck) -> Cases:
    """The cases of a check, validated whole.

    Args:
        workspace: The workspace.
        name: The check's name.
        check: What it declares.

    Raises:
        NotFound: If there is no such version or file of one.
        InvalidInput: If there is no such file, or a case can't be used; names its place.
        CorruptData: If what is there can't be read.
    """
    where = f"treadle.toml [checks.behaviour.{name}] cases"
    called, lines = _lines(workspace, check.cases, where)
    cases = parse(lines, check, called)
    check_groups(cases, check.by)
    return cases


def _lines(workspace: Workspace, named: str, where: str) -> tuple[str, Iterator[Line]]:
    if named.startswith(_PATH):
        first, _, below = named.removeprefix(_PATH).partition("/")
        if below:
            return named, json_lines(_file(workspace, unquote(first), below), named)
        named = unquote(first)
    path = workspace.root / named
    if path.is_file() and path.suffix.lower() not in _TABLES:
        return named, json_lines(_read(path, where), named)
    if path.suffix.lower() in _LINES or ("@" not in named and not path.exists()):
        raise InvalidInput(f"there is no file {named!r}", where=where, fix=_FIX)
    if "@" in named and not path.exists():
        version = Datasets(workspace).get(named)
        if not version.files:
            only = _only_file(workspace, version.ref, where)
            return f"{_PATH}{version.ref}/{only}", json_lines(_file(workspace, version.ref, only), only)
    rows = rows_of(workspace, named)
    return rows.name, _of_table(workspace, rows)


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path.name} can't be read: {error.strerror}", where=where, fix=_FIX) from None


def _file(workspace: Workspace, ref: str, path: str) -> bytes:
    return b"".join(DataPaths(workspace, Branches(workspace)).file(ref, path).read())


def _only_file(workspace: Workspace, ref: str, where: str) -> str:
    page = DataPaths(workspace, Branches(workspace)).page(ref, "", deep=True)
    found = [one.path for one in page.entries if one.path.lower().endswith(_LINES)]
    if len(found) == 1:
        return found[0]
    said = f"{ref} has {len(found):,} JSON Lines files" if found else f"{ref} has no JSON Lines file"
    fix = f"name one of them, such as {_PATH}{ref}/{found[0]}" if found else "add one, or make it a table"
    raise InvalidInput(said, where=where, fix=fix)


def _of_table(workspace: Workspace, rows: Rows) -> Iterator[Line]:
    query = "SELECT to_json(a_row) FROM t AS a_row"
    for number, (row,) in enumerate(workspace.engine.rows(query, tables={"t": rows.files}), 1):
        # NaN and Infinity, which JSON doesn't have, are missing values.
        yield f"{rows.name} row {number}", json.loads(row, parse_constant=lambda _: None)
