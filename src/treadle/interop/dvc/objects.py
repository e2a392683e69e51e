"""The objects of a DVC cache or remote: found under their MD5, and checked against it.

An object lies at ``files/md5/XX/YYYY`` (DVC 3) or ``XX/YYYY`` (DVC 2), where the MD5 is ``XXYYYY``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from treadle.interop.dvc.types import Remote
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound, StorageError
from treadle.kernel.files import storage_errors

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PIECE = 1 << 20  # DVC 2 normalises text in pieces of this size
_BLOCK = 512
_RETRIES = 3  # by the library's own choice an endpoint that doesn't answer would take minutes
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_CLOUDS = {"s3", "gs", "gcs", "azure"}


class Place(Protocol):
    """Somewhere objects lie."""

    name: str

    def open(self, key: str) -> Iterator[bytes] | None:
        """What lies at a key, in pieces of 1 MiB and a last shorter one; None if nothing does."""


class Folder:
    """A cache, or a remote that is a folder.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.name = str(root)

    def open(self, key: str) -> Iterator[bytes] | None:
        """What lies at a key; None if nothing does; StorageError if it can't be read."""
        path = self._root / key
        with storage_errors(str(path)):
            if not path.is_file():
                return None
            return self._read(path)

    def _read(self, path: Path) -> Iterator[bytes]:
        with storage_errors(str(path)), path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece


class Bucket:
    """A remote in a cloud.

    Args:
        store: The bucket.
        name: Its URL.
    """

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store = store
        self.name = name

    def open(self, key: str) -> Iterator[bytes] | None:
        """What lies at a key; None if nothing does; StorageError if the bucket doesn't give it."""
        import obstore

        from treadle.kernel.object_errors import object_errors

        try:
            with object_errors(key, self.name):
                found = obstore.get(self._store, key)
        except NotFound:
            return None
        return self._read(found, key)

    def _read(self, found: Any, key: str) -> Iterator[bytes]:
        from treadle.kernel.object_errors import object_errors

        rest = bytearray()
        with object_errors(key, self.name):
            for piece in found.stream(min_chunk_size=_PIECE):
                rest += piece
                while len(rest) >= _PIECE:
                    yield bytes(rest[:_PIECE])
                    del rest[:_PIECE]
        if rest:
            yield bytes(rest)


def open_remote(remote: Remote) -> Place:
    """Opens a remote.

    Raises:
        InvalidInput: If it is of a kind that can't be read.
        StorageError: If it can't be opened.
    """
    scheme, separator, rest = remote.url.partition("://")
    if not separator:
        return Folder(Path(remote.url))
    if scheme not in _CLOUDS:
        raise InvalidInput(
            f"a remote at {scheme}:// can't be read",
            where=f"remote {remote.name!r}",
            fix="fetch it with DVC first (dvc fetch); the cache can be read",
        )
    from treadle.kernel.object_stores import open_store

    given = remote.options
    named = {
        "endpointurl": "endpoint", "access_key_id": "access_key_id", "secret_access_key": "secret_access_key",
        "session_token": "session_token", "region": "region", "account_name": "account_name",
        "account_key": "account_key", "sas_token": "sas_key", "credentialpath": "service_account",
    }  # fmt: skip
    options = {ours: given[theirs] for theirs, ours in named.items() if theirs in given}
    if options.get("endpoint", "").startswith("http://"):
        options["allow_http"] = "true"
    try:
        return Bucket(open_store(f"{scheme}://{rest}", options, _RETRIES), remote.url)
    except Exception as error:  # obstore's errors share no public base
        first = str(error).partition("\n")[0]
        raise StorageError(f"the remote can't be opened: {first}", where=remote.url) from error


class Objects:
    """The objects of a repository, wherever they lie.

    Args:
        places: The cache and remotes, the nearest first.
        fix: The command that brings what is missing.
    """

    def __init__(self, places: Sequence[Place], fix: str) -> None:
        self._places = places
        self._fix = fix

    def read(self, name: str, *, legacy: bool, where: str) -> Iterator[bytes]:
        """An object, piece by piece; what can't be trusted is known at its end.

        Args:
            name: What names it: an MD5, with ``.dir`` for a list of files.
            legacy: Whether its MD5 may be that of a text's Unix form.
            where: Which pointer and file want it.

        Raises:
            NotFound: If it lies nowhere; names the command that gets it.
            CorruptData: If what lies there isn't that object.
            StorageError: If it can't be read.
        """
        found = self._find(name, legacy=legacy, where=where)
        plain, unix = hashlib.md5(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
        for piece in found[1]:
            plain.update(piece)
            if legacy:
                unix.update(piece.replace(b"\r\n", b"\n") if _is_text(piece[:_BLOCK]) else piece)
            yield piece
        md5 = name.removesuffix(".dir")
        if md5 != plain.hexdigest() and not (legacy and md5 == unix.hexdigest()):
            raise CorruptData(
                f"object {name} is not what DVC stored: its bytes have MD5 {plain.hexdigest()}",
                where=f"{where}, in {found[0]}",
                fix="remove it there and fetch it again: dvc fetch",
            )

    def whole(self, name: str, *, legacy: bool, where: str) -> bytes:
        """An object in one piece; else as :meth:`read`."""
        return b"".join(self.read(name, legacy=legacy, where=where))

    def _find(self, name: str, *, legacy: bool, where: str) -> tuple[str, Iterator[bytes]]:
        key = f"{name[:2]}/{name[2:]}"
        keys = [f"files/md5/{key}", key]
        for place in self._places:
            for one in reversed(keys) if legacy else keys:
                found = place.open(one)
                if found is not None:
                    return place.name, found
        looked = ", ".join(place.name for place in self._places)
        raise NotFound(f"object {name} is missing; looked in {looked}", where=where, fix=self._fix)


def md5_of(data: bytes) -> str:
    """The MD5 that DVC 3 names bytes by."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _is_text(block: bytes) -> bool:
    """Whether DVC 2 takes a block for text: no NUL, and at most 30 % of other bytes than ASCII's."""
    return b"\0" not in block and len(block.translate(None, _TEXT)) <= 0.3 * len(block)
