"""A remote: a blob store, and beside the blobs the list of versions that are whole there.

``versions/DATASET/COMMIT.json`` is a version as rows have it, written when everything it needs
is there; ``history/DATASET/COMMIT.json`` is one that was deleted before it was pushed, so that what
follows it and what it follows hold together; ``refs/DATASET/branch/NAME/COMMIT`` and
``refs/DATASET/tag/NAME/COMMIT`` say where a branch stood, or a tag stands, when it was pushed. They are
only added, never changed: two that push at once can't overwrite each other. A branch's head is the
commit that no other of its commits follows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from treadle.data.branches.types import RefKind
from treadle.data.types import DatasetVersion
from treadle.kernel.blobs import BlobStore, ObjectBlobStore, open_blobs
from treadle.kernel.config import Config
from treadle.kernel.errors import CorruptData, NotFound
from treadle.kernel.names import did_you_mean
from treadle.kernel.object_errors import object_errors

_AT_ONCE = 16
_SLASH = "+"  # in no name of a branch or tag
_RETRIES = 2  # the transfer tries again by itself, and knows what it has
_TIMES = {"timeout": "180s", "connect_timeout": "10s"}


class Listed(NamedTuple):
    """A version that is whole at a remote.

    Attributes:
        dataset: Its dataset.
        commit: Its commit.
    """

    dataset: str
    commit: str


class Pushed(NamedTuple):
    """Where a branch stood, or a tag stands, when it was pushed.

    Attributes:
        kind: Which of the two.
        name: Its name.
        commit: The commit.
    """

    kind: RefKind
    name: str
    commit: str


class Remote:
    """A remote.

    Args:
        name: What it is called.
        url: Where it is.
        blobs: Its blob store.
    """

    def __init__(self, name: str, url: str, blobs: ObjectBlobStore) -> None:
        self.name, self.url, self.blobs = name, url, blobs
        self._decoder = msgspec.json.Decoder(DatasetVersion)  # before there are threads: see kernel.decoding

    @classmethod
    def of(cls, blobs: BlobStore) -> Remote:
        """A blob store seen as the remote that somebody may use it as."""
        return cls("", "", cast(ObjectBlobStore, blobs))

    @classmethod
    def open(cls, config: Config, root: Path, name: str = "", *, make: bool = False) -> Remote:
        """Opens a remote that the project declares.

        Args:
            config: The project's configuration.
            root: Its folder.
            name: Which; the default one when empty.
            make: Whether its folder is made if there is none.

        Raises:
            NotFound: If there is no such remote, or its folder isn't there.
            StorageError: If it can't be opened.
        """
        chosen = name or config.default_remote
        if chosen is None or chosen not in config.remotes:
            if not config.remotes:
                raise NotFound(
                    "the project has no remote", where="treadle.toml", fix='add [remotes.origin] url = "..."'
                )
            what = f"there is no remote {chosen!r}" if chosen else "several remotes, and none is `origin`"
            raise NotFound(
                what, where="treadle.toml", fix=did_you_mean(chosen or "", config.remotes) or "name one"
            )
        found = config.remotes[chosen]
        if "://" not in found.url and not make and not (root / found.url).is_dir():
            raise NotFound(
                f"remote {chosen!r} isn't there",
                where=str(root / found.url),
                fix="mount it, correct its url in treadle.toml, or push something: treadle data push",
            )
        options = {**(_TIMES if "://" in found.url else {}), **found.options}
        return cls(chosen, found.url, open_blobs(found.url, root, options, retries=_RETRIES))

    # ── versions ─────────────────────────────────────────────────────────

    def listed(self, dataset: str = "") -> Iterator[Listed]:
        """The versions that are whole here; of one dataset, if one is named."""
        for path in self._paths(f"versions/{dataset}" if dataset else "versions"):
            yield Listed(path.split("/")[1], _commit_of(path))

    def has(self, dataset: str, commit: str) -> bool:
        """Whether a version is whole here."""
        return self._read(_version_key(dataset, commit)) is not None

    def version(self, dataset: str, commit: str) -> DatasetVersion:
        """A version that is whole here.

        Raises:
            NotFound: If it isn't.
            CorruptData: If what is said of it can't be read.
        """
        found = self._version(_version_key(dataset, commit))
        if found is None:
            raise NotFound(
                f"{dataset}@{commit[:12]} isn't at {self._said}",
                where=self.url,
                fix="push it from where it was made: treadle data push",
            )
        return found

    def _version(self, key: str) -> DatasetVersion | None:
        data = self._read(key)
        if data is None:
            return None
        try:
            return self._decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise CorruptData(
                f"what is said of the version can't be read: {error}",
                where=f"{self.url}/{key}",
                fix="push it again from where it was made: treadle data push",
            ) from error

    def versions(self, dataset: str, commits: Iterable[str]) -> list[DatasetVersion]:
        """Several versions; raises as :meth:`version`."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="treadle-versions") as pool:
            return list(pool.map(lambda commit: self.version(dataset, commit), commits))

    def add(self, version: DatasetVersion) -> None:
        """Lists a version, whose blobs are all here."""
        self._write(_version_key(version.dataset, version.commit_id), msgspec.json.encode(version))

    def deleted(self, dataset: str, known: Collection[str] = ()) -> list[DatasetVersion]:
        """The versions of a dataset that were deleted before they were pushed; of some nothing is asked.

        Raises:
            CorruptData: If what is said of one can't be read.
        """
        paths = [path for path in self._paths(f"history/{dataset}") if _commit_of(path) not in known]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="treadle-versions") as pool:
            return [one for one in pool.map(self._version, paths) if one is not None]

    def add_deleted(self, version: DatasetVersion) -> None:
        """Tells of a version that was deleted and isn't here."""
        told = msgspec.structs.replace(version, files=(), freed_at=version.freed_at or version.deleted_at)
        self._write(f"history/{version.dataset}/{version.commit_id}.json", msgspec.json.encode(told))

    # ── branches and tags ────────────────────────────────────────────────

    def refs(self, dataset: str, kind: RefKind | None = None, name: str = "") -> list[Pushed]:
        """Where branches stood and tags stand."""
        prefix = "/".join(["refs", dataset, *filter(None, [kind, _flat(name)])])
        found = []
        for path in self._paths(prefix):
            _, _, of, called, commit = path.split("/")
            found.append(Pushed("tag" if of == "tag" else "branch", called.replace(_SLASH, "/"), commit))
        return found

    def add_ref(self, dataset: str, kind: RefKind, name: str, commit: str) -> None:
        """Says that a branch or a tag stands at a commit."""
        self._write(f"refs/{dataset}/{kind}/{_flat(name)}/{commit}", b"\n")

    # ── objects ──────────────────────────────────────────────────────────

    @property
    def _said(self) -> str:
        return f"remote {self.name!r}"

    def _paths(self, prefix: str) -> Iterator[str]:
        import obstore

        with object_errors(prefix, self.url):
            for found in obstore.list(self.blobs.objects, prefix=prefix):
                for one in found:
                    path: str = one["path"]
                    if not path.rpartition("/")[2].startswith(
                        "."
                    ):  # being written, or by one that was killed
                        yield path

    def _read(self, key: str) -> bytes | None:
        import obstore

        try:
            with object_errors(key, self.url):
                return bytes(obstore.get(self.blobs.objects, key).bytes())
        except NotFound:
            return None

    def _write(self, key: str, data: bytes) -> None:
        with object_errors(key, self.url):
            self.blobs.put_beside(key, data)


def _version_key(dataset: str, commit: str) -> str:
    return f"versions/{dataset}/{commit}.json"


def _commit_of(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")


def _flat(name: str) -> str:
    return name.replace("/", _SLASH)
