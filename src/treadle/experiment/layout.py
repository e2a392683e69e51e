"""Where the files of runs and logged models are, as clients address them. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from treadle.experiment.rules import check_artifact_path
from treadle.kernel.errors import InvalidInput

SCHEME = "mlflow-artifacts"
STORES = frozenset(
    "s3 s3a gs r2 b2 abfs abfss wasb wasbs adl hdfs viewfs dbfs oss".split()  # noqa: SIM905 - a list of words
)
"""The schemes of stores that clients reach by themselves."""

_LONGEST = 2000
_FOLDER = "artifacts"


class Place(msgspec.Struct, frozen=True):
    """A file or folder of a run or a logged model.

    Attributes:
        kind: What it belongs to; ``loose`` for a file of neither.
        owner: The identifier of that run or logged model; empty for a loose file.
        path: Where it lies among the owner's files; empty for all of them.
        root: The artifact root of the owner's experiment, as clients address it.
    """

    kind: Literal["run", "model", "loose"]
    owner: str
    path: str
    root: str = ""


def check_path(path: str) -> str:
    """The path of a file or folder itself, without slashes at its ends, if it may be one; empty for the root.

    Also refused is what would only become a way out when it is decoded once more.

    Raises:
        InvalidInput: If it could lead out of the owner's files, or isn't portable.
    """
    if path.startswith("/") or len(path) > _LONGEST:
        raise _refused(path)
    plain = path.rstrip("/")
    if not plain:
        return ""
    check_artifact_path(plain)
    decoded = plain
    while (further := unquote(decoded)) != decoded:
        decoded = further
    if decoded != plain:
        check_artifact_path(decoded)
    return plain


def check_root(uri: str) -> str:
    """An experiment's artifact root, in the form in which it is kept.

    Files are in the blob store, or in a store that clients reach by themselves. This server never
    looks into that one, and no path of its own machine can be named.

    Raises:
        InvalidInput: If it is neither ``mlflow-artifacts:/PATH`` nor such a store's URI.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    path = parts.path.strip("/")
    if parts.scheme in STORES and _is_plain(uri, parts):
        return uri.rstrip("/")
    # A '%' would be decoded on the way, so that the files' paths would name another root.
    known = parts.scheme == SCHEME and parts.path.startswith("/") and path and "%" not in path
    if not known or parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(
            f"{uri!r:.200} can't be an artifact location: no path of a machine is one",
            fix=f"leave it out, use {SCHEME}:/PATH, or the URI of a store such as s3://BUCKET/PATH",
        )
    return f"{SCHEME}:/{check_path(path)}"


def is_here(root: str) -> bool:
    """Whether the files under an experiment's artifact root are kept in the blob store."""
    return root.startswith(f"{SCHEME}:")


def _is_plain(uri: str, parts: SplitResult) -> bool:
    """Whether a store's URI names one place there, however it is decoded."""
    decoded = uri
    while (further := unquote(decoded)) != decoded:
        decoded = further
    upwards = not {".", ".."}.isdisjoint(decoded.split("/"))
    extra = parts.query or parts.fragment or parts.password
    strange = any(ord(char) < 32 or char == "\\" for char in decoded) or len(uri) > _LONGEST
    return bool(parts.netloc) and not (upwards or extra or strange)


def readings(path: str) -> Iterator[Place]:
    """What a path of the proxy may mean: ``ROOT/RUN/artifacts/…`` or ``ROOT/models/MODEL/artifacts/…``.

    A root is a path of any length, so that a path may be read in several ways; only one is an
    owner's that exists in an experiment with that root. A path of neither form is a loose file's.

    Raises:
        InvalidInput: If the path can't be one.
    """
    plain = check_path(path)
    parts = plain.split("/")
    at = [number for number, part in enumerate(parts) if part == _FOLDER and number > 0]
    if not at:
        yield Place("loose", "", plain)
    for number in at:
        owner, rest, before = parts[number - 1], "/".join(parts[number + 1 :]), parts[: number - 1]
        if before and before[-1] == "models":
            yield Place("model", owner, rest, f"{SCHEME}:/{'/'.join(before[:-1])}")
        yield Place("run", owner, rest, f"{SCHEME}:/{'/'.join(before)}")


def children(paths: Iterator[tuple[str, int]], folder: str) -> dict[str, int | None]:
    """What is directly in a folder: each path with its size, folders with None."""
    start = f"{folder}/" if folder else ""
    found: dict[str, int | None] = {}
    for path, size in paths:
        if path.startswith(start):
            name, slash, _ = path[len(start) :].partition("/")
            found[start + name] = None if slash else size
    return found


def target(folder: str, file: str) -> str:
    """The path of a file that a client has locally, in a folder of the proxy."""
    name = posixpath.basename(file.replace("\\", "/"))
    return posixpath.join(folder, name)


def _refused(path: str) -> InvalidInput:
    return InvalidInput(
        f"{path!r:.120} can't be the path of an artifact",
        fix="use a relative path with forward slashes and without '..', such as plots/roc.png",
    )
