"""Routes that move bytes instead of JSON: blobs, training data, the report."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse

from treadle.api.card_routes import CARD_RAW_ROUTES
from treadle.api.check_routes import CHECK_RAW_ROUTES
from treadle.api.data_moving_routes import DATA_MOVING_RAW_ROUTES
from treadle.api.data_path_routes import DATA_PATH_RAW_ROUTES
from treadle.api.incident_routes import INCIDENT_RAW_ROUTES
from treadle.api.model_archive_routes import MODEL_ARCHIVE_RAW_ROUTES
from treadle.api.payload_routes import PAYLOAD_RAW_ROUTES
from treadle.api.retrain_routes import RETRAIN_RAW_ROUTES
from treadle.api.rooms import Rooms
from treadle.api.route import RawSpec
from treadle.data import DataInput, SliceSpec
from treadle.experiment import Answered, SqlQuery
from treadle.kernel.errors import InvalidInput
from treadle.kernel.files import storage_errors
from treadle.monitor import read_segment
from treadle.retrain import changed_at, render_report
from treadle.retrain.rules import windows


async def _put_blob(request: Request) -> Response:
    """Keeps the body's bytes; answers with their digest."""
    rooms: Rooms = request.app.state.rooms
    folder = _uploads(rooms)
    with storage_errors(str(folder)), tempfile.NamedTemporaryFile(dir=folder) as file:
        async for piece in request.stream():
            await run_in_threadpool(file.write, piece)
        file.flush()
        digest = await run_in_threadpool(rooms.workspace.blobs.put_file, Path(file.name))
    return Response(msgspec.json.encode(digest), media_type="application/json")


async def _get_blob(request: Request) -> Response:
    """The bytes of a digest."""
    rooms: Rooms = request.app.state.rooms
    digest = request.path_params["digest"]
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidInput("a digest is 64 hexadecimal characters", where=digest[:80])
    folder = Path(tempfile.mkdtemp(dir=_uploads(rooms)))
    try:
        await run_in_threadpool(rooms.workspace.blobs.fetch, digest, folder / "blob")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return _Vanishing(folder / "blob", media_type=_BYTES)


async def _run_file(request: Request) -> Response:
    """A file of a run, as a browser may show it: in a sandbox that reaches neither this API nor others."""
    rooms: Rooms = request.app.state.rooms
    path = request.query_params.get("path", "")
    if not path:
        raise InvalidInput("the query parameter `path` is missing", fix="add ?path=media/...")
    run = await run_in_threadpool(rooms.experiments.get, request.path_params["run"])
    file = await run_in_threadpool(lambda: rooms.files.find(rooms.files.of_run(run.id, path)))
    ending = path.rpartition(".")[2].lower()
    headers = {**_SANDBOX, "Content-Length": str(file.size), "ETag": f'"{file.digest}"'}
    return StreamingResponse(rooms.files.read(file), media_type=_SHOWN.get(ending, _BYTES), headers=headers)


async def _training_data(request: Request) -> Response:
    """The rows that a training would see now, as Parquet."""
    rooms: Rooms = request.app.state.rooms
    return _rows(*await run_in_threadpool(_training_slice, rooms, request.path_params["dataset"]))


async def _version_rows(request: Request) -> Response:
    """All rows of a version, as Parquet."""
    rooms: Rooms = request.app.state.rooms
    ref = f"{request.path_params['dataset']}@{request.path_params['ref']}"
    return _rows(*await run_in_threadpool(_whole, rooms, ref))


def _rows(which: DataInput, path: Path) -> Response:
    told = quote(msgspec.json.encode(which))
    return FileResponse(path, media_type=_PARQUET, headers={"Treadle-Input": told})


def _whole(rooms: Rooms, ref: str) -> tuple[DataInput, Path]:
    version = rooms.datasets.get(ref)
    return rooms.datasets.slice(SliceSpec(dataset=version.dataset, version=version.digest), "input")


def _training_slice(rooms: Rooms, dataset: str) -> tuple[DataInput, Path]:
    config = rooms.workspace.config
    version = rooms.datasets.snapshot(dataset, "sdk")
    if config.train is None or config.train.data != dataset:
        whole = SliceSpec(dataset=dataset, version=version.digest)
        return rooms.datasets.slice(whole, "input")
    now = rooms.workspace.clock.now()
    learn, _ = windows(config, version.digest, now, changed_at(rooms.workspace, now))
    return rooms.datasets.slice(learn, "train")


async def _log_segment(request: Request) -> Response:
    """Logs a segment of a replica's journal, as it was written; one that is known is passed over."""
    rooms: Rooms = request.app.state.rooms
    rows = request.query_params.get("rows", "")
    if not (rows.isascii() and rows.isdigit() and len(rows) < _LONGEST):
        raise InvalidInput("`rows` must say how many predictions the segment holds", fix="add ?rows=...")
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > _SEGMENT:
            raise InvalidInput(f"a segment has at most {_SEGMENT >> 20} MiB", fix="send it in several")
    model, name = request.path_params["model"], request.path_params["segment"]
    await run_in_threadpool(lambda: rooms.log.append(model, read_segment(bytes(data), name, int(rows))))
    return Response(b"null", media_type="application/json")


