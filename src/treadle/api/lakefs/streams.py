"""Objects on their way in and out, in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TypeAlias

import msgspec

from treadle.api.exchange import Exchange, Headers, byte_range
from treadle.api.lakefs.errors import PreconditionFailed, Unoffered, failure
from treadle.api.lakefs.form import FormFile, boundary_of
from treadle.api.lakefs.objects import BYTES, describe, find
from treadle.api.lakefs.places import Spot, spot, writable
from treadle.api.lakefs.route import Ask, LakefsRoute
from treadle.data import About, Entry
from treadle.kernel.errors import AlreadyExists
from treadle.kernel.uploads import BlobUpload

Stream: TypeAlias = Callable[[Ask, Exchange], Awaitable[None]]

_JSON: Headers = [(b"content-type", b"application/json")]
_NOTED = "x-lakefs-meta-"
# What anybody may have uploaded is never shown as a page of this server.
_SANDBOX: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
]


async def get_object(ask: Ask, exchange: Exchange) -> None:
    """Sends an object, or the range of it that is asked for."""

    def look() -> tuple[Spot, Entry, Headers, str]:
        place = spot(ask, ask.path["ref"])
        entry = find(ask, place, ask.need("path"))
        told = describe(ask, place, entry)
        tag = f'"{told.checksum}"'
        kind = told.content_type or BYTES
        headers = [
            (b"content-type", kind.encode("latin-1", "replace")),
            (b"etag", tag.encode()),
            (
                b"last-modified",
                format_datetime(datetime.fromtimestamp(told.mtime, UTC), usegmt=True).encode(),
            ),
            (b"accept-ranges", b"bytes"),
            *_SANDBOX,
        ]
        return place, entry, headers, tag

    place, entry, headers, tag = await exchange.run(look)
    if ask.headers.get("if-none-match") in {tag, tag.strip('"')}:
        await exchange.answer(304, b"", headers)
        return
    size, status = entry.size, 200
    try:
        part = byte_range(ask.headers.get("range"), size)
    except IndexError:
        await exchange.answer(
            416,
            failure(f"{entry.path!r} has {size:,} bytes: the range begins after them"),
            [*_JSON, (b"content-range", b"bytes */%d" % size)],
        )
        return
    start, end = part or (0, size)
    if part:
        status = 206
        headers = [*headers, (b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size))]
    if ask.method == "HEAD":
        await exchange.stream(status, end - start, headers, iter(()))
        return
    contents = ask.rooms.staging.contents(place.version)
    await exchange.stream(status, end - start, headers, contents.stream(entry.digest, size, start, end))


async def upload_object(ask: Ask, exchange: Exchange) -> None:
    """Takes an object and stages it on its branch: a raw body, or a form with ``content``."""
    path = ask.need("path")
    branch = await exchange.run(writable, ask)
    new = _must_be_new(ask.headers)
    kind = ask.headers.get("content-type", BYTES)
    boundary = boundary_of(kind)
    upload = await exchange.run(ask.rooms.workspace.blobs.upload)
    try:
        hashed = Hashed(upload)
        form = FormFile(hashed.write, boundary) if boundary else None
        await exchange.into(form or hashed)
        if form:
            form.finish()
            kind = form.content_type or BYTES
        digest = await exchange.run(upload.finish)
    finally:
        await exchange.run(upload.close)
    values = {name[len(_NOTED) :]: told for name, told in ask.headers.items() if name.startswith(_NOTED)}

    def stage() -> bytes:
        now = ask.rooms.workspace.clock.now()
        entry = Entry(path, upload.size, digest)
        about = About(checksum=hashed.md5, content_type=kind, written_at=now, values=values)
        try:
            ask.rooms.staging.put(ask.repository, branch, entry, about, new=new)
        except AlreadyExists as error:
            raise PreconditionFailed(error.message, where=error.where) from None
        return msgspec.json.encode(describe(ask, spot(ask, branch), entry))

    await exchange.answer(201, await exchange.run(stage), _JSON)


def _must_be_new(headers: Mapping[str, str]) -> bool:
    if "if-match" in headers or headers.get("if-none-match", "*") != "*":
        raise Unoffered("of conditional uploads only `If-None-Match: *` is offered")
    return "if-none-match" in headers


class Hashed:
    """An upload that also computes the MD5 by which lakeFS's clients compare files.

    Args:
        upload: Where the bytes go.
    """

    def __init__(self, upload: BlobUpload) -> None:
        self._upload = upload
        self._hasher = hashlib.md5(usedforsecurity=False)

    def write(self, data: bytes) -> None:
        """Adds some bytes; raises as the upload does."""
        self._upload.write(data)
        self._hasher.update(data)

    @property
    def md5(self) -> str:
        """The MD5 of what was written."""
        return self._hasher.hexdigest()


_REF = "/repositories/{repository}/refs/{ref}/objects"
_BRANCH = "/repositories/{repository}/branches/{branch:path}/objects"
STREAMS: Mapping[str, Stream] = {
    "get_object": get_object,
    "head_object": get_object,
    "upload_object": upload_object,
}
ROUTES = (
    LakefsRoute("get_object", "GET", _REF, None),
    LakefsRoute("head_object", "HEAD", _REF, None),
    LakefsRoute("upload_object", "POST", _BRANCH, None),
)
