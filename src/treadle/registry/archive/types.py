"""What an archive holds: a manifest that names everything by digest, and the bytes under their digests."""

from __future__ import annotations

import msgspec

FORMAT = 1
"""The newest format that is read and written here."""
KIND = "treadle-model"
DOCUMENTS = frozenset(
    {"version.json", "evaluations.json", "history.json", "card.json", "card.md", "recipe.json"}
)
"""What is written for the archive; all else in it are blobs that a version consists of."""


class Entry(msgspec.Struct, frozen=True, order=True):
    """Something in an archive.

    Attributes:
        name: What it is: ``version.json``, or a file such as ``files/model.onnx``.
        digest: BLAKE3 of its bytes.
        size: In bytes.
    """

    name: str
    digest: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The first member of an archive.

    Attributes:
        kind: What sort of archive it is.
        format: Which format it has.
        treadle: The version of Treadle that wrote it.
        project: The project that it comes from.
        ref: The version there, such as ``flights/3``.
        id: The version's content-derived identity.
        entries: All that is in it, by name.
    """

    kind: str = KIND
    format: int = FORMAT
    treadle: str
    project: str
    ref: str
    id: str
    entries: tuple[Entry, ...]
