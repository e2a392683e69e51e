"""Artifacts over MLflow's protocol: straight to the blob store and from it, in constant memory."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec

from treadle.api.exchange import Exchange, ExchangeApp, Headers, byte_range, check_origin
from treadle.api.mlflow.artifacts_wire import (
    Abort,
    Begin,
    Begun,
    Complete,
    Credential,
    FileOut,
    ListOut,
    Presigned,
    ServerInfo,
    etag,
    headers_of,
)
from treadle.api.mlflow.errors import answer, to_wire
from treadle.api.mlflow.route import Ask, Empty, MlflowRoute
from treadle.api.mlflow.wire import required
from treadle.api.rooms import Rooms
from treadle.experiment import MOST_PARTS, Place, target
from treadle.kernel.errors import InvalidInput, StorageFull, TreadleError
from treadle.kernel.uploads import BlobUpload

_API = "/api/2.0/mlflow-artifacts"
_JSON: Headers = [(b"content-type", b"application/json")]
_PREFIX = r"(?:/ajax-api/2\.0|/api/2\.0)"


class _Where(msgspec.Struct):
    path: str = ""


class _OfRun(msgspec.Struct):
    run_id: str = ""
    run_uuid: str = ""
    path: str = ""

    @property
    def run(self) -> str:
        """The run's identifier, by either of its names.

        Raises:
            InvalidInput: If there is neither.
        """
        return required(self.run_id or self.run_uuid, "run_id")


class _OfModel(msgspec.Struct):
    artifact_file_path: str


class _OfVersion(msgspec.Struct):
    name: str
    version: str
    path: str


class _OfPart(msgspec.Struct):
    upload_id: str


def _list(ask: Ask) -> ListOut:
    """All at once, with or without a page's token: no client asks for a second page."""
    asked = ask.read(_OfRun)
    place = ask.rooms.files.of_run(asked.run, asked.path)
    files = [FileOut(e.path, e.size is None, e.size) for e in ask.rooms.files.list(place)]
    return ListOut(f"{place.root}/{place.owner}/artifacts", files)


def _info(_: Ask) -> ServerInfo:
    return ServerInfo()


ROUTES: tuple[MlflowRoute, ...] = (
    MlflowRoute("GET", "/artifacts/list", _list),
    MlflowRoute("GET", "/server-info", _info, quick=True),
)


class ArtifactsApp(ExchangeApp):
    """Answers requests whose bodies are files.

    Args:
        rooms: The services.
    """

    def __init__(self, rooms: Rooms) -> None:
        super().__init__("mlflow.artifacts")
        self._rooms = rooms

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a path is answered here."""
        return _OWNED.fullmatch(path) is not None  # one pattern, because every request is asked

    def failure(self, error: TreadleError) -> tuple[int, bytes]:
        """Status and body for an error."""
        status, body = to_wire(error)
        if isinstance(error, StorageFull):
            status = error.status  # not one after which a client tries again for minutes
        return status, body

    async def serve(self, scope: Mapping[str, Any], exchange: Exchange) -> None:
        """Answers a request."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        for name, pattern, do in _ROUTES:
            found = pattern.fullmatch(scope["path"])
            if found and name == method:
                call = _Call(self._rooms, scope, exchange, found["path"])
                check_origin(call.headers)
                await do(call)
                return
        text = f"there is no {scope['method']} {scope['path']:.200} in what of MLflow's protocol is offered"
        await exchange.answer(*answer("ENDPOINT_NOT_FOUND", text), _JSON)


