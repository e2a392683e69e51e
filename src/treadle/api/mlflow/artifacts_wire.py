"""Artifacts on MLflow's wire: what is asked and answered, ranges, headers. Pure."""

from __future__ import annotations

import mimetypes
import posixpath
import re
from urllib.parse import quote

import msgspec

from treadle.experiment import Artifact

_TOKEN = re.compile(r"[\w!#$&+.^`|~-]+", re.ASCII)
_TEXT = frozenset((".cfg", ".conf", ".ini", ".log", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"))
_TEXT_NAMES = frozenset(("mlmodel", "mlproject"))


class FileOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file or folder."""

    path: str
    is_dir: bool
    file_size: int | None = None


class ListOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in a folder."""

    root_uri: str = ""
    files: list[FileOut] = []


class Credential(msgspec.Struct, frozen=True):
    """Where a part is sent."""

    url: str
    part_number: int
    headers: dict[str, str] = {}


class Begun(msgspec.Struct, frozen=True):
    """An upload in parts that has begun."""

    upload_id: str
    credentials: list[Credential]


class Presigned(msgspec.Struct, frozen=True):
    """Where a file can be read in ranges."""

    url: str
    headers: dict[str, str]
    file_size: int


class ServerInfo(msgspec.Struct, frozen=True):
    """What this server can do, beyond what every one can."""

    store_type: str = "SqlStore"
    workspaces_enabled: bool = False
    trace_archival_enabled: bool = False
    multipart_uploads_enabled: bool = True
    # It works when asked for; announced, it would cost every small file a second request.
    multipart_downloads_enabled: bool = False
    presigned_upload_run_id_supported: bool = False
    presigned_upload_model_id_supported: bool = False
    features_enabled: dict[str, bool] = msgspec.field(default_factory=lambda: {"gateway": False})


class Begin(msgspec.Struct):
    """Asks to begin an upload in parts."""

    path: str
    num_parts: int = 1


class Part(msgspec.Struct):
    """A part that was sent."""

    part_number: int
    etag: str
    url: str | None = None


class Complete(msgspec.Struct):
    """Asks to make a file of its parts."""

    path: str
    upload_id: str
    parts: list[Part]


class Abort(msgspec.Struct):
    """Asks to drop an upload in parts."""

    path: str
    upload_id: str


def headers_of(file: Artifact) -> list[tuple[bytes, bytes]]:
    """The headers by which a file is sent: to be kept, never shown as a page of this server."""
    name = posixpath.basename(file.path)
    return [
        (b"content-type", content_type(name).encode()),
        (b"content-disposition", _attachment(name).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"accept-ranges", b"bytes"),
        (b"etag", etag(file.digest)),
    ]


def _attachment(name: str) -> str:
    """A file's name in a header (RFC 6266): as it is where that is allowed, encoded otherwise."""
    plain = f"filename={name}" if _TOKEN.fullmatch(name) else f"filename*=UTF-8''{quote(name, safe='')}"
    return f"attachment; {plain}"


def etag(digest: str) -> bytes:
    """A digest as an ETag."""
    return f'"{digest}"'.encode()


def content_type(name: str) -> str:
    """The media type of a file, by its name."""
    if name.lower() in _TEXT_NAMES or posixpath.splitext(name)[1].lower() in _TEXT:
        return "text/plain"
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
