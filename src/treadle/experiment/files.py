"""The files of runs and logged models: bytes in the blob store, one row each."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta

import msgspec
import sqlalchemy as sa

from treadle.experiment import layout, store
from treadle.experiment.layout import Place
from treadle.experiment.logged_store import logged_models
from treadle.experiment.tables import artifacts, experiments, runs
from treadle.experiment.types import Artifact, LogArtifact
from treadle.kernel.clock import SystemClock
from treadle.kernel.database import take_turn
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.ids import digest_bytes
from treadle.kernel.uploads import BlobUpload
from treadle.kernel.workspace import Workspace

MOST_PARTS = 10_000
_ABANDONED = timedelta(days=7)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[0-9a-f]{32}")


class Entry(msgspec.Struct, frozen=True):
    """A file or folder in a list.

    Attributes:
        path: Where it lies among its owner's files.
        size: In bytes; None for a folder.
    """

    path: str
    size: int | None


class Files:
    """The files of a workspace's runs and logged models.

    Those of a deleted owner can be read and deleted, and none can be added. Where a path leads
    is only ever looked up in the database; no path is opened on the server.

    Args:
        workspace: Where they are kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._database = workspace.database
        self._blobs = workspace.blobs
        self._clock = SystemClock()

    # ── where ────────────────────────────────────────────────────────────

    def locate(self, path: str, *, writing: bool = False) -> Place:
        """What a path of the proxy means.

        Args:
            path: Such as ``EXPERIMENT/RUN/artifacts/model/MLmodel``.
            writing: Whether a file shall be added there.

        Raises:
            InvalidInput: If the path can't be one, or files shall be added to a deleted owner.
            NotFound: If there is no such run or logged model.
        """
        places = list(layout.readings(path))
        with self._database.read() as connection:
            for place in places:
                if _root(connection, place, writing=writing) == place.root:
                    if writing and not place.path:
                        raise InvalidInput("the file has no name", where=path[:200])
                    return place
        first = places[0]
        raise NotFound(f"there is no {_NOUNS[first.kind]} {first.owner!r:.100} in that experiment")

    def of_run(self, run_id: str, path: str = "") -> Place:
        """A file or folder of a run.

        Raises:
            InvalidInput: If the path can't be one.
            NotFound: If there is no such run.
        """
        return self._of(Place("run", run_id, layout.check_path(path)))

    def of_model(self, model_id: str, path: str = "") -> Place:
        """A file or folder of a logged model.

        Raises:
            InvalidInput: If the path can't be one.
            NotFound: If there is no such logged model.
        """
        return self._of(Place("model", model_id, layout.check_path(path)))

    def of_uri(self, uri: str, path: str) -> Place:
        """A file in a folder that a URI names: of a run, of a logged model, or of the proxy.

        Raises:
            InvalidInput: If the files of that URI aren't here, or the path can't be one.
            NotFound: If there is no such run or logged model.
        """
        scheme, _, rest = uri.partition(":")
        inside = f"{rest.strip('/')}/{layout.check_path(path)}"
        owner, _, below = inside.partition("/")
        if scheme == layout.SCHEME and not rest.startswith("//"):
            return self.locate(inside)
        if scheme == "runs":
            return self.of_run(owner, below)
        if scheme == "models" and owner.startswith("m-"):
            return self.of_model(owner, below)
        raise InvalidInput(f"the files of {uri!r:.200} are not kept here", fix="ask the store that has them")

    def _of(self, place: Place) -> Place:
        with self._database.read() as connection:
            root = _root(connection, place)
        if root is None:
            raise NotFound(f"there is no {_NOUNS[place.kind]} {place.owner!r:.100}")
        if not layout.is_here(root):
            raise InvalidInput(
                f"the files of {place.owner} are not kept here", fix=f"ask the store that has them: {root}"
            )
        return msgspec.structs.replace(place, root=root)

    # ── reading ──────────────────────────────────────────────────────────

    def list(self, place: Place) -> Sequence[Entry]:
        """What is directly in a folder, by path; nothing if it isn't there or is a file."""
        with self._database.read() as connection:
            found = store.select_artifacts(connection, place.owner, place.path)
        names = layout.children(((file.path, file.size) for file in found), place.path)
        return [Entry(path, size) for path, size in sorted(names.items())]

    def below(self, place: Place) -> Sequence[Artifact]:
        """All files in a folder and the folders in it, by path."""
        with self._database.read() as connection:
            return store.select_artifacts(connection, place.owner, place.path)

    def find(self, place: Place) -> Artifact:
        """A file.

        Raises:
            NotFound: If there is none; says so if it is a folder.
        """
        with self._database.read() as connection:
            found = store.find_artifact(connection, place.owner, place.path)
            if found is not None:
                return found
            inside = store.select_artifacts(connection, place.owner, place.path)
        if inside or not place.path:
            raise InvalidInput(f"{place.path!r:.200} is a folder, not a file", where=place.owner)
        raise NotFound(f"there is no file {place.path!r:.200}", where=place.owner)

    def read(self, file: Artifact, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of a file, or those from ``start`` to before ``end``, piece by piece.

        Raises:
            NotFound: If they are lost.
            CorruptData: Instead of the last piece, if the whole file isn't what was put.
        """
        return self._blobs.stream(file.digest, start, end)

    # ── writing ──────────────────────────────────────────────────────────

    def upload(self) -> BlobUpload:
        """Takes the bytes of a file piece by piece; :meth:`put` adds it."""
        return self._blobs.upload()

    def put(self, place: Place, upload: BlobUpload) -> Artifact:
        """Adds the file whose bytes were uploaded, or replaces the one that is there.

        Raises:
            NotFound: If its owner has gone.
            InvalidInput: If its owner was deleted.
            Conflict: If a folder has that path, or a file that of one of its folders.
            StorageError: If the bytes or the row can't be kept; then neither is.
        """
        return self._add(place, upload.finish(), upload.size)

    def _add(self, place: Place, digest: str, size: int) -> Artifact:
        if not place.path:
            raise InvalidInput("the file has no name", where=place.owner)
        with self._database.write() as connection:
            if _root(connection, place, writing=True) is None:
                raise NotFound(f"there is no {_NOUNS[place.kind]} {place.owner!r:.100}")
            take_turn(connection, "files", place.owner)  # or two add a file and a folder of one name
            _check_free(connection, place)
            file = LogArtifact(place.path, size, digest)
            store.put_artifacts(connection, place.owner, [file], self._clock.now())
        return Artifact(place.path, digest, size)

    def delete(self, place: Place) -> None:
        """Deletes a file, or all in a folder; what isn't there is deleted already.

        The bytes stay until they are collected: other files may have the same.
        """
        with self._database.write() as connection:
            store.delete_artifacts(connection, place.owner, place.path)

    # ── in parts ─────────────────────────────────────────────────────────

    def begin(self, place: Place) -> str:
        """Begins an upload in parts; returns its identifier, which is also the right to add to it."""
        self._blobs.drop_stale(self._clock.now() - _ABANDONED)
        token = secrets.token_hex(16)
        with self._blobs.upload(_stage(place, token)) as nothing:
            nothing.finish()
        return token

    def part(self, place: Place, token: str) -> BlobUpload:
        """Takes the bytes of a part; the digest that it finishes with names the part.

        Raises:
            NotFound: If there is no such upload.
        """
        return self._blobs.upload(self._begun(place, token))

    def complete(self, place: Place, token: str, digests: Sequence[str]) -> Artifact:
        """Adds the file that the parts make, in that order.

        Raises:
            NotFound: If there is no such upload, or the file's owner has gone.
            InvalidInput: If a part was not uploaded, or the owner was deleted.
            Conflict: If a folder has that path, or a file that of one of its folders.
        """
        stage = self._begun(place, token)
        if not 0 < len(digests) <= MOST_PARTS:
            raise InvalidInput(f"a file has 1 to {MOST_PARTS:,} parts, not {len(digests):,}")
        for number, digest in enumerate(digests, 1):
            if not _DIGEST.fullmatch(digest) or not self._blobs.staged(stage, digest):
                raise InvalidInput(
                    f"part {number} was not uploaded with ETag {digest!r:.80}", fix="upload the part again"
                )
        file = self._add(place, *self._blobs.join(stage, digests))
        self._blobs.drop(stage)
        return file

    def abort(self, place: Place, token: str) -> None:
        """Drops an upload in parts; one that isn't there is dropped already."""
        if _TOKEN.fullmatch(token):
            self._blobs.drop(_stage(place, token))

    def _begun(self, place: Place, token: str) -> str:
        stage = _stage(place, token)
        if not _TOKEN.fullmatch(token) or not self._blobs.staged(stage, digest_bytes(b"")):
            raise NotFound(f"there is no upload {token!r:.80} of {place.path!r:.200}", fix="begin it again")
        return stage


_NOUNS = {"run": "run", "model": "logged model", "loose": "file"}


def _stage(place: Place, token: str) -> str:
    """The stage of an upload in parts: of one file, whoever knows its token."""
    return f"{token}-{digest_bytes(f'{place.owner}/{place.path}'.encode())[:16]}"


def _root(connection: sa.Connection, place: Place, *, writing: bool = False) -> str | None:
    """The artifact root of the experiment of a file's owner; empty for a loose file, None without owner."""
    if place.kind == "loose":
        return ""
    table = runs if place.kind == "run" else logged_models
    query = sa.select(table.c.lifecycle, experiments.c.artifacts)
    query = query.join(experiments, experiments.c.id == table.c.experiment).where(table.c.id == place.owner)
    row = connection.execute(query).first()
    if row is None:
        return None
    if writing and row.lifecycle != "active":
        raise InvalidInput(f"the {_NOUNS[place.kind]} was deleted", where=place.owner, fix="restore it first")
    return str(row.artifacts)


def _check_free(connection: sa.Connection, place: Place) -> None:
    """Checks that a file's path is not also a folder's: no client could download both."""
    parts = place.path.split("/")
    above = ["/".join(parts[:number]) for number in range(1, len(parts))]
    mine = artifacts.c.owner == place.owner
    if above:
        query = sa.select(artifacts.c.path).where(mine, artifacts.c.path.in_(above)).limit(1)
        taken = connection.execute(query).scalar()
        if taken is not None:
            raise Conflict(f"{taken!r:.200} is a file, so that nothing can be in it", where=place.owner)
    start = f"{place.path}/"
    inside = sa.func.substr(artifacts.c.path, 1, len(start)) == start
    if connection.execute(sa.select(artifacts.c.path).where(mine, inside).limit(1)).first():
        raise Conflict(f"{place.path!r:.200} is a folder", where=place.owner, fix="choose another name")
