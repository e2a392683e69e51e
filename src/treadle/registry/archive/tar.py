"""The archive's bytes: a tar file of ``manifest-DIGEST.json``, then ``blobs/DIGEST`` for each content.

Last comes ``signature.sig``, if somebody signed it (:mod:`treadle.registry.archive.signing`).

Names never come from outside, so that there is nothing to traverse, and every header has 512 bytes
(POSIX.1-1988, with GNU's sizes over 8 GiB). The same content is the same bytes: no times, no owners,
blobs in the order of their digests.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import msgspec

from treadle.kernel.errors import CorruptData, InvalidInput
from treadle.kernel.ids import digest_bytes
from treadle.registry.archive.signing import LARGEST, MEMBER
from treadle.registry.archive.types import FORMAT, KIND, Entry, Manifest

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_PIECE = 4 << 20
_LARGEST_MANIFEST = 64 << 20
_BLOB = re.compile(r"blobs/([0-9a-f]{64})")
_MANIFEST = re.compile(r"manifest-([0-9a-f]{64})\.json")


class _Head(msgspec.Struct, frozen=True):
    """The part of a manifest that every format has."""

    kind: str = ""
    format: int = 0


class Found(msgspec.Struct, frozen=True):
    """An archive whose every byte was checked.

    Attributes:
        manifest: Its manifest.
        digest: BLAKE3 of the manifest: of all that the archive holds.
        at: Where the bytes of each digest begin in the file.
        raw: The manifest's bytes.
        signature: The signature of these; None if it has none.
    """

    manifest: Manifest
    digest: str
    at: dict[str, int]
    raw: bytes = b""
    signature: bytes | None = None


# ── writing ──────────────────────────────────────────────────────────────


def encode(manifest: Manifest) -> bytes:
    """A manifest's bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def length(manifest: bytes, entries: Iterable[Entry]) -> int:
    """How many bytes an archive has."""
    sizes = [len(manifest), *{entry.digest: entry.size for entry in entries}.values()]
    return sum(_BLOCK + size + _padding(size) for size in sizes) + len(_END)


def pieces(
    manifest: bytes, entries: Iterable[Entry], stream: Callable[[str], Iterator[bytes]]
) -> Iterator[bytes]:
    """An archive's bytes, piece by piece.

    Args:
        manifest: The manifest's bytes.
        entries: What it names.
        stream: The bytes of a digest.

    Raises:
        NotFound: If the bytes of an entry are gone.
        CorruptData: If they aren't what was stored.
    """
    yield (
        _header(f"manifest-{digest_bytes(manifest)}.json", len(manifest))
        + manifest
        + bytes(_padding(len(manifest)))
    )
    for digest, size in sorted({entry.digest: entry.size for entry in entries}.items()):
        yield _header(f"blobs/{digest}", size)
        yield from stream(digest)
        yield bytes(_padding(size))
    yield _END


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> int:
    return -size % _BLOCK


# ── reading ──────────────────────────────────────────────────────────────


def check(file: BinaryIO, where: str) -> Found:
    """Reads an archive from its first byte to its last, and checks every digest.

    Args:
        file: The archive; holds at most a few MiB of it at a time.
        where: What it is called in errors.

    Raises:
        InvalidInput: If it is no archive of a version, or of a later format.
        CorruptData: If it breaks off, holds other bytes than its manifest names, or more or less than that.
    """
    from blake3 import blake3

    manifest, identity, raw = _manifest(file, where)
    signature: bytes | None = None
    wanted = {entry.digest: entry.size for entry in manifest.entries}
    at: dict[str, int] = {}
    while (member := _member(file, where)) is not None:
        if signature is not None:
            raise _corrupt(f"it has {member.name!r:.80} behind its signature", where)
        if member.name == MEMBER and member.size <= LARGEST:
            signature = _read(file, member.size, where)
            _read(file, _padding(member.size), where)
            continue
        found = _BLOB.fullmatch(member.name)
        digest = found[1] if found else ""
        if digest not in wanted or digest in at or wanted[digest] != member.size:
            raise _corrupt(f"it has {member.name!r:.80}, which its manifest doesn't name so", where)
        at[digest] = file.tell()
        hasher, left = blake3(), member.size
        while left:
            piece = _read(file, min(_PIECE, left), where)
            hasher.update(piece)
            left -= len(piece)
        if hasher.hexdigest() != digest:
            name = next(entry.name for entry in manifest.entries if entry.digest == digest)
            raise _corrupt(f"{name} isn't what its digest says", where)
        _read(file, _padding(member.size), where)
    if lost := [entry.name for entry in manifest.entries if entry.digest not in at]:
        raise _corrupt(f"{lost[0]} is missing", where)
    if file.read(1):
        raise _corrupt("there are bytes behind its end", where)
    return Found(manifest, identity, at, raw, signature)


def _manifest(file: BinaryIO, where: str) -> tuple[Manifest, str, bytes]:
    first = file.read(_BLOCK)
    try:
        member = tarfile.TarInfo.frombuf(first, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError):
        raise _foreign(where) from None
    named = _MANIFEST.fullmatch(member.name)
    if named is None or not member.isreg() or member.size > _LARGEST_MANIFEST:
        raise _foreign(where)
    raw = _read(file, member.size, where)
    _read(file, _padding(member.size), where)
    if digest_bytes(raw) != named[1]:
        raise _corrupt("its manifest isn't what its digest says", where)
    try:
        head = msgspec.json.decode(raw, type=_Head)
        if head.kind != KIND:
            raise _foreign(where)
        if head.format > FORMAT:
            raise InvalidInput(
                f"it has format {head.format}, and this Treadle reads up to {FORMAT}",
                where=where,
                fix="import it with the Treadle that wrote it, or a later one; nothing was imported",
            )
        return msgspec.json.decode(raw, type=Manifest), named[1], raw
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _corrupt(f"its manifest can't be read: {error}", where) from None


def _member(file: BinaryIO, where: str) -> tarfile.TarInfo | None:
    """The next member's header; None at the end."""
    block = _read(file, _BLOCK, where)
    if not any(block):
        if any(_read(file, _BLOCK, where)):
            raise _corrupt("it has an end in its middle", where)
        return None
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise _corrupt(f"a header can't be read: {error}", where) from None
    if not member.isreg():
        raise _corrupt(f"{member.name!r:.80} is no plain file", where)
    return member


def _read(file: BinaryIO, size: int, where: str) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise _corrupt("it breaks off", where)
    return data


def _foreign(where: str) -> InvalidInput:
    return InvalidInput(
        "it is no archive of a model version", where=where, fix="`treadle models export` makes one"
    )


def _corrupt(what: str, where: str) -> CorruptData:
    return CorruptData(what, where=where, fix="get the archive again; nothing was imported")