class _Call:
    """A request that is answered."""

    def __init__(self, rooms: Rooms, scope: Mapping[str, Any], exchange: Exchange, path: str) -> None:
        self.files = rooms.files
        self.rooms = rooms
        self.scope = scope
        self.exchange = exchange
        self.path = path
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

    def asked(self, kind: type[Any], body: bytes = b"") -> Any:
        """What the query or the body says."""
        return Ask(self.rooms, {}, self.scope["query_string"], body).read(kind)

    async def locate(self, path: str, *, writing: bool = False) -> Place:
        """What a path of the proxy means."""
        return await self.exchange.run(lambda: self.files.locate(path, writing=writing))

    async def json(self, value: msgspec.Struct) -> None:
        """Answers."""
        await self.exchange.answer(200, msgspec.json.encode(value), _JSON)

    def url(self, place: str, query: str = "") -> str:
        """The address of something on this server, as whoever asks reaches it."""
        host = self.headers.get("host") or ":".join(str(part) for part in self.scope["server"] or ())
        base = f"{self.scope['scheme']}://{host}{self.scope.get('root_path', '')}"
        return f"{base}{_API}/{quote(place)}{query}"


async def _get(call: _Call) -> None:
    await _send_file(call, await call.locate(call.path))


async def _send_file(call: _Call, place: Place) -> None:
    """The file, or the range of it that is asked for."""
    exchange = call.exchange
    file = await exchange.run(call.files.find, place)
    headers, tag = headers_of(file), etag(file.digest).decode()
    if tag in call.headers.get("if-none-match", ""):
        await exchange.answer(304, b"", headers)
        return
    asked = call.headers.get("range") if call.headers.get("if-range", tag) == tag else None
    try:
        part = byte_range(asked, file.size)
    except IndexError:
        headers = [(b"content-range", f"bytes */{file.size}".encode()), *_JSON]
        _, text = answer(
            "INVALID_PARAMETER_VALUE", f"the file has {file.size} bytes: there is no {asked!r:.80}"
        )
        await exchange.answer(416, text, headers)
        return
    start, end = part or (0, file.size)
    if part:
        headers.append((b"content-range", f"bytes {start}-{end - 1}/{file.size}".encode()))
    pieces = call.files.read(file, *part) if part else call.files.read(file)
    if call.scope["method"] == "HEAD":
        pieces = iter(())
    await exchange.stream(206 if part else 200, end - start, headers, pieces)


async def _list_folder(call: _Call) -> None:
    place = await call.locate(call.asked(_Where).path)
    entries = await call.exchange.run(call.files.list, place)
    await call.json(
        ListOut(files=[FileOut(posixpath.basename(e.path), e.size is None, e.size) for e in entries])
    )


async def _put(call: _Call) -> None:
    await _take_file(call, await call.locate(call.path, writing=True))


async def _take_file(call: _Call, place: Place) -> None:
    """Keeps the body as a file: its bytes, then its row."""
    exchange = call.exchange
    upload = await exchange.run(call.files.upload)
    try:
        await exchange.into(upload)
        await exchange.run(call.files.put, place, upload)
    finally:
        await exchange.run(upload.close)
    await call.json(Empty())


async def _delete(call: _Call) -> None:
    place = await call.locate(call.path)
    await call.exchange.run(call.files.delete, place)
    await call.json(Empty())


async def _begin(call: _Call) -> None:
    asked = call.asked(Begin, await call.exchange.body())
    if not 1 <= asked.num_parts <= MOST_PARTS:
        raise InvalidInput(
            f"a file has 1 to {MOST_PARTS:,} parts, not {asked.num_parts:,}", where="num_parts"
        )
    path = target(call.path, asked.path)
    place = await call.locate(path, writing=True)
    token = await call.exchange.run(call.files.begin, place)
    parts = range(1, asked.num_parts + 1)
    urls = [call.url(f"mpu/part/{path}", f"?upload_id={token}&part_number={number}") for number in parts]
    await call.json(Begun(token, [Credential(url, number) for number, url in enumerate(urls, 1)]))


async def _part(call: _Call) -> None:
    """Keeps a part; its ETag is the digest of its bytes."""
    exchange, place = call.exchange, await call.locate(call.path, writing=True)
    upload: BlobUpload = await exchange.run(call.files.part, place, call.asked(_OfPart).upload_id)
    try:
        await exchange.into(upload)
        digest = await exchange.run(upload.finish)
    finally:
        await exchange.run(upload.close)
    await exchange.answer(200, b"{}", [*_JSON, (b"etag", etag(digest))])


