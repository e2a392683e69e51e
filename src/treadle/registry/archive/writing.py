"""A version on its way out: everything that another Treadle needs of it, by digest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import metadata

import msgspec

from treadle.kernel.errors import Conflict, NotFound
from treadle.kernel.ids import digest_bytes
from treadle.kernel.workspace import Workspace
from treadle.registry.archive import tar
from treadle.registry.archive.types import Entry, Manifest
from treadle.registry.card.markdown import markdown
from treadle.registry.card.service import Cards
from treadle.registry.card.types import Card
from treadle.registry.types import ModelVersion
from treadle.train import CodeVersion, Trainer


class Outgoing(msgspec.Struct, frozen=True):
    """An archive that is ready to be sent.

    Attributes:
        version: The version in it.
        size: In bytes.
        pieces: Its bytes, of which a few MiB are held at a time.
    """

    version: ModelVersion
    size: int
    pieces: Iterator[bytes]


def pack(workspace: Workspace, ref: str) -> Outgoing:
    """A version as an archive: the same version, as it stands, is the same bytes.

    Raises:
        NotFound: If there is no such version, or bytes of it are gone.
        Conflict: If its files aren't kept here.
    """
    card = Cards(workspace).card(ref)
    version = card.version
    if not version.files or not version.id:
        raise Conflict(
            "its files aren't kept here, so there is nothing to verify it by",
            where=version.ref,
            fix=f"they are at {version.source}: log the model to this server, and register that"
            if version.source
            else "log the model to this server, and register that",
        )
    documents = _documents(workspace, card)
    entries = [*_entries(workspace, version), *(_entry(name, data) for name, data in documents.items())]
    manifest = tar.encode(
        Manifest(
            treadle=metadata.version("treadle"),
            project=workspace.config.project.name,
            ref=version.ref,
            id=version.id,
            entries=tuple(sorted(entries)),
        )
    )
    by_digest = {digest_bytes(data): data for data in documents.values()}

    def stream(digest: str) -> Iterator[bytes]:
        if digest in by_digest:
            yield by_digest[digest]
        else:
            yield from workspace.blobs.stream(digest)

    return Outgoing(version, tar.length(manifest, entries), tar.pieces(manifest, entries, stream))


def _entry(name: str, data: bytes) -> Entry:
    return Entry(name, digest_bytes(data), len(data))


def _documents(workspace: Workspace, card: Card) -> dict[str, bytes]:
    """What is written down for the archive, by name."""
    version = card.version
    told: dict[str, object] = {
        "version.json": version,
        "evaluations.json": card.evaluations,
        "history.json": card.history,
        "card.json": card.texts,
    }
    with contextlib.suppress(NotFound):
        told["recipe.json"] = Trainer(workspace).get_recipe(version.recipe)
    documents = {name: msgspec.json.encode(value, order="sorted") for name, value in told.items()}
    return documents | {"card.md": markdown(card).encode()}


def _entries(workspace: Workspace, version: ModelVersion) -> Iterator[Entry]:
    """The blobs that a version consists of.

    Raises:
        NotFound: If one of them is gone.
    """
    blobs = workspace.blobs
    for file in version.files:
        yield Entry(f"files/{file.path}", file.digest, blobs.size(file.digest))
    if version.profile:
        yield Entry("profile", version.profile, blobs.size(version.profile))
    # A commit of Git isn't a digest of ours; who registered by hand may have no environment here.
    for name, digest in (("environment", version.environment), ("code", version.code)):
        if len(digest) == 64 and blobs.has(digest):
            yield Entry(name, digest, blobs.size(digest))
            if name == "code":
                yield from _code(workspace, digest)


def _code(workspace: Workspace, digest: str) -> Iterator[Entry]:
    try:
        code = msgspec.json.decode(workspace.blobs.get(digest), type=CodeVersion)
    except msgspec.DecodeError:
        return
    for file in code.files:
        yield Entry(f"code/{file.path}", file.digest, workspace.blobs.size(file.digest))