async def _report(request: Request) -> Response:
    """A model's history as a self-contained page."""
    rooms: Rooms = request.app.state.rooms
    page = await run_in_threadpool(render_report, rooms.workspace, request.path_params["model"])
    return HTMLResponse(page)


async def _prometheus_rules(request: Request) -> Response:
    """Recording and alerting rules for Prometheus, from the declared service level."""
    rooms: Rooms = request.app.state.rooms
    return Response(await run_in_threadpool(rooms.infra.prometheus), media_type=_YAML)


async def _grafana_dashboard(request: Request) -> Response:
    """A Grafana dashboard of the inference servers."""
    rooms: Rooms = request.app.state.rooms
    return Response(await run_in_threadpool(rooms.infra.grafana), media_type="application/json")


async def _comparison(request: Request) -> Response:
    """Runs side by side, or a whole search, as a self-contained page."""
    rooms: Rooms = request.app.state.rooms
    query = request.query_params
    page = await run_in_threadpool(
        rooms.comparisons.page,
        query.getlist("run"),
        query.get("metric"),
        query.get("experiment"),
        query.get("where", ""),
    )
    return HTMLResponse(page)


async def _sql(request: Request) -> Response:
    """Answers one SELECT over runs: JSON lines as they come, or a Parquet file."""
    rooms: Rooms = request.app.state.rooms
    raw = await request.body()
    try:
        query = msgspec.json.decode(raw, type=SqlQuery)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the body can't be used: {error}", fix='send {"query": "SELECT …"}') from None
    answered = await run_in_threadpool(rooms.sql.ask, query)
    if answered.out is None:
        return _Lines(answered)
    answered.close()
    return _Vanishing(answered.out, media_type=_PARQUET)


def _uploads(rooms: Rooms) -> Path:
    folder = rooms.workspace.state / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _Vanishing(FileResponse):
    """A file that goes, with its folder, once it has been sent."""

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        try:
            await super().__call__(scope, receive, send)  # type: ignore[arg-type]  # ASGI's own types
        finally:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)


class _Lines(StreamingResponse):
    """An answer line by line, which ends with its reader."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        super().__init__(answered.lines(), media_type=_JSON_LINES)

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        try:
            await super().__call__(scope, receive, send)  # type: ignore[arg-type]  # ASGI's own types
        finally:
            self._answered.close()


_JSON_LINES = "application/x-ndjson"
_BYTES = "application/octet-stream"
# What anybody may have logged: no scripts but those of a page that stands by itself, nothing sent anywhere.
_SANDBOX = {
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; img-src data: blob:;"
    " media-src data: blob:; style-src 'unsafe-inline'; font-src data:;"
    " script-src 'unsafe-inline' 'unsafe-eval' https://cdn.plot.ly https://cdn.jsdelivr.net",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SHOWN = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "patch": "text/plain; charset=utf-8",
    "json": "application/json",
}
_YAML = "application/yaml"
_LONGEST = 10  # digits
_SEGMENT = 64 << 20
_PARQUET = "application/vnd.apache.parquet"
RAW_ROUTES = [
    RawSpec("POST", "/v1/blobs", _put_blob, "application/json", takes=_BYTES),
    RawSpec("GET", "/v1/blobs/{digest}", _get_blob, _BYTES),
    RawSpec("GET", "/v1/runs/{run}/file", _run_file, _BYTES),
    RawSpec("GET", "/v1/datasets/{dataset}/training", _training_data, _PARQUET),
    RawSpec("GET", "/v1/datasets/{dataset}/rows/{ref:path}", _version_rows, _PARQUET),
    RawSpec(
        "POST", "/v1/predictions/{model}/segments/{segment}", _log_segment, "application/json", takes=_BYTES
    ),
    RawSpec("POST", "/v1/sql", _sql, _JSON_LINES, takes="application/json"),
    RawSpec("GET", "/v1/infra/prometheus", _prometheus_rules, _YAML),
    RawSpec("GET", "/v1/infra/grafana", _grafana_dashboard, "application/json"),
    RawSpec("GET", "/v1/comparison/page", _comparison, "text/html"),
    RawSpec("GET", "/v1/models/{model}/report", _report, "text/html"),
    *CARD_RAW_ROUTES,
    *CHECK_RAW_ROUTES,
    *INCIDENT_RAW_ROUTES,
    *DATA_MOVING_RAW_ROUTES,
    *DATA_PATH_RAW_ROUTES,
    *MODEL_ARCHIVE_RAW_ROUTES,
    *PAYLOAD_RAW_ROUTES,
    *RETRAIN_RAW_ROUTES,
]