async def _complete(call: _Call) -> None:
    asked: Complete = call.asked(Complete, await call.exchange.body())
    numbers = [part.part_number for part in asked.parts]
    if numbers != list(range(1, len(numbers) + 1)):
        raise InvalidInput("the parts are not numbered 1, 2, 3, …", where="parts")
    place = await call.locate(target(call.path, asked.path), writing=True)
    digests = [part.etag.strip('"') for part in asked.parts]
    await call.exchange.run(call.files.complete, place, asked.upload_id, digests)
    await call.json(Empty())


async def _abort(call: _Call) -> None:
    asked: Abort = call.asked(Abort, await call.exchange.body())
    place = await call.locate(target(call.path, asked.path))
    await call.exchange.run(call.files.abort, place, asked.upload_id)
    await call.json(Empty())


async def _presigned(call: _Call) -> None:
    """The file's own address: this server reads ranges of it."""
    file = await call.exchange.run(call.files.find, await call.locate(call.path))
    await call.json(Presigned(call.url(f"artifacts/{call.path}"), {}, file.size))


async def _get_of_run(call: _Call) -> None:
    asked: _OfRun = call.asked(_OfRun)
    await _send_file(call, await call.exchange.run(call.files.of_run, asked.run, asked.path))


async def _put_of_run(call: _Call) -> None:
    asked: _OfRun = call.asked(_OfRun)
    place = await call.exchange.run(call.files.of_run, asked.run, asked.path)
    await _take_file(call, place)


async def _get_of_model(call: _Call) -> None:
    path = call.asked(_OfModel).artifact_file_path
    await _send_file(call, await call.exchange.run(call.files.of_model, call.path, path))


async def _get_of_version(call: _Call) -> None:
    asked: _OfVersion = call.asked(_OfVersion)

    def find() -> Place:
        found = call.rooms.catalog.version(asked.name, asked.version)
        return call.files.of_uri(found.storage, asked.path)

    await _send_file(call, await call.exchange.run(find))


_Do: TypeAlias = Callable[[_Call], Awaitable[None]]


def _at(path: str) -> re.Pattern[str]:
    return re.compile(path, re.DOTALL)


_OWNED = _at(
    rf"/(?:model-versions/)?get-artifact|{_PREFIX}/mlflow(?:-artifacts/.*|/upload-artifact|/logged-models/[^/]+/artifacts/files)"
)
_FILES = _at(rf"{_PREFIX}/mlflow-artifacts/artifacts/(?P<path>.+)")
_FOLDER = _at(rf"{_PREFIX}/mlflow-artifacts/artifacts(?P<path>/?)")
_ROUTES: tuple[tuple[str, re.Pattern[str], _Do], ...] = (
    ("GET", _FILES, _get),
    ("PUT", _FILES, _put),
    ("DELETE", _FILES, _delete),
    ("GET", _FOLDER, _list_folder),
    ("POST", _at(rf"{_PREFIX}/mlflow-artifacts/mpu/create/(?P<path>.+)"), _begin),
    ("PUT", _at(rf"{_PREFIX}/mlflow-artifacts/mpu/part/(?P<path>.+)"), _part),
    ("POST", _at(rf"{_PREFIX}/mlflow-artifacts/mpu/complete/(?P<path>.+)"), _complete),
    ("POST", _at(rf"{_PREFIX}/mlflow-artifacts/mpu/abort/(?P<path>.+)"), _abort),
    ("GET", _at(rf"{_PREFIX}/mlflow-artifacts/presigned/(?P<path>.+)"), _presigned),
    ("GET", _at(r"/get-artifact(?P<path>)"), _get_of_run),
    ("GET", _at(r"/model-versions/get-artifact(?P<path>)"), _get_of_version),
    ("POST", _at(rf"{_PREFIX}/mlflow/upload-artifact(?P<path>)"), _put_of_run),
    ("GET", _at(rf"{_PREFIX}/mlflow/logged-models/(?P<path>[^/]+)/artifacts/files"), _get_of_model),
)
