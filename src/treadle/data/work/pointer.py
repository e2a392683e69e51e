"""Pointers: small files in Git that say which version of the data lies beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from treadle.data.types import DatasetVersion
from treadle.kernel.errors import InvalidInput
from treadle.kernel.files import storage_errors, write_atomic

SUFFIX = ".treadle"
FORMAT = 1
_HEADING = "# Which version of the data lies here. `treadle data checkout` brings it; Git keeps this file.\n"
_MARKER = re.compile(r"^(<{7}|={7}|>{7})", re.MULTILINE)

_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Pointer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a pointer says.

    Attributes:
        format: Of the file; this Treadle reads 1.
        dataset: The dataset.
        branch: The branch that the next version is made on.
        version: The version's number.
        commit: The version's commit.
        digest: What the version holds.
        files: How many paths it has.
        bytes: How many bytes they have.
        single: Whether the data is one file and not a folder.
    """

    format: int = FORMAT
    dataset: str
    branch: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    commit: _Digest
    digest: _Digest
    files: _Count
    bytes: _Count
    single: bool = False


def pointer_to(version: DatasetVersion, *, single: bool, branch: str | None = None) -> Pointer:
    """The pointer to a version."""
    return Pointer(
        dataset=version.dataset,
        branch=branch or version.branch,
        version=version.number,
        commit=version.commit_id,
        digest=version.digest,
        files=version.count,
        bytes=version.bytes,
        single=single,
    )


def pointer_path(target: Path) -> Path:
    """Where the pointer of the data at a path lies: ``data/train`` has ``data/train.treadle``."""
    return target.with_name(target.name + SUFFIX)


def data_path(pointer: Path) -> Path:
    """Where the data of a pointer lies."""
    return pointer.with_name(pointer.name.removesuffix(SUFFIX))


def write_pointer(path: Path, pointer: Pointer) -> None:
    """Writes a pointer, whole or not at all; leaves one that says the same as it is."""
    lines = [
        f"{name} = {msgspec.json.encode(value).decode()}\n"
        for name, value in msgspec.structs.asdict(pointer).items()
        if name != "single" or value
    ]
    text = (_HEADING + "".join(lines)).encode()
    with storage_errors(str(path)):
        if not path.exists() or path.read_bytes() != text:
            write_atomic(path, text)


def read_pointer(path: Path) -> Pointer:
    """Reads a pointer.

    Raises:
        InvalidInput: If it isn't one: names the field, or the marks that a Git merge left.
        StorageError: If it can't be read.
    """
    import tomllib

    with storage_errors(str(path)):
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            raise _broken(path, "it is not text in UTF-8") from None
    if _MARKER.search(text):
        raise InvalidInput(
            "Git left both sides of a merge in the pointer",
            where=str(path),
            fix="keep one side, or merge the branches of the data: `treadle data merge`",
        )
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _broken(path, str(error)) from None
    if isinstance(found := raw.get("format"), int) and found > FORMAT:
        raise InvalidInput(
            f"the pointer has format {found}; this Treadle reads {FORMAT}",
            where=str(path),
            fix="upgrade Treadle (pip install -U 'treadle[platform]')",
        )
    try:
        return msgspec.convert(raw, Pointer)
    except msgspec.ValidationError as error:
        raise _broken(path, str(error)) from None


def find_pointers(root: Path) -> Iterator[Path]:
    """Every pointer below a folder, sorted; data, hidden folders and environments aren't looked into."""
    with os.scandir(root) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    names = {entry.name for entry in found}
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            data = entry.name + SUFFIX in names
            if not data and not entry.name.startswith(".") and not _is_environment(entry.path):
                yield from find_pointers(Path(entry.path))
        elif entry.name.endswith(SUFFIX) and entry.name != SUFFIX and entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def _is_environment(folder: str) -> bool:
    return os.path.basename(folder) in {"node_modules", "__pycache__"} or os.path.exists(  # noqa: PTH110, PTH119
        f"{folder}/pyvenv.cfg"
    )


def _broken(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"the pointer can't be read: {why}",
        where=str(path),
        fix=f"restore it (git checkout -- {path.name}) or: treadle data add {data_path(path).name}",
    )
