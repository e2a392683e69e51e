"""Where the files of runs and logged models are, as clients address them. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from treadle.experiment.rules import check_artifact_path
from treadle.kernel.errors import InvalidInput

SCHEME = "mlflow-artifacts"
_LONGEST = 2000
_FOLDER = "artifacts"


class Place(msgspec.Struct, frozen=True):
    """A file or folder of a run or a logged model.

    Attributes:
        kind: What it belongs to.
        owner: The identifier of that run or logged model.
        path: Where it lies among the owner's files; empty for all of them.
        root: The artifact root of the owner's experiment, as clients address it.
    """

    kind: Literal["run", "model"]
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

    Files are only ever in the blob store: no other place is looked at, so none can be named.

    Raises:
        InvalidInput: If it isn't ``mlflow-artifacts:/PATH``.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("")
    path = parts.path.strip("/")
    # A '%' would be decoded on the way, so that the files' paths would name another root.
    known = parts.scheme == SCHEME and parts.path.startswith("/") and path and "%" not in path
    if not known or parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(
            f"{uri!r:.200} can't be an artifact location: this server keeps files in its own blob store",
            fix=f"leave the artifact location out, or use {SCHEME}:/PATH",
        )
    return f"{SCHEME}:/{check_path(path)}"


def readings(path: str) -> Iterator[Place]:
    """What a path of the proxy may mean: ``ROOT/RUN/artifacts/…`` or ``ROOT/models/MODEL/artifacts/…``.

    A root is a path of any length, so that a path may be read in several ways; only one is an
    owner's that exists in an experiment with that root.

    Raises:
        InvalidInput: If the path can't be one, or has neither form.
    """
    parts = check_path(path).split("/")
    at = [number for number, part in enumerate(parts) if part == _FOLDER and number > 0]
    if not at:
        raise InvalidInput(
            f"{path!r:.200} is not where files are",
            fix="use EXPERIMENT/RUN/artifacts/… or EXPERIMENT/models/MODEL/artifacts/…",
        )
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
