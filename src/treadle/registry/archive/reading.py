"""A version that comes in: what its archive says, checked, before anything is kept."""

from __future__ import annotations

from typing import Any, BinaryIO, TypeVar

import msgspec

from treadle.evaluate import Evaluation
from treadle.kernel.errors import CorruptData
from treadle.kernel.names import check_name
from treadle.registry import rules
from treadle.registry.archive import tar
from treadle.registry.archive.types import Entry
from treadle.registry.card.types import CardText
from treadle.registry.types import ModelVersion
from treadle.train import Recipe

T = TypeVar("T")
_LARGEST = 64 << 20


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that was read.

    Attributes:
        found: The archive.
        version: The version, as it was there.
        evaluations: What it went through there.
        texts: What people wrote on its card there.
        recipe: The recipe that made it, if one did.
    """

    found: tar.Found
    version: ModelVersion
    evaluations: tuple[Evaluation, ...]
    texts: tuple[CardText, ...]
    recipe: Recipe | None


def read(file: BinaryIO, where: str) -> Incoming:
    """Reads and checks an archive.

    Raises:
        InvalidInput: If it is none, or of a later format.
        CorruptData: If a byte of it isn't what it should be, or its parts contradict each other.
    """
    found = tar.check(file, where)
    entries = {entry.name: entry for entry in found.manifest.entries}
    if len(entries) < len(found.manifest.entries):
        raise _wrong("a name stands twice in its manifest", where)

    def document(name: str, kind: Any) -> Any:
        entry = entries.get(name)
        if entry is None or entry.size > _LARGEST:
            raise _wrong(f"{name} is {'missing' if entry is None else 'too large'}", where)
        file.seek(found.at[entry.digest])
        try:
            return msgspec.json.decode(file.read(entry.size), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _wrong(f"{name} can't be read: {error}", where) from None

    incoming = Incoming(
        found=found,
        version=document("version.json", ModelVersion),
        evaluations=document("evaluations.json", tuple[Evaluation, ...]),
        texts=document("card.json", tuple[CardText, ...]),
        recipe=document("recipe.json", Recipe) if "recipe.json" in entries else None,
    )
    _check(incoming, entries, where)
    return incoming


def _check(incoming: Incoming, entries: dict[str, Entry], where: str) -> None:
    """Whether the parts say the same."""
    version, manifest = incoming.version, incoming.found.manifest
    check_name("model", version.model)
    if problems := rules.file_problems(version.files, ()):
        raise _wrong(problems[0], where)
    for file in version.files:
        if entries.get(f"files/{file.path}") != Entry(f"files/{file.path}", file.digest, file.size):
            raise _wrong(f"the passport's file {file.path!r:.80} isn't in it", where)
    if version.profile and entries.get("profile", Entry("", "", 0)).digest != version.profile:
        raise _wrong("the passport's profile isn't in it", where)
    identity = rules.version_id(version)
    if not version.files or not identity == version.id == manifest.id or manifest.ref != version.ref:
        raise _wrong(f"it says that it is {manifest.ref} ({manifest.id:.12}), and it isn't", where)


def _wrong(what: str, where: str) -> CorruptData:
    return CorruptData(what, where=where, fix="export the version again; nothing was imported")
