"""A lakeFS server, read through its REST protocol (https://docs.lakefs.io/reference/api.html)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from treadle.client import Transport
from treadle.kernel.errors import CorruptData, InvalidInput, NotFound, Refused, Unavailable

T = TypeVar("T")

_PLACE = re.compile(
    r"(?:lakefs://)?(?P<repository>[A-Za-z0-9][A-Za-z0-9._-]*)(?:@|/)(?P<ref>[^/@]+)(?:/(?P<prefix>.*))?"
)
_MD5 = re.compile(r"[0-9a-f]{32}")
_PAGE = 1000
_SAID = 300


class Place(NamedTuple):
    """What of a lakeFS server is meant.

    Attributes:
        repository: The repository.
        ref: A branch, a tag, a commit, or what comes before one (``main~1``).
        prefix: Only objects whose paths begin with it; it is left out of their paths here.
    """

    repository: str
    ref: str
    prefix: str = ""


def parse_place(text: str) -> Place:
    """Reads ``REPO@REF``, ``REPO@REF/PREFIX`` or ``lakefs://REPO/REF/PREFIX``.

    Raises:
        InvalidInput: If it is none of them.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InvalidInput(
            f"{text[:200]!r} names no reference of lakeFS", fix="write REPO@REF or lakefs://REPO/REF/FOLDER"
        )
    prefix = (found["prefix"] or "").rstrip("/")
    return Place(found["repository"], found["ref"], f"{prefix}/" if prefix else "")


class LakefsCommit(msgspec.Struct, frozen=True):
    """A commit, as the server tells it."""

    id: str
    message: str = ""
    committer: str = ""
    creation_date: int = 0


class LakefsObject(msgspec.Struct, frozen=True):
    """An object, as the server tells it."""

    path: str
    checksum: str = ""
    size_bytes: int = 0


class _Pagination(msgspec.Struct):
    has_more: bool
    next_offset: str = ""


class _Objects(msgspec.Struct):
    pagination: _Pagination
    results: list[LakefsObject]


class _Failure(msgspec.Struct):
    message: str = ""


class LakefsServer:
    """A lakeFS server.

    Args:
        transport: How requests get there.
        key: The access key; none is sent when empty.
        secret: Its secret.
    """

    def __init__(self, transport: Transport, key: str = "", secret: str = "") -> None:
        self._transport = transport
        self.name = transport.name.rstrip("/").removesuffix("/api/v1")
        self._base = "" if transport.name.rstrip("/").endswith("/api/v1") else "/api/v1"
        given = base64.b64encode(f"{key}:{secret}".encode()).decode()
        self._headers = {"Authorization": f"Basic {given}"} if key else {}

    def commit(self, place: Place) -> LakefsCommit:
        """The commit at which a reference stands now.

        Raises:
            NotFound: If there is none.
            Refused: If the keys are not accepted.
            Unavailable: If there is no answer, or it can't be read.
        """
        return self._json(f"/repositories/{_q(place.repository)}/commits/{_q(place.ref)}", LakefsCommit)

    def objects(self, place: Place, commit: str) -> Iterator[LakefsObject]:
        """The objects of a commit, page by page; raises as :meth:`commit`."""
        after = ""
        while True:
            query = urlencode(
                {
                    "prefix": place.prefix,
                    "after": after,
                    "amount": _PAGE,
                    "user_metadata": "false",
                    "presign": "false",
                }
            )
            target = f"/repositories/{_q(place.repository)}/refs/{_q(commit)}/objects/ls?{query}"
            found = self._json(target, _Objects)
            yield from found.results
            if not found.pagination.has_more:
                return
            if found.pagination.next_offset <= after:
                raise Unavailable("the server's pages don't go on", where=self.name)
            after = found.pagination.next_offset

    def read(self, place: Place, commit: str, one: LakefsObject) -> Iterator[bytes]:
        """An object's bytes; its size, and its MD5 where the server tells one, are checked at the end.

        Raises:
            CorruptData: Instead of ending, if what came isn't what the server told of it.
            As :meth:`commit`.
        """
        query = urlencode({"path": one.path, "presign": "false"})
        answer = self._send(f"/repositories/{_q(place.repository)}/refs/{_q(commit)}/objects?{query}")
        hasher, size = hashlib.md5(usedforsecurity=False), 0
        for piece in answer:
            hasher.update(piece)
            size += len(piece)
            yield piece
        wrong = _MD5.fullmatch(one.checksum) and hasher.hexdigest() != one.checksum
        if size != one.size_bytes or wrong:
            raise CorruptData(
                "what came is not what the server told of it", where=one.path, fix="import again"
            )

    def _json(self, target: str, kind: type[T]) -> T:
        raw = b"".join(self._send(target))
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Unavailable(
                "the answer is none of lakeFS's", where=self.name, fix="is that a lakeFS server's address?"
            ) from None

    def _send(self, target: str) -> Iterator[bytes]:
        answer = self._transport.send("GET", self._base + target, headers=self._headers)
        if answer.status == 200:
            return answer.body
        raw = answer.read()
        try:
            said = msgspec.json.decode(raw, type=_Failure).message[:_SAID]
        except (msgspec.MsgspecError, UnicodeDecodeError):
            said = f"status {answer.status}"
        if answer.status == 404:
            raise NotFound(said or "there is no such thing", where=self.name)
        if answer.status in {401, 403}:
            raise Refused(
                f"the server doesn't let these keys in: {said}",
                where=self.name,
                fix="set LAKECTL_CREDENTIALS_ACCESS_KEY_ID and LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY",
            )
        raise Unavailable(f"status {answer.status}: {said}", where=self.name)


def _q(part: str) -> str:
    return quote(part, safe="")
